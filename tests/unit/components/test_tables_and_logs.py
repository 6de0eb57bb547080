"""What sessions read from disk is held once in a process, makes room where memory is short, and is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sightglass.batch import analysis
from sightglass.common import memory
from sightglass.components.session import history_store
from sightglass.explain.evidence import cache
from sightglass.explain.evidence.cache import ByteCache
from sightglass.pages.batch import frames
from sightglass.pages.present import slides

MB = 2**20


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the caches of these pages alone, so that nobody else's has to make room."""
    every: set[ByteCache[Any]] = {frames._tables, slides._stages}
    monkeypatch.setattr(cache, "_EVERY", every)
    for one in every:
        one.clear()


def pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let caches make room."""
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_PRESSURE", cache._Pressure())
        patch.setattr(memory, "resident", lambda: 10**15)
        cache.relieve()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tables that were read."""
    names: list[Any] = []

    def load(first: Path, second: Path | None) -> pd.DataFrame:
        names.append(first.name)
        return pd.DataFrame({"picture": ["a"] * 1000, "cells": [bytes(1000)] * 1000})

    monkeypatch.setattr(analysis, "load", load)
    return names


def test_a_table_is_read_once_and_again_when_it_made_room(read: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = frames.frame("one", None, 1), frames.frame("two", None, 1)
    assert frames.frame("one", None, 1) is first and read == ["one", "two"]
    assert frames._tables.nbytes > 2 * 1000 * 1000
    pressed(monkeypatch)
    assert len(frames._tables) == 1
    assert frames.frame("one", None, 1) is first and frames.frame("two", None, 1) is not second
    assert read == ["one", "two", "two"]
    assert frames.frame("two", None, 2) is not frames.frame("two", None, 1)


def test_tables_take_no_more_than_their_part(read: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_CACHE_MB", "144")  # of which tables have four
    for number in range(8):
        frames.frame(str(number), None, 1)
    assert 2 * MB < frames._tables.nbytes <= 4 * MB


def test_what_was_found_in_a_table_is_held_with_it(read: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "odd", lambda table: (table, []))
    found = frames.odd("one", None, 1)
    assert frames.odd("one", None, 1) is found
    assert frames._tables.nbytes > 3 * 1000 * 1000
    pressed(monkeypatch)
    frames.frame("two", None, 1)
    pressed(monkeypatch)
    assert frames.odd("one", None, 1) is not found


def test_a_presented_deck_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that went to another page held all of its last one."""
    from types import SimpleNamespace as Fake

    monkeypatch.setattr(history_store, "store", lambda: Fake(folder="here"))
    monkeypatch.setattr(slides, "stage", lambda *_, **__: None)
    made: list[str] = []

    def payload(deck: Fake) -> bytes:
        made.append(deck.id)
        return b"slides"

    monkeypatch.setattr(slides, "_payload", payload)
    for id in ("one", "two", "one"):
        slides._play(Fake(id=id, title=id, changed=1, shown=(1,), theme="dark"))  # type: ignore[arg-type]
    assert made == ["one", "two"]
    pressed(monkeypatch)
    slides._play(Fake(id="two", title="", changed=1, shown=(1,), theme="dark"))  # type: ignore[arg-type]
    assert made == ["one", "two", "two"]
