"""Work that waits for a page."""

from __future__ import annotations

import threading

import pytest

from sightglass.common.work import progress
from tests.waits import patience


def test_paused_work_goes_on_when_it_is_resumed_or_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    for release in (progress.PausableStop.resume, progress.PausableStop.set):
        monkeypatch.setattr(progress, "PAUSE", patience(60))
        stop, answers = progress.PausableStop(), list[bool]()
        assert not stop.is_set()
        stop.pause()
        work = threading.Thread(target=lambda stop=stop, answers=answers: answers.append(stop.is_set()))
        work.start()
        assert answers == []
        release(stop)
        work.join(patience(10))
        assert answers == [release is progress.PausableStop.set]
