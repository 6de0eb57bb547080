"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["works", "limited", "missing", "off", "broken"]


@dataclass(frozen=True)
class Check:
    """One line of the answer."""

    area: str
    """What it is about: Python, Packages, Machine, …"""
    name: str
    state: State
    """`limited` and `missing`: something optional; `off`: somebody wants it so; `broken`: nothing works without it."""
    found: str
    advice: str = ""
    """One sentence that says what to do; empty where there is nothing to do."""
