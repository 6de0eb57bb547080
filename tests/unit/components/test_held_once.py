"""What sessions read from disk is held once in a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sightglass.batch import analysis
from sightglass.pages.batch import frames

MB = 2**20


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tables that were read."""
    names: list[Any] = []

    def load(first: Path, second: Path | None) -> pd.DataFrame:
        names.append(first.name)
        return pd.DataFrame({"picture": ["a"] * 1000, "cells": [bytes(1000)] * 1000})

    monkeypatch.setattr(analysis, "load", load)
    return names


def test_a_table_is_read_once_and_again_when_it_changed(read: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "odd", lambda table: (table, []))
    first = frames.frame("one", None, 1)
    assert frames.frame("one", None, 1) is first and read == ["one"]
    assert frames._tables.nbytes > 1000 * 1000
    assert frames.odd("one", None, 1) is frames.odd("one", None, 1)
    assert frames.frame("one", None, 2) is not first


def test_tables_take_no_more_than_their_limit(read: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames._tables, "_limit", 4 * MB)
    for number in range(8):
        frames.frame(str(number), None, 1)
    assert 2 * MB < frames._tables.nbytes <= 4 * MB
