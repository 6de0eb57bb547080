"""Which methods' maps depend on the model, by family, as measured.

The figures are in `randomisation.json`, written by `python -m benchmarks truth --only weights --write` and explained in
benchmarks/results/truth.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sightglass.explain.findings import Finding
from sightglass.explain.methods import METHODS
from sightglass.explain.questions import answers_why, settings
from sightglass.explain.tasks import task_of
from sightglass.models.catalog import is_packaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.proof.checks import Check
    from sightglass.explain.result import Result

FILE = Path(__file__).with_name("randomisation.json")
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


def question_of(part: str) -> str:
    """Return the question of a map by its part."""
    return "why" if part == "contrast" else "where"


def family_of(task: str, resident: Resident) -> Family:
    """Return the family whose figures a model of a task has."""
    if task_of(task).has_boxes:
        return "detector" if resident.queries is None else "query"
    return "transformer" if resident.attentions else "classifier"


def describe_method(family: Family, question: str, method: str) -> str:
    """Return the share of a method's model-dependent maps; empty if not measured.

    >>> describe_method("detector", "where", "gradcam")
    'In 22 of 26 tests its map depended on the model.'
    """
    if (measured := _load_published().get((family, question, method))) is None:
        return ""
    if is_independent(family, question, method):
        return f"In {measured.no} of {measured.maps} tests random weights drew nearly the same map."
    if measured.box >= MOST * measured.maps:
        return "Random weights keep the box but move the hot spots."
    return f"In {measured.yes} of {measured.maps} tests its map depended on the model."


def is_independent(family: Family, question: str, method: str) -> bool:
    """Return whether a method was measured as nearly independent of the model."""
    measured = _load_published().get((family, question, method))
    return measured is not None and measured.no >= MOST * measured.maps


def asks_at(resident: Resident, question: str, layers: Sequence[str]) -> bool:
    """Return whether the question's figures are of these layers; none: the default."""
    if question == "why" and not answers_why(resident):
        return False
    asked_layers = settings(resident, question)["layers"]
    return tuple(layers or resident.default_layers) == (asked_layers or resident.default_layers)


def describe_expected(explanation: Result, index: int) -> str:
    """Return `describe_method` for a map's method and question, at measured layers."""
    return "" if (key := _key_of(explanation, index)) is None else describe_method(*key)


def describe_independent(explanation: Result, index: int) -> str:
    """Describe a model-independent map, by its own test or its method's.

    Empty for a map that depends on it, as far as is known.
    """
    if (mark := _find_answer(explanation, index)) is not None:
        return f"This map shows {mark.shows}, not what the model learnt." if mark.state == "no" else ""
    if _find_measured(explanation, index) is None:
        return ""
    return f"This map shows {explanation.task.independent[0]}."


def _find_answer(explanation: Result, index: int) -> Check | None:
    """Return the first mark of a map's seal where it says yes or no."""
    marks = explanation.known_checks(index) if explanation.heatmaps[index].state == "ok" else None
    mark = None if marks is None else marks["model"]
    return None if mark is None or mark.state == "cannot be told" else mark


def _find_measured(explanation: Result, index: int) -> Randomisation | None:
    """Return the figures of a method with nearly model-independent maps."""
    key = _key_of(explanation, index)
    return _load_published()[key] if key is not None and is_independent(*key) else None


def _key_of(explanation: Result, index: int) -> tuple[Family, str, str] | None:
    """Return the key of a map's published figures, or None."""
    resident, heatmap = explanation.evidence.resident, explanation.heatmaps[index]
    question = question_of(explanation.options.part)
    # The gradients of pixels are at no layer.
    layers = heatmap.layers if METHODS[heatmap.method].at_layers else ()
    if not explanation.task.randomised or not is_packaged(explanation.model):
        return None
    if not asks_at(resident, question, layers):
        return None
    return family_of(explanation.model.task, resident), question, heatmap.method


def find_independent(explanation: Result, index: int) -> Finding | None:
    """Find a map by a method with nearly model-independent maps."""
    if (mark := _find_answer(explanation, index)) is not None:
        return Finding("independent", "serious", mark.sentence) if mark.state == "no" else None
    if (measured := _find_measured(explanation, index)) is None:
        return None
    text = (
        f"With random weights the method draws nearly the same map ({measured.no} of {measured.maps} measured): it "
        f"{explanation.task.independent[1]}."
    )
    return Finding("independent", "caution", text)


@cache
def _load_published() -> dict[tuple[str, str, str], Randomisation]:
    if not FILE.is_file():
        return {}
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return {(row.pop("family"), row.pop("question"), row.pop("method")): Randomisation(**row) for row in rows}
