"""Take turns: some work at once, the others wait in the order in which they came and know how many are before them."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class Turns:
    """A fair queue in front of something that serves `places` threads at a time."""

    def __init__(self, places: int) -> None:
        self.places = max(1, places)
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting: deque[Turn] = deque()
        self._held = threading.local()

    def turn(self) -> Turn:
        """Return a place at the end of the queue, which is left when its block ends."""
        return Turn(self)

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)


class Turn:
    """A place in a queue; `with turns.turn() as turn:` takes it, and `turn.wait` says when it is the first.

    A thread that is inside already passes at once: it would wait for itself.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._inside = self._nested = False

    def __enter__(self) -> Turn:
        turns = self._turns
        self._nested = getattr(turns._held, "inside", False)
        if not self._nested:
            with turns._changed:
                turns._waiting.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._nested:
            return
        turns = self._turns
        with turns._changed:
            if self._inside:
                turns._inside -= 1
                turns._held.inside = self._inside = False
            else:
                turns._waiting.remove(self)
            turns._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for this turn, at most `timeout` seconds; return whether it has come."""
        if self._nested or self._inside:
            return True
        turns = self._turns
        with turns._changed:
            if turns._changed.wait_for(self._is_next, timeout):
                turns._waiting.popleft()
                turns._inside += 1
                turns._held.inside = self._inside = True
                # Whoever is the first now may have a place, too.
                turns._changed.notify_all()
        return self._inside

    @property
    def ahead(self) -> int:
        """How many come before this one: those that wait before it, and those whose turn it is now."""
        turns = self._turns
        with turns._changed:
            if self._nested or self._inside or self not in turns._waiting:
                return 0
            return turns._waiting.index(self) + turns._inside

    def _is_next(self) -> bool:
        turns = self._turns
        return turns._inside < turns.places and turns._waiting[0] is self


QUICK = Turns(os.cpu_count() or 1)
"""At the models, for a map that takes a pass or two, whoever asks for it: more at once are not done sooner, and each
picture that waits its turn is served before those that came after it."""
SLOW = Turns(max(2, os.cpu_count() or 1))
"""For methods that run a model hundreds of times, which go on beside the quick ones at a low priority; two at least,
because one may take minutes."""
