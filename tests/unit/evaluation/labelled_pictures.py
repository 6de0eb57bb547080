"""Evaluations made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.geometry import Box

CLASSES = ("cat", "dog", "bird")
LEFT, RIGHT, BELOW = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 200.0, 100.0, 300.0)


def answer(label: str, score: float = 0.9, box: Box | None = LEFT) -> Prediction:
    return Prediction(label, CLASSES.index(label), score, box)


def picture(truths: Sequence[tuple[str, Box]], found: Sequence[Prediction]) -> EvaluatedPicture:
    return EvaluatedPicture("", (400, 400), tuple(TrueBox(*one) for one in truths), None, tuple(found))


def evaluation(*pictures: EvaluatedPicture) -> Evaluation:
    named = tuple(replace(one, key=f"{i}.jpg") for i, one in enumerate(pictures))
    task = "detect" if any(one.truth is None for one in named) else "classify"
    return Evaluation("model", "", task, CLASSES, 0.25, pictures=named)
