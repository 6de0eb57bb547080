"""A run's labels under the names of its model's classes."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sightglass.batch import labels as folder_labels
from sightglass.batch import output
from sightglass.common.errors import ModelProblem, Problem
from sightglass.evaluation import stored
from sightglass.evaluation.ground_truth import GroundTruth, LabelProblem, TrueBox

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.batch.labels import FolderLabel, Matches
    from sightglass.batch.output import Local, RemoteFolder
    from sightglass.common.files import Json
    from sightglass.explain.picture.item import Item

FILE, MASKS = "ground_truth.json", "ground_truth_masks.zip"
"""Beside the table."""


@dataclass(frozen=True)
class RunLabels:
    """The labels of a run, under the names of its model's classes."""

    truth: GroundTruth
    named: Mapping[str, tuple[str, ...]] = field(repr=False)
    """The classes that each label means; none of one that is not counted. A label that no class fits is left out: its
    objects count as missed, and pictures that it names do not count."""

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Labels for which the model has no class."""
        return tuple(label for label in self.truth.classes if label not in self.named)

    def find(self, key: str) -> tuple[TrueBox, ...] | None:
        """Return the boxes of a picture, as the labels give them but for their names; None without labels."""
        boxes = self.truth.find(key)
        if boxes is None:
            return None
        return tuple(renamed for one in boxes for renamed in self._rename(one))

    def find_classes(self, key: str) -> tuple[str, ...]:
        """Return the classes that are right for a whole picture; none without a label that counts."""
        label = self.truth.find_class(key)
        return () if label is None else self.named.get(label, ())

    def _rename(self, one: TrueBox) -> Iterator[TrueBox]:
        names = self.named.get(one.label, (one.label,))
        if names:
            yield replace(one, label=min(names))


def match_names(truth: GroundTruth, classes: Sequence[str], corrections: Matches) -> RunLabels:
    """Return labels under the names of a model's classes, as matched or as a person corrected them."""
    found = list_names(truth, classes, corrections)
    return RunLabels(truth, {one.folder: one.classes for one in found if one.classes or one.folder in corrections})


def list_names(truth: GroundTruth, classes: Sequence[str], corrections: Matches) -> list[FolderLabel]:
    """Return what each label counts as, and in how many pictures it is: those without a class first."""
    counts = Counter(label for every in truth.pictures.values() for label in {one.label for one in every})
    counts.update(truth.named.values())
    # How many masks show a label would take all of them to be decoded.
    counts.update(dict.fromkeys(truth.mask_labels, 0))
    return folder_labels.list_labels(counts, classes, None, corrections)


def describe_unmatched(names: Sequence[FolderLabel], corrections: Matches, task: str) -> str:
    """Return which labels mean no class of the model, and what becomes of them; empty where each means one.

    `names`: of `list_names`. `corrections`: a label that a person said not to count is none of them.
    """
    left = [one for one in names if not one.classes and one.folder not in corrections]
    if not left or task != "detect":
        return folder_labels.describe_left_out(left)
    counted = folder_labels.describe_left_out(left).removeprefix("Not counted: ")
    return f"No class of the model, so that every such object counts as missed: {counted}"


def label_by_folders(folders: Mapping[str, str], classes: Sequence[str], corrections: Matches) -> RunLabels | None:
    """Return the labels that folders are; None where none is a class of the model. `folders`: of each picture."""
    truth = GroundTruth({}, (), folders)
    found = list_names(truth, classes, corrections)
    named = {one.folder: one.classes for one in found}
    return RunLabels(truth, named) if any(named.values()) else None


def name_pictures(folder: Path, keys: Sequence[str]) -> list[str | None] | None:
    """Return the label of each picture of a run as a whole; None where no labels were given.

    A detector's labels are boxes, so that no picture has one.
    """
    if (truth := read_labels(output.Local(folder))) is None:
        return None
    about = stored.read_facts(folder)
    if about is not None and about.task == "detect":
        return [None] * len(keys)
    return [truth.find_class(key) for key in keys]


def check_labels(labels: RunLabels, items: Sequence[Item], task: str) -> None:
    """Raise a Problem unless labels are of these pictures, and of a kind that fits the model."""
    if task == "regress":
        _check_numbers(labels.truth)
    if task == "embed":
        raise ModelProblem("This model names nothing that labels could be compared with: leave --labels out.")
    if (task == "segment") != bool(labels.truth.masks):
        if task == "segment":
            raise ModelProblem("This model gives each pixel a class: give masks as its labels, or leave --labels out.")
        raise ModelProblem("These labels are masks: only a segmentation network gives each pixel a class.")
    if task == "detect" and labels.truth.named:
        raise ModelProblem("These labels name whole pictures: a detector needs boxes (file,x0,y0,x1,y1,label).")
    if task == "segment":
        if not any(labels.truth.find_mask(item.key) is not None for item in items):
            raise Problem("None of the pictures has a mask: a mask needs the name of its picture.")
        return
    detects = task == "detect"
    if not any(labels.find(item.key) is not None if detects else labels.truth.find_class(item.key) for item in items):
        raise Problem("None of the pictures has labels: the file names in the labels are those of other pictures.")


def to_number(label: str | None) -> float | None:
    """Return the true number that a label is; None of one that is no finite number."""
    try:
        number = float(label or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _check_numbers(truth: GroundTruth) -> None:
    if not truth.named:
        raise ModelProblem("This model gives numbers: give its labels as file,label, where label is the true number.")
    wrong = next((label for label in truth.named.values() if to_number(label) is None), None)
    if wrong is not None:
        raise ModelProblem(f"The label {wrong[:40]!r} is no number: this model's labels are true numbers.")


def write_labels(store: Local | RemoteFolder, labels: GroundTruth) -> None:
    """Write the labels beside the table of a run, for when it is resumed."""
    boxes = {
        name: [(one.label, *one.box, one.crowd, one.relative) for one in every]
        for name, every in labels.pictures.items()
    }
    problems = [(one.file, one.line, one.reason) for one in labels.problems]
    data = {"pictures": boxes, "named": dict(labels.named), "problems": problems}
    if labels.masks:
        data |= {"masks": list(labels.masks), "mask_labels": labels.mask_labels}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            # By number: the name of a picture may be none in an archive.
            for number, mask in enumerate(labels.masks.values()):
                archive.writestr(str(number), mask)
        store.put(MASKS, packed.getvalue())
    store.put(FILE, json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def read_labels(store: Local | RemoteFolder) -> GroundTruth | None:
    """Return the labels beside the table of a run; None where there are none, or they are damaged."""
    if (data := store.get(FILE)) is None:
        return None
    try:
        given: Json = json.loads(data)
        return GroundTruth(
            {
                name: tuple(TrueBox(label, (x0, y0, x1, y1), *more) for label, x0, y0, x1, y1, *more in every)
                for name, every in given["pictures"].items()
            },
            tuple(LabelProblem(*one) for one in given["problems"]),
            given["named"],
            _read_masks(store, given.get("masks", ())),
            tuple(given.get("mask_labels", ())),
        )
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def _read_masks(store: Local | RemoteFolder, keys: Sequence[str]) -> dict[str, bytes]:
    if not keys:
        return {}
    with zipfile.ZipFile(io.BytesIO(store.get(MASKS) or b"")) as archive:
        return {key: archive.read(str(number)) for number, key in enumerate(keys)}
