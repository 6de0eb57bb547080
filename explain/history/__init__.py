"""The history: explanations that a person kept, found again by what was said of them.

from explain.history import History

history = History()
record = history.keep(explanation, note="looks at the number plate", tags=["plates"])
history.search(text="plate").records[0].headline
"""

from __future__ import annotations

from explain.history.history import History
from explain.history.records import Choices, Compared, Found, KeptMap, Mark, Order, Record, Storage

__all__ = ["Choices", "Compared", "Found", "History", "KeptMap", "Mark", "Order", "Record", "Storage"]
