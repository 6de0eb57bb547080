"""Monitor a model in use: its confidence, where it looks, odd explanations, and drift.

    from explain.monitor import Monitor
    monitor = Monitor("watched", threshold=0.5)
    monitor.watch(result)

Importing this package is free.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explain.monitor.drift import Drift as Drift
    from explain.monitor.drift import Shift as Shift
    from explain.monitor.entry import Entry as Entry
    from explain.monitor.monitor import Monitor as Monitor
    from explain.monitor.monitor import State as State
    from explain.monitor.monitor import default as default
    from explain.monitor.observation import MEANING as MEANING
    from explain.monitor.observation import NUMBERS as NUMBERS
    from explain.monitor.observation import Observation as Observation
    from explain.monitor.reference import Reference as Reference
    from explain.monitor.rules import KINDS as KINDS
    from explain.monitor.rules import Reason as Reason
    from explain.monitor.rules import Rules as Rules

_HOMES = {
    "Drift": "drift",
    "Shift": "drift",
    "Entry": "entry",
    "Monitor": "monitor",
    "State": "monitor",
    "default": "monitor",
    "MEANING": "observation",
    "NUMBERS": "observation",
    "Observation": "observation",
    "Reference": "reference",
    "KINDS": "rules",
    "Reason": "rules",
    "Rules": "rules",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'explain.monitor' has no attribute {name!r}")
    return getattr(import_module(f"explain.monitor.{_HOMES[name]}"), name)
