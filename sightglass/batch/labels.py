"""Which classes folders of a run mean; corrections by a person."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.batch import table
from sightglass.common.files import write_file
from sightglass.explain.phrases import listing, plural
from sightglass.models.label_matching import match, suggest
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    suggestion: str | None = None
    """The class that may be meant, of a folder that is not counted."""


def corrections(folder: Path) -> Matches:
    """Return what a person said of a run's folders: the classes that each means, none for one that is not counted."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return {str(name): tuple(map(str, every)) for name, every in json.loads((folder / FILE).read_text()).items()}
    return {}


def correct(folder: Path, changes: Matches) -> None:
    """Keep corrections beside the table of a run; raise ModelProblem for a class that its model lacks."""
    known = table.classes(folder)
    # Results of an earlier version do not say which classes the model knows.
    named = {name: [find_class(one, known) if known else one for one in every] for name, every in changes.items()}
    text = json.dumps({**corrections(folder), **named}, indent=1, default=list, ensure_ascii=False)
    write_file(folder / FILE, text.encode())


def find_class(name: str, known: Sequence[str]) -> str:
    """Return the class of `known` that a person named, by its name or a synonym; raise ModelProblem for none."""
    equal = sorted(match([name], known).get(name, ()))
    return name if name in equal else equal[0] if len(equal) == 1 else known[class_index(name, known)]


def find_matches(frame: pd.DataFrame, folder: Path) -> dict[str, frozenset[str]]:
    """Return the classes that each folder's name in a table means, as matched or as corrected; none: not counted."""
    names = [str(one) for one in frame["labelled"].dropna().unique()]
    found = dict.fromkeys(names, frozenset[str]()) | dict(match(names, _classes(frame, folder)))
    said = corrections(folder)
    return {name: frozenset(said.get(name, every)) for name, every in found.items()}


def find_labels(frame: pd.DataFrame, folder: Path) -> list[FolderLabel]:
    """Return what each folder's name counts as: those that are not counted first, then by name."""
    counts = frame.drop_duplicates("picture")["labelled"].value_counts()
    found, said = find_matches(frame, folder), corrections(folder)
    asked = suggest((name for name, every in found.items() if not every and name not in said), _classes(frame, folder))
    made = [
        FolderLabel(name, tuple(sorted(every)), int(counts[name]), asked.get(name)) for name, every in found.items()
    ]
    return sorted(made, key=lambda one: (bool(one.classes), one.folder))


def _classes(frame: pd.DataFrame, folder: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*table.classes(folder), *map(str, frame["predicted"].dropna().unique()))))


def few(names: Sequence[str]) -> list[str]:
    """Return the first names, and how many more there are."""
    return [*names[:NAMED], *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])]


def describe_left_out(labels: Sequence[FolderLabel]) -> str:
    """Return `Not counted: bus (12 pictures; did you mean school bus?) and 2023 (3 pictures).`; empty if all count."""
    left = [one for one in labels if not one.classes]
    if not left:
        return ""
    every = [
        f"{one.folder} ({plural(one.pictures, 'picture')}"
        + (f"; did you mean {one.suggestion}?)" if one.suggestion else ")")
        for one in left
    ]
    return f"Not counted: {listing(few(every))}."
