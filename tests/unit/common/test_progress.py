"""A limited number of explanations at a time, and work that is cancelled, or waits while a page is drawn."""

from __future__ import annotations

import threading

import pytest

from sightglass.common.errors import Cancelled
from sightglass.common.work import progress
from tests.waits import patience


def test_no_more_than_so_many_explain_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SLOTS", threading.BoundedSemaphore(1))
    entered, cancelled = threading.Event(), threading.Event()

    def explain() -> None:
        with progress.explanation_slot():
            entered.set()

    with progress.explanation_slot():
        waiting = threading.Thread(target=explain)
        waiting.start()
        cancelled.set()
        with pytest.raises(Cancelled), progress.explanation_slot(cancelled):
            pass
        assert not entered.is_set()
    assert entered.wait(patience(10))
    waiting.join()


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
