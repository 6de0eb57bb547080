"""Temporary folders go with their process, also with one that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sightglass.common.files import scratch

MAKE = (
    "from sightglass.common.files.scratch import scratch_folder; folder = scratch_folder('kind'); "
    "print(folder.name, flush=True); "
)
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(scratch, "_HOMES", {})


def started(then: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE + then], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_a_folder_goes_with_its_process_or_with_the_next_one_if_that_is_killed(tmp_path: Path) -> None:
    alive, used = started("input()")
    dead, left = started("input()")
    (left / "clip.mp4").write_bytes(b"some")
    dead.kill()
    dead.communicate()
    assert left.is_dir() and left.parent.parent == tmp_path
    (tmp_path / f"{scratch.PREFIX}link").symlink_to(tmp_path)
    with scratch.scratch_folder("kind") as mine:
        assert Path(mine).is_dir() and used.is_dir() and not left.parent.exists()
    alive.communicate("\n")
    assert not used.exists()


def test_one_without_a_lock_goes_after_an_hour_and_one_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    new, old = (tmp_path / f"{scratch.PREFIX}{name}" for name in ("new", "old"))
    for folder in (new, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    first = Path(scratch.scratch_folder("kind").name)
    assert new.exists() and not old.exists()
    shutil.rmtree(first.parent)
    with scratch.scratch_folder("kind") as again:
        assert Path(again).is_dir()
