"""A document of the cluster's with the sentence that says what it is for, and how several become one file."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any


@dataclass(frozen=True)
class Document:
    """One YAML document; `says` becomes the comment above it."""

    body: Mapping[str, Any]
    says: str = ""

    @property
    def kind(self) -> str:
        """`Deployment`, `Service` …; "" for what is no manifest."""
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        """Its `metadata.name`."""
        return str(self.body.get("metadata", {}).get("name", ""))


@dataclass(frozen=True)
class Written:
    """What a deployment comes to: the documents, the head of their file, and what is to be typed around it.

    Attributes
    ----------
    to
        `kubernetes`, `helm-values`, `kserve` or `compose`.
    file
        The usual name of the file.
    first, then
        Commands to type before (secrets) and after; lines of a shell.
    notes
        What a person should know: what was left out, what is assumed.
    secrets
        Names of the Secrets without which no pod starts; `first` has the commands that make them.
    verdict
        What Kubernetes' schemas said, where they were asked.
    """

    to: str
    name: str
    namespace: str
    file: str
    documents: Sequence[Document]
    first: Sequence[str] = ()
    then: Sequence[str] = ()
    notes: Sequence[str] = ()
    secrets: Sequence[str] = ()
    verdict: str = ""

    def at(self, path: Path) -> Written:
        """The same, with commands that name the place where it is written."""
        return replace(self, then=[each.replace(f"-f {self.file}", f"-f {quote(str(path))}") for each in self.then])

    @property
    def text(self) -> str:
        """The file."""
        typed = [*(["Before:"] if self.first else []), *self.first, "After:", *self.then] if self.then else []
        head = [f"{self.name}: written by `%llm deploy {self.name} --to {self.to}`. No secret stands in it.", *typed]
        head += [f"Note: {note}" for note in self.notes]
        parts = []
        for document in self.documents:
            parts.append("".join(_comment(document.says) if document.says else []) + dumped(document.body))
        return "".join(line for each in head for line in _comment(each)) + "---\n" + "---\n".join(parts)

    @property
    def summary(self) -> str:
        """What it is and what to type, without the file itself."""
        kinds = ", ".join(each.kind or self.to for each in self.documents)
        lines = [kinds, *(f"note: {note}" for note in self.notes), *self.first, *self.then]
        return "\n".join(lines)


def _comment(text: str) -> list[str]:
    if text.startswith(("kubectl ", "helm ", "docker ", "printf ", "openssl ", "export ")):
        return [f"#   {text}\n"]  # to be pasted: not broken
    return [f"# {line}\n" for line in textwrap.wrap(text, 116)]


def dumped(body: Any) -> str:
    """YAML as people write manifests: in the order given, texts of several lines as they are."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
            return super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump(body, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=116)
