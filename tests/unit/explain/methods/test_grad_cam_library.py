"""The library that some methods come from is read beside the work, which a stop need not wait for."""

from __future__ import annotations

import threading

import pytest

from sightglass.common.errors import Cancelled
from sightglass.explain.methods import METHODS, grad_cam_library
from sightglass.explain.methods.method import Request


def test_a_stop_does_not_wait_for_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    read, cancel, said = threading.Event(), threading.Event(), list[str]()
    reading = threading.Thread(target=read.wait, args=(60,))
    reading.start()
    monkeypatch.setattr(grad_cam_library, "_reading", lambda: reading)

    def stops(share: float, words: str) -> None:
        said.append(words)
        cancel.set()

    try:
        with pytest.raises(Cancelled):
            grad_cam_library._read_library(METHODS["scorecam"], Request(progress=stops, cancel=cancel))
        assert reading.is_alive()
        assert said == ["Starting ScoreCAM…"]
    finally:
        read.set()
        reading.join()
    grad_cam_library._read_library(METHODS["scorecam"], Request())
