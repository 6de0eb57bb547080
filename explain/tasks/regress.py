"""Numbers such as an age or an angle, which are no probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import listing, quantity
from sightglass.explain.tasks.task import COMPARED, Change, Scorer, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Target
    from sightglass.models.spec import ModelSpec


class Regress(Task):
    """One or more numbers of a picture."""

    id = "regress"
    title = "Measure"
    noun = "number"
    value = "number"
    measures = True
    truth = "numbers"
    followed = False
    gives = "gives numbers"
    randomised = False
    sure = False

    def text(self, score: float, unit: str = "") -> str:
        return quantity(score, unit)

    def bar(self, score: float) -> float | None:
        return None

    def says(self, result: Result, index: int) -> tuple[str, bool | None]:
        return f"{result.model.name} gives {self.list_numbers(result)}.", True

    def list_numbers(self, result: Result) -> str:
        """List the numbers with their units: `yaw −12.4°, pitch 3.1°`."""
        return ", ".join(f"{p.label} {self.text(p.score, result.model.unit_of(p.label))}" for p in result.predictions)

    def verdict(self, names: Sequence[str], results: Sequence[Result]) -> str | None:
        return "; ".join(_describe_answers(*pair) for pair in zip(names, results, strict=True)) + "."

    def scorer(self, evidence: Evidence, target: Target, options: Options) -> Scorer:
        model = evidence.resident.adapter.spec.id
        raise ModelProblem(f"{model} gives numbers: this test needs a class whose probability can fall.")

    def check_proof(self, model: str) -> None:
        raise ModelProblem(f"{model} gives numbers: a proof needs a class that can become less likely.")

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        """Return what an edit changed of each number, in the order of the model's outputs: numbers have no best."""
        order = list(before.evidence.resident.adapter.labels)
        return tuple(sorted(super().changes(before, after), key=lambda change: order.index(change.label)))

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        def value(score: float | None, label: str) -> str:
            return self.text(score or 0.0, model.unit_of(label))

        return listing(
            [
                f"{one.label} goes from {value(one.before, one.label)} to {value(one.after, one.label)}"
                for one in changes
            ]
        )


def _describe_answers(name: str, result: Result) -> str:
    """Return the answers of one model where some give numbers: `headpose gives yaw −12.4°`."""
    if not result.predictions:
        return f"{name} finds nothing"
    answers = [
        f"{p.label} {result.task.text(p.score, result.model.unit_of(p.label))}" for p in result.predictions[:COMPARED]
    ]
    return f"{name} {'gives' if result.task.measures else 'says'} {listing(answers)}"
