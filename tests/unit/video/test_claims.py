"""What the index of an MP4 claims is counted before FFmpeg makes room for it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from sightglass.video.clips.claims import MAX_SAMPLES, too_many

if TYPE_CHECKING:
    from pathlib import Path


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def clip(samples: int) -> bytes:
    """The boxes of one track whose table says that it has so many samples of one size."""
    found = box(b"stsz", struct.pack(">III", 0, 1, samples))
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        found = box(kind, found)
    return box(b"ftyp", b"isom") + found


@pytest.mark.parametrize(("samples", "refused"), [(1000, False), (MAX_SAMPLES, False), (MAX_SAMPLES + 1, True)])
def test_samples_that_a_table_claims(samples: int, refused: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip(samples))
    assert too_many(path) is refused


@pytest.mark.parametrize("kind", [b"moov", b"trak"])
def test_boxes_within_boxes_end(kind: bytes, tmp_path: Path) -> None:
    found = b""
    for _ in range(5000):
        found = box(kind, found)
    path = tmp_path / "a.mp4"
    path.write_bytes(found)
    assert not too_many(path)
    path.write_bytes(found[:-3])
    assert not too_many(path)
