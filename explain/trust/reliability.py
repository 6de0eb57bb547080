"""What was measured of methods, and the findings that follow from it and from a map's own tests.

Reliability, on scenes with known causes, is in `reliability.json`, written by `python -m benchmarks truth --full
--write`; which methods' maps depend on the model is in `randomisation.json`, written by `python -m benchmarks truth
--only weights --write`. Both are explained in benchmarks/results/truth.md. This module does not import torch: menus
use it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import percent
from sightglass.explain.questions import answers_why, settings
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import SHOWS, Finding
from sightglass.models.catalog import is_packaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.resident import LoadedModel
    from sightglass.explain.result import Result
    from sightglass.models.spec import ModelSpec

FILE = Path(__file__).with_name("reliability.json")


@dataclass(frozen=True, slots=True)
class Reliability:
    """A method's scores on one question, at that question's default layers and target."""

    hit: Sequence[float]
    """Share of maps whose hottest pixel is on the cause, with its 95 % interval. For "where" the cause is the object,
    for "why" the part that defines the class."""
    baseline: str
    """The best baseline: a map made without any model."""
    baseline_hit: float
    fails: bool
    """Whether it beats the best baseline neither in hits nor in ranking: by the 95 % interval of the paired
    difference, or by the mean for a slow method, measured on few scenes."""

    @property
    def sentence(self) -> str:
        """Compare the method with its best baseline in one sentence."""
        rival = BASELINES.get(self.baseline, self.baseline)
        start = "Failed on" if self.fails else "On"
        return f"{start} our test networks: {percent(self.hit[0])} right, {rival} {percent(self.baseline_hit)}."


BASELINES = {"edges, smoothed": "edges alone", "edges in its box": "edges in the box alone"}


def reliabilities(model: ModelSpec, question: str, *, queries: bool) -> dict[str, Reliability]:
    """Return methods' measured reliability, none for an own model; `queries`: whether its boxes are queries."""
    of = ("query" if queries else model.task, question)
    return {method: row for (*key, method), row in _load_published().items() if tuple(key) == of and is_packaged(model)}


@cache
def _load_published() -> dict[tuple[str, str, str], Reliability]:
    rows = json.loads(FILE.read_text(encoding="utf-8"))["findings"]
    numbers = ("hit", "baseline", "baseline_hit", "fails")
    return {
        (row["task"], row["question"], row["method"]): Reliability(*(row[name] for name in numbers)) for row in rows
    }


RANDOMISATION = Path(__file__).with_name("randomisation.json")
MOST = 0.5
"""The share of maps that do not depend on the model from which a method is said to draw such maps."""


@dataclass(frozen=True, slots=True)
class Randomisation:
    """How many maps of a method depend on the model, at the layers of a question."""

    yes: int
    no: int
    maps: int
    box: int = 0
    """Those of `yes` whose maps of random weights keep the box and move inside it."""

    @property
    def independent(self) -> bool:
        """Whether the method was measured as nearly independent of the model."""
        return self.no >= MOST * self.maps

    @property
    def sentence(self) -> str:
        """The share of the method's model-dependent maps."""
        if self.independent:
            return f"In {self.no} of {self.maps} tests random weights drew nearly the same map."
        if self.box >= MOST * self.maps:
            return "Random weights keep the box but move the hot spots."
        return f"In {self.yes} of {self.maps} tests its map depended on the model."


def question_of(part: str) -> str:
    """Return the question of a map by its part."""
    return "why" if part == "contrast" else "where"


def family_of(task: str, resident: LoadedModel) -> str:
    """Return the family whose figures a model of a task has: detector, query, transformer or classifier."""
    if task_of(task).has_boxes:
        return "detector" if resident.queries is None else "query"
    return "transformer" if resident.attentions else "classifier"


def randomisations(
    resident: LoadedModel, model: ModelSpec, question: str, layers: Sequence[str]
) -> dict[str, Randomisation]:
    """Return how many maps of each method depend on the model; none for an own model or layers without figures.

    `layers`: none for the default ones.
    """
    if not (task_of(model).randomised and is_packaged(model)) or (question == "why" and not answers_why(resident)):
        return {}
    if tuple(layers or resident.default_layers) != (settings(resident, question)["layers"] or resident.default_layers):
        return {}
    of = (family_of(model.task, resident), question)
    return {method: row for (*key, method), row in _load_randomisation().items() if tuple(key) == of}


def describe_independent(explanation: Result, index: int) -> str:
    """Describe a model-independent map; empty for one that depends on the model, as far as is known."""
    known = find_independent(explanation, index)
    return "" if known is None else known[0]


def find_independent(explanation: Result, index: int) -> tuple[str, Finding] | None:
    """Find a model-independent map, by its own check or its method's figures: what it shows, and the limitation."""
    heatmap = explanation.heatmaps[index]
    checks = explanation.known_checks(index) if heatmap.state == "ok" else None
    check = None if checks is None else checks["model"]
    if check is not None and check.state != "cannot be told":
        if check.state == "yes":
            return None
        shows = f"This map shows {check.shows}, not what the model learnt."
        if check.shows == SHOWS["survives"]:
            shows = "The map hardly depends on what the model has learned."
        return shows, Finding("independent", "serious", check.sentence)
    # The gradients of pixels are at no layer.
    layers = heatmap.layers if METHODS[heatmap.method].at_layers else ()
    question = question_of(explanation.options.part)
    draws = randomisations(explanation.evidence.resident, explanation.model, question, layers)
    if (measured := draws.get(heatmap.method)) is None or not measured.independent:
        return None
    shows, verb = explanation.task.independent
    again = f"With random weights the method draws nearly the same map ({measured.no} of {measured.maps} measured)"
    return f"This map shows {shows}.", Finding("independent", "caution", f"{again}: it {verb}.")


@cache
def _load_randomisation() -> dict[tuple[str, str, str], Randomisation]:
    rows = json.loads(RANDOMISATION.read_text(encoding="utf-8"))
    return {(row.pop("family"), row.pop("question"), row.pop("method")): Randomisation(**row) for row in rows}
