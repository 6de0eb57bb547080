"""Bound MP4 index size before FFmpeg allocates."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SAMPLES = 6 * 3600 * 240
"""Of all tracks: six hours with 240 frames a second, in 250 MB."""
MAX_BOXES = 400_000
"""That are looked at: six hours in fragments of a second have half as many."""
MAX_DEPTH = 10
"""Of boxes within boxes, as FFmpeg takes them."""
_WITHIN = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf")
_PER_PACKET = 1024
"""Samples of uncompressed sound that FFmpeg takes together."""


@dataclass
class _Track:
    samples: int = 0
    in_chunk: int = 0
    chunks: int = 0
    edits: int = 0
    # Of uncompressed sound every sample takes one unit of time, and its chunks are indexed, not its samples.
    each_one: bool = False
    sound: bool = False

    def entries(self) -> int:
        """Return how many entries FFmpeg makes for it."""
        packets = self.chunks * (self.in_chunk // _PER_PACKET + 1)
        return (packets if self.sound and self.each_one else self.samples) * max(1, self.edits - 1)


@dataclass
class _Claims:
    tracks: list[_Track] = field(default_factory=lambda: [_Track()])
    boxes: int = 0

    def add(self, kind: bytes, head: bytes) -> None:
        """Take what the first bytes of a box say."""
        track = self.tracks[-1]
        numbers = struct.unpack(f">{len(head) // 4}I", head[: len(head) // 4 * 4]) + (0,) * 5
        if kind == b"trak":
            self.tracks.append(_Track())
        elif kind in (b"stsz", b"stz2"):
            track.samples += numbers[2]
        elif kind == b"trun":
            track.samples += numbers[1]
        elif kind in (b"stco", b"co64"):
            track.chunks += numbers[1]
        elif kind == b"elst":
            track.edits += numbers[1]
        elif kind == b"stts":
            track.each_one = numbers[1] == 1 and numbers[3] == 1
        elif kind == b"hdlr":
            track.sound |= head[8:12] == b"soun"


def too_many(path: Path) -> bool:
    """Return whether an MP4 or MOV claims more samples than are taken; a file that is damaged claims what it can."""
    found = _Claims()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        for kind, head in _boxes(file, 0, size, found):
            found.add(kind, head)
            if kind == b"stsc":
                found.tracks[-1].in_chunk = _largest_chunk(file, head)
            if found.boxes > MAX_BOXES:
                return True
    return sum(track.entries() for track in found.tracks) > MAX_SAMPLES


def _boxes(file: BinaryIO, at: int, end: int, found: _Claims, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind of each box, and the first bytes of what is in it, behind which the file stands."""
    while at + 8 <= end and found.boxes <= MAX_BOXES:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = at + 8
        if size == 1:
            size, body = int.from_bytes(file.read(8)), at + 16
        after = min(end, at + size) if size else end
        if after <= at or after < body:
            return
        found.boxes += 1
        yield kind, file.read(min(16, after - body))
        if kind in _WITHIN and depth < MAX_DEPTH:
            yield from _boxes(file, body, after, found, depth + 1)
        at = after


def _largest_chunk(file: BinaryIO, head: bytes) -> int:
    count = int.from_bytes(head[4:8])
    rows = head[8:] + file.read(min(12 * count, 12 * MAX_BOXES))
    return max((int.from_bytes(rows[at + 4 : at + 8]) for at in range(0, len(rows) - 7, 12)), default=0)
