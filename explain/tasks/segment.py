"""A class for each pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import listing, percent, plain_text
from sightglass.explain.tasks.parts import Answers, Change, Decoder, Found, Movement, ScoreOutputs, Scorer, scored_class
from sightglass.explain.tasks.wording import COMPARED, NAMED, Wording
from sightglass.models.adapter import Adapter, AreaTarget, Prediction, Span, Target
from sightglass.models.geometry import fill_polygon
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.models.adapters.segmenter import Segmentation, Segmenter
    from sightglass.models.spec import ModelSpec

Area = TypeVar("Area", bound=AreaTarget)
HALF = 0.5
"""Share of a target's pixels that must keep their class for it to be the answer still."""


class PixelDecoder(Decoder):
    """A class for each pixel."""

    lists_all = True

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the options' pixels."""
        adapter = cast("Segmenter", evidence.loaded.adapter)
        against = None if options.against is None else class_index(options.against, adapter.labels)
        find = _find_regions if options.per != "class" else _find_classes
        areas = dict.fromkeys(find(options, predictions, evidence))
        if against is not None and any(target.index == against for target in areas):
            raise ModelProblem(f"{adapter.labels[against]} cannot be weighed against itself: name another class.")
        return [replace(target, part=options.part, against=against) for target in areas]

    def check_area(self, options: Options, adapter: Adapter) -> None:
        if options.per not in ("class", "region", "pixel"):
            raise ModelProblem(f"{adapter.spec.id} draws no boxes: explain a class, a region or a pixel.")
        if options.per == "pixel" and not options.at and not options.targets:
            raise ModelProblem("Which pixel? Give its place: at=(x, y), in pixels of the picture.")


class PixelScorer(Scorer):
    """The score of an area: the mean probability of its class."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        scored_class(target)  # raises where there is none
        adapter = cast("Segmenter", evidence.loaded.adapter)
        pixels = adapter.pixels_of(evidence.outputs, target)

        def of_pixels(outputs: Any) -> Answers:
            score, margin, right = (values.cpu() for values in adapter.certainty(outputs, target, pixels))
            return Answers(score, margin if target.part == "contrast" else score, right >= HALF)

        return of_pixels

    def find_again(self, before: Result, evidence: Evidence, movement: Movement, target: Target) -> Found:
        if not isinstance(target, AreaTarget):
            return super().find_again(before, evidence, movement, target)
        adapter, moved = cast("Segmenter", evidence.loaded.adapter), move(target, evidence, movement)
        score, _, _ = adapter.certainty(evidence.outputs, moved, moved.pixels)
        return float(score[0]), adapter.labels[int(np.bincount(evidence.outputs.classes[moved.pixels]).argmax())], moved


class PixelWording(Wording):
    """What is said of areas; scores are shares of the picture."""

    def text(self, score: float, unit: str = "") -> str:
        return f"{percent(score)} of the picture"

    def short_text(self, score: float, unit: str = "") -> str:
        return percent(score)

    def list_answers(self, result: Result) -> list[str]:
        return [f"{p.label}: {plain_text(self.text(p.score))}" for p in result.predictions]

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        return f"{result.model.name} finds {self.describe_answer(result, index)}", True

    def describe_answer(self, result: Result, index: int) -> str:
        return f"{list_classes(result, NAMED)}."

    def contrast(self, result: Result, hot: str, index: int) -> str:
        if (other := self.rival(result, index)) is None:
            return super().contrast(result, hot, index)
        return f"{hot.capitalize()} speaks for {result.heatmaps[index].target.label} and against {other}."

    def rival(self, result: Result, index: int) -> str | None:
        target = result.heatmaps[index].target
        if not isinstance(target, AreaTarget) or target.against is None:
            return None
        return result.evidence.loaded.adapter.labels[target.against]

    def verdict(self, names: Sequence[str], results: Sequence[Result]) -> str | None:
        if any(result.task.wording is not self for result in results):
            return None
        classes = (list_classes(result, COMPARED) for result in results)
        return "; ".join(f"{name} finds {words}" for name, words in zip(names, classes, strict=True)) + "."

    def answer_name(self, result: Result, most: int) -> str | None:
        return list_classes(result, most)

    def describe_outside(self, result: Result, index: int) -> str:
        target = result.heatmaps[index].target
        if not isinstance(target, AreaTarget) or target.span == "pixel":
            return ""
        share, area = result.outside(index), result.area(index)
        if share is None or area is None or area.all():
            return ""
        where = " in this area" if len(result.options.at) > 2 else ""
        name = "this region" if target.span == "region" else f"{target.label}{where}"
        return (
            f"{percent(share)} of what speaks for {name} lies outside it, while {percent(1 - float(area.mean()))} of "
            "the picture does."
        )

    def caption(self, label: str, score: float) -> str:
        return super().caption(label, score) if score else f"no {label}"

    def describe_switch(self, before: str, label: str, score: float) -> str:
        return f"{label} is now the largest: {self.text(score)}"

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        """Describe the largest changes of classes' areas."""
        most = max(changes, key=lambda change: abs((change.after or 0.0) - (change.before or 0.0)))
        old, new = percent(most.before or 0.0), percent(most.after or 0.0)
        if old == new:
            return f"{most.label} stays at {old} of the picture"
        return f"{most.label} goes from {old} of the picture to {new}"


def is_background(result: Result, index: int) -> bool:
    """Return whether a class of a segmentation is its background."""
    return cast("Segmenter", result.evidence.loaded.adapter).is_background(index)


def list_classes(result: Result, most: int) -> str:
    """List a picture's classes without background: `star, gear and 2 more`."""
    labels = [prediction.label for prediction in result.predictions if not is_background(result, prediction.index)]
    return listing(labels, most if len(labels) <= most else most - 1) or "nothing but background"


def check_in_picture(at: tuple[float, ...], evidence: Evidence) -> None:
    """Raise ModelProblem for a place outside the picture; `at`: (x, y, ...) in its pixels."""
    height, width = evidence.geometry.original
    if not all(0 <= x <= width for x in at[::2]) or not all(0 <= y <= height for y in at[1::2]):
        raise ModelProblem(
            f"at is {', '.join(f'{coordinate:g}' for coordinate in at)}, and the picture is {width} by {height} pixels."
        )


def pixels_inside(at: tuple[float, ...], evidence: Evidence) -> NDArray[np.bool_]:
    """Return the answer's pixels at a point or in an area, bool (h, w), never empty; raise ModelProblem outside."""
    check_in_picture(at, evidence)
    adapter, outputs = cast("Segmenter", evidence.loaded.adapter), evidence.outputs
    places = [adapter.find_pixel(outputs, evidence.geometry, x, y) for x, y in zip(at[::2], at[1::2], strict=True)]
    inside = np.zeros(outputs.size, bool)
    if len(places) > 2:
        corners = adapter.place_corners(outputs, evidence.geometry, np.reshape(at, (-1, 2)))
        inside = fill_polygon(corners, outputs.size) & adapter.covers(outputs, evidence.geometry)
    if not inside.any():
        # A point, a rectangle, or an area without a pixel's centre.
        (x0, y0), (x1, y1) = places[0], places[-1] if len(places) == 2 else places[0]
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return inside


def move(target: Area, evidence: Evidence, movement: Movement) -> Area:
    """Return a target's pixels after a change of the picture."""

    def moved(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if movement.mirrored:
            return pixels[:, ::-1]
        sides = zip(movement.shift, pixels.shape, evidence.geometry.input, strict=True)
        rolled = np.roll(pixels, [round(shift * cells / side) for shift, cells, side in sides], (0, 1))
        return rolled if rolled.any() else pixels

    return target.moved(moved)


def _find_regions(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[AreaTarget]:
    """Return the options' regions or pixels, or the `top_k` largest regions."""
    adapter = cast("Segmenter", evidence.loaded.adapter)
    outputs: Segmentation = evidence.outputs
    span: Span = "pixel" if options.per == "pixel" else "region"

    def target(place: int, index: int) -> AreaTarget:
        area = AreaTarget(index, adapter.labels[index], (place,), span=span)
        return area.with_pixels(adapter.around(outputs, place, span))

    pairs = [asked for asked in options.targets if isinstance(asked, (tuple, list))]
    if pairs:
        return [target(_check_pixel(place, outputs), class_index(index, adapter.labels)) for place, index in pairs]
    names = [name for name in options.targets if not isinstance(name, (tuple, list))]
    if options.at:
        check_in_picture(options.at, evidence)
        x, y = adapter.find_pixel(outputs, evidence.geometry, *np.reshape(options.at, (-1, 2)).mean(0).tolist())
        asked = names or (int(outputs.classes[y, x]),)
        place = y * outputs.size[1] + x
        return [target(place, class_index(name, adapter.labels)) for name in asked]
    classes_asked = {class_index(name, adapter.labels) for name in names}
    regions = _largest_regions(outputs, adapter)
    chosen = [region for region in regions if not classes_asked or region[0] in classes_asked][: options.top_k]
    return [target(at, index) for index, at, _ in chosen]


def _check_pixel(place: int, outputs: Segmentation) -> int:
    """Return a pixel's number; raise ModelProblem for one that the answer does not have."""
    height, width = outputs.size
    if not 0 <= place < height * width:
        raise ModelProblem(f"There is no pixel {place}: the answer has {height * width}, counted from 0.")
    return int(place)


def _largest_regions(outputs: Segmentation, adapter: Segmenter) -> list[tuple[int, int, int]]:
    """Return each region's class, first pixel and size, the largest first, backgrounds last."""
    _, first, sizes = np.unique(outputs.regions, return_index=True, return_counts=True)
    regions = [(int(outputs.classes.flat[at]), int(at), int(size)) for at, size in zip(first, sizes, strict=True)]
    return sorted(regions, key=lambda region: (adapter.is_background(region[0]), -region[2]))


def _find_classes(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[AreaTarget]:
    """Return the options' classes in their rectangle, else those found."""
    adapter = cast("Segmenter", evidence.loaded.adapter)
    outputs: Segmentation = evidence.outputs
    indices = [class_index(name, adapter.labels) for name in options.targets]
    if not options.at:
        present = set(np.unique(outputs.classes).tolist())
        if (lost := next((index for index in indices if index not in present), None)) is not None:
            raise ModelProblem(
                f"{adapter.spec.id} gives no pixel to {adapter.labels[lost]} here: name a place as well, or a class "
                "that it finds."
            )
        explained = indices or [*dict.fromkeys(prediction.index for prediction in predictions)][: options.top_k]
        return [AreaTarget(i, adapter.labels[i]).with_pixels(outputs.classes == i) for i in explained]
    inside = pixels_inside(options.at, evidence)
    counts = np.bincount(outputs.classes[inside])
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda index: (adapter.is_background(index), -counts[index]))
    # For an absent class the whole rectangle is explained: why not this?
    areas = {index: inside & (outputs.classes == index) for index in indices or order[: options.top_k]}
    return [
        AreaTarget(index, adapter.labels[index]).with_pixels(area if area.any() else inside)
        for index, area in areas.items()
    ]
