"""One picture of a batch, and its name."""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.common.legible import legible
from sightglass.explain.picture.image import Image

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".ppm", ".pgm", ".npy"),
)
"""File extensions of pictures; a list or a pattern may name any file."""
LISTS = (".txt", ".lst", ".tsv")
MAX_LIST_BYTES = 64 * 2**20
"""Limit for a list of names, which is read into memory as a whole."""
_RECIPE_BYTES = 512
"""Number of bytes at the start of a file within which its recipe begins."""


@dataclass(frozen=True, slots=True)
class Item:
    """A picture that is still to be opened."""

    key: str
    """Unique in its source and the same in every run: the path below the source, with `/`."""
    stamp: str
    """Changes with the content: size and modification time, or a checksum."""
    read: Callable[[], bytes | Path | Image]
    label: str | None = None
    """Name of the picture's folder if the source has several, or the label in the list."""

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    def open(self) -> Image:
        """Decode the picture; raise ImageProblem for failures and own renderings."""
        data = self.read()
        if _has_recipe(data):
            raise ImageProblem(f"{self.name} is a picture of a map, made by Sightglass: it is not explained again.")
        return Image.open(data, name=self.name)


class Unreachable(ImageProblem):
    """A picture that could not be fetched over the network; the next run tries again."""


def _has_recipe(data: bytes | Path | Image) -> bool:
    """Return whether a file begins with a recipe (`sightglass.report.embedded_recipe`): results are often beside the
    pictures."""
    # Opening a pipe would wait for it.
    if isinstance(data, Image) or (isinstance(data, Path) and not data.is_file()):
        return False
    try:
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
            return b'{"sightglass":' in file.read(_RECIPE_BYTES)
    except OSError:
        # Decoding reports the problem.
        return False


def list_entries(name: str, source: bytes | Path) -> Iterator[tuple[str, str | None]]:
    """Yield the path and label of each line; raise ModelProblem for invalid lists."""
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                source = file.read(MAX_LIST_BYTES + 1)
        lines = source.decode("utf-8").splitlines() if len(source) <= MAX_LIST_BYTES else None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelProblem(f"The list {name} cannot be read: is it a text file with one path a line?") from error
    if lines is None:
        raise ModelProblem(f"The list {name} is larger than {MAX_LIST_BYTES >> 20} MB: give it in several parts.")
    for line in lines:
        if line.strip() and not line.startswith("#"):
            path, _, label = line.strip().partition("\t")
            yield path, legible(label) if label.strip() else None


def distinct_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique end of each path, such as `cat/1.jpg`."""
    names: dict[str, str] = {}
    left, depth = list(dict.fromkeys(keys)), 1
    while left:
        ends = {key: "/".join(key.split("/")[-depth:]) for key in left}
        counts = Counter(ends.values())
        names |= {key: end for key, end in ends.items() if counts[end] == 1 or end == key}
        left, depth = [key for key in left if key not in names], depth + 1
    return {key: names[key] for key in keys}


def printable(name: str) -> str:
    """Return a name that any file can hold: undecodable bytes and control characters are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def short(source: Any) -> str:
    """Return an address for a message: truncated, and without credentials."""
    if not isinstance(source, str | os.PathLike):
        return "what was given"
    text = re.sub(r"://[^/@]*@", "://", printable(str(source)))
    return text if len(text) <= 80 else f"…{text[-79:]}"
