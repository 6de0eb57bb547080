"""Prove a map by hiding and keeping what it shows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import Progress, stopped_by
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.trust import Filling, check, controls
from sightglass.explain.trust.controls import ranking
from sightglass.explain.trust.perturber import STEPS, Order, Perturber
from sightglass.explain.trust.proof import Curve, Proof
from sightglass.explain.trust.support import find_strongest, object_of, tested_map

if TYPE_CHECKING:
    from sightglass.explain.result import Result


FEWER = {
    False: {"blobs": 10, "strongest": 10},
    True: {"strongest": 10, "random": 10, "blobs": 4, "centre": 4, "edges": 4},
}
"""Steps of controls that have fewer than the map: of detectors (True), whose passes are slow, and of other models.
A difference is taken at the steps that both have, and hangs less on their
number than on that of random maps: for 11 boxes of YOLO11n on photographs, differences at 4 steps and at 5 were both
.035 from those at 20 on average, and no verdict differed between the two."""
AGAIN = {False: 10, True: 4}
"""Steps of all curves of a further filling, of detectors (True) and of other models."""
REPEATED = ("random", "blobs")
"""The controls whose difference has an interval: only they are followed with a further filling."""


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
    of hidden pixels (`FILLINGS`), the main one first. Raises ModelProblem for a constant map, a target without a single
    answer, and an unknown filling; Cancelled within one batch of a stop.
    """
    for filling in fillings:
        check(filling)
    if not 2 <= steps <= 100:
        raise ModelProblem(f"A proof takes 2 to 100 steps, and not {steps}.")
    if not fillings:
        raise ModelProblem("A proof takes one filling at least.")
    heatmap, position = tested_map(explanation, index, "there is nothing to hide or keep first")
    places = ranking(heatmap.strength)
    if places is None:
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to hide or keep first.")
    score = explanation.task.scorer(explanation.evidence, heatmap.target, explanation.options)
    perturber = Perturber(explanation.evidence, score)
    work = _Work(explanation, position, perturber, steps, progress or (lambda *_: None))
    with stopped_by(cancel):
        return work.run(Order("map", 0, places), fillings)


class _Work:
    """A running proof: the map's curve first, then each control's."""

    def __init__(self, explanation: Result, index: int, perturber: Perturber, steps: int, progress: Progress) -> None:
        self._explanation, self._index, self._perturber = explanation, index, perturber
        self._steps, self._progress = steps, progress
        self._detects = explanation.task.has_boxes
        self._made: list[Curve] = []
        self._total = 1

    def run(self, order: Order, fillings: Sequence[Filling]) -> Proof:
        """Return the proof of a map by its order."""
        first, *others = fillings
        inside = object_of(self._explanation, self._index)
        names = ["random", "centre", "edges"]
        if inside.any() and not inside.all():
            names.insert(1, "blobs")
        repeated = 1 + controls.SEEDS * sum(name in REPEATED for name in names)
        self._total = repeated * len(fillings) + sum(name not in REPEATED for name in names) + 1
        self._perturber.curves([order], first, self._steps, self._add_curve)
        support, strongest = find_strongest(self._explanation, self._index, perturber=self._perturber)
        orders = _order("strongest", [strongest])
        self._perturber.curves(orders, first, self._among(FEWER[self._detects]["strongest"]), self._add_curve)
        again = [order]
        for name in names:
            orders = self._orders(name, inside)
            self._perturber.curves(orders, first, self._among(FEWER[self._detects].get(name)), self._add_curve)
            again += orders if name in REPEATED else []
        for filling in others:
            self._perturber.curves(again, filling, self._among(AGAIN[self._detects]), self._add_curve)
        target, start = self._explanation.heatmaps[self._index].measured.target, self._made[0].deletion.score[0]
        return Proof(
            target.label, target.part, tuple(self._made), tuple(dict.fromkeys(fillings)), float(start), support
        )

    def _among(self, fewer: int | None) -> int:
        """Return `fewer` steps if all steps include these, else all."""
        return fewer if fewer is not None and not self._steps % fewer else self._steps

    def _add_curve(self, curve: Curve) -> None:
        self._made.append(curve)
        count = len(self._made)
        self._progress(count / self._total, f"{count} of {self._total} maps")

    def _orders(self, name: str, inside: NDArray[np.bool_]) -> list[Order]:
        """Return a control's orders over the content; none without edges."""
        explanation, heatmap = self._explanation, self._explanation.heatmaps[self._index]
        shape, grid = inside.shape, controls.grid_of(heatmap)
        start = controls.SEEDS * (name == "blobs")
        seeds = [controls.seed_of(explanation.image.sha256, start + number) for number in range(controls.SEEDS)]
        makers: dict[str, Callable[[], list[Any]]] = {
            "random": lambda: [controls.random_map(shape, grid, seed) for seed in seeds],
            "blobs": lambda: [controls.blobs(inside, grid, seed) for seed in seeds],
            "centre": lambda: [controls.centre(shape)],
            "edges": lambda: [controls.edges(controls.pixels_of(self._perturber.picture))],
        }
        return _order(name, makers[name]())


def _order(name: str, maps: Sequence[NDArray[np.float32]]) -> list[Order]:
    ranked = enumerate(map(ranking, maps))
    return [Order(name, number, places) for number, places in ranked if places is not None]
