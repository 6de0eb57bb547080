"""Tags that a person gave to pictures of a run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sightglass.batch import table
from sightglass.common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE = "tags.json"
"""Beside the table: `{"blurred": ["cat/1.jpg"]}`."""
LONGEST = 60
"""Characters of a tag."""
_lock = threading.Lock()


def read(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the pictures of each tag."""
    return table.read_lists(folder / FILE)


def of_pictures(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the tags of each picture that has any."""
    found: dict[str, tuple[str, ...]] = {}
    for tag, pictures in sorted(read(folder).items()):
        for picture in pictures:
            found[picture] = (*found.get(picture, ()), tag)
    return found


def change(folder: Path, tag: str, pictures: Iterable[str], *, there: bool) -> None:
    """Give pictures a tag, or take it from them; raise Problem for a tag without letters, or of too many."""
    # Commas separate the tags of a picture.
    tag = " ".join(tag.replace(",", " ").split())
    if not tag or len(tag) > LONGEST:
        raise Problem(f"A tag has 1 to {LONGEST} characters.")
    with _lock:
        every = read(folder)
        kept = set(every.get(tag, ()))
        every[tag] = tuple(sorted(kept | {*pictures} if there else kept - {*pictures}))
        table.write_lists(folder / FILE, {name: some for name, some in every.items() if some})
