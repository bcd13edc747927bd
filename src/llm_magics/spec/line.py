"""Options on one line: `%serve tiny --max-num-seqs 8`, `llm-magics bench tiny --rate 1,2,4`.

The notebook's magics and the terminal share these parsers, and the parsers are made from the specs, so an option exists
once. A value on the line is read by the same rules as in a cell's body.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from llm_magics.errors import SpecError
from llm_magics.spec.reading import closest, read_value

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

# Options of which a line gives several, parted by commas.
_LISTS = frozenset({"rate", "concurrency", "gpus", "prefixes", "prefix_tokens", "think", "models"})
_MAPPINGS = frozenset({"slo", "speculative", "extra_body", "price", "models", "window", "json_schema", "limits"})
# Mappings of text: one NAME=value at a time, and the value may hold commas and further equals signs.
_TEXTS = frozenset({"env", "lora_modules"})
_FEW = 8  # options that are named one by one
_PAIR = re.compile(r"(?:^|,)\s*([\w.-]+)\s*=")


class HelpShown(Exception):  # noqa: N818 - it is no error
    """`--help` was asked for; `str()` is the help."""


def _hyphens(option: str) -> str:
    return option.replace("_", "-")


class _Gathered(argparse.Action):
    """An option that may stand on the line several times, each adding to what it holds."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest, None)
        if isinstance(before, dict) and isinstance(values, dict):
            values = {**before, **values}
        elif isinstance(before, list) and isinstance(values, list):
            values = before + values
        setattr(namespace, self.dest, values)


class LineParser(argparse.ArgumentParser):
    """An ArgumentParser that raises instead of leaving, and names the nearest option when one is unknown."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=110),
            argument_default=argparse.SUPPRESS,
        )
        self.meant: Callable[[str, argparse.Namespace], str] = lambda *_: ""
        """The option that was meant by a word which none takes, beside those of the line; "" where nobody can know."""
        self.add_argument("-h", "--help", action="store_true", help="show this")

    def format_help(self) -> str:
        """The help; its first line names what stands in a place, and not each of the many options."""
        places = [_place(action) for action in self._actions if not action.option_strings]
        self.usage = f"{self.prog} {' '.join([*places, '[options]'])}".replace("%", "%%")
        return super().format_help()

    def options_of(
        self, kind: type[BaseModel], *, leave_out: tuple[str, ...] = (), defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Adds `--option VALUE` for every field of a spec; the values are validated by the spec itself.

        `defaults` are those that hold here in place of the spec's own; the help names them.
        """
        group = self.add_argument_group("options (also as `key: value` lines in the cell's body) [default]")
        for name, field in kind.model_fields.items():
            if name in leave_out or field.exclude:
                continue
            default = _default((defaults or {}).get(name, field.default), field)
            text = (field.description or "").replace("%", "%%") + default
            group.add_argument(
                f"--{name.replace('_', '-')}", dest=name, metavar="…", type=_value_of(name), help=text,
                action=_Gathered if name in _MAPPINGS | _TEXTS | {"args"} else "store",
            )  # fmt: skip

    def gather(self, option: str, **more: Any) -> None:
        """An option that may stand on the line several times; its mappings or lists are put together."""
        self.add_argument(option, action=_Gathered, **more)

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
        words = self._joined(words)
        if "-h" in words or "--help" in words:
            raise HelpShown(self.format_help())
        found, rest = self.parse_known_args(words)
        if rest:
            word = rest[0].split("=")[0]
            raise self._unknown(word, found)
        return found

    def _unknown(self, word: str, beside: argparse.Namespace) -> SpecError:
        """What is said of an option, or a word, that nobody asked for."""
        then = f"{self.prog} --help shows them all"
        if not word.startswith("-"):
            meant = self.meant(word, beside)
            return SpecError(f"{self.prog}: unknown word {word!r}.", then=f"write {meant}; {then}" if meant else then)
        # without the hyphens, which all of them have: two short words would be alike for these alone
        known = [text[2:] for text in self._option_string_actions if text.startswith("--") and text != "--help"]
        near = closest(_hyphens(word).lstrip("-"), known)
        if near is None and known and len(known) <= _FEW:
            then = f"its options: {', '.join(f'--{name}' for name in known)}"
        meant = f" (did you mean '--{near}'?)" if near else ""
        return SpecError(f"{self.prog}: unknown option {word!r}{meant}.", then=then)

    def _joined(self, words: list[str]) -> list[str]:
        """Options in the spelling that is registered, each with its value as one word: `--option=value`.

        `--max_model_len 8K` is typed as well as `--max-model-len=8K`. Only options of this parser are touched, and a
        word behind one that takes a value is its value, whatever it looks like, unless it is an option itself.
        """
        joined: list[str] = []
        left = iter(range(len(words)))
        for at in left:
            option, equals, value = words[at].partition("=")
            action = self._known(option)
            if words[at] == "--":
                return joined + words[at:]
            if action is None:
                joined.append(words[at])
            elif equals or action.nargs is not None or not option.startswith("--"):
                joined.append(_hyphens(option) + equals + value)
            elif at + 1 < len(words) and self._known(words[at + 1].partition("=")[0], long=True) is None:
                joined.append(f"{_hyphens(option)}={words[next(left)]}")
            else:
                joined.append(_hyphens(option))
        return joined

    def _known(self, word: str, *, long: bool = False) -> argparse.Action | None:
        if not word.startswith("--" if long else "-"):
            return None
        return self._option_string_actions.get(_hyphens(word))

    def error(self, message: str) -> NoReturn:
        """argparse's way of saying that the line is wrong."""
        raise SpecError(f"{self.prog}: {message}.", then=f"{self.prog} --help explains the options")


def _place(action: argparse.Action) -> str:
    """A word that stands in a place, as a first line of help has it: `NAME`, `[NAME]`, `[NAME …]`."""
    name = str(action.metavar or action.dest.upper())
    return {"?": f"[{name}]", "*": f"[{name} …]"}.get(str(action.nargs), name)


def _default(value: Any, field: FieldInfo) -> str:
    """What holds when the option is left out, where that is a value and the description does not say it."""
    if value == "" or not isinstance(value, (int, float, str)):
        return ""
    if isinstance(value, bool):
        return f" [{str(value).lower()}]"
    if isinstance(value, float):
        # here: it brings pydantic, which the field has brought already
        from llm_magics.spec.quantities import in_words, seconds

        timed = any(getattr(each, "func", None) is seconds for each in field.metadata)
        return f" [{in_words(value) if timed else f'{value:g}'}]"
    return f" [{value}]"


def _value_of(name: str) -> Any:
    def convert(text: str) -> Any:
        if name in _LISTS and "," in text.strip("[]") and not any(mark in text for mark in "{="):
            return [read_value(part) for part in text.strip("[]").split(",")]
        if name == "gpus" and text.isdigit():
            return [int(text)]
        if name == "args":
            return _arguments(text)
        if name in _MAPPINGS | _TEXTS and not text.lstrip().startswith("{"):
            if name in _TEXTS and "=" in text:
                key, _, value = text.partition("=")
                return {key.strip(): value}
            if name in _MAPPINGS and _PAIR.match(text):
                pairs = list(_PAIR.finditer(text))
                ends = [pair.start() for pair in pairs[1:]] + [len(text)]
                return {pair[1]: read_value(text[pair.end() : end]) for pair, end in zip(pairs, ends, strict=True)}
        return read_value(text, name)

    return convert


def _arguments(text: str) -> Any:
    if text.lstrip().startswith("["):  # a list, as in a cell's body
        return read_value(text)
    try:
        return shlex.split(text)
    except ValueError as error:
        raise SpecError(f"--args: {error}.", why=text, then="close the quote") from None
