"""Run sessions and clients at once, without pauses.

Each picture is the next one of all.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.load.pictures import digest
from benchmarks.load.session import FORM, PATIENCE, Session, SessionProblem, multipart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.load.pictures import Marked

LEAVING = 10
"""Of so many sessions one leaves in each part of the load."""
TWICE = 10
"""Of so many pictures of sessions one is given in the middle of the run of the one before it."""
HEADER_END = b"\n"
"""Ends the header of an .npy file; the values follow."""


@dataclass
class Tally:
    """What callers of one kind were answered."""

    shown: list[float] = field(default_factory=list)
    """Seconds to each right map."""
    finished: list[float] = field(default_factory=list)
    """Seconds to the end of each right answer."""
    wrong: list[str] = field(default_factory=list)
    """Answers that are not this picture's."""
    errors: list[str] = field(default_factory=list)
    hangs: int = 0
    refused: int = 0
    left: int = 0
    """Sessions that left before they were answered."""
    twice: int = 0
    """Pictures that were given in the middle of the run of another, and answered right."""
    lasted: float = 0.0

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.finished) / self.lasted if self.lasted else 0.0

    def add(self, other: Tally) -> None:
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))


class Client:
    """One caller of the API, with a connection that stays open."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)

    def ask(self, path: Path, expected: Marked, tally: Tally) -> None:
        start = time.perf_counter()
        try:
            form = multipart("image", path.name, path.read_bytes())
            self._connection.request("POST", "/api/explain?format=npy", form, FORM)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            tally.hangs += isinstance(error, TimeoutError)
            tally.errors.append(f"the API: {type(error).__name__}: {error}")
            return
        took = time.perf_counter() - start
        if answer.status == 429:
            tally.refused += 1
            time.sleep(float(answer.headers.get("Retry-After") or 1))
        elif answer.status != 200:
            tally.errors.append(f"the API: {answer.status} {body[:160]!r}")
        elif digest(body.partition(HEADER_END)[2]) != expected.whole:
            tally.wrong.append(f"the API: {path.name}: the map is not this picture's")
        else:
            tally.shown.append(took)
            tally.finished.append(took)

    def close(self) -> None:
        """Hang up; the next call opens a new connection. A server closes one that was idle for a few seconds."""
        self._connection.close()


class Crowd:
    """The sessions and clients of one server, which stay while they call together or alone."""

    def __init__(
        self, address: str, paths: Sequence[Path], expected: Sequence[Marked], sessions: int, clients: int
    ) -> None:
        self._paths, self._expected = paths, expected
        self._data = [path.read_bytes() for path in paths]
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._parts = 0
        self._address = address
        self.sessions = [Session(address) for _ in range(sessions)]
        self.clients = [Client(address) for _ in range(clients)]

    def together(self, seconds: float) -> tuple[Tally, Tally]:
        """Run all callers for `seconds`; return the sessions' and clients' answers."""
        ends = time.perf_counter() + seconds
        self._parts += 1
        stay, ask = [Tally() for _ in self.sessions], [Tally() for _ in self.clients]
        threads = [
            threading.Thread(target=call, args=(index, ends, tally))
            for call, tallies in ((self._run_session, stay), (self._ask, ask))
            for index, tally in enumerate(tallies)
        ]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lasted = time.perf_counter() - start
        return _total(stay, lasted), _total(ask, lasted)

    def alone(self, seconds: float, index: int) -> tuple[Tally, Tally]:
        """Run one session, then one client, for `seconds` each; return their answers."""
        session, client = Tally(), Tally()
        for calls, callers, tally in ((self._upload, self.sessions, session), (self._ask, self.clients, client)):
            start = time.perf_counter()
            calls(index % len(callers), start + seconds, tally)
            tally.lasted = time.perf_counter() - start
        return session, client

    def leave(self) -> None:
        for caller in (*self.sessions, *self.clients):
            caller.close()

    def _next(self) -> int:
        with self._lock:
            return next(self._numbers) % len(self._paths)

    def _ask(self, index: int, ends: float, tally: Tally) -> None:
        # It may have been idle while others were measured alone.
        self.clients[index].close()
        while time.perf_counter() < ends:
            number = self._next()
            self.clients[index].ask(self._paths[number], self._expected[number], tally)

    def _run_session(self, index: int, ends: float, tally: Tally) -> None:
        """Visit until the end; some sessions leave with a queued run."""
        if index % LEAVING == self._parts % LEAVING:
            self._upload(index, min(ends, time.perf_counter() + (ends - time.perf_counter()) / 2), tally)
            self._replace_session(index, tally)
        self._upload(index, ends, tally)

    def _replace_session(self, index: int, tally: Tally) -> None:
        """Replace a session in the middle of its run."""
        number = self._next()
        try:
            self.sessions[index].walk_away(self._paths[number].name, self._data[number])
            tally.left += 1
        except Exception as error:
            tally.errors.append(f"a session that left: {type(error).__name__}: {error}")
        self._reopen(index)

    def _upload(self, index: int, ends: float, tally: Tally) -> None:
        while time.perf_counter() < ends:
            number = self._next()
            path, data, expected = self._paths[number], self._data[number], self._expected[number]
            other = self._next() if number % TWICE == 0 else None
            before = None if other is None else (self._paths[other].name, self._data[other])
            try:
                answer = self.sessions[index].upload(path.name, data, expected, before)
            except Exception as error:
                tally.hangs += isinstance(error, SessionProblem) and "no message" in str(error)
                tally.errors.append(f"a session: {type(error).__name__}: {error}")
                self._reopen(index)
                continue
            if answer.problem:
                says = answer.problem.startswith("the page says")
                (tally.errors if says else tally.wrong).append(f"a session: {answer.problem}")
            else:
                tally.shown.append(answer.shown)
                tally.finished.append(answer.finished)
                tally.twice += before is not None

    def _reopen(self, index: int) -> None:
        """Replace a failed session; count an error each second until then."""
        self.sessions[index].close()
        try:
            self.sessions[index] = Session(self._address)
        except Exception:
            time.sleep(1)


def _total(tallies: Sequence[Tally], lasted: float) -> Tally:
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    whole.lasted = lasted
    return whole
