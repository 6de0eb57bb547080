"""Cover the strongest tenth of a map, and as much elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.maps.statistics import COARSE
from sightglass.explain.phrases import describe_score, kinds, percent
from sightglass.explain.rendering.render import hottest_mask
from sightglass.explain.whatif.changes import KINDS, all_classes, cosine, match
from sightglass.explain.whatif.edits import EditMark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

SHARE = 0.1
"""Share of what the model saw that is covered."""
DRAWS = 5
"""Random places whose scores are averaged."""
TRIES = 8
"""Moves of which a draw takes the one that overlaps the strongest tenth least."""
MOST = 2_000
"""Points of a mark: a map that is so ragged that it needs more is covered on a coarser grid."""


def strongest_tenth(explanation: Explanation) -> EditMark | None:
    """Return the mark that covers the strongest tenth of the first map; None where there is no map, or an empty one.

    Edit((strongest_tenth(explanation),), fill="grey")
    """
    mask = _mask(explanation)
    return None if mask is None else _area(explanation, mask)


def elsewhere(explanation: Explanation) -> list[EditMark]:
    """Return `DRAWS` marks of the same area at random places of what the model saw, the same ones each time.

    The area of `strongest_tenth` is moved as it is; what leaves at one edge comes in at the other.
    """
    mask = _mask(explanation)
    if mask is None:
        return []
    marks = []
    for seed in range(DRAWS):
        moves = np.random.default_rng(seed).integers(mask.shape, size=(TRIES, 2))
        moved = [np.roll(mask, tuple(move), (0, 1)) for move in moves]
        marks.append(_area(explanation, min(moved, key=lambda one: np.count_nonzero(one & mask))))
    return marks


def _mask(explanation: Explanation) -> NDArray[np.bool_] | None:
    """Return the strongest tenth of the first map on a grid over what the model saw, bool (h, w)."""
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


@own_modes()
def score_of_map(before: Explanation, after: Explanation) -> float:
    """Return how sure the model is, after an edit, of what the first map of `before` is of, 0..1.

    Of a class its score; of boxes the mean, where a box that vanished counts with the candidate at its place; of a
    model that compares pictures the cosine to the unedited one, -1..1.
    """
    if before.model.task == "embed":
        return cosine(before, after)
    own = before.own()
    if not own:
        index = before.heatmaps[0].target.index
        return next((p.score for p in all_classes(after) if p.index == index), 0.0)
    scores = []
    for box, change in zip(own, match(own, after.predictions), strict=False):
        found = after.missing(box.box, box.label) if change.after is None else None
        scores.append(found.candidate.score if found else change.after or 0.0)
    return float(np.mean(scores))


def covered_sentence(before: Explanation, after: Explanation, share: float, others: Sequence[float]) -> str:
    """Say what covering the strongest tenth changes, and what covering as much elsewhere does.

    `share`: of the picture that is covered, 0..1; `others`: the scores of `elsewhere`.
    """
    start = f"Covering the strongest {percent(share)} of the picture"
    label = before.heatmaps[0].target.label
    new, other = (
        describe_score(score, before.model, label) for score in (score_of_map(before, after), float(np.mean(others)))
    )
    if before.model.task == "embed":
        return f"{start} leaves it {new} similar to the original; as much elsewhere, {other}."
    own = before.own()
    name = label
    if len(own) > 1:
        name = f"the mean of {kinds(Counter(box.label for box in own).most_common(), KINDS)}"
    old = describe_score(score_of_map(before, before), before.model, label)
    said = f"{start} takes {name} from {old} to {new}; as much elsewhere leaves {other}."
    best = after.predictions[0].label if before.model.task == "classify" and after.predictions else ""
    return f"{said} Now it says {best}." if best and best != before.predictions[0].label else said
