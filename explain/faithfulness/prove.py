"""Prove a map: how much of the answer goes with what it shows, beside control maps that show something else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import ModelProblem, Problem
from explain.faithfulness import FILLINGS, controls
from explain.faithfulness.curves import STEPS, Curve, Order, Perturber
from explain.faithfulness.proof import Proof
from explain.faithfulness.ranking import ranking
from explain.faithfulness.scores import scorer
from explain.maps.heatmap import on_content
from explain.maps.statistics import coarse, compare
from explain.methods import METHODS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from explain.faithfulness import Filling
    from explain.maps.heatmap import Heatmap
    from explain.progress import Progress
    from explain.result import Result


def prove(
    explanation: Result,
    index: int | str = 0,
    *,
    steps: int = STEPS,
    fillings: Sequence[Filling] = ("blur", "mean"),
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[Proof], None] | None = None,
) -> Proof:
    """Hide and keep the hottest shares of one map and of its controls, and follow the answer.

    `steps` of equal shares; `fillings` are what hidden pixels are set to (`filling.FILLINGS`), the first is the main
    one. `partial` is called with what is there after each map. Raises ModelProblem for a map that is empty or the same
    everywhere, a target that is no single answer, and an unknown filling; Cancelled within one batch of a stop.
    """
    for one in fillings:
        if one not in FILLINGS:
            raise ModelProblem(f"There is no filling called {one}: use one of {', '.join(FILLINGS)}.")
    if not fillings or not 2 <= steps <= 100:
        raise ModelProblem("A proof takes one filling at least, and 2 to 100 steps.")
    shown = explanation._map(index)
    heatmap, position = shown.measured, explanation.heatmaps.index(shown)
    places = ranking(heatmap.content) if heatmap.state == "ok" else None
    if places is None:
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to hide or keep first.")
    other, name = _runner_up(explanation, position)
    perturber = Perturber(
        explanation.evidence, scorer(explanation.evidence, heatmap.target, explanation.options), cancel
    )
    orders = [Order("map", 0, places), *_controls(explanation, position, perturber.picture, other)]
    # What the sentence is made of comes first.
    first, rest = fillings[0], [order for order in orders if order.name in ("map", "random", "blobs")]
    total = len(orders) + len(rest) * (len(fillings) - 1)
    similar = None if other is None else compare(heatmap.coarse, coarse(other))
    made: list[Curve] = []

    def proof() -> Proof:
        start = float(made[0].deletion.score[0])
        used = tuple(dict.fromkeys(curve.filling for curve in made))
        return Proof(heatmap.target.label, heatmap.target.part, tuple(made), used, start, similar, name)

    def done(curve: Curve) -> None:
        made.append(curve)
        if progress is not None:
            progress(len(made) / total, f"{len(made)} of {total} maps")
        if partial is not None:
            partial(proof())

    perturber.curves(orders, first, steps, done)
    for filling in fillings[1:]:
        perturber.curves(rest, filling, steps, done)
    return proof()


def _controls(explanation: Result, index: int, picture: Tensor, other: NDArray[np.float32] | None) -> list[Order]:
    """Return the control maps' orders over the content of the model's input, `picture` (1, C, h, w)."""
    heatmap = explanation.heatmaps[index].measured
    content = heatmap.content
    shape, grid = content.shape, grid_of(explanation, explanation.heatmaps[index])
    inside, sha256 = object_of(explanation, index), explanation.image.sha256
    seeds = [controls.seed_of(sha256, number) for number in range(2 * controls.SEEDS)]
    made: list[tuple[str, int, Any]] = [
        ("random", number, controls.random_map(shape, grid, seeds[number])) for number in range(controls.SEEDS)
    ]
    if inside.any() and not inside.all():
        made += [
            ("blobs", number, controls.blobs(inside, grid, seeds[controls.SEEDS + number]))
            for number in range(controls.SEEDS)
        ]
    made += [("centre", 0, controls.centre(shape)), ("edges", 0, controls.edges(controls.pixels_of(picture)))]
    if other is not None:
        made.append(("runner-up", 0, other))
    orders = ((name, number, ranking(values)) for name, number, values in made)
    return [Order(name, number, places) for name, number, places in orders if places is not None]


def grid_of(explanation: Result, heatmap: Heatmap) -> tuple[int, int]:
    """Return the rows and columns of cells in the content that a map was computed on, the finest of its layers."""
    rows, columns = max((one.shape for one in heatmap.raw), key=math.prod)
    return controls.grid_in(explanation.evidence.geometry, rows, columns)


def object_of(explanation: Result, index: int) -> NDArray[np.bool_]:
    """Return where the object is, bool (h, w) over the content: in its boxes, else where the map is hottest."""
    heatmap, geometry = explanation.heatmaps[index].measured, explanation.evidence.geometry
    found = np.zeros(heatmap.content.shape, bool)
    left, top, _, _ = geometry.content
    for prediction in explanation.own(index):
        assert prediction.box is not None
        x0, y0, x1, y1 = prediction.box
        (sy, sx), (oy, ox) = geometry.scale, geometry.offset
        rows = slice(max(round(y0 * sy + oy) - top, 0), max(round(y1 * sy + oy) - top, 0))
        columns = slice(max(round(x0 * sx + ox) - left, 0), max(round(x1 * sx + ox) - left, 0))
        found[rows, columns] = True
    return found if found.any() else controls.hottest_region(heatmap.content)


def _runner_up(explanation: Result, index: int) -> tuple[NDArray[np.float32] | None, str]:
    """Return the map (h, w) of the next best class over the content, and its name; None where it costs passes.

    Of a box it is the next best class of the same candidate.
    """
    heatmap, evidence = explanation.heatmaps[index].measured, explanation.evidence
    method, target, adapter = METHODS[heatmap.method], heatmap.target, evidence.resident.adapter
    if not (method.quick and method.per_class) or target.index is None or len(adapter.labels) < 2:
        return None, ""
    if adapter.detects:
        if len(target.anchors) != 1:
            return None, ""
        scores = evidence.outputs.scores[0, :, target.anchors[0]].clone()
    else:
        scores = adapter.class_logits(evidence.outputs)[0].detach().clone()
    scores = scores[: len(adapter.labels)]
    scores[target.index] = float("-inf")
    best = int(scores.argmax())
    try:
        raw = method.run(evidence, [replace(target, index=best, label=adapter.labels[best])])
    except Problem:
        return None, ""
    return on_content(raw.maps, evidence.geometry), adapter.labels[best]
