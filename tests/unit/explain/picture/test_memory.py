"""Decoding takes little more memory than its result, and large pictures take turns."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.explain.picture import decode
from sightglass.explain.picture.decode import MemoryGate, copy


@pytest.mark.parametrize("size", [(7, 5), (3000, 1), (1, 3000), (1000, 999)])
def test_strips_hold_every_pixel(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "STRIP", 2000)
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = copy(Pillow.fromarray(pixels))
    np.testing.assert_array_equal(made, pixels)
    assert made.flags.owndata
    assert made.flags.c_contiguous


def test_copying_takes_little_more_than_the_copy() -> None:
    image = Pillow.new("RGB", (6000, 6000))
    tracemalloc.start()
    try:
        made = copy(image)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * made.nbytes
    finally:
        tracemalloc.stop()


def test_what_does_not_fit_waits_and_what_never_fits_is_admitted_alone() -> None:
    turns, entered, leave = MemoryGate(10), threading.Event(), threading.Event()

    def large() -> None:
        with turns.take(25):
            entered.set()
            leave.wait(10)

    with turns.take(4), turns.take(6):
        thread = threading.Thread(target=large)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(10)
    assert turns.used == 25
    leave.set()
    thread.join(10)
    assert turns.used == 0
