"""The history: saved explanations, found again by their labels, notes and tags.

from sightglass.history import History

history = History()
record = history.keep(explanation, note="looks at the number plate", tags=["plates"])
history.search(text="plate").records[0].headline
"""

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.history.history import History as History
    from sightglass.history.history import save_as_set as save_as_set
    from sightglass.history.history import save_unsure as save_unsure
    from sightglass.history.records import Record as Record
    from sightglass.history.records import SearchResult as SearchResult

defer_imports(__name__, {"history": ["History", "save_as_set", "save_unsure"], "records": ["Record", "SearchResult"]})
