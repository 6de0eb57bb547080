"""Import a library of the tests where it is first used: all workers collect all tests."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import pytest


class _Late:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):
            # pytest looks whether it is a test.
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)


def late(name: str) -> Any:
    """Return what stands for a module until something of it is asked for; skip the file of tests without it."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"could not import {name!r}", allow_module_level=True)
    return _Late(name)
