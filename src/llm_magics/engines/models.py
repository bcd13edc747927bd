"""From what a user wrote as `model:` to what the engine is given: a shipped model, a local one, or a hub id.

Everything that can be told from the disk is told here, in milliseconds; an engine says it after half a minute.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics import models as shipped
from llm_magics.engines import gguf_header
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine
    from llm_magics.spec.server import ServerSpec

_HUB_ID = re.compile(r"(?:hf\.co/|huggingface\.co/)?[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")
_CONFIGS = ("config.json", "params.json")
_LONGER_ON_PURPOSE = re.compile(r"rope|yarn|hf-overrides|hf_overrides")


def resolve(engine: Engine, spec: ServerSpec) -> str:
    """The model as the engine wants it: an absolute path, or the hub id as it was written.

    Raises
    ------
    SpecError
        When a local path does not exist, or holds what this engine does not read.
    """
    if shipped.is_shipped(spec.model):
        found = shipped.path(spec.model, engine.model_format)
        if not found.exists():
            raise SpecError(
                f"The model {spec.model!r} is missing from this installation.",
                why=f"{found} does not exist",
                then="install llm-magics again",
            )
        return str(found)
    path = Path(spec.model).expanduser()
    if not _is_local(spec.model, path):
        return spec.model
    if not path.exists():
        raise SpecError(
            f"There is no model at {spec.model}.",
            why=f"{path.absolute()} does not exist" + _nearby(path),
            then="correct model:, or write a hub id such as Qwen/Qwen3-0.6B"
            if engine.model_format != "gguf"
            else f"correct model:, the path of a .gguf file for {engine.title}; `tiny` ships with llm-magics",
        )
    (_check_gguf if engine.model_format == "gguf" else _check_folder)(engine, path)
    return str(path.absolute())


def beside(spec: ServerSpec) -> ServerSpec:
    """The spec with `~` written out in the paths of what goes with the model: adapters, tokenizer, draft.

    Engines read such a path as a hub id, where no shell has written it out.

    Raises
    ------
    SpecError
        For a path that is not there.
    """
    changes: dict[str, Any] = {}
    if spec.tokenizer:
        changes["tokenizer"] = _there("tokenizer", spec.tokenizer)
    if spec.lora_modules:
        changes["lora_modules"] = {name: _there(f"adapter {name}", path) for name, path in spec.lora_modules.items()}
    if spec.speculative and isinstance(draft := spec.speculative.get("model"), str):
        changes["speculative"] = {**spec.speculative, "model": _there("draft model", draft)}
    return spec.model_copy(update=changes)


def _there(what: str, written: str) -> str:
    path = Path(written).expanduser()
    if written.startswith(("/", "~", "./", "../")) and not path.exists():
        raise SpecError(
            f"There is no {what} at {written}.",
            why=f"{path.absolute()} does not exist" + _nearby(path),
            then="correct the path, or write a hub id where the engine takes one",
        )
    return str(path) if written.startswith("~") else written


def check_context(engine: Engine, model: str, spec: ServerSpec) -> None:
    """Refuse a context that is longer than the model's own, where the files say how long that is.

    Rotary scaling, asked for by an engine's own flags or `VLLM_ALLOW_LONG_MAX_MODEL_LEN`, makes it the engine's matter.

    Raises
    ------
    SpecError
        When `max_model_len` is longer than the model's context.
    """
    asked = spec.max_model_len
    if not isinstance(asked, int) or "VLLM_ALLOW_LONG_MAX_MODEL_LEN" in spec.env:
        return
    if any(_LONGER_ON_PURPOSE.search(word) for word in spec.args):
        return
    own = context_length(model)
    if own is not None and asked > own:
        raise SpecError(
            f"max_model_len {asked} is longer than the context of {spec.model}, {own} tokens.",
            why=f"{engine.title} would stop, or silently serve {own}",
            then=f"max_model_len: {own}, or leave it out",
        )


def context_length(model: str) -> int | None:
    """Tokens of context a local model was made for; None for a hub id, or where the files do not say it plainly."""
    path = Path(model)
    try:
        if path.is_file():
            return gguf_header.context_length(path)
        return _context_of_config(json.loads((path / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _context_of_config(config: Any) -> int | None:
    if not isinstance(config, dict):
        return None
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    for key in ("rope_scaling", "rope_parameters"):
        if isinstance(text.get(key), dict) and "factor" in text[key]:
            return None  # whether the length already counts the scaling differs between models
    length = text.get("max_position_embeddings")
    return length if isinstance(length, int) else None


def _is_local(written: str, path: Path) -> bool:
    if written.startswith(("/", "~", "./", "../")) or written.endswith((".gguf", ".safetensors")) or path.exists():
        return True
    return not _HUB_ID.fullmatch(written)


def _check_gguf(engine: Engine, path: Path) -> None:
    if path.is_dir():
        files = sorted(each.name for each in path.glob("*.gguf"))
        holds = f"it holds {', '.join(files[:5])}" if files else f"no *.gguf in it ({_contents(path)})"
        raise SpecError(
            f"{engine.title} reads one GGUF file, and {path} is a folder.",
            why=holds,
            then=f"model: {path / files[0]}" if files else "give the path of a .gguf file, or use another engine",
        )
    try:
        gguf_header.context_length(path)
    except ValueError as error:
        raise SpecError(
            f"{path} is no GGUF file that can be read.", why=str(error), then="download or convert the file again"
        ) from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read.", why=str(error), then="check who may read it") from None


def _check_folder(engine: Engine, path: Path) -> None:
    if path.is_file():
        gguf = path.suffix == ".gguf"
        raise SpecError(
            f"{engine.title} reads a model's folder (config.json, *.safetensors), and {path} is a file.",
            why="a GGUF file is llama.cpp's format" if gguf else "",
            then="engine: llamacpp serves it" if gguf else f"model: {path.parent}",
        )
    if not any((path / name).is_file() for name in _CONFIGS):
        raise SpecError(
            f"{path} is no model's folder: it has no config.json.",
            why=f"it holds {_contents(path)}",
            then="give the folder that config.json lies in",
        )


def _contents(folder: Path) -> str:
    names = sorted(each.name for each in folder.iterdir())
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "") or "nothing"


def _nearby(path: Path) -> str:
    """What was probably meant: names beside it that are much like it, or are GGUF files where one was asked for."""
    parent = path.absolute().parent
    if not parent.is_dir():
        return ""
    names = sorted(each.name for each in parent.iterdir() if not each.name.startswith("."))
    alike = difflib.get_close_matches(path.name, names, n=3)
    found = alike or [name for name in names if path.suffix == ".gguf" and name.endswith(".gguf")][:5]
    return f"; beside it: {', '.join(found)}" if found else ""
