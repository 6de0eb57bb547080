"""Rank methods and layers by proof on this picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import balance, find, layer_choices
from sightglass.explain.maps.heatmap import on_content
from sightglass.explain.methods import METHODS, from_evidence, list_methods
from sightglass.explain.phrases import signed
from sightglass.explain.proof import check, check_steps, controls
from sightglass.explain.proof.curves import Order, Perturber
from sightglass.explain.proof.grid import Cell, Grid
from sightglass.explain.proof.ranking import ranking
from sightglass.explain.proof.scores import scorer
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.proof import Filling
    from sightglass.explain.proof.curves import Curve
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Target

    Map = NDArray[np.float32]

STEPS = 10
MAX_LAYERS = 6


@dataclass(frozen=True, slots=True)
class Choice(Grid[Cell]):
    """The matrix of methods and layers for one target of one picture."""

    label: str
    cells: tuple[Cell, ...]

    @property
    def sentence(self) -> str:
        """The best one and why, in measured numbers."""
        if (best := self.best) is None:
            return f"No method at any of these layers shows more of {self.label} than random places do."
        gain, by_chance = signed(best.advantage or 0.0, "+.2f"), signed(best.random, "+.2f")
        return (
            f"{METHODS[best.method].name} at {best.layer} shows most of what {self.label} hangs on here. Keeping its "
            f"hottest parts gives {gain} more of the score than hiding them, random places {by_chance}."
        )

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        fields = ("method", "layer", "advantage", "random")
        best = self.best
        return {
            "target": self.label,
            "sentence": self.sentence,
            "best": None if best is None else {"method": best.method, "layer": best.layer},
            "cells": [{name: getattr(cell, name) for name in fields} for cell in self.cells],
        }


@own_modes()
def choice(
    explanation: Result,
    index: int | str = 0,
    *,
    steps: int = STEPS,
    filling: Filling = "blur",
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[Choice], None] | None = None,
) -> Choice:
    """Prove the maps of every quick method at each of `short_list`'s layers, all of them from one more pass.

    Maps that order the picture alike are followed once. Raises ModelProblem for a model without layers and a target
    that is no single answer; Cancelled within one batch of a stop.
    """
    check(filling)
    check_steps(steps)
    before, target = explanation.evidence, explanation._map(index).measured.target
    resident = before.resident
    if not resident.gradients:
        raise ModelProblem(f"{explanation.model.id} only answers: it has no layers to choose from.")
    perturber = Perturber(before, scorer(before, target, explanation.options), cancel)
    layers = balance(find(resident, short_list(resident)))
    evidence = Evidence(resident, ModelInput(before.tensor, before.geometry), layers)
    orders, places = _orders(evidence, target)
    sizes = (one.shape[-2:] for one in evidence.activations)
    grids = {path: controls.grid_in(evidence.geometry, *size) for path, size in zip(evidence.paths, sizes, strict=True)}
    randoms = _randoms(explanation, sorted(set(grids.values())), perturber.picture.shape[-2:])
    gains: dict[str, list[float]] = {}
    total = len(randoms) + len(orders)

    def make_choice() -> Choice:
        cells = [
            Cell(method, path, None if name is None else gains[name][0], float(np.mean(gains[_name(grids[path])])))
            for (method, path), name in places.items()
            if name is None or name in gains
        ]
        return Choice(target.label, tuple(cells))

    def add_curve(curve: Curve) -> None:
        gains.setdefault(curve.name, []).append(curve.advantage)
        count = sum(map(len, gains.values()))
        if progress is not None:
            progress(count / total, f"{count} of {total} maps")
        if partial is not None and count > len(randoms):
            partial(make_choice())

    perturber.curves([*randoms, *orders], filling, steps, add_curve)
    return make_choice()


def short_list(resident: Resident) -> tuple[str, ...]:
    """Return at most `MAX_LAYERS` paths in the order of execution: the default ones, and the last of each grid.

    Where all grids are the same, as in a ViT, they are spread evenly.
    """
    offers = layer_choices(resident)
    paths = [layer.path for layer in offers.layers]
    chosen = [path for path in offers.default if path in resident.known_layers][:MAX_LAYERS]
    last_of_grid = {layer.shape[1:]: layer.path for layer in offers.layers}
    spread = [paths[int(at)] for at in np.linspace(0, len(paths) - 1, MAX_LAYERS)] if paths else []
    # Deep ones first: in early layers hardly a map is about the class.
    for path in (*reversed(last_of_grid.values()), *reversed(spread)):
        if path not in chosen and len(chosen) < MAX_LAYERS:
            chosen.append(path)
    known = [*resident.known_layers]
    return tuple(sorted(chosen, key=known.index))


def _orders(evidence: Evidence, target: Target) -> tuple[list[Order], dict[tuple[str, str], str | None]]:
    """Return the distinct orders, and by method and layer the name of its own; None for an empty map."""
    methods = [method for method in list_methods(evidence.resident) if method.quick]
    from_evidence.compute(evidence, methods, [target])
    orders: dict[bytes, Order] = {}
    places: dict[tuple[str, str], str | None] = {}
    for method in methods:
        for path, raw in zip(evidence.paths, evidence.raws[method.id, target], strict=True):
            values = on_content([raw[None]], evidence.geometry, [path])
            order = ranking(values) if np.isfinite(values).all() else None
            places[method.id, path] = None
            if order is not None:
                one = orders.setdefault(order.tobytes(), Order(f"{method.id} at {path}", 0, order))
                places[method.id, path] = one.name
    return [*orders.values()], places


def _randoms(explanation: Result, grids: Sequence[tuple[int, int]], shape: Sequence[int]) -> list[Order]:
    seeds = [controls.seed_of(explanation.image.sha256, number) for number in range(controls.SEEDS)]
    size = (int(shape[0]), int(shape[1]))
    return [
        Order(_name(grid), number, places)
        for grid in grids
        for number, seed in enumerate(seeds)
        if (places := ranking(controls.random_map(size, grid, seed))) is not None
    ]


def _name(grid: tuple[int, int]) -> str:
    """Return what the random maps of a grid are called; they have numbers."""
    return f"random {grid[0]} x {grid[1]}"
