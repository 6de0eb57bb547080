"""Compare two records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.errors import Problem
from sightglass.explain.findings.diagnosis import CROPPED
from sightglass.explain.maps import statistics
from sightglass.explain.maps.statistics import describe_place
from sightglass.explain.phrases import percent
from sightglass.explain.rendering import render
from sightglass.history.records import RecordComparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.maps.statistics import Agreement
    from sightglass.history.records import Record, SavedMap

Box = tuple[int, int, int, int]
ALIKE, APART = 0.6, 0.3
"""Overlap of the hottest fifths: from ALIKE two maps look at the same place, below APART at different ones."""


def compare(one: Record, other: Record, maps: Sequence[SavedMap], other_maps: Sequence[SavedMap]) -> RecordComparison:
    """Compare the selected maps of two records, given all maps of each; raise Problem for a pair of pictures."""
    if one.pair or other.pair:
        raise Problem("A comparison of two pictures cannot be compared with another record: open each by itself.")
    first, second = _select(one, maps), _select(other, other_maps)
    same = one.picture_sha256 == other.picture_sha256
    numbers = (one.statistics, other.statistics)
    words = [sentence for sentence in (_answers(one, other), *_places((one, first), (other, second))) if sentence]
    seen = None
    if not same:
        size = "" if (one.width, one.height) != (other.width, other.height) else ", though of one size"
        why = f"These are two pictures{size}: their maps cannot be laid over each other, so compare their numbers."
    elif first is None or second is None:
        why = f"It is one picture, but {'neither has a map' if first is second else 'only one has a map'} to compare."
    elif (seen := common(first.seen, second.seen)) is None:
        why = "It is one picture, and no part of it was seen by both models."
    if seen is None or first is None or second is None:
        return RecordComparison(one, other, same, None, None, None, numbers, (why, *words))
    a, b = grid(first, seen), grid(second, seen)
    agreement, difference = statistics.compare(a, b), render.share_difference(a, b)
    # Of a map that random weights draw as well, nobody looked anywhere.
    verb = "their maps mark" if any(_shows_else(record) for record in (one, other)) else "they look at"
    words = [_agree(first, second, agreement, verb), *words]
    return RecordComparison(one, other, same, agreement, difference, seen, numbers, tuple(words))


def _shows_else(record: Record) -> bool:
    seal = record.seal_of(record.index)
    return seal is not None and bool(seal.shows)


def common(one: Box, other: Box) -> Box | None:
    """Return the part that both saw; None if there is none."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def grid(found: SavedMap, seen: Box) -> NDArray[np.float32]:
    """Return a map over a part of its picture, float32 (h, w) with at most 320 cells a side."""
    left, top, right, bottom = seen
    geometry = found.geometry
    values = np.clip(geometry.to_original(geometry.to_input(found.measured)), 0, 1)
    return statistics.coarse(values[top:bottom, left:right])


def _select(record: Record, maps: Sequence[SavedMap]) -> SavedMap | None:
    return maps[record.index] if record.index < len(maps) and maps[record.index].state == "ok" else None


def _agree(first: SavedMap, second: SavedMap, agreement: Agreement, verb: str) -> str:
    overlap = agreement.iou_top20
    if np.array_equal(first.measured, second.measured) and first.geometry == second.geometry:
        return "It is one picture, and the two maps are the same in every cell."
    where = (
        "the same place" if overlap >= ALIKE else "other places" if overlap < APART else "places that partly overlap"
    )
    return (
        f"It is one picture, and {verb} {where}: the hottest fifths of the two maps overlap by {percent(overlap)}. "
        f"Their order of warm and cold agrees by {agreement.rank_correlation:.2f} (1 is the same, 0 is chance)."
    )


def _answers(one: Record, other: Record) -> str:
    first, second = best = [next(iter(record.predictions), None) for record in (one, other)]
    if one.task == other.task == "embed":
        return ""
    if first and second and first.label == second.label:
        return f"Both say {first.label}: {percent(first.score)} and {percent(second.score)}."
    parts = [f"{answer.label} ({percent(answer.score)})" if answer else "nothing" for answer in best]
    return f"The first says {parts[0]}, the second {parts[1]}."


def _places(*both: tuple[Record, SavedMap | None]) -> tuple[str, ...]:
    """Return a sentence on where each map is hottest."""
    found = []
    for name, (record, looked) in zip(("first", "second"), both, strict=True):
        if looked is None or not looked.statistics.regions:
            continue
        place = describe_place(looked.statistics, looked.seen)
        left, top, right, bottom = looked.seen
        unseen = 1 - (right - left) * (bottom - top) / (record.width * record.height)
        part = "of the visible area" if unseen >= CROPPED else "of the picture"
        half = percent(looked.statistics.half_heat_area)
        of = "it" if _shows_else(record) else "its evidence"
        found.append(f"The {name} ({record.label}) is hottest {place}: half of {of} is on {half} {part}.")
    return tuple(found)
