"""A model's answers on labelled pictures, beside the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from sightglass.evaluation import average_precision, box_matching

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import GatheredBoxes
    from sightglass.evaluation.box_matching import BoxMatches
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

LEAST_CONFIDENCE = 0.01
"""Below the threshold in use, because AP ranks all boxes."""


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
    maps: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    """By index in `found`: (32, 32), 0 to 255, over the whole picture (`explain.maps.cells`)."""
    milliseconds: float = 0.0
    """From decoded pixels to answers, one picture at a time; 0 where it was not measured."""


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
        return self.match(self.threshold)

    def match(self, confidence: float = 0.0) -> BoxMatches:
        """Return what is right and wrong of the boxes from a score on."""
        return box_matching.match_columns(self.columns, confidence)
