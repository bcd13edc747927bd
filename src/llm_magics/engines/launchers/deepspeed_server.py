"""DeepSpeed behind an OpenAI-compatible server: `init_inference`, or ZeRO-Inference for models larger than memory.

DeepSpeed is a library; this is the smallest server in front of it (`openai_front`), with static batches
(`generation`). Run by file path, by the Python that has DeepSpeed.

    python deepspeed_server.py --model PATH --port 8000 --dtype bfloat16 --max-num-seqs 8
    python deepspeed_server.py --model PATH --port 8000 --offload nvme --nvme-path /mnt/fast
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

DTYPES = {"half": "float16", "float": "float32"}
PREFIX = "deepspeed"


def parser() -> argparse.ArgumentParser:
    """The command line; names as in vLLM where vLLM has them."""
    made = argparse.ArgumentParser(
        prog="deepspeed_server", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False
    )
    made.add_argument("--model", required=True, help="a folder or a hub id")
    made.add_argument("--host", default="127.0.0.1", choices=("127.0.0.1", "localhost", "::1"))
    made.add_argument("--port", type=int, required=True)
    made.add_argument("--revision")
    made.add_argument("--tokenizer")
    made.add_argument("--served-model-name")
    made.add_argument("--dtype", default="auto", choices=("auto", "bfloat16", "float16", "float32", *DTYPES))
    made.add_argument("--max-model-len", type=int, help="tokens; the model's own context when left out")
    made.add_argument("--max-num-seqs", type=int, default=8, help="requests in one static batch")
    made.add_argument("--load-format", default="auto", choices=("auto", "dummy"))
    made.add_argument("--seed", type=int)
    made.add_argument("--trust-remote-code", action="store_true")
    made.add_argument("--kernel-inject", action="store_true", help="DeepSpeed's own kernels (NVIDIA GPUs, few models)")
    made.add_argument("--offload", choices=("cpu", "nvme"), help="ZeRO-Inference: where the weights are kept")
    made.add_argument("--nvme-path", help="a folder on the fast disk, for --offload nvme")
    return made


def main() -> int:
    """Load, serve until TERM or INT; 1 when the model cannot be served, the reason being the last line."""
    options = parser().parse_args()
    swap = _swap_folder(options)

    def end(_number: int, _frame: FrameType | None) -> None:
        # At once: a batch that runs would hold an orderly end until it is through.
        if swap:
            shutil.rmtree(swap, ignore_errors=True)
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if folder := os.environ.get("TORCH_EXTENSIONS_DIR"):
        _clear_stale_locks(Path(folder))
    from generation import Batches
    from openai_front import Front

    _say("loading the model")
    try:
        generate, model, tokenizer, context = _loaded(options, swap)
        batches = Batches(generate, model, tokenizer, size=options.max_num_seqs)
        front = Front(
            (options.host, options.port), batches, name=options.served_model_name or options.model, prefix=PREFIX,
            context=context, key=os.environ.get("DEEPSPEED_API_KEY") or None,
        )  # fmt: skip
        batches.start()
        _say(f"listening on {options.host}:{options.port}, context {context} tokens")
        front.serve_forever(poll_interval=3600)
    finally:
        if swap:
            shutil.rmtree(swap, ignore_errors=True)
    return 0


def _loaded(options: argparse.Namespace, swap: str | None) -> tuple[Any, Any, Any, int]:
    """`generate`, the module, its tokenizer and the context's length, tokens."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    trust = {"trust_remote_code": options.trust_remote_code, "revision": options.revision}
    config = AutoConfig.from_pretrained(options.model, **trust)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer or options.model, **trust)
    text = config.get_text_config()
    own = getattr(text, "max_position_embeddings", None) or 2048
    if options.max_model_len and options.max_model_len > own:
        raise SystemExit(f"max_model_len {options.max_model_len} is longer than the model's context, {own} tokens")
    gpu = torch.cuda.is_available()
    word = DTYPES.get(options.dtype, options.dtype)
    dtype = getattr(torch, word) if word != "auto" else getattr(config, "dtype", None) or torch.float32
    if dtype == torch.float16 and not gpu:
        raise SystemExit("float16 is not computed on a CPU: take dtype bfloat16 or float32")
    if options.seed is not None:
        torch.manual_seed(options.seed)
    _alone(torch, gpu)
    made = _offloaded if options.offload else _in_memory
    generate, model = made(options, config, dtype, trust, gpu, swap)
    return generate, model, tokenizer, options.max_model_len or own


def _in_memory(
    options: argparse.Namespace, config: Any, dtype: Any, trust: dict[str, Any], gpu: bool, _swap: str | None
) -> tuple[Any, Any]:
    """`deepspeed.init_inference`."""
    import deepspeed
    import torch
    from transformers import AutoModelForCausalLM

    if options.load_format == "dummy":
        with torch.device("cuda" if gpu else "cpu"):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=options.trust_remote_code)
    else:
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype, **trust)
    _say("weights are loaded")
    engine = deepspeed.init_inference(
        model.eval(), dtype=dtype, tensor_parallel={"tp_size": 1}, replace_with_kernel_inject=options.kernel_inject
    )
    return engine.generate, engine.module


def _offloaded(
    options: argparse.Namespace, config: Any, dtype: Any, trust: dict[str, Any], _gpu: bool, swap: str | None
) -> tuple[Any, Any]:
    """ZeRO stage 3 without training: weights wait in memory or on a disk and come layer by layer."""
    import deepspeed
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.integrations import HfDeepSpeedConfig

    text = config.get_text_config()
    width = int(text.hidden_size)
    where: dict[str, Any] = {"device": options.offload, "pin_memory": torch.cuda.is_available()}
    if options.offload == "nvme":
        # A buffer has to hold the largest piece, the vocabulary's embedding.
        where |= {"nvme_path": swap, "buffer_count": 5, "buffer_size": 2 * int(text.vocab_size) * width}
        _compile_for_disks()
    settings: dict[str, Any] = {
        "fp16": {"enabled": dtype == torch.float16},
        "bf16": {"enabled": dtype == torch.bfloat16},
        "zero_optimization": {
            "stage": 3,
            "offload_param": where,
            "stage3_prefetch_bucket_size": width * width,
            "stage3_param_persistence_threshold": 0,
        },
        "train_micro_batch_size_per_gpu": 1,
        "steps_per_print": 2**31,
        **({"aio": {"block_size": 2**20, "queue_depth": 16, "thread_count": 1}} if swap else {}),
    }
    _say(f"ZeRO-Inference: {json.dumps(settings['zero_optimization'])}")
    keep = HfDeepSpeedConfig(settings)  # from_pretrained looks for a living one: weights never stand whole in memory
    if options.load_format == "dummy":
        with deepspeed.zero.Init(config_dict_or_path=settings, dtype=dtype):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=options.trust_remote_code)
    else:
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype, **trust)
    _say("weights are loaded")
    engine = deepspeed.initialize(model=model.eval(), config=settings)[0]
    engine.module.eval()
    del keep
    return engine.module.generate, engine.module


def _compile_for_disks() -> None:
    """What reads and writes disks, compiled aloud: DeepSpeed would do it later, for minutes and without a word."""
    from deepspeed.ops.op_builder import AsyncIOBuilder

    if not list(Path(os.environ.get("TORCH_EXTENSIONS_DIR", "/nowhere")).glob("**/async_io*.so")):
        _say("compiling DeepSpeed's operator for disks, once; this takes minutes")
    AsyncIOBuilder().load(verbose=True)


def _alone(torch: Any, gpu: bool) -> None:
    """A process group of one that opens no port: DeepSpeed's own way listens on every interface."""
    os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"})
    torch.distributed.init_process_group(
        backend="nccl" if gpu else "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )


def _swap_folder(options: argparse.Namespace) -> str | None:
    if options.offload != "nvme":
        return None
    if not options.nvme_path:
        raise SystemExit("--offload nvme needs --nvme-path, a folder on the fast disk")
    # Named after the server: whoever ends it removes the folder by that, if this process was killed.
    mark = os.environ.get("LLM_MAGICS_SERVER", "")[:12] or "own"
    return tempfile.mkdtemp(prefix=f"llm-magics-{mark}-zero-", dir=options.nvme_path)


def _say(words: str) -> None:
    """A line of the server's log."""
    print(words, flush=True)  # noqa: T201


def _clear_stale_locks(folder: Path) -> None:
    """A process killed while it compiled leaves a lock on which the next one waits for ever, without a word.

    Its owner keeps the file open for as long as it compiles; a lock that no process has open has no owner.
    """
    held = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            held.add(str(link.readlink()))
        except OSError:
            continue
    for lock in folder.glob("**/lock"):
        if str(lock.resolve()) not in held:
            _say(f"removing a stale lock: {lock}")
            lock.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
