"""Limit full log entries per minute, and count the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
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


class LeftOut:
    """Counts odd explanations left out of the log, until a line reports them; not thread-safe."""

    def __init__(self) -> None:
        self.count = 0
        self._kinds: Counter[str] = Counter()
        self._from = self._to = datetime.now(UTC)

    def add(self, kinds: tuple[str, ...], at: datetime) -> None:
        if not self.count:
            self._from = at
        self._to = at
        self.count += 1
        self._kinds.update(kinds)

    def join(self, earlier: LeftOut) -> None:
        """Add an earlier count."""
        self._from = earlier._from
        self._to = self._to if self.count else earlier._to
        self.count += earlier.count
        self._kinds.update(earlier._kinds)

    def line(self) -> dict[str, Any]:
        """Return the line for the log."""
        return {"left_out": self.count, "from": stamp(self._from), "to": stamp(self._to), "why": dict(self._kinds)}
