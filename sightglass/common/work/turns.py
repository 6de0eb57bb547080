"""Fair per-user queue.

Where nobody signs in all are one person, and who came first is served first.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Generic, TypeVar

from sightglass.common import users

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """What waits: of each person in the order in which it came, and one of each person after the other."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[T]] = OrderedDict()
        """What waits of each person, whose turn is next first."""

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __iter__(self) -> Iterator[T]:
        """Yield all in the order in which they are served if nothing more comes."""
        return (mine[place] for place in range(self._most()) for mine in self._of.values() if place < len(mine))

    def append(self, whose: str, one: T) -> None:
        self._of.setdefault(whose, deque()).append(one)

    def popleft(self) -> T:
        """Remove and return the next; raises KeyError where nothing waits."""
        whose, mine = self._of.popitem(last=False)
        one = mine.popleft()
        if mine:
            self._of[whose] = mine
        return one

    def remove(self, one: T) -> None:
        """Remove one; raises ValueError where it does not wait."""
        whose = next((whose for whose, mine in self._of.items() if one in mine), None)
        if whose is None:
            raise ValueError("it does not wait")
        self._of[whose].remove(one)
        if not self._of[whose]:
            del self._of[whose]

    def spares(self, whose: str) -> bool:
        """Return whether somebody has at least two more waiting than this person, and so can spare one."""
        return self._most() >= len(self._of.get(whose, ())) + 2

    def spared(self) -> T:
        """Remove and return the last one of who has most waiting."""
        return next(mine for mine in self._of.values() if len(mine) == self._most()).pop()

    def _most(self) -> int:
        return max(map(len, self._of.values()), default=0)


class Scheduler(WaitingLine[T]):
    """What decides whose turn it is: at most `places` at work, of those that wait in a line at most `room`.

    Whoever uses it from several threads holds `changed`, and notifies it.
    """

    def __init__(self, places: int, room: int | None = None) -> None:
        super().__init__()
        self.places, self.room = max(1, places), room
        self.changed = threading.Condition()
        self.working: set[T] = set()

    @property
    def full(self) -> bool:
        """Whether one of those that wait has to leave before another can come."""
        return self.room is not None and len(self.working) + len(self) >= self.places + self.room

    def refuses(self, whose: str) -> bool:
        """Return whether there is no place for another one of this person, not even one that somebody can spare."""
        return self.full and not self.spares(whose)

    def start(self, only: T | None = None) -> T | None:
        """Let the next one begin and return it; None if all places are taken, or if it is not `only`."""
        first = next(iter(self), None)
        if first is None or len(self.working) >= self.places or first is not (only or first):
            return None
        self.working.add(self.popleft())
        return first

    def leave(self, one: T) -> bool:
        """Let one go; return whether it had begun."""
        if begun := one in self.working:
            self.working.remove(one)
        else:
            self.remove(one)
        return begun

    def ahead(self, one: T) -> int:
        """Return how many come before one that waits: those whose turn it is, and those that wait before it."""
        return len(self.working) + next(place for place, other in enumerate(self) if other is one)


class Turns(Scheduler["Turn"]):
    """A fair queue in front of something that serves `places` threads at a time."""

    def __init__(self, places: int) -> None:
        super().__init__(places)
        self._held = threading.local()

    def turn(self) -> Turn:
        """Return a place in the queue for the current person, which is left when its block ends."""
        return Turn(self)

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self)


class Turn:
    """A place in a queue; `with turns.turn() as turn:` takes it, and `turn.wait` says when it is the first.

    A thread that is inside already passes at once: it would wait for itself.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns, self._held = turns, turns._held
        self._inside = self._nested = False

    def __enter__(self) -> Turn:
        self._nested = getattr(self._held, "inside", False)
        if not self._nested:
            with self._turns.changed:
                self._turns.append(users.owner(), self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._nested:
            return
        with self._turns.changed:
            if self._turns.leave(self):
                self._held.inside = self._inside = False
            self._turns.changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for this turn, at most `timeout` seconds; return whether it has come."""
        if self._nested or self._inside:
            return True
        with self._turns.changed:
            if self._turns.changed.wait_for(lambda: self._turns.start(self), timeout):
                self._held.inside = self._inside = True
                # Whoever is the first now may have a place, too.
                self._turns.changed.notify_all()
        return self._inside

    @property
    def ahead(self) -> int:
        """How many come before this one: those that wait before it, and those whose turn it is now."""
        with self._turns.changed:
            return self._turns.ahead(self) if self in self._turns else 0


QUICK = Turns(os.cpu_count() or 1)
"""At the models, for a map that takes a pass or two, whoever asks for it: more at once are not done sooner, and each
picture that waits its turn is served before its person's later ones, and before the second one of anybody else."""
SLOW = Turns(max(2, os.cpu_count() or 1))
"""For methods that run a model hundreds of times, which go on beside the quick ones at a low priority; two at least,
because one may take minutes."""
SEALS = Turns(1)
"""For tests of maps that nobody asked for: one page's at a time, however many people look at maps."""


class GivingWay(threading.Event):
    """An event to stop work of low priority, which waits between its passes while quick work is under way.

    Whoever asks `is_set` between two passes is held until no map is being made or waits for its turn, and until the
    work is wanted.
    """

    EVERY = 0.05
    """Seconds between two looks whether to stop meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted_until = math.inf
        """By `time.monotonic`: the work is held from then on."""
        self.patience = math.inf
        """Seconds for which it is held at most: then it stops."""

    @property
    def stopped(self) -> bool:
        """Whether the work was told to stop, without waiting."""
        return super().is_set()

    def is_set(self) -> bool:
        while not self.stopped:
            if (held := time.monotonic() - self.wanted_until) > 0:
                if held > self.patience:
                    self.set()
                self.wait(self.EVERY)
                continue
            with QUICK.changed:
                if QUICK.changed.wait_for(lambda: not QUICK.working and not QUICK.waiting, self.EVERY):
                    return False
        return True
