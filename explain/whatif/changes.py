"""Describe an edit's changes of the answer; cover the strongest tenth of a map, and as much elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.explanation import Explanation
from sightglass.explain.maps.statistics import COARSE
from sightglass.explain.phrases import percent
from sightglass.explain.rendering.render import hottest_mask
from sightglass.explain.tasks.parts import Change
from sightglass.explain.whatif.edits import Edit, EditMark

SHARE = 0.1
"""Share of what the model saw that is covered."""
MOST = 2_000
"""Points of a mark: a map that is so ragged that it needs more is covered on a coarser grid."""


@own_modes()
def changes(before: Explanation, after: Explanation) -> tuple[Change, ...]:
    """Return an edit's changes of the best classes, or of all boxes.

    A model that compares pictures has neither: its one change is the cosine to the unedited picture, from 1.
    """
    return before.task.scorer.changes(before, after)


def sentence(before: Explanation, changes: Sequence[Change], edit: Edit) -> str:
    """Say what an edit changed, in numbers that were measured."""
    if not edit.marks:
        return before.task.wording.invite(before)
    condition = "With only what you kept" if edit.keep else "Without what you painted over"
    return f"{condition}, {before.task.wording.describe_changes(before.model, changes)}."


def strongest_tenth(explanation: Explanation) -> EditMark | None:
    """Return a mark over the strongest tenth of the first map, or None.

    Edit((strongest_tenth(explanation),), fill="grey")
    """
    mask = _mask(explanation)
    return None if mask is None else _area(explanation, mask)


def elsewhere(explanation: Explanation) -> list[EditMark]:
    """Return the area of `strongest_tenth` moved by half of the seen part: across, down, and both.

    What leaves at one edge comes in at the other.
    """
    if (mask := _mask(explanation)) is None:
        return []
    down, across = (side // 2 for side in mask.shape)
    moves = ((0, across), (down, 0), (down, across))
    return [_area(explanation, np.roll(mask, move, (0, 1))) for move in moves]


def _mask(explanation: Explanation) -> NDArray[np.bool_] | None:
    """Return the strongest tenth of the first map's seen area, bool (h, w)."""
    heatmap = explanation.heatmaps[0].measured if explanation.heatmaps else None
    if heatmap is None or heatmap.state != "ok":
        return None
    left, top, right, bottom = heatmap.seen
    side = min(COARSE, max(right - left, bottom - top))
    while True:
        scale = side / max(right - left, bottom - top)
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        values = cv2.resize(heatmap.strength, size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
        mask = hottest_mask(np.clip(values, 0, 1), SHARE)
        if 2 * len(_runs(mask)) <= MOST:
            return mask if mask.any() else None
        side //= 2


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the row, the first cell and the end of every run of covered cells, int (n, 3)."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    return np.stack([rows, starts, np.nonzero(steps == -1)[1]], axis=1)


def _area(explanation: Explanation, mask: NDArray[np.bool_]) -> EditMark:
    left, top, right, bottom = explanation.heatmaps[0].seen
    (rows, columns), image = mask.shape, explanation.image

    def at(row: int, column: int) -> tuple[float, float]:
        x, y = left + column / columns * (right - left), top + row / rows * (bottom - top)
        # As a browser sends it back.
        return round(float(x) / image.width, 4), round(float(y) / image.height, 4)

    return EditMark("area", tuple(at(*corner) for y, a, b in _runs(mask) for corner in ((y, a), (y + 1, b))))


def covered_sentence(before: Explanation, after: Explanation, share: float, others: Sequence[float]) -> tuple[str, str]:
    """Compare covering the strongest tenth with covering as much elsewhere; say what the answer is now, if another.

    `share`: of the picture that is covered, 0..1; `others`: the scores of `elsewhere`.
    """
    start = f"Covering the strongest {percent(share)} of the picture"
    covered = before.task.wording.describe_covered(before, after, start, float(np.mean(others)))
    best = after.predictions[0].label if before.task.competes else ""
    return covered, "" if not best or best == before.predictions[0].label else f"Now it says {best}."
