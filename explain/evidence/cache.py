"""Least-recently-used caches bounded by bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_CACHES: "WeakSet[ByteCache[Any]]" = WeakSet()
"""Caches whose values can be computed again."""


class ByteCache(Generic[Value]):
    """A cache of up to `limit` bytes, with sizes updated on each addition."""

    def __init__(
        self, limit: int | Callable[[], int], size: Callable[[Value], int], *, disposable: bool = True
    ) -> None:
        """`limit` and `size` in bytes. `disposable`: its values may be dropped when memory runs out."""
        self._limit = limit
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.RLock()
        if disposable:
            _CACHES.add(self)

    @property
    def limit(self) -> int:
        return self._limit if isinstance(self._limit, int) else self._limit()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Add a value and evict the least recently used, never the newest."""
        limit = self.limit
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > 1 and self.nbytes > limit:
                self._values.popitem(last=False)

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return a value; compute and add a missing one, maybe in two threads at once."""
        if (value := self.get(key)) is None:
            value = make()
            self.put(key, value)
        return value

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


def keep_latest(values: "OrderedDict[Key, Value]", key: Key, most: int) -> Value:
    """Return a key's value as the latest used; drop the oldest beyond `most`."""
    values.move_to_end(key)
    while len(values) > most:
        values.popitem(last=False)
    return values[key]


def clear_all() -> None:
    """Drop the values of disposable caches, when memory ran out."""
    for cache in list(_CACHES):
        cache.clear()
