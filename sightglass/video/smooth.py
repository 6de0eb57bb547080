"""Smooth and interpolate maps over time.

The filter is the two-sided exponential, weights exp(-|t - s| / tau): what one exponential average run forward over the
whole series and one run backward give together (Gustafsson 1996, "Determining the initial states in forward-backward
filtering", IEEE Transactions on Signal Processing 44). It is symmetric, so its phase is zero: a map that appears in one
frame stays hottest in that frame. Weights go by time and not by frame, so a clip of variable frame rate is smoothed
evenly. They end at three tau, where 5 % are left, so few frames are in memory.

Only maps of one series are mixed: of the same class, or of the same object.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sightglass.video.parts import Seen, Sighting

REACH = 3.0
"""Multiples of tau at which the weights end."""
MAX_WINDOW = 65
"""Frames in memory; where more lie within the reach, those further away are left out, as many on either side."""
SIDE = MAX_WINDOW // 2


def smooth_maps(records: Iterable[Sighting], tau: float) -> Iterator[Sighting]:
    """Yield the records with each map mixed with those around it; `tau` in seconds, 0 for none."""
    if tau <= 0:
        yield from records
        return
    window: deque[Sighting] = deque()
    place = 0  # of the next record to yield, in the window
    source = iter(records)
    ended = False
    while True:
        while not ended and (
            place >= len(window)
            or (window[-1].seconds - window[place].seconds < REACH * tau and len(window) - 1 - place < SIDE)
        ):
            if (one := next(source, None)) is None:
                ended = True
            else:
                window.append(one)
        if place >= len(window):
            return
        centre = window[place]
        yield replace(centre, seen=tuple(_mix(one, centre, window, place, tau) for one in centre.seen))
        place += 1
        while place > SIDE or (place and window[0].seconds < centre.seconds - REACH * tau):
            window.popleft()
            place -= 1


def _mix(one: Seen, centre: Sighting, window: Sequence[Sighting], place: int, tau: float) -> Seen:
    if one.raws is None:
        return one
    total, sums = 0.0, [np.zeros(raw.shape, np.float64) for raw in one.raws]
    for at in range(max(0, place - SIDE), min(len(window), place + SIDE + 1)):
        other = window[at]
        apart = abs(other.seconds - centre.seconds)
        if apart > REACH * tau:
            continue
        found = one if at == place else next((x for x in other.seen if x.series == one.series), None)
        if found is None or found.raws is None:
            continue
        weight = math.exp(-apart / tau)
        total += weight
        for into, raw in zip(sums, found.raws, strict=True):
            into += weight * raw
    return replace(one, raws=tuple((into / total).astype(np.float32) for into in sums))


def between(first: Sighting, second: Sighting | None, number: int, pts: int, seconds: float) -> Sighting:
    """Return what is drawn over a frame from `first` on and before `second`: the two mixed by how near they are.

    What only the first has is held. None: there is no second, all is held.
    """
    if second is None or number == first.number:
        return replace(first, number=number, pts=pts, seconds=seconds)
    share = (seconds - first.seconds) / max(second.seconds - first.seconds, 1e-9)
    later = {one.series: one for one in second.shown}

    def mix(one: Seen) -> Seen:
        other = later.get(one.series)
        if other is None:
            return one
        box, raws = one.box, one.raws
        if box is not None and other.box is not None:
            box = tuple((1 - share) * a + share * b for a, b in zip(box, other.box, strict=True))  # type: ignore[assignment]
        if raws is not None and other.raws is not None:
            raws = tuple(
                ((1 - share) * a + share * b).astype(np.float32) for a, b in zip(raws, other.raws, strict=True)
            )
        return replace(one, score=(1 - share) * one.score + share * other.score, box=box, raws=raws)

    return replace(first, number=number, pts=pts, seconds=seconds, seen=tuple(mix(one) for one in first.shown))
