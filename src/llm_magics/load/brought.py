"""Files that a user brings, read as text, as JSON lines or as a table; each piece with words for where it stands."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_magics.errors import SpecError


def text_of(path: str) -> str:
    """The text of a file, without the mark that some editors put before it.

    Raises
    ------
    SpecError
        When there is none, it cannot be read, or it is not UTF-8.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8 text.", why=str(error), then="save it as UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read.", why=error.strerror or str(error)) from None


def json_lines(path: str, text: str) -> Iterator[tuple[str, Any]]:
    """Each line's place, as an error names it, and its document; empty lines are passed over.

    Raises
    ------
    SpecError
        While they are read, at a line that is not JSON.
    """
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a JSON text may hold U+2028 as it is
        if not line.strip():
            continue
        where = f"Line {number} of {path}"
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SpecError(
                f"{where} is not JSON.", why=f"{error}: {line[:80]}", then="JSONL has one JSON object a line"
            ) from None
        yield where, document


def table(path: str, text: str) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """The columns of a CSV (a TSV, by its ending), and each row's place and values.

    Raises
    ------
    SpecError
        At what is not CSV.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if path.lower().endswith(".tsv") else ",")
    usual = csv.field_size_limit(max(len(text), 1))  # a long prompt is longer than the 131,072 that are usual
    try:
        columns = reader.fieldnames = [str(name).strip() for name in reader.fieldnames or []]
        return columns, [(f"Line {reader.line_num} of {path}", record) for record in reader]
    except csv.Error as error:
        raise SpecError(f"Line {reader.line_num + 1} of {path} is not CSV.", why=str(error)) from None
    finally:
        csv.field_size_limit(usual)
