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
from typing import TYPE_CHECKING, Literal

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
    from sightglass.explain.trust.checks import Check
    from sightglass.explain.trust.proof import Proof


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


BASELINES = {
    "edges": "edges alone",
    "edges, smoothed": "edges alone",
    "edges in its box": "edges in the box alone",
    "centre blob": "the centre alone",
    "random map": "chance",
    "box fill": "the box alone",
    "empty map": "an empty map",
}


def reliability(task: str, question: str, method: str, *, queries: bool = False) -> Reliability | None:
    """Return a method's measured reliability, or None; `queries`: of a model whose boxes are queries."""
    return _load_published().get(("query" if queries else task, question, method))


@cache
def _load_published() -> dict[tuple[str, str, str], Reliability]:
    rows = json.loads(FILE.read_text(encoding="utf-8"))["findings"]
    numbers = ("hit", "baseline", "baseline_hit", "fails")
    return {
        (row["task"], row["question"], row["method"]): Reliability(*(row[name] for name in numbers)) for row in rows
    }


RANDOMISATION = Path(__file__).with_name("randomisation.json")
Family = Literal["detector", "query", "classifier", "transformer"]
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


def randomisation(family: Family, question: str, method: str) -> Randomisation | None:
    """Return how many of a method's maps depend on the model, or None.

    >>> randomisation("detector", "where", "gradcam").sentence
    'In 22 of 26 tests its map depended on the model.'
    """
    return _load_randomisation().get((family, question, method))


def question_of(part: str) -> str:
    """Return the question of a map by its part."""
    return "why" if part == "contrast" else "where"


def family_of(task: str, resident: LoadedModel) -> Family:
    """Return the family whose figures a model of a task has."""
    if task_of(task).has_boxes:
        return "detector" if resident.queries is None else "query"
    return "transformer" if resident.attentions else "classifier"


def asks_at(resident: LoadedModel, question: str, layers: Sequence[str]) -> bool:
    """Return whether the question's figures are of these layers; none: the default."""
    if question == "why" and not answers_why(resident):
        return False
    asked_layers = settings(resident, question)["layers"]
    return tuple(layers or resident.default_layers) == (asked_layers or resident.default_layers)


def describe_independent(explanation: Result, index: int) -> str:
    """Describe a model-independent map, by its own check or its method's figures.

    Empty for a map that depends on it, as far as is known.
    """
    known = _find_known(explanation, index)
    if isinstance(known, Randomisation):
        return f"This map shows {explanation.task.independent[0]}."
    if known is not None and known.shows == SHOWS["survives"]:
        return "The map hardly depends on what the model has learned."
    return "" if known is None else f"This map shows {known.shows}, not what the model learnt."


def find_independent(explanation: Result, index: int) -> Finding | None:
    """Find a model-independent map, by its own check or its method's figures."""
    known = _find_known(explanation, index)
    if isinstance(known, Randomisation):
        text = (
            f"With random weights the method draws nearly the same map ({known.no} of {known.maps} measured): it "
            f"{explanation.task.independent[1]}."
        )
        return Finding("independent", "caution", text)
    return None if known is None else Finding("independent", "serious", known.sentence)


def _find_known(explanation: Result, index: int) -> Check | Randomisation | None:
    """Return what shows that a map does not depend on the model, if anything."""
    checks = explanation.known_checks(index) if explanation.heatmaps[index].state == "ok" else None
    check = None if checks is None else checks["model"]
    if check is not None and check.state != "cannot be told":
        return check if check.state == "no" else None
    resident, heatmap = explanation.evidence.resident, explanation.heatmaps[index]
    question = question_of(explanation.options.part)
    # The gradients of pixels are at no layer.
    layers = heatmap.layers if METHODS[heatmap.method].at_layers else ()
    if not (explanation.task.randomised and is_packaged(explanation.model) and asks_at(resident, question, layers)):
        return None
    measured = randomisation(family_of(explanation.model.task, resident), question, heatmap.method)
    return measured if measured is not None and measured.independent else None


@cache
def _load_randomisation() -> dict[tuple[str, str, str], Randomisation]:
    rows = json.loads(RANDOMISATION.read_text(encoding="utf-8"))
    return {(row.pop("family"), row.pop("question"), row.pop("method")): Randomisation(**row) for row in rows}


def describe_doubt(proof: Proof | None) -> Finding | None:
    """Return the sentence of a proof that speaks against its map."""
    if proof is None or proof.support is None or proof.support.verdict != "not supported":
        return None
    words = proof.sentence
    return Finding("unproved", "serious", f"By its proof: {words[0].lower()}{words[1:]}")
