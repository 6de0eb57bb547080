"""A cache bounded by bytes; the least recently used values are evicted first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Holds values up to `budget` bytes; `size` is called again for all of them whenever one is added."""

    def __init__(self, budget: int | Callable[[], int], size: Callable[[Value], int]) -> None:
        """`budget` in bytes, or a function that reads it from the settings."""
        self._budget = budget
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def budget(self) -> int:
        return self._budget() if callable(self._budget) else self._budget

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
            self.shrink(self.budget)

    def shrink(self, budget: int) -> None:
        """Evict the least recently used until at most `budget` bytes, or one value, are left."""
        with self._lock:
            while len(self._values) > 1 and self.nbytes > budget:
                self._values.popitem(last=False)

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
