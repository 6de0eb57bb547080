"""Which classes folders of a run mean; corrections and tags by a person."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.batch import table
from sightglass.common.errors import Problem
from sightglass.explain.phrases import listing, plural
from sightglass.models.labels import class_index, match, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd


FILE = "labels.json"
"""A person's corrections beside the table: `{"bus": ["school bus"], "holidays": []}`."""
NAMED = 4
"""Folders' names in a sentence."""
Matches = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class FolderLabel:
    """What a folder's name counts as."""

    folder: str
    classes: tuple[str, ...]
    """None: its pictures are not counted."""
    pictures: int
    """0 where nobody counted them."""
    suggestion: str | None = None
    """The class that may be meant, of a folder that is not counted."""


def corrections(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return what a person said of a run's folders: the classes that each means, none for one that is not counted."""
    return table.read_lists(folder / FILE)


def correct(folder: Path, changes: Matches) -> None:
    """Save corrections beside a run's table; raise ModelProblem for unknown classes."""
    known = table.classes(folder)
    # Before the run, and in results of an earlier version, nothing says which classes the model knows.
    named = {name: [find_class(text, known) if known else text for text in texts] for name, texts in changes.items()}
    folder.mkdir(parents=True, exist_ok=True)
    table.write_lists(folder / FILE, {**corrections(folder), **named})


def find_class(name: str, known: Sequence[str]) -> str:
    """Return a known class by name or synonym; raise ModelProblem."""
    equal = sorted(match([name], known).get(name, ()))
    return name if name in equal else equal[0] if len(equal) == 1 else known[class_index(name, known)]


def find_matches(frame: pd.DataFrame, folder: Path) -> dict[str, frozenset[str]]:
    """Return each folder's classes in a table, matched or corrected."""
    counts = dict.fromkeys(map(str, frame["labelled"].dropna().unique()), 0)
    return {label.folder: frozenset(label.classes) for label in list_labels(counts, _classes(frame, folder), folder)}


def find_labels(frame: pd.DataFrame, folder: Path) -> list[FolderLabel]:
    """Return each folder's label, uncounted ones first."""
    counts = frame.drop_duplicates("picture")["labelled"].value_counts()
    return list_labels({str(name): int(count) for name, count in counts.items()}, _classes(frame, folder), folder)


def list_labels(
    counts: Mapping[str, int], known: Sequence[str], folder: Path | None = None, said: Matches | None = None
) -> list[FolderLabel]:
    """Return folder labels, uncounted ones first, then by name.

    `counts`: the pictures of each folder. `known`: the model's classes. What a person said is beside the table in
    `folder`, or it is `said`.
    """
    said = (corrections(folder) if folder else {}) | dict(said or {})
    matches = {name: tuple(sorted(said.get(name, classes))) for name, classes in _match(counts, known).items()}
    asked = suggest((name for name, classes in matches.items() if not classes and name not in said), known)
    labels = [FolderLabel(name, classes, counts[name], asked.get(name)) for name, classes in matches.items()]
    return sorted(labels, key=lambda label: (bool(label.classes), label.folder))


def _match(names: Iterable[str], known: Sequence[str]) -> Matches:
    names = list(names)
    return dict.fromkeys(names, frozenset[str]()) | {**match(names, known)}


def _classes(frame: pd.DataFrame, folder: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*table.classes(folder), *map(str, frame["predicted"].dropna().unique()))))


def few(names: Sequence[str]) -> list[str]:
    """Return the first names, and how many more there are."""
    return [*names[:NAMED], *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])]


def _describe(label: FolderLabel) -> list[str]:
    asked = [f"did you mean {label.suggestion}?"] if label.suggestion else []
    return [*([plural(label.pictures, "picture")] if label.pictures else []), *asked]


def describe_left_out(labels: Sequence[FolderLabel]) -> str:
    """Return `Not counted: bus (12 pictures; did you mean school bus?) and 2023 (3 pictures).`; empty if all count."""
    left = [label for label in labels if not label.classes]
    if not left:
        return ""
    texts = [f"{item.folder} ({'; '.join(more)})" if (more := _describe(item)) else item.folder for item in left]
    return f"Not counted: {listing(few(texts))}."


TAGS_FILE = "tags.json"
"""Beside the table: `{"blurred": ["cat/1.jpg"]}`."""
LONGEST_TAG = 60
"""Characters of a tag."""
_tags_lock = threading.Lock()


def read_tags(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the pictures of each tag."""
    return table.read_lists(folder / TAGS_FILE)


def read_tags_of_pictures(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the tags of all tagged pictures."""
    by_picture: dict[str, tuple[str, ...]] = {}
    for tag, pictures in sorted(read_tags(folder).items()):
        for picture in pictures:
            by_picture[picture] = (*by_picture.get(picture, ()), tag)
    return by_picture


def change_tag(folder: Path, tag: str, pictures: Iterable[str], *, there: bool) -> None:
    """Add or remove a tag of pictures. Raises Problem."""
    # Commas separate the tags of a picture.
    tag = " ".join(tag.replace(",", " ").split())
    if not tag or len(tag) > LONGEST_TAG:
        raise Problem(f"A tag has 1 to {LONGEST_TAG} characters.")
    with _tags_lock:
        all_tags = read_tags(folder)
        kept = set(all_tags.get(tag, ()))
        all_tags[tag] = tuple(sorted(kept | {*pictures} if there else kept - {*pictures}))
        table.write_lists(folder / TAGS_FILE, {name: some for name, some in all_tags.items() if some})
