"""Killed at any step, or on a full disk, nothing that was saved is lost, and the rest is made again."""

import contextlib
import gc
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightglass.batch.journal import FolderBusy, Journal
from tests.faults.outcome import is_one_sentence, result, survived
from tests.faults.victim import Victims

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")]
SEED = 20
POINTS = 100
"""Kills of each work, spread over its steps."""
AMOUNTS, SIZE_MB = 8, 8
"""Of room on a full disk, and the size of the disk."""
WORKS = ("batch", "video", "history", "deck", "model")


@pytest.mark.parametrize("work", WORKS)
def test_nothing_is_lost_by_a_kill(victims: Victims, work: str, tmp_path: Path) -> None:
    whole = victims.run(work, tmp_path / "whole")
    assert not whole.broke and not whole.problem and not whole.killed, whole
    expected = result(work, tmp_path / "whole")
    chance = random.Random(f"{SEED} {work}")
    for i in range(POINTS):
        folder = tmp_path / "killed"
        step = 1 + int((i + chance.random()) / POINTS * whole.steps)
        end = victims.run(work, folder, step=step)
        while not end.killed:
            # It was done before: several threads take no two times the same number of steps.
            assert not end.broke and not end.problem, end
            shutil.rmtree(folder, ignore_errors=True)
            step = int(step * 0.9)
            end = victims.run(work, folder, step=step)
        where = f"{work}, seed {SEED}, step {step} of {whole.steps}"
        survived(work, folder, end)
        grown_old(folder)
        again = victims.run(work, folder)
        assert not again.broke and not again.problem and not again.killed, f"{where}: {again}"
        assert result(work, folder) == expected, where
        shutil.rmtree(folder, ignore_errors=True)


def test_a_run_that_was_killed_blocks_no_other(tmp_path: Path) -> None:
    held = "from pathlib import Path; from sightglass.batch.journal import Journal; "
    held += f"Journal(Path({str(tmp_path)!r}), {{}}, resume=True); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        with pytest.raises(FolderBusy, match="wait for it"):
            Journal(tmp_path, {}, resume=True)
        holder.kill()
    Journal(tmp_path, {}, resume=True).close()


def grown_old(folder: Path) -> None:
    """Unfinished files and records of a killed process count as abandoned after an hour."""
    for path in folder.rglob("*"):
        if path.suffix == ".part" or path.parent in (folder, folder / "records"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3601))


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory; skip the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("work", WORKS)
def test_a_disk_without_room(victims: Victims, work: str, tmp_path: Path) -> None:
    """A file system of its own in memory, with as many bytes left as the work needs at some point of it."""
    victims.run(work, tmp_path / "whole")
    expected = result(work, tmp_path / "whole")
    needs = sum(path.stat().st_size + 4096 for path in (tmp_path / "whole").rglob("*"))
    chance, stopped = random.Random(f"{SEED} {work}"), 0
    with mounted(tmp_path / "disk", f"size={SIZE_MB}m") as disk:
        for i in range(AMOUNTS):
            left = int((i + chance.random()) / AMOUNTS * needs)
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
