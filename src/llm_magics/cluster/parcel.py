"""What is sent to a node: this package's code, and the files that a command names in it or that were made for it.

So the node needs no llm-magics of its own, and both sides are of one version. The demonstration model goes along where
it is served; other models do not: a node has them on a shared disk, or fetches them from the hub.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CARRIED = "carried"


def carried(words: Iterable[str]) -> list[str]:
    """Those words of a command that are files or folders of this package and no code: the parcel has to bring them."""
    paths = [word for word in words if word.startswith(f"{ROOT}/") and not word.endswith(".py")]
    return [path for path in dict.fromkeys(paths) if Path(path).exists()]


def there(path: str, folder: str) -> str:
    """Where something of this machine lies in an unpacked parcel."""
    if path.startswith(f"{ROOT}/"):
        return f"{folder}/{ROOT.name}/{Path(path).relative_to(ROOT)}"
    return f"{folder}/{_CARRIED}/{Path(path).name}"


def moved(words: Iterable[str], brought: Iterable[str], folder: str) -> list[str]:
    """A command's words as they are on the node."""
    known = set(brought)
    return [there(word, folder) if word in known or word.startswith(f"{ROOT}/") else word for word in words]


def pack(brought: Iterable[str] = ()) -> bytes:
    """The parcel, a zip archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        files = [*ROOT.rglob("*.py")]
        for each in map(Path, brought):
            files += [each] if each.is_file() else [path for path in each.rglob("*") if path.is_file()]
        for path in dict.fromkeys(files):
            made.write(path, there(str(path), "").lstrip("/"))
    return archive.getvalue()
