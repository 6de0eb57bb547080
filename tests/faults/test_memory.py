"""No file costs more memory than its bytes and its pixels allow, whatever it claims and however it unpacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchmarks.processes import HAS_PROC
from sightglass.explain.picture.image import MAX_BYTES
from tests import corpus
from tests.faults.outcome import is_one_sentence
from tests.faults.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not HAS_PROC, reason="counts memory in /proc")
FILE = 4
"""Bytes for each byte of a file: as it came, as text, and its parts."""
PIXELS = 7
"""Bytes for each byte of the pixels that a picture has in the end, 20 a pixel."""
INDEX = 304
"""MiB for a clip with the longest index that is taken."""
FRAMES = 48 + 4 * min((os.cpu_count() or 1) + 1, 16)
"""The same for a clip's frame: a decoder holds those that others are made from, of up to twice its bytes, and one in
each of its threads."""
SLIDE = 96
"""MiB for a slide of a deck with the most maps that it may have: 63 of maps. Two at once are more."""
SLACK = 48
"""MiB for whatever is read, or refused."""
UNPACKED = SLACK + 2 * MAX_BYTES / 2**20
"""MiB for a picture that is unpacked from an archive: its file, and the copy that it is joined into."""


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


def bounded(
    reader: Reader,
    door: str,
    files: corpus.Files,
    folder: Path,
    *,
    slack: float = SLACK,
    pixels: float = PIXELS,
    taken: bool = False,
) -> str:
    """Read the files by one door; return what the most was. `taken`: none of them is refused."""
    most = (0.0, "")
    for i, (name, data) in enumerate(files.items()):
        path = folder / f"{i}.zip" if name.endswith(".zip") else folder / f"{i}"
        path.write_bytes(data)
        found = reader.read(door, path, name)
        assert not found.problem or (is_one_sentence(found.problem) and not taken), (name, found.problem)
        allowed = slack + FILE * len(data) / 2**20 + pixels * found.held
        print(f"{door} {name}: {found.mib:.0f} MiB of {allowed:.0f}, {found.held:.1f} held {found.problem}")
        assert found.mib <= allowed, (name, found)
        path.unlink()
        most = max(most, (found.mib, name))
    return f"{door}: {len(files)} files, at most {most[0]:.0f} MiB ({most[1]})"


@pytest.mark.slow
@pytest.mark.parametrize("door", ["library", "http"])
def test_bad_pictures_cost_no_more_than_their_pixels(reader: Reader, door: str, tmp_path: Path) -> None:
    print(bounded(reader, door, corpus.pictures() | corpus.arrays(), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("side", [2000, 10_000])
def test_pictures_as_large_as_are_taken(reader: Reader, side: int, tmp_path: Path) -> None:
    print(bounded(reader, "library", corpus.largest(side), tmp_path))


def test_an_archive_costs_no_more_than_one_of_its_pictures(reader: Reader, tmp_path: Path) -> None:
    print(bounded(reader, "batch", corpus.archives(), tmp_path, slack=UNPACKED))


@pytest.mark.slow
def test_an_archive_of_large_pictures_costs_no_more_than_one(reader: Reader, tmp_path: Path) -> None:
    files = corpus.largest(5000)
    print(bounded(reader, "batch", {"large.zip": corpus.zip_of(files)}, tmp_path, slack=UNPACKED))


def test_bad_clips_cost_no_more_than_their_frames(reader: Reader, tmp_path: Path) -> None:
    print(bounded(reader, "video", corpus.clips(tmp_path), tmp_path, slack=INDEX))


@pytest.mark.parametrize(("side", "frames"), [(1000, 40), pytest.param(6000, 10, marks=pytest.mark.slow)])
def test_clips_as_large_as_are_taken(reader: Reader, side: int, frames: int, tmp_path: Path) -> None:
    print(bounded(reader, "video", corpus.large_clips(tmp_path, side, frames), tmp_path, pixels=FRAMES, taken=True))


def test_decks_that_unpack_to_more_cost_one_slide(reader: Reader, tmp_path: Path) -> None:
    files = corpus.archives() | corpus.decks()
    print(bounded(reader, "deck", files, tmp_path, slack=SLIDE))
