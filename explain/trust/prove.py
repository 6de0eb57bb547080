"""Prove a map by hiding and keeping what it shows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import Progress, stopped_by
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.trust import Filling, check, controls
from sightglass.explain.trust.controls import ranking
from sightglass.explain.trust.perturber import STEPS, Perturber
from sightglass.explain.trust.proof import Curve, Proof
from sightglass.explain.trust.support import find_strongest, tested_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.result import Result


FEWER = 10
"""Steps of the strongest control, and of a detector's random maps, whose passes are slow."""
AGAIN = {False: 10, True: 4}
"""Steps of the map's curve for a further filling, of detectors (True) and of other models."""


@own_modes()
def prove(
    explanation: Result,
    index: int | str = 0,
    *,
    steps: int = STEPS,
    fillings: Sequence[Filling] = ("blur", "mean"),
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Proof:
    """Measure the answer with the hottest shares hidden, and kept.

    `steps`: equal shares for the map; controls and further fillings have fewer (`FEWER`, `AGAIN`). `fillings`: values
    of hidden pixels (`FILLINGS`), the main one first, which alone has controls. Raises ModelProblem for a constant map,
    a target without a single answer, and an unknown filling; Cancelled within one batch of a stop.
    """
    for filling in fillings:
        check(filling)
    if not 2 <= steps <= 100:
        raise ModelProblem(f"A proof takes 2 to 100 steps, and not {steps}.")
    if not fillings:
        raise ModelProblem("A proof takes one filling at least.")
    heatmap, position = tested_map(explanation, index, "there is nothing to hide or keep first")
    if ranking(heatmap.strength) is None:
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to hide or keep first.")
    perturber = Perturber(
        explanation.evidence, explanation.task.scorer(explanation.evidence, heatmap.target, explanation.options)
    )
    first, *others = dict.fromkeys(fillings)
    detects, curves = explanation.task.has_boxes, list[Curve]()
    total = 2 + controls.SEEDS + len(others)

    def follow(name: str, maps: Sequence[NDArray[np.float32]], filling: Filling, most: int = steps) -> None:
        ranked = [places for places in map(ranking, maps) if places is not None]
        # Curves of fewer steps are at shares that the map's has too.
        perturber.curves(name, ranked, filling, most if not steps % most else steps, add)

    def add(curve: Curve) -> None:
        curves.append(curve)
        if progress is not None:
            progress(len(curves) / total, f"{len(curves)} of {total} maps")

    with stopped_by(cancel):
        follow("map", [heatmap.strength], first)
        support, strongest = find_strongest(explanation, position)
        follow("strongest", [strongest], first, FEWER)
        shape, grid = heatmap.content.shape, controls.grid_of(heatmap)
        seeds = [controls.seed_of(explanation.image.sha256, number) for number in range(controls.SEEDS)]
        random = [controls.random_map(shape, grid, seed) for seed in seeds]
        follow("random", random, first, FEWER if detects else steps)
        for filling in others:
            follow("map", [heatmap.strength], filling, AGAIN[detects])
    start = float(curves[0].deletion.score[0])
    return Proof(heatmap.target.label, heatmap.target.part, tuple(curves), (first, *others), start, support)
