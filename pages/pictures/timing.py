"""Measure how long models take for a picture, alone and in turns."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import write_file
from sightglass.explain import Explainer
from sightglass.explain.options import Options
from sightglass.explain.phrases import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from threading import Event

    from sightglass.explain.picture.image import Image
    from sightglass.explain.picture.item import Item
    from sightglass.pages.pictures.job import RunPlan

FILE = "speed.json"
"""In a run's folder: the milliseconds of its model, or nothing where they could not be measured."""
PICTURES, ROUNDS = 4, 4
STEADY = 1.6
"""Times the lower quartile that the upper one may be: what varies more says that something else was running."""
UNKNOWN = "not measurable now"


def measure(plans: Sequence[RunPlan], items: Sequence[Item], cancel: Event) -> None:
    """Time the models of a finished run in turns; keep the result beside their tables."""
    explainers = [Explainer(plan.model) for plan in plans]
    times: list[list[float]] = [[] for _ in plans]
    for item in items[:PICTURES]:
        try:
            image = item.open()
        except Problem:
            continue
        for number in range(ROUNDS + 1):
            for explainer, taken in zip(explainers, times, strict=True):
                if cancel.is_set():
                    return
                begun = time.perf_counter()
                _answer(explainer, image)
                # The first pass prepares what the others use.
                if number:
                    taken.append(1e3 * (time.perf_counter() - begun))
    quartiles = [np.percentile(taken, [25, 50, 75]).tolist() if taken else [] for taken in times]
    steady = all(each and each[2] <= STEADY * each[0] for each in quartiles)
    for plan, each in zip(plans, quartiles, strict=True):
        write_file(plan.folder / FILE, json.dumps(each if steady else []).encode())


def _answer(explainer: Explainer, image: Image) -> None:
    def work(resident: Any, _notes: tuple[str, ...]) -> Any:
        return explainer.fresh_evidence(resident, image, Options())

    explainer.with_oom_fallback(work)


def describe(folder: Path) -> str:
    """Return `34 ms`; that it could not be measured; empty of a run whose time nobody asked for."""
    try:
        quartiles: Any = json.loads((folder / FILE).read_bytes())
        return milliseconds(float(quartiles[1])) if quartiles else UNKNOWN
    except (OSError, ValueError, TypeError, IndexError):
        return ""
