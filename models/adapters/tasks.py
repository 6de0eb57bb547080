"""Tell classification, multi-label, regression, embedding and segmentation apart.

What the numbers themselves show (a sum of 1, a range) is read by the code of modules:
`models/families/custom/probe.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.models.spec import Task

ROWS: tuple[Task, ...] = ("classify", "multilabel", "regress", "embed")
"""Tasks of a model that answers with one row of numbers for a picture."""
STATED: tuple[Task, ...] = (*ROWS, "segment")
"""Tasks that a caller may name of a module."""
COARSEST = 16
"""Pixels of the input per pixel of a map of classes at most: coarser ones are features, and no segmentation."""
ANSWERS: dict[Task, str] = {
    "classify": "one class of many",
    "multilabel": "several classes at once",
    "detect": "boxes",
    "embed": "a vector to compare",
    "regress": "a regression",
    "segment": "segmentation",
}
"""What each task's answer is."""
FEW = 4
"""Largest row of numbers without names that may as well be quantities as classes."""
LONG = 16
"""Smallest row that is taken for an embedding because a name says so."""
_MEASURES = (
    "age angle bmi gaze headpose heading pitch pose regression regressor roll steer steering throttle yaw "
    "agenet dronet fsanet hopenet pilotnet whenet"
)
"""Words in the name of a network, or of its output, that measures something."""
_QUANTITIES = (
    f"{_MEASURES} acceleration brake collision count deg degrees depth distance height horizontal left length price "
    "right score speed temperature torque vertical velocity weight width x y years z"
)
"""Words that the names of such numbers consist of."""
_POINTS = "coordinates keypoint keypoints landmark landmarks regression regressor"
"""Words for rows of any length."""
_SEVERAL = "attributes chexnet chexpert multilabel tagger tags"
_VECTORS = "arcface cosface descriptor embed embedder embedding embeddings encoder facenet reid"
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def task_of_names(names: Iterable[str], count: int | None, labels: Sequence[str] = ()) -> Task | None:
    """Guess a task from names of files, classes or outputs, and `count`.

    None where they say nothing.

        task_of_names(["fsanet_1x1_headpose"], 3)  # regress
    """
    label_words = [{word.lower() for word in _PARTS.findall(label)} for label in labels]
    if label_words and all(words and words <= _set(_QUANTITIES) for words in label_words):
        return "regress"
    words = {word for name in names for word in _words(name)}
    if words & _set(_SEVERAL):
        return "multilabel"
    if label_words:
        return None
    if words & _set(_POINTS) or (words & _set(_MEASURES) and count is not None and count <= FEW):
        return "regress"
    return "embed" if words & _set(_VECTORS) and (count or 0) >= LONG else None


@cache
def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _words(name: str) -> list[str]:
    """Return a name's words in small letters: `FSANet-HeadPose_v2` has `fsanet`, `head`, `pose`, `headpose`, ..."""
    lowered = [part.lower() for part in _PARTS.findall(name)]
    pairs = ["".join(pair) for pair in pairwise(lowered)]
    return [*lowered, *pairs]


def check_task(task: str) -> Task:
    """Return a task that a caller named; raise ModelProblem unless a module can have it."""
    for stated in STATED:
        if task == stated:
            return stated
    hint = did_you_mean(task, STATED, f"use one of {', '.join(STATED)}.")
    raise ModelProblem(f"task is {task!r}: {hint}")


def assumed(count: int) -> str:
    """Return the note on few numbers without names that were taken for classes."""
    row = "Its one number was taken for yes or no" if count == 1 else f"Its {count} numbers were taken for classes"
    return f"{row}; if it measures something, state task regress."
