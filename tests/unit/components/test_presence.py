"""Work stops soon after the browser that waits for it has gone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sightglass.components.session.jobs import presence
from sightglass.components.session.jobs.background import Status, Watched
from sightglass.components.session.jobs.presence import EVERY, GRACE, PageVisit, Watch
from tests.servers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

PROMISED = 2.0
"""Seconds after which nothing works for a session that has left."""


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A session, `here` or not, whose work is looked at by hand."""
    made = SimpleNamespace(here=True, clock=_Clock())
    made.watch = Watch(lambda _: made.here, made.clock)
    made.watch._thread = object()  # type: ignore[assignment]  # nobody else looks
    monkeypatch.setattr(presence, "_WATCH", made.watch)
    context = SimpleNamespace(session_id="one")
    monkeypatch.setattr(presence, "script_context", lambda: context)
    yield made


def _waits(status: Status, cancel: Event) -> None:
    cancel.wait(20)


def test_work_for_a_browser_that_has_gone_stops_in_time(scene: SimpleNamespace) -> None:
    job: Watched[Any] = Watched(_waits, Status())
    assert scene.watch.look()
    scene.clock.now = 100.0
    assert scene.watch.look()
    assert not job.cancel.is_set()
    scene.here = False
    # The last look but one comes just before the grace is over.
    while not job.cancel.is_set():
        scene.watch.look()
        scene.clock.now += EVERY
        assert scene.clock.now < 100.0 + PROMISED
    assert job.abandoned
    assert job.finished(20)
    assert not scene.watch.look()


def test_a_connection_that_comes_back_costs_nothing(scene: SimpleNamespace) -> None:
    job: Watched[Any] = Watched(_waits, Status())
    for _ in range(5):
        scene.here = False
        scene.watch.look()
        scene.clock.now += GRACE * 0.9
        scene.watch.look()
        scene.here = True
        scene.watch.look()
    assert not job.cancel.is_set()
    job.cancel.set()
    assert job.finished(20)


def test_what_a_page_does_itself_stops_too_and_is_forgotten_at_its_end(scene: SimpleNamespace) -> None:
    with PageVisit() as cancel:
        scene.here = False
        scene.watch.look()
        scene.clock.now += GRACE
        scene.watch.look()
        assert cancel.is_set()
    assert not scene.watch.look()


def test_nobody_looks_while_nothing_works() -> None:
    watch, visit = Watch(lambda _: True), PageVisit()
    watch.add(visit, "one")
    thread = watch._thread
    assert thread is not None
    visit.__exit__()
    thread.join(20)
    assert not thread.is_alive()
    assert watch._thread is None


@pytest.mark.slow
def test_the_server_works_no_more_for_a_session_that_has_left() -> None:
    from benchmarks.load.session import Session
    from benchmarks.viewer.browser import DASHBOARD, serving

    with serving(DASHBOARD) as server:
        # The first of all imports a library for ten seconds and more.
        Session(server.address, "method=ablationcam").close()
        until(lambda: _busy(server.pid, 1.0) < 0.1, 120)
        session = Session(server.address, "method=scorecam&example=scene")
        until(lambda: _busy(server.pid, 0.5) > 0.2, 60)
        session.close()
        time.sleep(PROMISED)
        assert _busy(server.pid, 1.0) < 0.1


def _busy(pid: int, seconds: float) -> float:
    """Return the share of a core that a process takes for some seconds."""

    def taken() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = taken()
    time.sleep(seconds)
    return (taken() - before) / seconds
