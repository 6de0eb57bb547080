"""A model's answers on labelled pictures, beside the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from sightglass.evaluation import average_precision, error_types

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import GatheredBoxes
    from sightglass.evaluation.error_types import BoxMatches, MatchedBoxes
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

LEAST_CONFIDENCE = 0.01
"""Below the threshold in use, because AP ranks all boxes."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where the evidence for one answer lies, each as a share of its whole map, 0..1."""

    on_object: float
    """Inside the labelled object that the answer is about; nan where there is none."""
    on_others: float
    """Inside other labelled objects only."""
    on_border: float
    """On the outer tenth of what the model saw."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Why a labelled object has no box at the threshold in use."""

    reason: Literal["below", "class", "suppressed", "beyond", "never"]
    """`below` the threshold; another `class` won at its place; `suppressed` by another box; `beyond` the maximum number
    of boxes; `never` proposed."""
    score: float = 0.0
    """Of the best candidate with the right class on the object, 0..1."""
    by: Prediction | None = None
    """The box that suppressed it, or the answer that won."""


@dataclass(frozen=True, eq=False)
class EvaluatedPicture:
    """One picture, its labels, and what a model answered."""

    key: str
    """As in the table of the run: the path below its source, with `/`."""
    size: tuple[int, int]
    """Width and height in pixels."""
    truths: tuple[TrueBox, ...] = field(default=(), repr=False)
    """Labelled objects in pixels, under the names of the model's classes."""
    truth: str | None = None
    """The class of the whole picture, for a classifier, under the model's name."""
    found: tuple[Prediction, ...] = field(default=(), repr=False)
    """Answers, the surest first: a classifier's best five, a detector's boxes from `LEAST_CONFIDENCE` on."""
    looks: Mapping[int, Look] = field(default_factory=dict, repr=False)
    """By index in `found`, of those that have a map."""
    maps: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    """By index in `found`: (32, 32), 0 to 255, over the whole picture (`explain.maps.cells`)."""
    missed: Mapping[int, Missed] = field(default_factory=dict, repr=False)
    """By index in `truths`, of those without a right box at the threshold."""
    brightness: float = 0.0
    sharpness: float = 0.0
    milliseconds: float = 0.0
    """From decoded pixels to answers, one picture at a time; 0 where it was not measured."""

    @property
    def folder(self) -> str:
        """The folder that the picture lies in; empty at the top of its source."""
        return self.key.rpartition("/")[0]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on labelled pictures, in the order of their keys."""

    model: str
    task: Literal["detect", "classify"]
    classes: tuple[str, ...] = field(repr=False)
    """All that the model knows."""
    threshold: float
    """From which score on a box is shown."""
    pictures: tuple[EvaluatedPicture, ...] = field(repr=False)
    unknown: tuple[str, ...] = ()
    """Labels for which the model has no class."""
    source: Path | None = None
    """The folder of the run that it was read from."""
    name: str = ""
    """What a sentence calls the model; empty: as `model`."""

    @cached_property
    def truths(self) -> list[tuple[TrueBox, ...]]:
        """The labelled objects of each picture."""
        return [one.truths for one in self.pictures]

    @cached_property
    def found(self) -> list[tuple[Prediction, ...]]:
        """The boxes of each picture."""
        return [one.found for one in self.pictures]

    @cached_property
    def columns(self) -> GatheredBoxes:
        """Labels and boxes of all pictures as columns."""
        return average_precision.gather(self.truths, self.found)

    @cached_property
    def matches(self) -> BoxMatches:
        """What is right and wrong at the threshold."""
        return error_types.match_columns(self.columns, self.threshold)

    @cached_property
    def all_matches(self) -> BoxMatches:
        """What is right and wrong of all boxes, those below the threshold too."""
        return error_types.match_columns(self.columns)

    @cached_property
    def matched(self) -> list[MatchedBoxes]:
        """What is right and wrong in each picture at the threshold; of a classifier nothing."""
        if self.task != "detect":
            return []
        return error_types.list_matches(self.matches, self.truths, self.found)
