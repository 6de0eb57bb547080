"""A disk that is full: one sentence, nothing half-written, and with room again all goes on."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.faults.disks import mounted
from tests.faults.outcome import is_one_sentence, result, survived

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.victim import Victims

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")]
SEED = 21
WORKS = ("batch", "video", "history", "deck")
POINTS = 8
SIZE_MB = 8


@pytest.mark.parametrize("work", WORKS)
def test_a_disk_without_room(victims: Victims, work: str, tmp_path: Path) -> None:
    """A file system of its own in memory, with as many bytes left as the work needs at some point of it."""
    victims.run(work, tmp_path / "whole")
    expected = result(work, tmp_path / "whole")
    needs = sum(path.stat().st_size + 4096 for path in (tmp_path / "whole").rglob("*"))
    chance, stopped = random.Random(f"{SEED} {work}"), 0
    with mounted(tmp_path / "disk", f"size={SIZE_MB}m") as disk:
        for i in range(POINTS):
            left = int((i + chance.random()) / POINTS * needs)
            filler, folder = disk / "filler", disk / "work"
            # The names take some room, too.
            with contextlib.suppress(OSError):
                filler.write_bytes(bytes(SIZE_MB * 2**20 - left // 4096 * 4096))
            end = victims.run(work, folder)
            where = f"{work}, seed {SEED}, {left} bytes of {needs} left"
            assert not end.broke, f"{where}: {end.broke}"
            assert not end.problem or is_one_sentence(end.problem), where
            stopped += bool(end.problem)
            filler.unlink()
            survived(work, folder, end)
            again = victims.run(work, folder)
            assert not again.broke and not again.problem, f"{where}: {again}"
            assert result(work, folder) == expected, where
            shutil.rmtree(folder)
            # What this process has read of it takes room until its files are closed.
            gc.collect()
    assert stopped
