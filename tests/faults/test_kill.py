"""Killed at any moment, nothing that was saved is lost, and the rest is made as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.faults.outcome import result, survived

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.victim import Victims

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")]
SEED = 20
POINTS = 100
"""Of each work: half of them steps, half of them moments."""
WORKS = ("batch", "video", "history", "deck")


@pytest.mark.parametrize("work", WORKS)
def test_nothing_is_lost_by_a_kill(victims: Victims, work: str, tmp_path: Path) -> None:
    whole = victims.run(work, tmp_path / "whole")
    assert not whole.broke and not whole.problem and not whole.killed, whole
    expected = result(work, tmp_path / "whole")
    # The first of all is the slowest.
    seconds, chance = victims.run(work, tmp_path / "again").seconds, random.Random(f"{SEED} {work}")
    # Spread over the whole of it, one in each part.
    shares = [(i + chance.random()) / POINTS for i in range(POINTS)]
    for i, share in enumerate(shares):
        folder = tmp_path / "killed"
        step, after = 0 if i % 2 else 1 + int(share * whole.steps), share * seconds if i % 2 else 0.0
        end = victims.run(work, folder, step=step, after=after)
        while not end.killed:
            # It was done before that moment.
            assert not end.broke and not end.problem, end
            shutil.rmtree(folder, ignore_errors=True)
            step, after = int(step * 0.9), after * 0.8
            end = victims.run(work, folder, step=step, after=after)
        where = f"{work}, seed {SEED}, step {step} of {whole.steps}, {after:.4f} s of {seconds:.4f}"
        survived(work, folder, end)
        grown_old(folder)
        again = victims.run(work, folder)
        assert not again.broke and not again.problem and not again.killed, f"{where}: {again}"
        assert result(work, folder) == expected, where
        shutil.rmtree(folder, ignore_errors=True)


def grown_old(folder: Path) -> None:
    """Unfinished files and records of a killed process count as abandoned after an hour."""
    for path in folder.rglob("*"):
        if path.suffix == ".part" or path.parent.name == "records":
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3601))
