"""Lines that any number of processes append, one of which may be killed at any moment."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sightglass.monitor import log as module
from sightglass.monitor.log import Log
from sightglass.monitor.monitor import Rate

WRITER = """
import sys
from pathlib import Path
from sightglass.monitor.log import Log
folder, name, count, size, rotate = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
log = Log(folder, "odd", rotate=rotate, keep=1000)
print("ready", flush=True)
sys.stdin.readline()
for i in range(count):
    log.append({"by": name, "i": i, "text": name * size}, {f"{name}{i}.bin": b"x" * 100} if i % 10 == 0 else None)
    if i == 0:
        print("begun", flush=True)
"""


def writers(folder: Path, names: str, count: int, size: int, rotate: int) -> list[subprocess.Popen[str]]:
    """Processes that all begin at once."""
    made = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), name, str(count), str(size), str(rotate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for one in made:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in made:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return made


def ended(made: list[subprocess.Popen[str]]) -> list[int]:
    codes = [one.wait(60) for one in made]
    for one in made:
        for pipe in (one.stdin, one.stdout):
            if pipe is not None:
                pipe.close()
    return codes


def test_four_processes_leave_every_line_whole(tmp_path: Path) -> None:
    """The lines are of very different lengths, longer than a page, and the file is begun anew many times."""
    assert ended(writers(tmp_path, "abcd", 200, 3000, 200_000)) == [0] * 4
    text = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("*.jsonl")))
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 800
    for name in "abcd":
        assert [line["i"] for line in lines if line["by"] == name] == [*range(200)]
        assert all(line["text"] == name * 3000 for line in lines if line["by"] == name)
    assert len([*tmp_path.glob("*.jsonl")]) > 5
    assert len([*Log(tmp_path, "odd", rotate=1, keep=1).read()]) == 800
    assert len([*tmp_path.rglob("*.bin")]) == 80


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill here")
def test_a_killed_writer_takes_no_other_line_with_it(tmp_path: Path) -> None:
    made = writers(tmp_path, "abc", 3000, 5000, 2**30)
    assert made[0].stdout is not None and made[0].stdout.readline() == "begun\n"
    time.sleep(0.05)
    os.kill(made[0].pid, signal.SIGKILL)
    codes = ended(made)
    assert codes[1:] == [0, 0] and codes[0] in (-signal.SIGKILL, 0)
    log = Log(tmp_path, "odd", rotate=2**30, keep=8)
    found = [line for _, line in log.read()]
    for name in "bc":
        assert sum(line["by"] == name for line in found) == 3000
    (path,) = tmp_path.glob("*.jsonl")
    cut = [line for line in path.read_bytes().split(b"\n")[:-1] if not line.endswith(b"}")]
    assert len(cut) <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_writer_that_was_stopped_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(module, "PATIENCE", 0.05)
    log = Log(tmp_path, "odd", rotate=2**20, keep=2)
    log.append({"i": 0})
    with (tmp_path / "odd-000001.jsonl").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        log.append({"i": 1})
    assert [line["i"] for _, line in log.read()] == [1, 0]


def test_what_was_cut_off_does_not_touch_the_next_line(tmp_path: Path) -> None:
    log = Log(tmp_path, "odd", rotate=2**20, keep=2)
    log.append({"i": 0})
    with (tmp_path / "odd-000001.jsonl").open("ab") as file:
        file.write(b'{"i": 1, "text": "cut of')
    log.append({"i": 2})
    log.append({"i": 3})
    assert [line["i"] for _, line in log.read()] == [3, 2, 0]


def test_half_a_write_is_told_and_the_next_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a disk that becomes full in the middle of a line."""
    log = Log(tmp_path, "odd", rotate=2**20, keep=2)
    log.append({"i": 0})
    whole = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, data: whole(file, data[: len(data) // 2]))
        with pytest.raises(OSError) as told:
            log.append({"i": 1, "text": "long enough"}, {"a.bin": b"1"})
        assert told.value.errno == errno.ENOSPC
    assert not [*tmp_path.rglob("*.bin")]
    log.append({"i": 2})
    assert [line["i"] for _, line in log.read()] == [2, 0]


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    theirs = ["odd-1.jsonl", "odd-000001.txt", "trend-000009.jsonl", "odd-000001.jsonl.bak", "notes"]
    for name in theirs:
        (tmp_path / name).write_text("{}\n")
    log = Log(tmp_path, "odd", rotate=1, keep=1)
    for i in range(3):
        log.append({"i": i}, {"a.bin": b"1"})
    assert [line["i"] for _, line in log.read()] == [2]
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "odd-000003.jsonl", "odd-000003"}


def test_what_others_wrote_counts_towards_the_size(tmp_path: Path) -> None:
    one, two = (Log(tmp_path, "odd", rotate=1000, keep=9) for _ in range(2))
    one.append({"i": 0})
    two.append({"i": 1}, {"a.bin": bytes(2000)})
    assert one.append({"i": 2}) == 2
    assert two.append({"i": 3}) == 2
    assert one.size() == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_a_folder_that_was_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    import shutil

    log = Log(tmp_path / "in" / "there", "odd", rotate=1000, keep=2)
    log.append({"i": 0}, {"a.bin": b"1"})
    shutil.rmtree(tmp_path / "in")
    assert log.append({"i": 1}, {"a.bin": b"1"}) == 1
    assert [line["i"] for _, line in log.read()] == [1]


def test_a_rate_lets_a_burst_through_and_then_so_many_a_minute() -> None:
    clock = [0.0]
    rate = Rate(6, clock=lambda: clock[0])
    assert [rate.take() for _ in range(8)] == [True] * 6 + [False] * 2
    clock[0] = 9.9
    assert not rate.take()
    clock[0] = 10.0
    assert rate.take() and not rate.take()
    clock[0] = 10_000.0
    assert sum(rate.take() for _ in range(100)) == 6
    assert not Rate(0).take()
