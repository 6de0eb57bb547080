"""A clock that is set back a day or jumps ahead: nothing is lost from sight, and nothing waits for it to catch up."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.explain import Explainer
from sightglass.history import History, encoding

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400.0


@pytest.fixture(scope="module")
def explanation() -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return Explainer("demo-cls-s")(pixels, top_k=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds by which the clock is wrong."""
    wrong, now = [0.0], time.time

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(time.time(), tz)

    monkeypatch.setattr(time, "time", lambda: now() + wrong[0])
    monkeypatch.setattr(encoding, "datetime", Wrong)
    return wrong


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_what_was_saved_last_is_first_whatever_the_clock_said(
    explanation: Any, clock: list[float], jump: float, tmp_path: Path
) -> None:
    history, ids = History(tmp_path), []
    for wrong in (0.0, jump, 0.0):
        clock[0] = wrong
        ids.append(history.keep(explanation).id)
    assert [record.id for record in history.search().records] == ids[::-1]


def test_leavings_are_removed_also_where_the_clock_was_ahead(
    explanation: Any, clock: list[float], tmp_path: Path
) -> None:
    clock[0] = 400 * DAY
    removed = History(tmp_path).keep(explanation)
    History(tmp_path).remove([removed.id])
    half = tmp_path / "records" / ("0" * 16)
    half.mkdir()
    ahead = time.time()
    os.utime(half, (ahead, ahead))
    clock[0] = 0.0
    record = History(tmp_path).keep(explanation)
    assert [folder.name for folder in (tmp_path / "records").iterdir()] == [record.id]
