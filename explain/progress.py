"""The type of a progress callback, shared by everything that takes one."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share done, 0..1, and a short text."""
