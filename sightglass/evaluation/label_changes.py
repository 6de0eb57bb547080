"""A person's corrections of the labels of a run, as a list of changes beside its results."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from sightglass.common.files import write_file
from sightglass.common.files.keeping import read_json
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.explain.phrases import plural
from sightglass.models.geometry import Box
from sightglass.models.labels import match

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.evaluation.stored import EvaluatedPicture

FILE = "label_changes.json"
"""In a run's folder: the changes, the oldest first."""
SAME = 0.1
"""Distance of two boxes, as points of four numbers of pixels, up to which they are one label."""


@dataclass(frozen=True)
class LabelChange:
    """A label that a person added, removed or replaced."""

    picture: str
    """As in the table of the run."""
    label: str
    """The true class of the picture or of an added object, or that of a removed one, as a model names it."""
    box: Box | None = None
    """The object's xyxy in pixels; None of a whole picture."""
    removed: bool = False


_CHANGES = TypeAdapter(tuple[LabelChange, ...])


def read(folder: Path) -> tuple[LabelChange, ...]:
    """Return the changes beside a run. Raises Unreadable."""
    return read_json(folder / FILE, _CHANGES) or ()


def write(folder: Path, changes: Iterable[LabelChange]) -> None:
    """Write the changes of a run, also before its start. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / FILE, _CHANGES.dump_json(tuple(changes), indent=1, exclude_defaults=True))


def apply(
    folder: Path, pictures: Sequence[EvaluatedPicture], classes: Collection[str]
) -> tuple[list[EvaluatedPicture], int]:
    """Return the pictures of a run after its changes, and how many of these change anything.

    `classes`: of the run's model, which may have other names than the changes; what they have no class for is not
    counted. Labels that do not change are the same objects as before.
    """
    changed, changes, corrected = {picture.key: picture for picture in pictures}, read(folder), 0
    # Each by itself: two models may spell one class differently.
    named = {label: match([label], classes).get(label, {""}) for label in {change.label for change in changes}}
    for change in changes:
        if (before := changed.get(change.picture)) is not None:
            label = change.label if change.label in classes else min(named[change.label])
            after = changed[change.picture] = _apply_change(before, replace(change, label=label))
            corrected += (before.truths, before.truth) != (after.truths, after.truth)
    return [*changed.values()], corrected


def _apply_change(picture: EvaluatedPicture, change: LabelChange) -> EvaluatedPicture:
    if change.box is None:
        return replace(picture, truth=change.label)
    box, truths = TrueBox(change.label, change.box).in_pixels(picture.size), [*picture.truths]
    same = (truth for truth in truths if truth.label == box.label and math.dist(truth.box, box.box) <= SAME)
    if (known := next(same, None)) is not None and change.removed:
        truths = [truth for truth in truths if truth is not known]
    elif known is None and not change.removed:
        truths.append(box)
    return replace(picture, truths=tuple(truths))


def describe(count: int) -> str:
    """Return `3 labels corrected`; empty of none."""
    return f"{plural(count, 'label')} corrected" if count else ""
