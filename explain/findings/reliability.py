"""How far a method's maps can be trusted, as found on drawn scenes whose cause is known.

The figures are in `reliability.json`, which `python -m benchmarks truth --full --publish` writes; what they mean is in
benchmarks/TRUTH.md. No torch in here: a menu asks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from explain.phrases import percent

FILE = Path(__file__).with_name("reliability.json")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a method got at one question, on that question's own layers and target."""

    task: str
    """`classify` or `detect`."""
    question: str
    """`where` or `why`."""
    method: str
    scenes: int
    """How many drawn scenes."""
    objects: int
    """How many maps: several models looked at the scenes."""
    hit: tuple[float, float, float]
    """Share of maps whose hottest pixel is on the cause, and its 95 % interval. Of "where" the object is the cause, of
    "why" the part that makes the class."""
    auc: tuple[float, float, float]
    """How well the map ranks the cause's pixels over others, .5 to 1, and its 95 % interval."""
    baseline: str
    """The best of the maps that know nothing of any model."""
    baseline_hit: float
    fails: bool
    """Whether it is better than the best baseline neither at hits nor at ranking: by the 95 % interval of the paired
    difference, of a slow method, which saw few scenes, by the mean."""

    @property
    def sentence(self) -> str:
        on = "on the object" if self.question == "where" else "on the part that makes the class"
        hit, other = percent(self.hit[0]), percent(self.baseline_hit)
        rival = _SAID.get(self.baseline, f"{self.baseline}'s")
        models = "small detectors" if self.task == "detect" else "small convolutional classifiers"
        if self.fails:
            return f"Fails on drawn scenes with {models}: {hit} of its hottest places were {on}, {rival} {other}."
        return f"On {self.scenes} drawn scenes with {models} its hottest place was {on} in {hit}; {rival} in {other}."


_SAID = {
    "edges": "an edge filter's",
    "edges, smoothed": "a blurred edge filter's",
    "edges in its box": "an edge filter's within the object's box",
    "centre blob": "that of a blob amid the picture",
    "random map": "that of noise",
    "box fill": "that of the filled box",
    "empty map": "that of an empty map",
}


def finding(task: str, question: str, method: str) -> Finding | None:
    """What was found of a method, by its id; None where it was not measured."""
    return _findings().get((task, question, method))


@cache
def _findings() -> dict[tuple[str, str, str], Finding]:
    if not FILE.is_file():
        return {}
    rows: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["findings"]
    made = [Finding(**row | {"hit": tuple(row["hit"]), "auc": tuple(row["auc"])}) for row in rows]
    return {(one.task, one.question, one.method): one for one in made}
