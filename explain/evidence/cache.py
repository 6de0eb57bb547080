"""Least-recently-used caches bounded by bytes.

Together the caches keep the whole process within its memory: see `relieve`.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

from sightglass.common import memory
from sightglass.common.memory import budget

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Value = TypeVar("Value")
_EVERY: WeakSet[ByteCache[Any]] = WeakSet()
"""The caches of this process that have a part of its budget."""


EVICTED_MB = 64
"""MiB evicted after which the system gets them back: glibc keeps what is freed in pieces, hundreds of MB in the end."""


class _Evicted:
    """Bytes evicted from all caches since memory was last given back."""

    def __init__(self) -> None:
        self._nbytes = 0
        self._lock = threading.Lock()

    def add(self, nbytes: int) -> None:
        with self._lock:
            self._nbytes += nbytes
            if enough := self._nbytes >= EVICTED_MB * budget.MIB:
                self._nbytes = 0
        if enough:
            memory.give_back()


_EVICTED = _Evicted()


class ByteCache(Generic[Value]):
    """Holds values up to `limit` bytes; `size` is called again for all of them whenever one is added."""

    def __init__(self, limit: str | int, size: Callable[[Value], int]) -> None:
        """`limit` in bytes, or the name of its part of the process's (`common.budget`); `size` of a value in bytes."""
        self._limit = limit
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.RLock()
        if isinstance(limit, str):
            _EVERY.add(self)

    @property
    def limit(self) -> int:
        return budget.limit(self._limit) if isinstance(self._limit, str) else self._limit

    @property
    def kind(self) -> str:
        """What is lost by making room here: `models` and `uploads`, or what is made again `quick`ly."""
        return self._limit if self._limit in ("models", "uploads") else "quick"

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Add a value; the newest stays even where it alone exceeds the budget."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
        self.shrink(self.limit)
        relieve()

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return a value, made and added where it is not there; two threads may both make it."""
        if (found := self.get(key)) is None:
            found = make()
            self.put(key, found)
        return found

    def shrink(self, limit: int) -> None:
        """Evict the least recently used until at most `limit` bytes, or one value, are left."""
        evicted = 0
        with self._lock:
            while len(self._values) > 1 and self.nbytes > limit:
                evicted += self._size(self._values.popitem(last=False)[1])
        if evicted:
            _EVICTED.add(evicted)

    def discard(self, unwanted: Callable[[Value], bool]) -> None:
        with self._lock:
            for key in [key for key, value in self._values.items() if unwanted(value)]:
                del self._values[key]

    def clear(self) -> None:
        with self._lock:
            self._values.clear()

    def values(self) -> list[Value]:
        with self._lock:
            return list(self._values.values())

    @property
    def nbytes(self) -> int:
        with self._lock:
            return sum(self._size(value) for value in self._values.values())

    def __len__(self) -> int:
        return len(self._values)


def count_cached_bytes() -> dict[str, int]:
    """Return the bytes that the caches of this process hold, by their part of its budget."""
    found: dict[str, int] = {}
    for cache in list(_EVERY):
        if isinstance(name := cache._limit, str):
            found[name] = found.get(name, 0) + cache.nbytes
    return found


def clear_quick() -> None:
    """Drop all that is made again quickly: maps and evidence hold the model that they are of."""
    for cache in list(_EVERY):
        if cache.kind == "quick":
            cache.clear()


LOW = 0.95
"""Share of the limit that eviction frees down to, so that it does not run all the time."""
STEP_MB = 32
"""MiB that the process must have grown before it is tried again at once where making room did not help."""
AGAIN_S = 5.0
"""Seconds after which it is tried again in any case: what was held then may have been freed by now."""
_STAGES = (("quick", 0.5), ("quick", 0.0), ("models", 0.5), ("models", 0.0), ("uploads", 0.5), ("uploads", 0.0))
"""Which caches are shrunk, and to which share of what they hold: first what is quickly computed again, then models, and
last what only its owner can give again."""


_MORE: list[Callable[[], None]] = []


def makes_room(let_go: Callable[[], None]) -> Callable[[], None]:
    """Decorate what lets go of things in memory that no cache holds, and that are made again when they are needed."""
    _MORE.append(let_go)
    return let_go


class _Pressure:
    """Whether the process was found too large, and from where on, and when, it is worth looking again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.again, self.until = 0, 0.0


_PRESSURE = _Pressure()


def relieve() -> None:
    """Where the process takes more memory than it may, give freed memory back, and shrink caches until it does not.

    Costs 20 microseconds where there is nothing to do, which is nearly always.
    """
    now, most = memory.resident(), budget.total() * budget.MIB
    tried = _PRESSURE.again if time.monotonic() < _PRESSURE.until else 0
    if now <= max(most, tried) or not _PRESSURE.lock.acquire(blocking=False):
        return
    try:
        memory.give_back()
        for kind, share in _STAGES:
            if memory.resident() <= LOW * most:
                break
            for cache in [cache for cache in list(_EVERY) if cache.kind == kind]:
                cache.shrink(int(share * cache.nbytes))
            if (kind, share) == _STAGES[1]:
                for let_go in _MORE:
                    let_go()
            if (kind, share) != _STAGES[0]:
                # Models and graphs may hold themselves in circles; a tenth of a second.
                gc.collect()
            memory.give_back()
        now = memory.resident()
        _PRESSURE.again = now + STEP_MB * budget.MIB if now > most else 0
        _PRESSURE.until = time.monotonic() + AGAIN_S
    finally:
        _PRESSURE.lock.release()
