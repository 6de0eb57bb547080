"""Measure whether a box's map shows the part that matters.

The map's hottest part in the box is hidden, and random blobs instead.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import inside
from benchmarks.detectors.annotated import dataset, load_packaged, match
from benchmarks.inside import PRESET, WHERE
from benchmarks.report import Row, machine, page
from benchmarks.timing import SEED
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.explainer import EVIDENCE
from sightglass.explain.faithfulness.prove import object_of
from sightglass.explain.proof.curves import Perturber
from sightglass.explain.proof.scores import scorer
from sightglass.explain.questions import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

MODELS = ("yolo11n", "yolox_nano")
BOXES, MASKED = 300, 60
"""Boxes of a model, and those of them that D-RISE explains as well."""
PER_PICTURE = 2
MASKS = 400
"""D-RISE's, of a picture: its boxes share them."""
DRISE = "D-RISE"
TIMED = 9
"""Pictures on which the cost of a map is measured."""
SCORE, AREA = 0.4, (0.03, 0.9)
"""The minimum score of a box, and its share of the picture: of smaller ones a share is a few cells."""
PACKAGES = ("torch", "ultralytics", "libreyolo", "numpy")


def parts(models: Sequence[str], folder: Path | None, most: int | None) -> Row:
    """Measure boxes of annotated photographs, two of each at most; raises ModelProblem without any photographs."""
    photographs = [*load_packaged(), *(dataset(folder) if folder else ())]
    if not photographs:
        raise ModelProblem("Name annotated photographs, with images/ and labels/ in YOLO's layout: --dataset FOLDER.")
    random.Random(SEED).shuffle(photographs)
    return {
        "machine": machine(1, "cpu", PACKAGES),
        "models": [_measured(model, photographs, most or BOXES) for model in models or MODELS],
    }


def _measured(model: str, photographs: Sequence[Any], most: int) -> Row:
    explainer = Explainer(model)
    return _row(model, list(_by_passes(explainer, photographs, most)), list(_by_masks(explainer, photographs, most)))


Found = tuple[str, dict[Any, float], dict[str, float]]
"""Of one box: its photograph, what it lost by map and filling, and the CPU milliseconds of the maps that were timed."""


def _row(model: str, boxes: Sequence[Found], masked: Sequence[Found]) -> Row:
    """Return what a model's boxes lost; `masked`: the first of the same boxes by D-RISE."""
    pictures = [path for path, _, _ in boxes]
    found = [dict(lost) for _, lost, _ in boxes]
    for lost, (_, more, _) in zip(found, masked, strict=False):
        lost |= more
    costs: dict[str, list[float]] = {}
    for _, _, spent in (*boxes, *masked):
        for name, ms in spent.items():
            costs.setdefault(name, []).append(ms)
    passes = {WHERE: 1, PRESET: 1, DRISE: MASKS + 1}
    return {
        "model": model,
        "boxes": len(found),
        "pictures": len(set(pictures)),
        "lines": inside.lines(pictures, inside.joined(found)),
        "costs": {name: {"passes": passes[name], "ms": float(np.median(of))} for name, of in costs.items()},
    }


def _by_passes(explainer: Explainer, photographs: Sequence[Any], most: int) -> Iterator[Found]:
    """Yield boxes and what they lost by the maps that need a pass of the model, and by those that need none."""
    why, number = settings(explainer.resident, "why"), 0
    for path, targets in _chosen(explainer, photographs, most):
        spent = {}
        if number < TIMED:
            spent = {WHERE: _spent(explainer, path, targets[:1]), PRESET: _spent(explainer, path, targets[:1], **why)}
        for target in targets:
            where = explainer(path, per="detection", targets=(target,))
            perturber, region = _perturber(where)
            maps = _maps(explainer, where) | inside.blind(perturber.picture, region, number)
            yield path.name, inside.lost(perturber, maps, region, number), spent
            spent, number = {}, number + 1


def _by_masks(explainer: Explainer, photographs: Sequence[Any], most: int) -> Iterator[Found]:
    """Yield the first of the same boxes and what they lost by D-RISE."""
    number, options = 0, dict[str, Any](method="drise", masks=MASKS)
    for path, targets in _chosen(explainer, photographs, min(most, MASKED)):
        spent = {DRISE: _spent(explainer, path, targets[:1], **options)} if number < TIMED else {}
        made = explainer(path, per="detection", targets=targets, **options)
        for at, target in enumerate(targets):
            perturber, region = _perturber(explainer(path, per="detection", targets=(target,)))
            values = made.heatmaps[at].content.astype(np.float64)
            yield path.name, inside.lost(perturber, {DRISE: values}, region, number), spent
            spent, number = {}, number + 1


def _chosen(
    explainer: Explainer, photographs: Sequence[Any], most: int
) -> Iterator[tuple[Path, tuple[tuple[int, int], ...]]]:
    """Yield photographs with some annotated boxes each, as targets; `most` boxes in all."""
    for number, photograph in enumerate(photographs):
        seen = explainer(photograph.path, per="detection", maps=False)
        area = seen.image.width * seen.image.height
        known = [
            (prediction.anchor, prediction.index)
            for prediction, _ in match(list(seen.predictions), photograph)
            if prediction.anchor is not None
            and prediction.score >= SCORE
            and AREA[0] <= _area(prediction.box) / area <= AREA[1]
        ]
        random.Random(f"{SEED} {number}").shuffle(known)
        if known := known[: min(PER_PICTURE, most)]:
            yield photograph.path, tuple(known)
        most -= len(known)
        if not most:
            return


def _area(box: Any) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _spent(explainer: Explainer, path: Path, targets: tuple[tuple[int, int], ...], **options: Any) -> float:
    """Return the CPU milliseconds of a map of one box, from the file on."""
    EVIDENCE.clear()
    start = time.process_time()
    # A map is computed when it is read.
    _ = explainer(path, per="detection", targets=targets, **options).heatmaps[0].content
    return (time.process_time() - start) * 1e3


def _perturber(where: Explanation) -> tuple[Perturber, NDArray[np.bool_]]:
    """Return what hides parts of a box's picture, and the box over the content of the model's input."""
    score = scorer(where.evidence, where.heatmaps[0].target, where.options)
    return Perturber(where.evidence, score), object_of(where, 0)


def _maps(explainer: Explainer, where: Explanation) -> dict[str, NDArray[np.float64]]:
    """Return the maps to compare, float (h, w) over the content."""
    resident, target = where.evidence.resident, where.options.targets
    preset = settings(resident, "why")

    def made(**options: Any) -> NDArray[np.float64]:
        found = explainer(where.image, per="detection", targets=target, **options).heatmaps[0]
        return found.content.astype(np.float64)

    first, why = where.heatmaps[0].content.astype(np.float64), made(**preset)
    return {
        WHERE: first,
        PRESET: why,
        "why at the neck's finest output": made(**preset | {"layers": ("neck P3",)}),
        "where times why": first * why,
    }


def markdown(result: Row) -> str:
    texts = [
        f"## {model['model']}, parts\n\n{model['boxes']} boxes of {model['pictures']} photographs. "
        f"{inside.verdict(model['lines'])}\n\n" + inside.table(model["lines"], "boxes", model["costs"])
        for model in result["models"]
    ]
    return page(
        "Detectors: does a map show the part that matters?",
        "parts --dataset FOLDER",
        result["machine"],
        *texts,
        note=f" Boxes of photographs of COCO that are annotated objects (same label, IoU >= 0.5), found with {SCORE} "
        f"or more and no smaller than {AREA[0]:.0%} of the picture, {PER_PICTURE} a picture at most; half of the "
        "photographs are of val2017, half of train2017, on which the models were trained. Lost: the share of its score "
        f"that a box loses when the hottest {inside.SHARE:.0%} of its area by each map are hidden; the box is matched "
        f"by IoU >= 0.5 and class, and gone is 0. Random blobs: the mean of two random maps with cells of "
        f"{inside.CELL} pixels. Hidden places are set to a blur of the picture, to its mean colour, or to colours "
        f"interpolated from what is left (ROAD). {DRISE} hides the picture {MASKS} times at random and needs no "
        "gradients: what such a search finds of the same boxes. Its boxes are fewer, and all differences are paired. "
        "In brackets the 95 % interval of a bootstrap over photographs. Passes of the model, and CPU time of one core, "
        "from the file to the map of one box.",
    )
