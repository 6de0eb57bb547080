"""Watch where a network looks while it is trained.

    from sightglass.callbacks import Watcher
    watcher = Watcher(["bus.jpg", "zidane.jpg"], labels=NAMES)
    for epoch in range(10):
        ...
        watcher.step(model, epoch)

Importing this package is free; torch comes in with the first watcher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.callbacks.watcher import Watcher as Watcher

defer_imports(__name__, {"watcher": ["Watcher"]})
