"""Writers that are killed at any moment: what was acknowledged is there bit for bit, and nothing half of anything is.

The writers are forks of one process that has the models in it, or most of the time would go into starting them. Each
says what it is about to do, and then that it is done.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sightglass.history import History, Mark, Record

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
ROOT = Path(__file__).parents[3]


def digests(history: History, record: Record) -> list[str]:
    """Of all that is kept of a record: its picture, and every number of its maps."""
    found = [history.picture(record).sha256]
    for kept in history.heatmaps(record):
        arrays = (kept.values, kept.measured, *kept.layer_maps)
        found.append(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest())
    assert history.thumbnail(record).startswith(b"\xff\xd8")
    return found


class Writers:
    """The process that forks, and what its forks said of one folder."""

    def __init__(self, process: subprocess.Popen[str], expected: list[list[str]], folder: Path) -> None:
        self._process, self.expected, self._folder = process, expected, folder
        self.kept: dict[str, int] = {}
        """Acknowledged records, each with which of the explanations it is of."""
        self.notes: dict[str, set[str]] = {}
        """Of each record the notes that it may have."""
        self.going: set[str] = set()
        """Records whose deletion was begun."""
        self.gone: set[str] = set()
        self.killed = 0

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the writers ended"
        return line

    def start(self, *how: object) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([*how, str(self._folder)]) + "\n")
        self._process.stdin.flush()
        while True:
            word, *rest = self._line().split()
            if word == "started":
                return int(rest[0])
            self._heard(word, rest)

    def hear(self, count: int) -> None:
        """Until so many more things were acknowledged."""
        while count:
            word, *rest = self._line().split()
            self._heard(word, rest)
            count -= word in ("kept", "noted", "deleted")

    def until_ended(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write('["wait"]\n')
        self._process.stdin.flush()
        while True:
            word, *rest = self._line().split()
            if word == "none":
                return
            self._heard(word, rest)

    def _heard(self, word: str, rest: list[str]) -> None:
        if word == "kept":
            self.kept[rest[0]] = int(rest[1])
            self.notes[rest[0]] = {""}
        elif word == "noting":
            self.notes[rest[0]].add(rest[1])
        elif word == "noted":
            self.notes[rest[0]] = {rest[1]}
        elif word == "deleting":
            self.going.add(rest[0])
        elif word == "deleted":
            self.gone.add(rest[0])
        elif word == "ended":
            self.killed += int(rest[0]) == signal.SIGKILL
        else:
            raise AssertionError(f"a writer said {word} {rest}")

    def check(self, folder: Path, unsaid: int) -> None:
        """Everything that was acknowledged is there, and what is there is whole."""
        history = History(folder)
        found = {
            record.id: record
            for start in range(0, 10_000, 1000)
            for record in history.search(limit=1000, offset=start).records
        }
        lost = self.kept.keys() - self.going - found.keys()
        assert not lost
        assert not self.gone & found.keys()
        assert len(found.keys() - self.kept.keys()) <= unsaid
        assert history.search(text="efficientnet").total == len(found)
        for id_, record in found.items():
            assert not record.damaged
            made = digests(history, record)
            assert made in self.expected
            if id_ in self.kept:
                assert made == self.expected[self.kept[id_]]
                assert record.note in self.notes[id_]
                # Note, tags and marks of one call come together or not at all.
                assert record.tags == ((record.note,) if record.note else ())
                assert len(record.marks) == bool(record.note)
                if record.note:
                    assert [hit.id for hit in history.search(text=record.note).records] == [id_]


@pytest.fixture(scope="module")
def process() -> Iterator[tuple[subprocess.Popen[str], list[list[str]]]]:
    made = subprocess.Popen(
        [sys.executable, __file__],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert made.stdout is not None
        yield made, json.loads(made.stdout.readline())
    finally:
        made.kill()
        made.communicate()


@pytest.fixture
def writers(process: tuple[subprocess.Popen[str], list[list[str]]], tmp_path: Path) -> Writers:
    return Writers(*process, tmp_path)


def rounds(writers: Writers, folder: Path, count: int, seed: int) -> None:
    chance, unsaid = random.Random(seed), 0
    for turn in range(count):
        some = [writers.start("loop", chance.random()) for _ in range(2)]
        for pid in some:
            writers.hear(chance.randrange(4))
            time.sleep(chance.uniform(0, 0.1))
            os.kill(pid, signal.SIGKILL)
        writers.until_ended()
        unsaid += len(some)
        if turn == count // 2:
            writers.check(folder, unsaid)
    assert writers.killed == 2 * count
    assert len(writers.kept) > count
    writers.check(folder, unsaid)
    swept(folder)
    writers.check(folder, unsaid)


def swept(folder: Path) -> None:
    """What nobody names goes, and nothing else."""
    history = History(folder)
    history._store.sweep(age=0)
    with history._store.reading() as database:
        named = dict(database.execute("SELECT name, bytes FROM files").fetchall())
        used = {name for (name,) in database.execute("SELECT file FROM uses")}
    assert {path.name: path.stat().st_size for path in (folder / "files").rglob("*.*")} == named
    assert used == named.keys()
    assert not list((folder / "drafts").iterdir())
    assert history.storage().bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_was_acknowledged_survives_writers_that_are_killed(writers: Writers, tmp_path: Path) -> None:
    rounds(writers, tmp_path, 12, seed=1)


@pytest.mark.slow
def test_it_survives_hundreds_of_kills(writers: Writers, tmp_path: Path) -> None:
    rounds(writers, tmp_path, 200, seed=2)


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_writer_is_killed_at_every_step_of_its_way(writers: Writers, tmp_path: Path, stride: int) -> None:
    """Each step is one after which the disk is another: an fsync, a rename, a removal, a statement of the database."""
    for what in ("keep", "annotate", "delete"):
        step = 1 - stride
        while True:
            step += stride
            before = writers.killed
            writers.start("step", step, what)
            writers.until_ended()
            if writers.killed == before:
                break
            if what == "delete":
                # The next step takes this one's leavings away.
                writers.check(tmp_path, unsaid=writers.killed)
        assert step > 10, what
        # What is half done stays half done: once for all steps is enough.
        writers.check(tmp_path, unsaid=writers.killed)
    swept(tmp_path)
    writers.check(tmp_path, unsaid=writers.killed)
    assert writers.killed > 60 / stride


def _explanations() -> list[Any]:
    import numpy as np

    from sightglass.explain import Explainer
    from tests.conftest import asset

    bus = asset("ultralytics", "assets", "bus.jpg")
    explainer = Explainer("efficientnet-lite0")
    first = explainer(bus, top_k=3)
    grey = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return [first, explainer(grey, top_k=2), first.with_method("layercam")]


def _say(*words: object) -> None:
    # One write, which no other's gets into.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def _loop(explanations: list[Any], seed: float, folder: str) -> None:
    history, chance, mine = History(folder), random.Random(seed), []
    while True:
        what = chance.random()
        if what < 0.6 or not mine:
            which = chance.randrange(len(explanations))
            mine.append(history.keep(explanations[which]).id)
            _say("kept", mine[-1], which)
        elif what < 0.8:
            _annotate(history, chance.choice(mine), f"n{chance.randrange(10**9)}")
        else:
            _delete(history, mine.pop(chance.randrange(len(mine))))


def _annotate(history: History, id_: str, note: str) -> None:
    _say("noting", id_, note)
    history.annotate(id_, note=note, tags=[note], marks=[Mark("circle", ((1, 2), (3, 4)))])
    _say("noted", id_, note)


def _delete(history: History, id_: str) -> None:
    _say("deleting", id_)
    history.delete([id_])
    _say("deleted", id_)


def _step(explanations: list[Any], number: int, what: str, folder: str) -> None:
    """Do one thing, and die at its `number`th step."""
    history, left = History(folder), number
    id_ = ""
    if what == "delete":
        # Alone with its files, so that there are some to remove.
        for record in history.search(limit=1000).records:
            _delete(history, record.id)
    if what != "keep":
        id_ = history.keep(explanations[1]).id
        _say("kept", id_, 1)

    def die(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(call: Any) -> Any:
        def then(*given: Any, **named: Any) -> Any:
            result = call(*given, **named)
            die()
            return result

        return then

    for name in ("fsync", "replace", "unlink", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    with history._store.writing() as database:
        pass
    # Called before each statement.
    database.set_trace_callback(die)
    if what == "keep":
        id_ = history.keep(explanations[1]).id
        _say("kept", id_, 1)
    elif what == "annotate":
        _annotate(history, id_, f"n{number}")
    else:
        _delete(history, id_)


def _serve() -> None:
    explanations = _explanations()
    for explanation in explanations:
        _ = explanation.statistics, explanation.diagnosis, explanation.image.sha256
    expected = []
    for explanation in explanations:
        found = [explanation.image.sha256]
        for heatmap in explanation.heatmaps:
            arrays = (heatmap.content, heatmap.measured.content, *heatmap.raw)
            found.append(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest())
        expected.append(found)
    _say(json.dumps(expected))
    running = 0
    for line in sys.stdin:
        word, *rest = json.loads(line)
        if word == "wait":
            while running:
                _, status = os.wait()
                _say("ended", os.waitstatus_to_exitcode(status) * -1)
                running -= 1
            _say("none")
            continue
        pid = os.fork()
        if not pid:
            code = 1
            try:
                if word == "loop":
                    _loop(explanations, *rest)
                else:
                    _step(explanations, *rest)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        running += 1
        _say("started", pid)


if __name__ == "__main__":
    _serve()
