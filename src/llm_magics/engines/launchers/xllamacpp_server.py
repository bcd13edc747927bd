"""llama-server for machines that have the `xllamacpp` wheel and no `llama-server` binary.

The wheel holds llama.cpp's server as a library. This gives it the binary's own command line, so that one adapter and
one set of flags serve both, and adds what a server process needs: the key from the environment, never from the
arguments, and an end at once on TERM, which the library does not manage while an answer is streaming.

    python xllamacpp_server.py --model FILE.gguf --port 8080 --ctx-size 8192 --parallel 4 --metrics
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import threading
from typing import Any

_LAST_WORDS = 2.0  # s that what the library still has to say may take

# llama-server's option -> where the library keeps it. The spellings are checked against llama.cpp's common/arg.cpp.
VALUES: dict[tuple[str, ...], tuple[str, type]] = {
    ("-m", "--model"): ("model.path", str),
    ("--port",): ("port", int),
    ("-c", "--ctx-size"): ("n_ctx", int),
    ("-n", "--predict", "--n-predict"): ("n_predict", int),
    ("-np", "--parallel"): ("n_parallel", int),
    ("-b", "--batch-size"): ("n_batch", int),
    ("-ub", "--ubatch-size"): ("n_ubatch", int),
    ("-t", "--threads"): ("cpuparams.n_threads", int),
    ("-tb", "--threads-batch"): ("cpuparams_batch.n_threads", int),
    ("--threads-http",): ("n_threads_http", int),
    ("-ngl", "--gpu-layers", "--n-gpu-layers"): ("n_gpu_layers", int),
    ("-mg", "--main-gpu"): ("main_gpu", int),
    ("-s", "--seed"): ("sampling.seed", int),
    ("--temp", "--temperature"): ("sampling.temp", float),
    ("--top-k",): ("sampling.top_k", int),
    ("--top-p",): ("sampling.top_p", float),
    ("--min-p",): ("sampling.min_p", float),
    ("--repeat-penalty",): ("sampling.penalty_repeat", float),
    ("--chat-template",): ("chat_template", str),
    ("--cache-reuse",): ("n_cache_reuse", int),
    ("-cram", "--cache-ram"): ("cache_ram_mib", int),
    ("-ctxcp", "--ctx-checkpoints"): ("n_ctx_checkpoints", int),
    ("--rope-freq-base",): ("rope_freq_base", float),
    ("--rope-freq-scale",): ("rope_freq_scale", float),
    ("--yarn-orig-ctx",): ("yarn_orig_ctx", int),
    ("--slot-save-path",): ("slot_save_path", str),
    ("-sps", "--slot-prompt-similarity"): ("slot_prompt_similarity", float),
    ("-to", "--timeout"): ("timeout_read", int),
    ("-lv", "--verbosity", "--log-verbosity"): ("verbosity", int),
}
SWITCHES: dict[tuple[str, ...], tuple[str, bool]] = {
    ("--cache-prompt",): ("cache_prompt", True),
    ("--no-cache-prompt",): ("cache_prompt", False),
    ("-cb", "--cont-batching"): ("cont_batching", True),
    ("-nocb", "--no-cont-batching"): ("cont_batching", False),
    ("-kvu", "--kv-unified"): ("kv_unified", True),
    ("-no-kvu", "--no-kv-unified"): ("kv_unified", False),
    ("--metrics",): ("endpoint_metrics", True),
    ("--props",): ("endpoint_props", True),
    ("--slots",): ("endpoint_slots", True),
    ("--no-slots",): ("endpoint_slots", False),
    ("--warmup",): ("warmup", True),
    ("--no-warmup",): ("warmup", False),
    ("--jinja",): ("use_jinja", True),
    ("--no-jinja",): ("use_jinja", False),
    ("--context-shift",): ("ctx_shift", True),
    ("--no-context-shift",): ("ctx_shift", False),
    ("--ignore-eos",): ("sampling.ignore_eos", True),
    ("--offline",): ("offline", True),
    ("--no-webui", "--no-ui"): ("ui", False),
}
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


def parser() -> argparse.ArgumentParser:
    """llama-server's command line, as much of it as the library has."""
    made = argparse.ArgumentParser(
        prog="xllamacpp_server",
        usage="%(prog)s --model FILE.gguf [options of llama-server]",
        description=(__doc__ or "").split("\n\n")[0],
        allow_abbrev=False,
    )
    for names, (place, kind) in VALUES.items():
        made.add_argument(*names, dest=place, type=kind, default=None, required="--model" in names)
    for names, (place, value) in SWITCHES.items():
        made.add_argument(*names, dest=place, action="store_const", const=value, default=None)
    made.add_argument("-a", "--alias", default=None, help="names of the model, with commas")
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--lora", action="append", default=[], help="a LoRA adapter, .gguf; applied to every request")
    for side in ("k", "v"):
        made.add_argument(f"-ct{side}", f"--cache-type-{side}", dest=f"cache_type_{side}", choices=CACHE_TYPES)
    made.add_argument("-fa", "--flash-attn", choices=("on", "off", "auto"), default=None)
    return made


def parameters(options: argparse.Namespace) -> Any:
    """The library's parameters; what was not given keeps the library's own default."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    for place, _ in (*VALUES.values(), *SWITCHES.values()):
        value = getattr(options, place)
        if value is not None:
            owner = params
            *path, name = place.split(".")
            for part in path:
                owner = getattr(owner, part)
            setattr(owner, name, value)
    params.hostnames = [options.host]
    if options.alias:
        params.model_alias = set(options.alias.split(","))
    for side in ("k", "v"):
        if word := getattr(options, f"cache_type_{side}"):
            setattr(params, f"cache_type_{side}", getattr(xllamacpp.ggml_type, f"GGML_TYPE_{word.upper()}"))
    if options.lora:
        params.lora_adapters = [_adapter(xllamacpp, path) for path in options.lora]
    if options.flash_attn:
        kind = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[options.flash_attn]
        params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{kind}")
    if key := os.environ.get("LLAMA_API_KEY"):
        params.api_keys = [key]
    return params


def _adapter(xllamacpp: Any, path: str) -> Any:
    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path, adapter.scale = path, 1.0
    return adapter


def last_words() -> None:
    """Wait until the library has written its reasons: it does so from a thread of its own, and an end may come first.

    `common_log_pause` (llama.cpp, common/log.h) returns when that thread has written everything. A build that does not
    show it writes what it has to say when the process ends in order.
    """
    from xllamacpp import xllamacpp

    try:
        library = ctypes.CDLL(xllamacpp.__file__)
        log, pause = library._Z15common_log_mainv, library._Z16common_log_pauseP10common_log  # noqa: SLF001
    except (AttributeError, OSError):
        return
    log.argtypes, log.restype = [], ctypes.c_void_p
    pause.argtypes, pause.restype = [ctypes.c_void_p], None
    waiting = threading.Thread(target=lambda: pause(log()), daemon=True)
    waiting.start()
    waiting.join(_LAST_WORDS)


def main() -> int:
    """Serve until TERM or INT; 1 when the server cannot start, its reasons being on stderr."""
    import xllamacpp

    options = parser().parse_args()
    try:
        server = xllamacpp.Server(parameters(options))
    except RuntimeError as error:
        last_words()
        print(f"xllamacpp_server: {error}", file=sys.stderr)  # noqa: T201
        return 1
    # TERM and INT end the process at once, whatever streams are open, for closing the library's server in order is no
    # choice: it holds the interpreter until the last client has left. The default action cannot be missed or delayed.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"server is listening on {server.listening_address}", file=sys.stderr, flush=True)  # noqa: T201
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
