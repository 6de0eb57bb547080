"""How slow work pauses, and ends with its page, session or process."""

import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sightglass.common.work import ending, progress
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Job
from tests.waits import patience


def test_a_process_ends_after_the_work_in_it() -> None:
    # The job is still referred to: nothing but the end of the process stops it.
    script = """
import time
from sightglass.ui.session.jobs.background import Job

def work(*, cancel, **_):
    cancel.wait()
    time.sleep(0.2)
    print("stopped", flush=True)

job = Job(work)
"""
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=patience(120)
    )
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr


def test_a_stopping_server_stops_its_work() -> None:
    job = Job(lambda *, cancel, **_: cancel.wait(patience(20)))
    ending.stop_work()
    assert job.finished(patience(20)) and job.result


def test_a_job_that_no_page_polls_any_more_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    polled = threading.Event()

    def work(*, progress: Any, cancel: threading.Event, partial: Any) -> str:
        partial("half")
        assert polled.wait(patience(20))
        progress(0.5, "half")
        return "stopped" if cancel.is_set() else "whole"

    job = Job(work, stays=False, redraws=True)
    while job.partial is None:
        assert not job.finished(0.01)
    assert job.poll()
    job.drawn = job.partial
    assert job.drawn == "half" and not job.poll()
    monkeypatch.setattr(background, "ABANDONED_AFTER", -1.0)
    polled.set()
    assert job.finished(patience(20)) and (job.result, job.abandoned) == ("stopped", True)


def test_work_is_cancelled_once_its_session_has_ended() -> None:
    cancelled = threading.Event()

    def work(*, cancel: threading.Event, **_: Any) -> None:
        assert cancel.wait(patience(20))
        cancelled.set()

    session = {"job": Job(work)}
    session.clear()
    gc.collect()
    assert cancelled.wait(patience(20))


def test_page_that_pauses_work_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = progress.PausableStop()
    stop.pause()
    monkeypatch.setattr(stop._free, "wait", lambda seconds: pytest.fail("it waits"))
    assert not stop.is_set()


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
