"""Which map of a box shows the part that matters? Its hottest part in the box is hidden, and random blobs instead.

A map that lies in its box shows the object, which the box shows too. Here the same share of the box is hidden for
every map, so what counts is the order within: if hiding a map's hottest part costs the score no more than hiding blobs
drawn at random there, it does not show which part matters.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.bootstrap import Line, Samples
from benchmarks.detectors.annotated import carried, dataset, matched
from benchmarks.report import FOLDER, Row, ends, grid, machine, page
from benchmarks.timing import SEED
from common.errors import ModelProblem
from explain import Explainer
from explain.faithfulness import controls
from explain.faithfulness.curves import Perturber
from explain.faithfulness.filling import fixed, imputed
from explain.faithfulness.prove import object_of
from explain.faithfulness.scores import scorer
from explain.questions import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from explain.explanation import Explanation
    from explain.faithfulness import Filling

OUT = FOLDER / "PARTS.md"
MODELS = ("yolo11n", "yolox_nano")
BOXES = 150
SHARE = 0.2
"""Of a box's area that is hidden."""
FILLINGS: tuple[Filling, ...] = ("blur", "mean", "linear")
CELL = 8
"""Pixels of the input that a random blob's cell is: as fine as the finest maps, whose raggedness costs by itself."""
BLOBS = "random blobs"
WHERE, PRESET = "where is it", "why this class"
SCORE, AREA = 0.4, (0.03, 0.9)
"""The minimum score of a box, and its share of the picture: of smaller ones a share is a few cells."""
PACKAGES = ("torch", "ultralytics", "libreyolo", "numpy")


def parts(models: Sequence[str], folder: Path | None, most: int | None) -> Row:
    """Measure boxes of annotated photographs, two of each at most; raises ModelProblem without any photographs."""
    photographs = [*carried(), *(dataset(folder) if folder else ())]
    if not photographs:
        raise ModelProblem("Name annotated photographs, with images/ and labels/ in YOLO's layout: --dataset FOLDER.")
    random.Random(SEED).shuffle(photographs)
    lines = []
    for model in models or MODELS:
        losses: dict[tuple[str, Filling], list[float]] = {}
        pictures: list[str] = []
        for number, (explanation, name) in enumerate(_boxes(model, photographs)):
            if number == (most or BOXES):
                break
            pictures.append(name)
            for key, lost in _lost(explanation, number).items():
                losses.setdefault(key, []).append(lost)
        lines.append({"model": model, "boxes": len(pictures), "lines": _rows(pictures, losses)})
    return {"machine": machine(1, "cpu", PACKAGES), "models": lines}


def _rows(pictures: Sequence[str], losses: dict[tuple[str, Filling], list[float]]) -> list[Row]:
    found = []
    for name, filling in losses:

        def of(line: Line, _measure: str, filling: Filling = filling) -> list[NDArray[np.float64]]:
            return [np.array(losses[line[0], filling])]

        samples = Samples([pictures], of)
        line, blobs = (name, "", ""), (BLOBS, "", "")
        found.append(
            {
                "map": name,
                "filling": filling,
                "lost": samples.interval(line, "lost"),
                "over blobs": samples.difference(line, blobs, "lost"),
            }
        )
    return found


def _boxes(model: str, photographs: Sequence[Any]) -> Iterator[tuple[Explanation, str]]:
    """Yield explanations of one annotated box each, by the map of `WHERE`."""
    explainer = Explainer(model)
    for number, photograph in enumerate(photographs):
        seen = explainer(photograph.path, per="detection", maps=False)
        area = seen.image.width * seen.image.height
        known = [
            prediction
            for prediction, _ in matched(list(seen.predictions), photograph)
            if prediction.score >= SCORE and AREA[0] <= _area(prediction.box) / area <= AREA[1]
        ]
        random.Random(f"{SEED} {number}").shuffle(known)
        for prediction in known[:2]:
            target = ((prediction.anchor, prediction.index),)
            yield explainer(photograph.path, per="detection", targets=target), photograph.path.name


def _area(box: Any) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _lost(where: Explanation, number: int) -> dict[tuple[str, Filling], float]:
    """Return the share of its score that the box loses when the hottest part of each map inside it is hidden."""
    perturber = Perturber(where.evidence, scorer(where.evidence, where.heatmaps[0].target, where.options))
    inside = object_of(where, 0)
    generator, names, shown = np.random.default_rng([SEED, number]), [], []
    for name, values in _maps(where, perturber.picture, number).items():
        # Equal values in random order.
        own = values[inside] + 1e-9 * generator.random(int(inside.sum()))
        hidden = np.zeros_like(inside)
        hidden[inside] = own >= np.quantile(own, 1 - SHARE)
        names.append(name)
        shown.append(~hidden)
    masks = torch.from_numpy(np.stack(shown))[:, None]
    start = float(perturber.answers_to(perturber.picture).score[0])
    found: dict[tuple[str, Filling], list[float]] = {}
    for filling in FILLINGS:
        fill = fixed(perturber.picture, filling)
        for some, of in zip(masks.split(4), _in_fours(names), strict=True):
            filled = imputed(perturber.picture, some) if fill is None else torch.where(some, perturber.picture, fill)
            for name, score in zip(of, perturber.answers_to(filled).score.tolist(), strict=True):
                found.setdefault((_kind(name), filling), []).append(1 - score / start)
    return {key: float(np.mean(lost)) for key, lost in found.items()}


def _kind(name: str) -> str:
    return BLOBS if name.startswith(BLOBS) else name


def _in_fours(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[at : at + 4] for at in range(0, len(names), 4)]


def _maps(where: Explanation, picture: torch.Tensor, number: int) -> dict[str, NDArray[np.float64]]:
    """Return the maps to compare, float (h, w) over the content; several of one kind have a number after a comma."""
    resident = where.evidence.resident
    explainer, target = Explainer(where.model.id), where.options.targets
    preset = settings(resident, "why")

    def made(**options: Any) -> NDArray[np.float64]:
        found = explainer(where.image, per="detection", targets=target, **options).heatmaps[0]
        return found.content.astype(np.float64)

    first = where.heatmaps[0].content.astype(np.float64)
    why, fine = made(**preset), made(**preset | {"part": "class"})
    found = {WHERE: first, PRESET: why, "why's layer and method, class": fine}
    found |= {"where times why": first * why, "where times why's layer and method, class": first * fine}
    shape = first.shape
    cells = tuple(max(side // CELL, 2) for side in shape)
    for blob in range(2):
        found[f"{BLOBS}, {blob}"] = controls.random_map(shape, cells, 10 * number + blob).astype(np.float64)
    edges = controls.edges(controls.pixels_of(picture)).astype(np.float64)
    return found | {"edges": edges, "centre of the box": _middle(object_of(where, 0))}


def _middle(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = np.nonzero(inside)
    down, across = np.mgrid[: inside.shape[0], : inside.shape[1]]
    return -np.hypot((down - rows.mean()) / (np.ptp(rows) + 1), (across - columns.mean()) / (np.ptp(columns) + 1))


def markdown(result: Row) -> str:
    texts = []
    for model in result["models"]:
        rows = [(line["map"], line["filling"], ends(line["lost"]), ends(line["over blobs"])) for line in model["lines"]]
        table = grid(("map", "filling", "lost", "more than random blobs"), rows)
        texts.append(f"## {model['model']}\n\n{model['boxes']} boxes.\n\n{table}")
    return page(
        "Detectors: does a map show the part that matters?",
        "parts --dataset FOLDER",
        result["machine"],
        *texts,
        note=f" Boxes of photographs of COCO that are annotated objects (same label, IoU >= 0.5), found with {SCORE} "
        f"or more and no smaller than {AREA[0]:.0%} of the picture. Lost: the share of its score that a box loses when "
        f"the hottest {SHARE:.0%} of its area by each map are hidden; the box is matched by IoU >= 0.5 and class, and "
        f"gone is 0. Random blobs: the mean of two random maps with cells of {CELL} pixels. Hidden places are set to a "
        "blur of the picture, to its mean colour, or to colours interpolated from what is left (ROAD). In brackets the "
        "95 % interval of a bootstrap over photographs.",
    )
