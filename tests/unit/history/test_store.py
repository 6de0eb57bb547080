"""The store loses nothing to damage, full disks, other writers and crashes, and says in a sentence what goes wrong."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sightglass.explain import Explanation, Image, Problem
from sightglass.history import History
from tests.unit.history.conftest import files, same_maps
from tests.waits import patience


@pytest.mark.parametrize("harm", ["nonsense", "{}", "another task", "gone"])
def test_a_damaged_record_says_so_and_the_others_are_shown(history: History, noise: Explanation, harm: str) -> None:
    bad, good = history.keep(noise, note="bad"), history.keep(noise, note="good")
    file = history.folder / "records" / bad.id / "record.json"
    file.write_text(file.read_text().replace("classify", "") if harm == "another task" else harm)
    if harm == "gone":
        file.unlink()
    history = History(history.folder)
    records = {record.id: record for record in history.search().records}
    assert records[good.id] == good
    if harm != "another task":
        assert records[bad.id].damaged
        with pytest.raises(Problem, match=r"^record\.json in .*: put a copy of it back, or delete the record\.$"):
            history.annotate(bad.id, tags=["mended"])
        exported = {name.partition("/")[2]: data for name, data in history.export([bad.id])}
        kept = {path.name: path.read_bytes() for path in file.parent.iterdir()}
        assert exported == {**kept, "damaged.txt": f"{records[bad.id].damaged}\n".encode()}
    history.delete([bad.id])
    same_maps(history, good, noise)


def test_a_record_that_contradicts_itself_is_exported_as_damaged(history: History, noise: Explanation) -> None:
    record = history.keep(noise)
    (file,) = history.folder.rglob("record.json")
    plain = json.loads(file.read_bytes())
    for wrong in ({"recipe": None}, {"labels": []}, {"index": len(noise.heatmaps)}, {"index": -1}):
        file.write_text(json.dumps(plain | wrong))
        exported = {name.partition("/")[2] for name, _ in history.export([record.id])}
        assert exported == {*(path.name for path in file.parent.iterdir()), "damaged.txt"}


def test_lost_database_is_rebuilt(history: History, noise: Explanation) -> None:
    first, second = history.keep(noise, note="first"), history.keep(noise)
    second = history.annotate(second.id, note="second", tags=["odd"])
    # Killed before its row was written, a change is found all the same.
    history._save(first := replace(first, note="another"), {})
    assert History(history.folder).search(text="another").records == (first,)
    (history.folder / "index.db").unlink()
    # A killed process left half of a record, too.
    half = history.folder / "records" / ("0" * 16)
    half.mkdir()
    again = History(history.folder)
    assert again.search().records == (second, first)
    assert again.search(tag="odd", text="second").total == 1
    assert half.exists(), "somebody may be writing it"
    os.utime(half, (0, 0))
    assert History(history.folder).search().total == 2 and not half.exists()


def test_a_full_history_refuses_and_keeps_what_it_has(tmp_path, photo, noise, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "0.9")
    history, chance = History(tmp_path), np.random.default_rng(0)
    record = history.keep(photo)
    with pytest.raises(Problem, match=r"full: 1.MB of 1.MB are taken. Delete some records"):
        for _ in range(20):
            history.keep(replace(noise, image=Image(chance.integers(0, 256, (200, 300, 3), np.uint8), "x.png")))
    assert record in history.search().records and history.used_bytes() <= 900_000
    assert {path.parent.name for path in files(history)} == {record.id for record in history.search().records}
    history.delete([record.id])
    assert history.keep(noise)


def test_a_writer_waits_for_another_and_then_says_so(history, noise, monkeypatch):
    monkeypatch.setattr("sightglass.history.history.WAIT", 0.3)
    history.keep(noise)
    with sqlite3.connect(history.folder / "index.db", isolation_level=None, check_same_thread=False) as blocking:
        blocking.execute("BEGIN IMMEDIATE")
        mine = History(history.folder)
        assert mine.search().total == 1
        with pytest.raises(Problem, match="busy"):
            mine.keep(noise)
        monkeypatch.setattr("sightglass.history.history.WAIT", patience(20))
        threading.Timer(0.1, lambda: blocking.execute("ROLLBACK")).start()
        assert mine.keep(noise)
    blocking.close()
    assert len({path.parent for path in files(history)}) == history.search().total


def test_everything_is_on_the_disk_before_its_row_is(history, noise, monkeypatch):
    """Each file is forced onto the disk before it gets its name, and its folder before the row."""
    history.search()
    events: list[Any] = []
    sync, move, put = os.fsync, os.replace, history._index

    def noted(act: Callable[..., None], about: Callable[..., object]) -> Callable[..., None]:
        def then(*args: Any) -> None:
            events.append(about(*args))
            act(*args)

        return then

    monkeypatch.setattr(os, "fsync", noted(sync, lambda file: os.readlink(f"/proc/self/fd/{file}")))
    monkeypatch.setattr(os, "replace", noted(move, lambda draft, to: (str(draft), to.name)))
    monkeypatch.setattr(history, "_index", noted(put, lambda *_: "row"))
    folder = history.folder / "records" / history.keep(noise).id  # type: ignore[operator]
    before = events[: events.index("row")]
    moved = [event for event in before if isinstance(event, tuple)]
    assert {name for _, name in moved} == {path.name for path in folder.iterdir()}
    assert all(event[0] in before[: before.index(event)] for event in moved)
    assert {str(folder), str(folder.parent)} <= {event for event in before if isinstance(event, str)}
