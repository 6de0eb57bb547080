"""The history: saved explanations, found again by their labels, notes and tags.

from explain.history import History

history = History()
record = history.keep(explanation, note="looks at the number plate", tags=["plates"])
history.search(text="plate").records[0].headline
"""

from __future__ import annotations

from explain.history.history import History
from explain.history.records import (
    Choices,
    Mark,
    Order,
    Record,
    RecordComparison,
    SavedMap,
    SavedPair,
    SearchResult,
    Storage,
)

Compared, Found, KeptMap = RecordComparison, SearchResult, SavedMap
"""Former names."""

__all__ = [
    "Choices",
    "History",
    "Mark",
    "Order",
    "Record",
    "RecordComparison",
    "SavedMap",
    "SavedPair",
    "SearchResult",
    "Storage",
]
