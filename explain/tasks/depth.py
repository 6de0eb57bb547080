"""A number of each pixel, such as its depth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import Options, parse_other_place
from sightglass.explain.phrases import quantity
from sightglass.explain.tasks.decoder import Decoder, check_joint
from sightglass.explain.tasks.pixels import find_middle, move, pixels_inside
from sightglass.explain.tasks.regress import NumberScorer, NumberWording
from sightglass.models.adapter import PlaceTarget, Prediction, Target
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.result import Result
    from sightglass.explain.tasks.scorer import Movement
    from sightglass.models.adapters.segmenter import PixelNumbers


class DepthDecoder(Decoder):
    """A number of each pixel."""

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the target of the options' place, or the whole picture."""
        adapter = _adapter(evidence)
        check_joint(options, adapter)
        if options.per not in ("class", "pixel") or (options.per == "pixel" and not options.at):
            raise ModelProblem(f"{adapter.spec.id} gives each pixel a number: name a place, at=(x, y) or a rectangle.")
        for name in options.targets:
            class_index(name, adapter.labels)
        pixels = adapter.covers(evidence.outputs, evidence.geometry)
        if options.at:
            find_middle(options.at, evidence)
            pixels = pixels_inside(options.at, evidence)
        target = PlaceTarget(0, adapter.labels[0], (), options.part)
        if options.against is not None:
            than = parse_other_place(options.against)
            if than is None or not options.at:
                raise ModelProblem("against is another place here, as x,y: name both, at and against.")
            find_middle(than, evidence)
            target = replace(target, than=np.packbits(pixels_inside(than, evidence)).tobytes())
        return [target.with_pixels(pixels)]

    def numbers_at(self, evidence: Evidence) -> NDArray[np.float32] | None:
        adapter = _adapter(evidence)
        return adapter.numbers_at(evidence.outputs, evidence.geometry)


class DepthScorer(NumberScorer):
    """The number at a point or in an area; of the whole picture the mean."""

    def find_again(
        self, before: Result, evidence: Evidence, movement: Movement, target: Target
    ) -> tuple[float, str, Target | None]:
        if not isinstance(target, PlaceTarget):
            return super().find_again(before, evidence, movement, target)
        adapter = _adapter(evidence)
        moved = move(target, evidence, movement)
        return float(adapter.number(evidence.outputs, moved).detach()), "", moved

    def score(self, result: Result, index: int) -> float | None:
        place = read_place(result, index)
        return super().score(result, index) if place is None else place


class DepthWording(NumberWording):
    """What is said of the numbers of pixels."""

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        words = f"{result.model.name} gives {self.list_numbers(result)} on average"
        if result.heatmaps and (place := self.describe_place(result, index)):
            words += f". {place.removesuffix('.')}"
        return f"{words}.", True

    def summary(self, result: Result, index: int) -> str:
        return ""

    def number(self, result: Result, index: int) -> str:
        if (number := read_place(result, index)) is None:
            return ""
        return quantity(number, result.model.unit_of(result.heatmaps[index].target.label))

    def describe_place(self, result: Result, index: int) -> str:
        """Describe the number at a map's place; empty for the whole picture."""
        if (number := read_place(result, index)) is None:
            return ""
        label = result.heatmaps[index].target.label
        if result.options.against is None:
            return f"At the place {label} is {self.number(result, index)}."
        much = quantity(abs(number), result.model.unit_of(label))
        return f"At the place {label} is {much} {'less' if number < 0 else 'more'} than at the other."


def read_place(result: Result, index: int) -> float | None:
    """Return the number at a map's place, or a difference, or None."""
    if not result.options.at:
        return None
    adapter = _adapter(result.evidence)
    return float(adapter.number(result.evidence.outputs, result.heatmaps[index].target).detach())


def _adapter(evidence: Evidence) -> PixelNumbers:
    adapter: PixelNumbers = evidence.resident.adapter  # type: ignore[assignment]
    return adapter
