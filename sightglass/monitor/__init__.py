"""Monitor a model in use.

    from sightglass.monitor import Monitor
    monitor = Monitor("watched", threshold=0.5)
    monitor.watch(result)

Importing this package is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.monitor.drift import Drift as Drift
    from sightglass.monitor.drift import Shift as Shift
    from sightglass.monitor.entry import Entry as Entry
    from sightglass.monitor.monitor import Monitor as Monitor
    from sightglass.monitor.monitor import State as State
    from sightglass.monitor.monitor import default as default
    from sightglass.monitor.observation import MEANING as MEANING
    from sightglass.monitor.observation import NUMBERS as NUMBERS
    from sightglass.monitor.observation import Observation as Observation
    from sightglass.monitor.reference import Reference as Reference
    from sightglass.monitor.rules import KINDS as KINDS
    from sightglass.monitor.rules import Reason as Reason
    from sightglass.monitor.rules import Rules as Rules

defer_imports(
    __name__,
    {
        "drift": ["Drift", "Shift"],
        "entry": ["Entry"],
        "monitor": ["Monitor", "State", "default"],
        "observation": ["MEANING", "NUMBERS", "Observation"],
        "reference": ["Reference"],
        "rules": ["KINDS", "Reason", "Rules"],
    },
)
