"""Run a model on labelled pictures: answers, milliseconds, small maps.

Pictures are taken one at a time, and nothing of them is cached: what was explained before would take no time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass.common.errors import Cancelled, Problem
from sightglass.evaluation import error_types
from sightglass.evaluation.evaluation import LEAST_CONFIDENCE, EvaluatedPicture, Evaluation
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.explain.evidence.targets import decode
from sightglass.explain.explanation import explain
from sightglass.explain.maps.cells import cells
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.quality import measure_quality
from sightglass.models.checkpoints import weights
from sightglass.models.labels import match

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sightglass.evaluation.scorecard.labelled import LabelledPicture
    from sightglass.explain import Explainer
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Prediction

BEST = 5
"""Answers of a classifier that are remembered."""
MAPPED = 0.05
"""Score from which a right box has a map: no model is shipped with a lower threshold."""
NOISE_PICTURES = 40
"""Pictures that are moved."""
MOVE = 0.01
"""By how much of its longer side a picture is moved: what nobody would see."""
BLUR = 1.5
"""Cells by which maps are blurred before they are compared: moved by a hundredth, a detector's dots jump that far."""
DIRECTIONS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
"""Across and down, in turn."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model weighs; None of what is unknown."""

    parameters: int | None = None
    memory_bytes: int | None = None
    """Of the loaded model."""
    file_bytes: int | None = None


def describe(explainer: Explainer) -> ModelFacts:
    """Return how large a loaded model is."""
    file = weights.find(explainer.model)
    size = file.stat().st_size if file is not None and file.is_file() else None
    return ModelFacts(explainer.resident.parameters, explainer.resident.nbytes, size)


def evaluate(
    explainer: Explainer,
    pictures: Sequence[LabelledPicture],
    *,
    maps: bool = False,
    tell: Callable[[int, int], object] | None = None,
    cancel: threading.Event | None = None,
) -> Evaluation:
    """Run a model on labelled pictures, one at a time, and return its answers beside the labels.

    `maps`: also the map of each right box, and of a classifier's best answer. `tell(done, total)` is called after each
    picture. Raises Problem for a model that names no classes, or where no picture has the labels that it needs, and
    Cancelled once `cancel` is set.
    """
    task = explainer.model.task
    if task not in ("detect", "classify"):
        what = "gives each pixel a class" if explainer.model.segments else "names no classes"
        raise Problem(f"{explainer.model.id} {what}: choose detectors or classifiers.")
    detects = task == "detect"
    usable = [one for one in pictures if (one.boxes is not None if detects else one.label is not None)]
    if not usable:
        needed = "boxes" if detects else "a class for each picture"
        raise Problem(f"{explainer.model.id} cannot be judged by these labels: it needs {needed}.")
    wanted = sorted({label for picture in usable for label in _labels(picture, detects=detects)})
    named = match(wanted, explainer.labels)
    options = _choose_options(detects=detects)
    done = []
    for number, picture in enumerate(usable):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        image = picture.item.open()
        if not number:
            # The first pass of a model prepares what the others use.
            _answer(explainer, image, options)
        done.append(_evaluate(explainer, picture, image, named, options, maps=maps))
        if tell is not None:
            tell(number + 1, len(usable))
    done.sort(key=lambda one: one.key)
    unknown = tuple(label for label in wanted if label not in named)
    return Evaluation(
        explainer.model.id,
        "detect" if detects else "classify",
        explainer.labels,
        Options().confidence if detects else 0.0,
        tuple(done),
        unknown,
    )


def measure_noise(
    explainer: Explainer,
    pictures: Sequence[LabelledPicture],
    found: Evaluation,
    *,
    most: int = NOISE_PICTURES,
    tell: Callable[[int, int], object] | None = None,
    cancel: threading.Event | None = None,
) -> tuple[float, ...]:
    """Return how far a model's maps agree with its own after the picture was moved a little, 0..1.

    One overlap of the strongest evidence (`overlap`) for each map of at most `most` pictures of `found`.
    """
    items = {one.item.key: one.item for one in pictures}
    having = [one for one in found.pictures if one.maps and one.key in items]
    places = np.linspace(0, len(having) - 1, min(most, len(having))).round().astype(int)
    measured: list[float] = []
    for number, place in enumerate(places):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        picture = having[place]
        shift = _choose_shift(picture.size, number)
        moved = _move(items[picture.key].open(), shift)
        for index, values in _map_again(explainer, moved, picture, shift, detects=found.task == "detect"):
            measured.append(overlap(picture.maps[index], values))
        if tell is not None:
            tell(number + 1, len(places))
    return tuple(measured)


def overlap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the IoU of the fewest cells that hold half of the evidence in each of two blurred maps, 0..1."""
    first, second = _strongest(one), _strongest(other)
    union = int((first | second).sum())
    return float((first & second).sum() / union) if union else 0.0


def _strongest(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    flat = cv2.GaussianBlur(values.astype(np.float32), (0, 0), BLUR, borderType=cv2.BORDER_CONSTANT).ravel()
    order = np.argsort(-flat, kind="stable")
    reached = np.cumsum(flat[order], dtype=np.float64)
    chosen = np.zeros(flat.size, np.bool_)
    if reached[-1] > 0:
        chosen[order[: int(np.searchsorted(reached, reached[-1] / 2)) + 1]] = True
    return chosen.reshape(values.shape)


def _choose_options(*, detects: bool) -> Options:
    return Options(confidence=LEAST_CONFIDENCE, per="detection" if detects else "class", top_k=BEST)


def _labels(picture: LabelledPicture, *, detects: bool) -> set[str]:
    if detects:
        return {one.label for one in picture.boxes or ()}
    return {picture.label} if picture.label is not None else set()


def _evaluate(
    explainer: Explainer,
    picture: LabelledPicture,
    image: Image,
    named: Mapping[str, frozenset[str]],
    options: Options,
    *,
    maps: bool,
) -> EvaluatedPicture:
    evidence, found, milliseconds = _answer(explainer, image, options)
    truths = tuple(_rename(one, named) for one in picture.boxes or ())
    label = picture.label
    sharpness, brightness = measure_quality(image.pixels)
    made: dict[int, NDArray[np.uint8]] = {}
    if maps:
        made = _draw_maps(image, evidence, options, found, _find_mapped(truths, found, detects=options.per != "class"))
    return EvaluatedPicture(
        key=picture.item.key,
        size=(image.width, image.height),
        truths=truths,
        truth=None if label is None else min(named.get(label, {label})),
        found=found,
        maps=made,
        brightness=brightness,
        sharpness=sharpness,
        milliseconds=milliseconds,
    )


def _answer(explainer: Explainer, image: Image, options: Options) -> tuple[Evidence, tuple[Prediction, ...], float]:
    """Return a model's answers for a picture and the milliseconds from its pixels to them."""

    def work(resident: Any, _notes: tuple[str, ...]) -> tuple[Evidence, tuple[Prediction, ...], float]:
        begun = time.perf_counter()
        evidence, _ = explainer.fresh_evidence(resident, image, options)
        found = decode(evidence, options)
        return evidence, found, (time.perf_counter() - begun) * 1e3

    return explainer.with_oom_fallback(work)


def _find_mapped(truths: Sequence[TrueBox], found: Sequence[Prediction], *, detects: bool) -> list[int]:
    """Return the indices of the answers that get a map: right boxes, the surest wrong one on an object, the best class.

    The surest come first.
    """
    if not detects:
        return [0] if found else []
    (matched,) = error_types.match_boxes([truths], [found], MAPPED)
    chosen = {id(one) for one in matched.right}
    on: set[int] = set()
    for error in matched.errors:
        if error.type == "class" and error.predicted is not None and id(error.truth) not in on:
            on.add(id(error.truth))
            chosen.add(id(error.predicted))
    return [i for i, one in enumerate(found) if id(one) in chosen]


def _draw_maps(
    image: Image,
    evidence: Evidence,
    options: Options,
    found: Sequence[Prediction],
    indices: Sequence[int],
    moved: tuple[int, int] = (0, 0),
) -> dict[int, NDArray[np.uint8]]:
    if not indices:
        return {}
    indices = list(dict.fromkeys(indices))
    chosen = [found[i] for i in indices]
    targets = tuple(one.index if one.anchor is None else (one.anchor, one.index) for one in chosen)
    made = explain(image, evidence, replace(options, targets=targets), milliseconds={})
    maps = zip(indices, made.heatmaps, strict=True)
    return {i: cells(one, moved) for i, one in maps if one.state == "ok"}


def _choose_shift(size: tuple[int, int], number: int) -> tuple[int, int]:
    """Return by how many pixels, across and down, the picture with this number is moved."""
    step = max(1, round(MOVE * max(size)))
    across, down = DIRECTIONS[number % len(DIRECTIONS)]
    return across * step, down * step


def _move(image: Image, shift: tuple[int, int]) -> Image:
    """Return a picture moved by pixels across and down, its edges repeated."""
    x, y = shift
    padded = np.pad(image.pixels, ((abs(y), abs(y)), (abs(x), abs(x)), (0, 0)), "edge")
    top, left = abs(y) - y, abs(x) - x
    pixels = padded[top : top + image.height, left : left + image.width]
    return Image(np.ascontiguousarray(pixels), image.name)


def _map_again(
    explainer: Explainer, moved: Image, before: EvaluatedPicture, shift: tuple[int, int], *, detects: bool
) -> list[tuple[int, NDArray[np.uint8]]]:
    """Return the indices of answers that have a map, and the maps of the same answers on the moved picture."""
    options = _choose_options(detects=detects)
    evidence, found, _ = _answer(explainer, moved, options)
    pairs: list[tuple[int, int]] = []
    for index in before.maps:
        was = before.found[index]
        if was.box is None:
            same = [i for i, one in enumerate(found) if one.index == was.index]
        else:
            x0, y0, x1, y1 = was.box
            box = (x0 + shift[0], y0 + shift[1], x1 + shift[0], y1 + shift[1])
            same = _find_mapped([TrueBox(was.label, box)], found, detects=True)
            same = [i for i in same if found[i].index == was.index]
        pairs += [(index, i) for i in same[:1]]
    made = _draw_maps(moved, evidence, options, found, [i for _, i in pairs], shift)
    return [(index, made[i]) for index, i in pairs if i in made]


def _rename(one: TrueBox, named: Mapping[str, frozenset[str]]) -> TrueBox:
    """Return a box under its class's name in the model."""
    return replace(one, label=min(named[one.label])) if one.label in named else one
