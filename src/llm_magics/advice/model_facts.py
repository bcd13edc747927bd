"""Where a model's facts come from: its files here, the hub's cache on this disk, our table, or the hub itself.

In that order, so that a fit check before a launch costs milliseconds and never asks a network.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magics import models as shipped
from llm_magics.advice import models_known, weights
from llm_magics.advice.architectures import Architecture, of_config, of_gguf
from llm_magics.engines import gguf_header
from llm_magics.errors import SpecError

_TIMEOUT = 10.0  # s
_LARGEST = 4 << 20  # bytes; a configuration or an index is far smaller


@dataclass(frozen=True)
class ModelFacts:
    """A model as the fit check knows it.

    Attributes
    ----------
    name
        As it was written.
    architecture
        Layers and widths.
    measured
        Bytes of its weights as they are on disk (or as the hub's index says); None where they must be computed.
    source, weights_source
        Where either comes from, in words.
    format
        `safetensors` or `gguf`.
    """

    name: str
    architecture: Architecture
    measured: int | None
    source: str
    weights_source: str = ""
    format: str = "safetensors"

    def weights(self, dtype: str | None = None, quantization: str | None = None) -> tuple[int, str]:
        """Bytes of the weights once loaded, and how that is known.

        `dtype` and `quantization` are what the engine was asked to load them as. For one that only a checkpoint has
        (`awq`), and not this one, the size that such a checkpoint would have (`unknown` says so).

        Raises
        ------
        SpecError
            When neither files nor parameters are known.
        """
        own = self.architecture
        wanted = own.dtype if dtype in (None, "auto") else str(dtype)
        unquantized = not own.quantization
        if (other := self._another_checkpoint(quantization)) and own.parameters is not None:
            return weights.computed(own.parameters, wanted, other, None)
        changed = unquantized and (
            weights.BYTES.get(wanted) != weights.BYTES.get(own.dtype) or quantization in weights.AT_LOAD
        )
        if self.measured is not None and not changed:
            return self.measured, self.weights_source
        if own.parameters is None:
            if self.measured is not None:
                return self.measured, self.weights_source
            raise SpecError(f"The size of {self.name} is not known.", why="; ".join(own.notes))
        return weights.computed(own.parameters, wanted, own.quantization, quantization)

    def unknown(self, quantization: str | None = None) -> tuple[str, ...]:
        """What `weights` had to assume: quantizations whose bits nothing here knows.

        A checkpoint whose files were measured is known, whatever its quantization is called.
        """
        own, found = self.architecture, []
        bits, method = weights.of_quantization(own.quantization)
        if method and bits is None and self.measured is None and self.format != "gguf":
            found.append(
                f"how many bits {method} leaves is not known; {weights.BYTES.get(own.dtype, 2.0) * 8:.0f} are counted"
            )
        if not quantization or self.format == "gguf":
            return tuple(found)
        if method:
            if method.replace("-", "").lower() not in quantization.replace("-", "").replace("_", "").lower():
                found.append(
                    f"the checkpoint is quantized by {method} already; {quantization} changes nothing counted here"
                )
        elif self._another_checkpoint(quantization) and own.parameters is not None:
            found.append(
                f"whether there is a checkpoint of {self.name} in {quantization}: this one is not quantized, and no "
                f"engine does it at load; what one with 4 bits in groups of 128 would take is estimated"
            )
        elif quantization not in weights.AT_LOAD:
            found.append(
                f"how many bits {quantization} leaves is not known; the weights are counted as they are published"
            )
        return tuple(found)

    def _another_checkpoint(self, quantization: str | None) -> Mapping[str, Any] | None:
        """The `quantization_config` of the checkpoint that a quantization asks for, where this one has none."""
        if not quantization or self.architecture.quantization or self.format == "gguf":
            return None
        return weights.CHECKPOINTS.get(quantization)


def facts(model: str, *, revision: str | None = None, online: bool = True) -> ModelFacts:
    """The facts of a model: `tiny`, a folder, a GGUF file, a hub id.

    Raises
    ------
    SpecError
        When it is nowhere to be found, or what is found does not say what memory depends on.
    """
    path = shipped.path(model, "safetensors") if shipped.is_shipped(model) else Path(model).expanduser()
    try:
        if path.is_file():
            return _of_gguf_file(model, path)
        if path.is_dir():
            return _of_folder(model, path, str(path))
        if (cached := _cached(model, revision)) is not None:
            return _of_folder(model, cached, "the hub's cache on this machine")
        if model in models_known.CONFIGS:
            return ModelFacts(model, of_config(models_known.CONFIGS[model]), None, models_known.SOURCE)
    except (ValueError, OSError) as error:
        raise SpecError(
            f"What {model} needs cannot be told.",
            why=str(error),
            then="give a model with a config.json, or a .gguf file",
        ) from None
    if model.count("/") != 1 or model.startswith(("/", ".", "~")):
        raise SpecError(
            f"There is no model at {model}.", then="give a path that exists, or a hub id such as Qwen/Qwen3-8B"
        )
    if not online or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise _unknown(
            model, "this machine is set to stay offline (HF_HUB_OFFLINE)" if online else "the hub was not asked"
        )
    return _of_hub(model, revision or "main")


def _of_gguf_file(model: str, path: Path) -> ModelFacts:
    if path.suffix == ".safetensors":
        raise ValueError("one safetensors file does not say how the model is built: give its folder")
    measured, said = weights.of_gguf(path)
    return ModelFacts(model, of_gguf(gguf_header.facts(path)), measured, str(path), said, "gguf")


def _of_folder(model: str, folder: Path, source: str) -> ModelFacts:
    config = folder / "config.json"
    if not config.is_file():
        files = sorted(folder.glob("*.gguf"))
        if files:
            return _of_gguf_file(model, files[0])
        raise ValueError(f"{folder} holds no config.json")
    data = json.loads(config.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{config} is no JSON object")
    measured = weights.of_folder(folder)
    return ModelFacts(
        model, of_config(data), measured[0] if measured else None, source, measured[1] if measured else ""
    )


def cached() -> list[str]:
    """Ids of the models that the hub's cache on this machine holds, or holds in part."""
    return sorted(each.name.removeprefix("models--").replace("--", "/", 1) for each in _hub().glob("models--*"))


def _hub() -> Path:
    """The hub's cache, where huggingface_hub has it."""
    home = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(home) if home else Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser() / "hub"


def _cached(model: str, revision: str | None) -> Path | None:
    """The snapshot of a hub model in the cache: `models--ORG--NAME/snapshots/COMMIT` (huggingface_hub's layout)."""
    folder = _hub() / ("models--" + model.replace("/", "--"))
    reference = folder / "refs" / (revision or "main")
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    if commit and (found := folder / "snapshots" / commit / "config.json").is_file():
        return found.parent
    return (
        next((each.parent for each in sorted(folder.glob("snapshots/*/config.json"))), None) if not revision else None
    )


def _of_hub(model: str, revision: str) -> ModelFacts:
    config = _fetched(model, revision, "config.json")
    if config is None:
        raise _unknown(model, f"the hub has no config.json for it at {revision}")
    try:
        index = _fetched(model, revision, "model.safetensors.index.json")
        total = ((index or {}).get("metadata") or {}).get("total_size")
        return ModelFacts(
            model, of_config(config), total if isinstance(total, int) else None, f"{_endpoint()}/{model}",
            "model.safetensors.index.json" if isinstance(total, int) else "",
        )  # fmt: skip
    except ValueError as error:
        raise SpecError(f"What {model} needs cannot be told.", why=str(error)) from None


def _fetched(model: str, revision: str, name: str) -> dict[str, Any] | None:
    """A small JSON file of a hub model; None when the hub has no such file.

    Raises
    ------
    SpecError
        When the hub does not answer or does not let this person in.
    """
    url = f"{_endpoint()}/{model}/resolve/{revision}/{name}"
    request = urllib.request.Request(url, headers={"User-Agent": "llm-magics"})  # noqa: S310 - checked below
    if token := os.environ.get("HF_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if not url.startswith(("https://", "http://")):
        raise _unknown(model, f"HF_ENDPOINT is no web address: {_endpoint()}")
    try:
        with urllib.request.build_opener(_TokenStaysHome).open(request, timeout=_TIMEOUT) as answer:
            data = json.loads(answer.read(_LARGEST))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise SpecError(
                f"The hub does not show {model}.", why=f"{error.code} {error.reason}: gated, private, or no such model",
                then="check the name; accept its licence on the hub and set HF_TOKEN",
            ) from None  # fmt: skip
        if error.code == 404:
            return None
        raise _unknown(model, f"the hub answers {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        raise _unknown(model, f"the hub does not answer: {getattr(error, 'reason', error)}") from None
    return data if isinstance(data, dict) else None


class _TokenStaysHome(urllib.request.HTTPRedirectHandler):
    """Follows a redirect with the token to the same host only: the hub sends some files to other people's storage."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The next request."""
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if following is not None and token and following.host == req.host and following.type == req.type:
            following.add_unredirected_header("Authorization", token)
        return following


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _unknown(model: str, why: str) -> SpecError:
    from llm_magics.spec.reading import nearest

    known = list(models_known.CONFIGS)
    return SpecError(
        f"{model} is not on this machine{nearest(model, known)}.",
        why=f"{why}; known without a network: {', '.join(known)}",
        then="give the path of its folder (config.json is enough) or of a GGUF file",
    )
