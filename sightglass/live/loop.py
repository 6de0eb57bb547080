"""Serve several live viewers in turn."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.live.message import FrameResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.live.look import Looker
    from sightglass.live.message import Pin

LOGGER = logging.getLogger(__name__)
BROKE = "This frame could not be explained because of a bug: choose another model or method."


class Viewer:
    """One viewer's place in the loop: what it looks with, and the frame that waits."""

    def __init__(self, loop: Loop, deliver: Callable[[FrameResult], None]) -> None:
        """`deliver` is called from the loop's thread and must not block."""
        self._loop, self._deliver = loop, deliver
        self._waiting: tuple[int, bytes, float] | None = None
        self.looker: Looker | None = None
        """Frames wait until there is one."""
        self.dropped = 0

    def offer(self, number: int, data: bytes) -> None:
        """Let a frame wait, in place of one that waits already. Safe from any thread."""
        with self._loop.changed:
            self.dropped += self._waiting is not None
            self._waiting = (number, data, time.perf_counter())
            self._loop.ready(self)

    def turn(self, looker: Looker | None) -> None:
        """Look with something else from the next frame on; None: wait. Safe from any thread."""
        with self._loop.changed:
            self.looker = looker
            if self._waiting is not None:
                self._loop.ready(self)

    def pin(self, pin: Pin | None) -> None:
        """Follow a class or an object from the next frame on. Safe from any thread."""
        with self._loop.changed:
            if self.looker is not None:
                self.looker.wanted = pin

    def take(self) -> tuple[Looker, int, bytes, float] | None:
        """Take the frame that waits; called by the loop, which holds its lock."""
        if self._waiting is None or self.looker is None:
            return None
        number, data, since = self._waiting
        self._waiting = None
        return self.looker, number, data, since

    def serve(self, looker: Looker, number: int, data: bytes, since: float) -> None:
        """Look at a frame and deliver the result, whatever comes of it."""
        waited, answer, problem = (time.perf_counter() - since) * 1e3, None, ""
        try:
            answer = looker.look(data)
        except Problem as error:
            problem = str(error)
        except Exception:
            LOGGER.exception("a frame failed")
            problem = BROKE
        self._deliver(FrameResult(number, answer, problem, waited, self.dropped))


class Loop:
    """One thread that serves all viewers in turn: whoever was served goes to the end of the line.

    With one thread for all models, viewers of a slow model and of a fast one get as many frames each; two threads
    would take the cores from each other, since a pass uses all that it may.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._viewers: set[Viewer] = set()
        self._line: deque[Viewer] = deque()
        self._thread: threading.Thread | None = None

    def join(self, deliver: Callable[[FrameResult], None]) -> Viewer:
        """Return a new viewer; it stays until `leave`."""
        viewer = Viewer(self, deliver)
        with self.changed:
            self._viewers.add(viewer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer; nothing is delivered to it after the current frame."""
        with self.changed:
            self._viewers.discard(viewer)
            if viewer in self._line:
                self._line.remove(viewer)
            self.changed.notify()

    def __len__(self) -> int:
        """Return the number of viewers."""
        return len(self._viewers)

    def ready(self, viewer: Viewer) -> None:
        """Let a viewer stand in line, once, if it is one of the loop's; called with the lock held."""
        if viewer in self._viewers and viewer not in self._line:
            self._line.append(viewer)
            self.changed.notify()

    def _run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._line or not self._viewers)
                if not self._viewers:
                    self._thread = None
                    return
                viewer = self._line.popleft()
                taken = viewer.take()
            if taken is not None:
                viewer.serve(*taken)
                # Frames and maps must not live on until the next one comes.
                del taken
            del viewer


LOOP = Loop()
"""The process's."""
