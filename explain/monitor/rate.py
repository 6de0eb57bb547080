"""Limit full log entries per minute, and count the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from explain.monitor.observation import stamp


class Rate:
    """A token bucket; not thread-safe."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._tokens, self._at = float(per_minute), clock()

    def take(self) -> bool:
        """Take a token; return whether there was one."""
        if not self.free:
            return False
        self._tokens -= 1
        return True

    @property
    def free(self) -> bool:
        """Whether there is a token."""
        now = self._clock()
        self._tokens = min(float(self._most), self._tokens + (now - self._at) * self._most / 60)
        self._at = now
        return self._tokens >= 1


@dataclass
class LeftOut:
    """Counts odd explanations left out of the log, until a line reports them; not thread-safe."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    since: datetime | None = None
    until: datetime | None = None

    def add(self, kinds: tuple[str, ...], at: datetime) -> None:
        self.since, self.until = self.since or at, at
        self.count += 1
        self.kinds.update(kinds)

    def take(self) -> LeftOut | None:
        """Return the count, None if it is 0, and start again from 0."""
        taken = replace(self)
        self.count, self.kinds, self.since, self.until = 0, Counter(), None, None
        return taken if taken.count else None

    def join(self, earlier: LeftOut | None) -> None:
        """Add an earlier count."""
        if earlier is not None:
            self.since, self.until = earlier.since, self.until or earlier.until
            self.count += earlier.count
            self.kinds.update(earlier.kinds)

    def line(self) -> dict[str, Any]:
        """Return the line for the log."""
        assert self.since is not None and self.until is not None
        return {"left_out": self.count, "from": stamp(self.since), "to": stamp(self.until), "why": dict(self.kinds)}
