"""Numbers other than probabilities: of a picture, such as an age, or of each pixel, such as its depth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import Options, parse_other_place
from sightglass.explain.phrases import listing, quantity
from sightglass.explain.tasks.parts import Change, Decoder, Found, Movement, ScoreOutputs, Scorer
from sightglass.explain.tasks.segment import move, pixels_inside
from sightglass.explain.tasks.wording import COMPARED, Wording
from sightglass.models.adapter import Adapter, PlaceTarget, Prediction, Target
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.result import Result
    from sightglass.models.adapters.segmenter import PixelNumbers
    from sightglass.models.spec import ModelSpec


class NumberScorer(Scorer):
    """Numbers, none of which is better than another."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        model = evidence.loaded.adapter.spec.id
        raise ModelProblem(f"{model} gives numbers: this test needs a class whose probability can fall.")

    def find_again(self, before: Result, evidence: Evidence, movement: Movement, target: Target) -> Found:
        score, _, target_there = super().find_again(before, evidence, movement, target)
        return score, "", target_there

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        # In the order of the outputs.
        order = list(before.evidence.loaded.adapter.labels)
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
        return f"{result.model.name} gives {self.describe_answer(result, index)}", True

    def describe_answer(self, result: Result, index: int) -> str:
        return f"{self.list_numbers(result)}."

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
        parts = []
        for change in changes:
            unit = model.unit_of(change.label)
            before, after = (self.text(score or 0.0, unit) for score in (change.before, change.after))
            parts.append(f"{change.label} goes from {before} to {after}")
        return listing(parts)

    def moved(self, change: Change, unit: str = "") -> str:
        if change.before is None or change.after is None:
            return super().moved(change, unit)
        moved = float(f"{change.after - change.before:.3g}")
        return f"{'+' if moved > 0 else '' if moved else '±'}{self.text(moved, unit)}"


class DepthDecoder(Decoder):
    """A number of each pixel."""

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the target of the options' place, or the whole picture."""
        adapter = cast("PixelNumbers", evidence.loaded.adapter)
        for name in options.targets:
            class_index(name, adapter.labels)
        pixels = adapter.covers(evidence.outputs, evidence.geometry)
        if options.at:
            pixels = pixels_inside(options.at, evidence)
        target = PlaceTarget(0, adapter.labels[0], (), options.part)
        if options.against is not None:
            than = parse_other_place(options.against)
            if than is None or not options.at:
                raise ModelProblem("against is another place here, as x,y: name both, at and against.")
            target = replace(target, than=np.packbits(pixels_inside(than, evidence)).tobytes())
        return [target.with_pixels(pixels)]

    def check_area(self, options: Options, adapter: Adapter) -> None:
        if options.per not in ("class", "pixel") or (options.per == "pixel" and not options.at):
            raise ModelProblem(f"{adapter.spec.id} gives each pixel a number: name a place, at=(x, y) or a rectangle.")


class DepthScorer(NumberScorer):
    """The number at a point or in an area; of the whole picture the mean."""

    def find_again(self, before: Result, evidence: Evidence, movement: Movement, target: Target) -> Found:
        if not isinstance(target, PlaceTarget):
            return super().find_again(before, evidence, movement, target)
        adapter = cast("PixelNumbers", evidence.loaded.adapter)
        moved = move(target, evidence, movement)
        return float(adapter.number(evidence.outputs, moved).detach()), "", moved

    def score(self, result: Result, index: int) -> float | None:
        number = number_at_place(result, index)
        return super().score(result, index) if number is None else number


class DepthWording(NumberWording):
    """What is said of the numbers of pixels."""

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        text = f"{result.model.name} gives {self.list_numbers(result)} on average."
        if result.heatmaps and (place := self.describe_place(result, index)):
            text += f" {place}"
        return text, True

    def number(self, result: Result, index: int) -> str:
        if (number := number_at_place(result, index)) is None:
            return ""
        return quantity(number, result.model.unit_of(result.heatmaps[index].target.label))

    def describe_place(self, result: Result, index: int) -> str:
        """Describe the number at a map's place; empty for the whole picture."""
        if (number := number_at_place(result, index)) is None:
            return ""
        label = result.heatmaps[index].target.label
        if result.options.against is None:
            return f"At the place {label} is {self.number(result, index)}."
        much = quantity(abs(number), result.model.unit_of(label))
        return f"At the place {label} is {much} {'less' if number < 0 else 'more'} than at the other."


def number_at_place(result: Result, index: int) -> float | None:
    """Return the number at a map's place, less that at another place if there is one; None for the whole picture."""
    if not result.options.at:
        return None
    adapter = cast("PixelNumbers", result.evidence.loaded.adapter)
    return float(adapter.number(result.evidence.outputs, result.heatmaps[index].target).detach())
