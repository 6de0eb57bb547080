"""Numbers other than probabilities, such as an age or an angle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import listing, quantity
from sightglass.explain.tasks.scorer import Movement, ScoreOutputs, Scorer
from sightglass.explain.tasks.task import Change
from sightglass.explain.tasks.wording import COMPARED, Wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Target
    from sightglass.models.spec import ModelSpec


class NumberScorer(Scorer):
    """Numbers, none of which is better than another."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        model = evidence.resident.adapter.spec.id
        raise ModelProblem(f"{model} gives numbers: this test needs a class whose probability can fall.")

    def find_again(
        self, before: Result, evidence: Evidence, movement: Movement, target: Target
    ) -> tuple[float, str, Target | None]:
        score, _, target_there = super().find_again(before, evidence, movement, target)
        return score, "", target_there

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        # In the order of the outputs.
        order = list(before.evidence.resident.adapter.labels)
        return tuple(sorted(super().changes(before, after), key=lambda change: order.index(change.label)))


class NumberWording(Wording):
    """What is said of numbers with their units."""

    def text(self, score: float, unit: str = "") -> str:
        return quantity(score, unit)

    def bar(self, score: float) -> float | None:
        return None

    def map_columns(self, result: Result, index: int) -> dict[str, Any]:
        return {"unit": result.model.unit_of(result.heatmaps[index].target.label)}

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        return f"{result.model.name} gives {self.list_numbers(result)}.", True

    def list_numbers(self, result: Result) -> str:
        """List the numbers with their units: `yaw −12.4°, pitch 3.1°`."""
        return ", ".join(answer.line for answer in self.answers(result))

    def verdict(self, names: Sequence[str], results: Sequence[Result]) -> str | None:
        sentences = []
        for name, result in zip(names, results, strict=True):
            answers = result.task.wording.answers(result, result.predictions[:COMPARED])
            listed = listing([answer.line for answer in answers])
            sentences.append(f"{name} {'gives' if result.quantity == 'number' else 'says'} {listed or 'nothing'}")
        return "; ".join(sentences) + "."

    def describe_spread(self, label: str, scores: tuple[str, str], score: str, flips: str) -> str:
        return f"{label} is {scores[0]} to {scores[1]}, for the picture {score}."

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        def value(score: float | None, label: str) -> str:
            return self.text(score or 0.0, model.unit_of(label))

        return listing(
            [
                f"{change.label} goes from {value(change.before, change.label)} to {value(change.after, change.label)}"
                for change in changes
            ]
        )

    def column(self, score: float | None, unit: str = "", of: str = "") -> tuple[str, float | str | None]:
        return of or "Number", None if score is None else self.text(score, unit)

    def moved(self, change: Change, unit: str = "") -> str:
        if change.before is None or change.after is None:
            return super().moved(change, unit)
        moved = float(f"{change.after - change.before:.3g}")
        return f"{'+' if moved > 0 else '' if moved else '±'}{self.text(moved, unit)}"
