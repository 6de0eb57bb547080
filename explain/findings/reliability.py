"""Reliability of methods, measured on scenes with known causes.

The figures are in `reliability.json`, written by `python -m benchmarks truth --full --write` and explained in
benchmarks/results/truth.md. This module does not import torch: menus use it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sightglass.common.files import Json
from sightglass.explain.phrases import percent

FILE = Path(__file__).with_name("reliability.json")


@dataclass(frozen=True, slots=True)
class Reliability:
    """A method's scores on one question, at that question's default layers and target."""

    task: str
    """`classify`, `detect`, or `query`: a detector whose boxes are queries."""
    question: str
    """`where` or `why`."""
    method: str
    scenes: int
    """Number of drawn scenes."""
    objects: int
    """Number of maps: several models were run on the scenes."""
    hit: tuple[float, float, float]
    """Share of maps whose hottest pixel is on the cause, with its 95 % interval. For "where" the cause is the object,
    for "why" the part that defines the class."""
    auc: tuple[float, float, float]
    """How well the map ranks the pixels of the cause above the others, .5 to 1, with its 95 % interval."""
    baseline: str
    """The best baseline: a map made without any model."""
    baseline_hit: float
    fails: bool
    """Whether it beats the best baseline neither in hits nor in ranking: by the 95 % interval of the paired
    difference, or by the mean for a slow method, measured on few scenes."""

    @property
    def sentence(self) -> str:
        """Compare the method with its best baseline in one sentence."""
        what = "the object" if self.question == "where" else "the part that defines the class"
        rival = BASELINES.get(self.baseline, self.baseline)
        start = "Failed: finds" if self.fails else "Finds"
        return (
            f"{start} {what} in {percent(self.hit[0])} of {self.objects:,} tests ({rival}: "
            f"{percent(self.baseline_hit)})."
        )


BASELINES = {
    "edges": "edges alone",
    "edges, smoothed": "edges alone",
    "edges in its box": "edges in the box alone",
    "centre blob": "the centre alone",
    "random map": "chance",
    "box fill": "the box alone",
    "empty map": "an empty map",
}


def subject_of(task: str, *, queries: bool) -> str:
    """Return what a model's methods are listed under as a task; `queries`: its boxes are queries."""
    return "query" if queries else task


def reliability(task: str, question: str, method: str) -> Reliability | None:
    """Return the measured reliability of a method, by its id; None where it was not measured."""
    return _load_published().get((task, question, method))


@cache
def _load_published() -> dict[tuple[str, str, str], Reliability]:
    if not FILE.is_file():
        return {}
    rows: list[Json] = json.loads(FILE.read_text(encoding="utf-8"))["findings"]
    made = [Reliability(**row | {"hit": tuple(row["hit"]), "auc": tuple(row["auc"])}) for row in rows]
    return {(one.task, one.question, one.method): one for one in made}
