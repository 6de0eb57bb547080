"""Store a clip's answers and maps in parts.

A part is one .npz file: the rows as JSON, and for each layer the raw maps of all its answers that have one, stacked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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
        """What it is one of over time: an object, or else a class."""
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
        """Return what is drawn: the class, or the boxes that belong to an object."""
        return tuple(one for one in self.seen if one.box is None or one.track is not None)


def save(path: Path, records: Sequence[Sighting]) -> None:
    """Write a part, whole or not at all."""
    rows, maps = [], []
    for record in records:
        listed = []
        for one in record.seen:
            listed.append([one.label, one.index, one.score, one.box, one.track, one.raws is not None])
            if one.raws is not None:
                maps.append(one.raws)
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
        Sighting(number, pts, seconds, answer, score, tuple(parse_row(one) for one in listed))
        for number, pts, seconds, answer, score, listed in rows
    ]


def read(paths: Iterable[Path]) -> Iterator[Sighting]:
    """Yield the records of several parts, one part in memory at a time."""
    for path in paths:
        yield from load(path)
