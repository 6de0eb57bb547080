"""Work that is cancelled, waits for a page, or ends with its process."""

from __future__ import annotations

import threading
import time

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


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what other tests run is told to stop."""
    monkeypatch.setattr(progress, "_STOPPING", threading.Event())
    monkeypatch.setattr(progress, "_STOPS", [])
    monkeypatch.setattr(progress, "_BUSY", [])


def test_running_work_is_told_to_end_and_waited_for(apart: None) -> None:
    told = threading.Event()
    work = threading.Thread(target=lambda: (told.wait(), time.sleep(0.1)))
    work.start()
    progress.on_stop(told.set, work.is_alive)
    assert not progress.stopping()
    assert progress.stop(30)
    assert progress.stopping()
    assert not work.is_alive()


def test_work_that_does_not_end_is_not_waited_for_longer(apart: None) -> None:
    progress.on_stop(lambda: None, lambda: True)
    begun = time.monotonic()
    assert not progress.stop(0.1)
    assert 0.1 <= time.monotonic() - begun < 10
