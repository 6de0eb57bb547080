"""Store a clip's answers and maps in parts.

A part is one .npz file: the rows as JSON, and for each layer the raw maps of all its answers that have one, stacked.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.files import jsonable, npz_bytes, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.models.geometry import Box

    Raws = tuple[NDArray[np.float32], ...]
    """One map (h, w) per layer, signed, as computed."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One answer in a frame: a class, or a box with the number of its object."""

    label: str
    index: int
    score: float
    box: Box | None = None
    """xyxy in pixels of the clip's frames."""
    track: int | None = None
    raws: Raws | None = None
    """None: no map was made of it."""

    @property
    def series(self) -> tuple[int, int]:
        """Key of its series: an object, or else a class."""
        return (1, self.track) if self.track is not None else (0, self.index)


@dataclass(frozen=True, eq=False)
class Sighting:
    """What the model saw in one frame."""

    number: int
    pts: int
    seconds: float
    answer: str
    """A classifier's best class; empty for a detector."""
    score: float
    seen: tuple[Seen, ...]
    """A classifier's one class, or every box that a detector was at all sure of, also those that belong to no object:
    with these the objects can be followed again."""

    @property
    def shown(self) -> tuple[Seen, ...]:
        """Return the drawn items: the class, or boxes with a track."""
        return tuple(seen for seen in self.seen if seen.box is None or seen.track is not None)


def save(path: Path, records: Sequence[Sighting]) -> None:
    """Write a part, whole or not at all."""
    rows, maps = [], []
    for record in records:
        listed = []
        for seen in record.seen:
            listed.append([seen.label, seen.index, seen.score, seen.box, seen.track, seen.raws is not None])
            if seen.raws is not None:
                maps.append(seen.raws)
        rows.append([record.number, record.pts, record.seconds, record.answer, record.score, listed])
    text = json.dumps(jsonable(rows)).encode()
    arrays: dict[str, Any] = {"rows": np.frombuffer(text, np.uint8)}
    arrays |= {f"layer{i}": np.stack(layer) for i, layer in enumerate(zip(*maps, strict=True))}
    # A detector's maps are nearly everywhere 0.
    write_file(path, npz_bytes(arrays, compress=True))


def load(path: Path) -> list[Sighting]:
    """Read a part."""
    with np.load(path) as file:
        rows = json.loads(bytes(file["rows"]))
        layers = [file[f"layer{i}"] for i in range(len(file.files) - 1)]
    maps: Iterator[Raws] = iter(zip(*layers, strict=True))

    def parse_row(row: Sequence[Any]) -> Seen:
        label, index, score, box, track, mapped = row
        return Seen(label, index, score, tuple(box) if box else None, track, next(maps) if mapped else None)

    return [
        Sighting(number, pts, seconds, answer, score, tuple(parse_row(fields) for fields in listed))
        for number, pts, seconds, answer, score, listed in rows
    ]


REACH = 3.0
"""Multiples of tau at which the weights end."""
MAX_WINDOW = 65
"""Frames in memory; where more lie within the reach, those further away are left out, as many on either side."""
SIDE = MAX_WINDOW // 2


def smooth_maps(records: Iterable[Sighting], tau: float) -> Iterator[Sighting]:
    """Yield the records with smoothed maps; `tau` in seconds."""
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
            if (sighting := next(source, None)) is None:
                ended = True
            else:
                window.append(sighting)
        if place >= len(window):
            return
        centre = window[place]
        yield replace(centre, seen=tuple(_mix(seen, centre, window, place, tau) for seen in centre.seen))
        place += 1
        while place > SIDE or (place and window[0].seconds < centre.seconds - REACH * tau):
            window.popleft()
            place -= 1


def _mix(seen: Seen, centre: Sighting, window: Sequence[Sighting], place: int, tau: float) -> Seen:
    if seen.raws is None:
        return seen
    total, sums = 0.0, [np.zeros(raw.shape, np.float64) for raw in seen.raws]
    for at in range(max(0, place - SIDE), min(len(window), place + SIDE + 1)):
        other = window[at]
        apart = abs(other.seconds - centre.seconds)
        if apart > REACH * tau:
            continue
        match = seen if at == place else next((x for x in other.seen if x.series == seen.series), None)
        if match is None or match.raws is None:
            continue
        weight = math.exp(-apart / tau)
        total += weight
        for into, raw in zip(sums, match.raws, strict=True):
            into += weight * raw
    return replace(seen, raws=tuple((into / total).astype(np.float32) for into in sums))


def between(first: Sighting, second: Sighting | None, number: int, pts: int, seconds: float) -> Sighting:
    """Interpolate a record between `first` and `second`.

    What only the first has is held. None: there is no second, all is held.
    """
    if second is None or number == first.number:
        return replace(first, number=number, pts=pts, seconds=seconds)
    share = (seconds - first.seconds) / max(second.seconds - first.seconds, 1e-9)
    later = {seen.series: seen for seen in second.shown}

    def mix(seen: Seen) -> Seen:
        other = later.get(seen.series)
        if other is None:
            return seen
        box, raws = seen.box, seen.raws
        if box is not None and other.box is not None:
            box = tuple((1 - share) * a + share * b for a, b in zip(box, other.box, strict=True))  # type: ignore[assignment]
        if raws is not None and other.raws is not None:
            raws = tuple(
                ((1 - share) * a + share * b).astype(np.float32) for a, b in zip(raws, other.raws, strict=True)
            )
        return replace(seen, score=(1 - share) * seen.score + share * other.score, box=box, raws=raws)

    return replace(first, number=number, pts=pts, seconds=seconds, seen=tuple(mix(seen) for seen in first.shown))
