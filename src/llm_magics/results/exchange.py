"""One door for files: a run is written and read here, in our format or another tool's.

A run that only has summaries (another tool's file) can still be shown and compared; it says that it has no intervals.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from llm_magics.errors import SpecError
from llm_magics.results.columns import Builder
from llm_magics.results.peers import aiperf, aiperf_summary, guidellm, sglang, vllm_bench
from llm_magics.results.records import Audit, PointWindow, ServerSample
from llm_magics.results.run import Run

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["json", "vllm", "guidellm", "aiperf", "parquet", "csv"]
FORMATS: tuple[Format, ...] = ("json", "vllm", "guidellm", "aiperf", "parquet", "csv")
ENDINGS = (".json", ".jsonl", ".csv", ".parquet")  # by which a reference is told to be a file

_NATIVE = "llm-magics run"
_SCHEMA = 1


def write(run: Run, path: str | Path, format: Format | None = None) -> Path:  # noqa: A002 - the field's word
    """Write a run to a file and return its path.

    Parameters
    ----------
    format
        `json` all of it, `vllm` as `vllm bench serve --save-detailed` (a line for each point and repetition),
        `guidellm` in the shape of its report, `aiperf` the requests as AIPerf's `profile_export.jsonl`, `parquet` and
        `csv` the requests. By the file's ending when left out (`.jsonl` is AIPerf's).

    Raises
    ------
    SpecError
        For another ending or format, a directory that is not there, or Parquet without pyarrow.
    """
    path = Path(path).expanduser()
    ending = path.suffix.lower().removeprefix(".")
    kind = format or ("aiperf" if ending == "jsonl" else ending)
    writers: dict[str, Callable[[Run, Path], None]] = {
        "json": _write_json,
        "vllm": lambda run, path: _write_lines(vllm_bench.written(run), path),
        "guidellm": lambda run, path: _write_lines([guidellm.written(run)], path),
        "aiperf": _write_aiperf,
        "parquet": _write_parquet,
        "csv": lambda run, path: run.requests.to_csv(path, index=False),
    }
    if kind not in writers:
        raise SpecError(
            f"A run cannot be written to {path.name}.", then="end the name in .json, .jsonl, .parquet or .csv"
        )
    try:
        writers[kind](run, path)
    except OSError as error:
        raise SpecError(f"The run could not be written to {path}.", why=str(error)) from error
    return path


def read(path: str | Path) -> Run:
    """A run from a file: ours (.json, .parquet, .csv), or what another load tester wrote.

    Read are the JSON of `vllm bench serve` and of GuideLLM, AIPerf's JSONL (with the load from the summary beside it)
    and its JSON summary, and the JSONL of SGLang's `bench_serving`.

    Raises
    ------
    SpecError
        When there is no such file, or it is none of these.
    """
    path = Path(path).expanduser()
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        if path.suffix.lower() == ".csv":
            import pandas as pd

            return _of_table(pd.read_csv(path), {}, path)
        return _of_json(path.read_bytes(), path)
    except OSError as error:
        raise SpecError(f"{path} cannot be read.", why=str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise SpecError(
            f"{path} holds no run.",
            why=why,
            then="files of llm-magics, `vllm bench serve --save-result`, GuideLLM, AIPerf and SGLang's bench are read",
        ) from error


def _of_json(content: bytes, path: Path) -> Run:
    try:
        document = _parsed(content)
        documents = document if isinstance(document, list) else [document]
    except ValueError:
        documents = [_parsed(line) for line in content.splitlines() if line.strip()]
    if not documents:
        raise ValueError("it is empty")
    if isinstance(documents[0], dict) and documents[0].get("format") == _NATIVE:
        return _native(documents[0])
    if guidellm.recognizes(documents[0]):
        return guidellm.read(documents[0], path.name)
    if all(vllm_bench.recognizes(each) for each in documents):
        return vllm_bench.read(documents, path.name)
    if all(sglang.recognizes(each) for each in documents):
        return sglang.read(documents, path.name)
    if aiperf_summary.recognizes(documents[0]):
        return aiperf_summary.read(documents[0], path.name)
    if all(aiperf.recognizes(each) for each in documents):
        return aiperf.read(documents, path.name, _summary_beside(path))
    raise ValueError("its keys are those of no load tester known here")


def _summary_beside(records: Path) -> Any:
    """The summary that AIPerf wrote beside its records, where it is there: named alike, or as it names them itself."""
    for place in (records.with_suffix(".json"), records.with_name("profile_export_aiperf.json")):
        try:
            document = _parsed(place.read_bytes())
        except (OSError, ValueError):
            continue
        if aiperf_summary.recognizes(document):
            return document
    return None


def _parsed(content: bytes) -> Any:
    """JSON, also with the NaN and Infinity that Python's own writer leaves in other tools' files."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content)


def _write_json(run: Run, path: Path) -> None:
    _write_lines(
        [
            {
                "format": _NATIVE,
                "schema": _SCHEMA,
                "status": run.status,
                "header": {**run.header, "label": run.label},
                "notes": run.notes,
                "given": run.given,
                "points": run.points,
                "windows": [asdict(each) for each in run.windows],
                "audits": [asdict(each) for each in run.audits],
                "samples": [asdict(each) for each in run.server_samples],
                "requests": list(run.columns.rows()),
            }
        ],
        path,
    )


def _native(document: dict[str, Any]) -> Run:
    if document["schema"] > _SCHEMA:
        raise ValueError(f"its schema is {document['schema']}, this version reads up to {_SCHEMA}")
    builder = Builder()
    for row in document["requests"]:
        builder.add(row)
    return Run(
        document["header"],
        builder.columns(),
        windows=[PointWindow(**each) for each in document["windows"]],
        audits=[Audit(**each) for each in document["audits"]],
        samples=[ServerSample(**each) for each in document["samples"]],
        status=document["status"],
        given=document["given"],
        notes=document["notes"],
    )


def _write_lines(documents: list[dict[str, Any]], path: Path) -> None:
    path.write_bytes(b"\n".join(orjson.dumps(each, default=str) for each in documents) + b"\n")


def _write_aiperf(run: Run, path: Path) -> None:
    if run.given is not None:
        raise SpecError(
            "AIPerf's JSONL holds requests, and of this run there are only summaries.", then="save it as .json"
        )
    _write_lines(aiperf.written(run), path)


def _write_parquet(run: Run, path: Path) -> None:
    arrow, parquet = _pyarrow()
    table = arrow.Table.from_pandas(run.requests, preserve_index=False)
    kept = {b"llm_magics": orjson.dumps({**run.header, "label": run.label}, default=str)}
    parquet.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **kept}), path)


def _read_parquet(path: Path) -> Run:
    _, parquet = _pyarrow()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    table = parquet.read_table(path)
    header = orjson.loads((table.schema.metadata or {}).get(b"llm_magics", b"{}"))
    return _of_table(table.to_pandas(), header, path)


def _of_table(frame: pd.DataFrame, header: dict[str, Any], path: Path) -> Run:
    """A run from its requests alone: no times between chunks, no windows, so these figures are missing."""
    builder = Builder()
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        builder.add({str(key): value for key, value in row.items()})
    notes = ["read from a table of requests: the times between chunks (ITL) are not in it"]
    return Run({"name": path.stem, **header}, builder.columns(), notes=notes)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SpecError("Parquet needs pyarrow.", then="pip install 'llm-magics[parquet]'") from error
    return pyarrow, parquet
