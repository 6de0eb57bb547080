"""Measure where evidence lies: on the object, others, the border."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation.evaluation import Look
from sightglass.explain.maps.boxes import cover_box
from sightglass.explain.maps.statistics import RING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.error_types import MatchedBoxes
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box


def find_objects(matched: MatchedBoxes, found: Sequence[Prediction]) -> dict[int, TrueBox]:
    """Return the labelled object that each answer is about, by its index in `found`; none of a background error.

    `found` are those that were matched, the same objects.
    """
    about = {id(one): of for one, of in zip(matched.right, matched.objects, strict=True)}
    about |= {id(one.predicted): one.truth for one in matched.errors if one.predicted and one.truth}
    return {i: about[id(one)] for i, one in enumerate(found) if id(one) in about}


def measure_looks(
    maps: Mapping[int, NDArray[np.uint8]],
    about: Mapping[int, TrueBox],
    truths: Sequence[TrueBox],
    size: tuple[int, int],
    seen: Box,
) -> dict[int, Look]:
    """Return where each map's evidence lies, by the index of its answer; none of a map without any.

    `maps`: (h, w) over the whole picture. `about`: the object of each answer. `size`: width and height of the picture;
    `seen`: xyxy of what the model saw of it, both in its pixels.
    """
    if not maps:
        return {}
    shape = next(iter(maps.values())).shape
    grid, extent = (shape[0], shape[1]), (0.0, 0.0, float(size[0]), float(size[1]))
    covers = {id(one): cover_box(grid, extent, one.box) for one in truths}
    x0, y0, x1, y1 = seen
    across, down = RING * (x1 - x0), RING * (y1 - y0)
    border = 1 - cover_box(grid, extent, (x0 + across, y0 + down, x1 - across, y1 - down))
    nowhere = np.zeros(grid, np.float32)
    looks = {}
    for i, values in maps.items():
        heat = values.astype(np.float32)
        if not (total := float(heat.sum(dtype=np.float64))):
            continue
        own = about.get(i)
        mine = nowhere if own is None else covers[id(own)]
        others = [cover for key, cover in covers.items() if own is None or key != id(own)]
        theirs = np.maximum.reduce(others) * (1 - mine) if others else nowhere
        shares = [float((heat * part).sum(dtype=np.float64)) / total for part in (mine, theirs, border)]
        looks[i] = Look(float("nan") if own is None else shares[0], shares[1], shares[2])
    return looks
