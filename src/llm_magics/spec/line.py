"""Options on one line: `%serve tiny --max-num-seqs 8`, `llm-magics bench tiny --rate 1,2,4`.

The notebook's magics and the terminal share these parsers, and the parsers are made from the specs, so an option exists
once. A value on the line is read by the same rules as in a cell's body.
"""

from __future__ import annotations

import argparse
import shlex
from typing import Any, NoReturn

from pydantic import BaseModel

from llm_magics.errors import SpecError
from llm_magics.spec.reading import nearest, read_value

# Options of which a line gives several, parted by commas.
_LISTS = frozenset({"rate", "concurrency", "gpus"})
_MAPPINGS = frozenset({"slo", "env", "speculative", "extra_body"})


class HelpShown(Exception):  # noqa: N818 - it is no error
    """`--help` was asked for; `str()` is the help."""


class LineParser(argparse.ArgumentParser):
    """An ArgumentParser that raises instead of leaving, and names the nearest option when one is unknown."""

    def __init__(self, prog: str, description: str = "", takes: str = "[options]") -> None:
        super().__init__(
            prog=prog,
            usage=f"{prog} {takes}".replace("%", "%%"),
            description=description,
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=110),
            argument_default=argparse.SUPPRESS,
        )
        self.add_argument("-h", "--help", action="store_true", help="show this")

    def options_of(self, kind: type[BaseModel], *, leave_out: tuple[str, ...] = ()) -> None:
        """Adds `--option VALUE` for every field of a spec; the values are validated by the spec itself."""
        group = self.add_argument_group("options (also as `key: value` lines in the cell's body)")
        for name, field in kind.model_fields.items():
            if name in leave_out or field.exclude:
                continue
            text = (field.description or "").replace("%", "%%")
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="…", type=_value_of(name), help=text)

    def read(self, line: str | list[str]) -> argparse.Namespace:
        """The options on a line.

        Raises
        ------
        SpecError
            For an unknown option, a missing value or an open quote.
        HelpShown
            When `--help` stands on the line.
        """
        try:
            words = shlex.split(line, comments=True) if isinstance(line, str) else line
        except ValueError as error:
            raise SpecError(f"{self.prog}: {error}.", why=str(line), then="close the quote") from None
        words = [_hyphens(word) for word in words]
        if "-h" in words or "--help" in words:
            raise HelpShown(self.format_help())
        found, rest = self.parse_known_args(words)
        if rest:
            word = rest[0].split("=")[0]
            known = [text for text in self._option_string_actions if text.startswith("--")]
            kind = "option" if word.startswith("-") else "word"
            raise SpecError(
                f"{self.prog}: unknown {kind} {word!r}{nearest(word, known)}.",
                then=f"{self.prog} --help shows them all",
            )
        return found

    def error(self, message: str) -> NoReturn:
        """argparse's way of saying that the line is wrong."""
        raise SpecError(f"{self.prog}: {message}.", then=f"{self.prog} --help explains the options")


def _hyphens(word: str) -> str:
    """`--max_model_len=8K` as `--max-model-len=8K`: both spellings are typed, one is registered."""
    if not word.startswith("--"):
        return word
    option, equals, value = word.partition("=")
    return option.replace("_", "-") + equals + value


def _value_of(name: str) -> Any:
    def convert(text: str) -> Any:
        if name in _LISTS and "," in text.strip("[]"):
            return [read_value(part) for part in text.strip("[]").split(",")]
        if name == "gpus" and text.isdigit():
            return [int(text)]
        if name in _MAPPINGS and not text.lstrip().startswith("{"):
            return read_value("{" + text.replace("=", ": ") + "}")
        if name == "args" and not text.lstrip().startswith("["):  # as one types them; a list is read as in a body
            return shlex.split(text)
        return read_value(text)

    return convert
