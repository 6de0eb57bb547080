"""The store loses nothing to damage, full disks, other writers and crashes, and says in a sentence what goes wrong."""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.explain import Image, Problem
from sightglass.history import History, Record, schema, store
from tests.unit.history.conftest import files, same_maps

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain import Explanation


def _sql(history: History, statement: str) -> None:
    assert history.folder is not None
    with sqlite3.connect(history.folder / "history.db") as database:
        database.execute(statement)
    database.close()


def test_a_store_of_a_newer_version_or_of_another_program_is_a_sentence(tmp_path: Path) -> None:
    for name, words in (("newer", "newer Sightglass"), ("alien", "another program's"), ("junk", "is damaged")):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "history.db"
        if name == "junk":
            file.write_bytes(b"no database at all" * 100)
        else:
            with sqlite3.connect(file) as database:
                database.execute("CREATE TABLE something (x)")
                if name == "newer":
                    database.execute(f"PRAGMA application_id = {schema.APPLICATION}")
                    database.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")
        with pytest.raises(Problem, match=words):
            History(tmp_path / name).search()


@pytest.mark.parametrize(
    "harm",
    [
        "body = 'nonsense'",
        "body = replace(body, 'noise', 'voice'), crc = crc + 1",
        "body = '{}', crc = 2745614147",
        "tags = '[1'",
        'marks = \'[{"kind": "star", "points": []}]\'',
        "score = 'x'",
        "created = 9e30",
    ],
)
def test_a_damaged_row_says_so_and_the_others_are_shown(history: History, noise: Explanation, harm: str) -> None:
    bad, good = history.keep(noise, note="bad"), history.keep(noise, note="good")
    if harm.startswith("body"):
        _sql(history, f"UPDATE bodies SET {harm} WHERE n = (SELECT n FROM records WHERE note = 'bad')")
    else:
        _sql(history, f"UPDATE records SET {harm} WHERE note = 'bad'")
    found = {record.note: record for record in history.search().records}
    assert found["good"] == good
    assert found["bad"].id == bad.id
    assert bool(found["bad"].damaged) == (not harm.startswith(("score", "created")))
    assert history.annotate(bad.id, tags=["mended"], marks=[]).tags == ("mended",)
    history.delete([bad.id])
    same_maps(history, good, noise)


def test_a_name_of_a_file_in_a_damaged_row_leads_nowhere(history: History, noise: Explanation) -> None:
    record = history.keep(noise)
    _sql(history, "UPDATE records SET thumbnail = '../../history.db'")
    with pytest.raises(Problem, match="makes no sense"):
        history.thumbnail(record)


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_damaged_and_lost_files_are_reported_and_mended_by_keeping_again(
    history: History, noise: Explanation, harm: str
) -> None:
    record = history.keep(noise)
    for path in files(history):
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    for ask in (history.heatmaps, history.thumbnail, history.picture):
        with pytest.raises(Problem, match=harm):
            ask(record)
    assert history.search().records == (record,)
    history.keep(noise)
    same_maps(history, record, noise)
    assert history.picture(record).sha256 == noise.image.sha256


def test_a_full_history_refuses_and_keeps_what_it_has(tmp_path: Path, one: Explanation, noise: Explanation) -> None:
    history, chance = History(tmp_path, limit=900_000), np.random.default_rng(0)
    record = history.keep(one)
    with pytest.raises(Problem, match=r"full: 1.MB of 1.MB are taken. Delete some records"):
        for _ in range(20):
            history.keep(replace(noise, image=Image(chance.integers(0, 256, (200, 300, 3), np.uint8), "x.png")))
    assert record in history.search().records
    assert history.storage().bytes <= 900_000
    assert not list((tmp_path / "drafts").iterdir())
    history.delete([record.id])
    assert history.keep(noise)


def test_a_database_that_cannot_grow_says_so(history: History, one: Explanation) -> None:
    history.keep(one)
    with history._store.writing() as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Problem, match="is full, and nothing was saved"):
        for _ in range(50):
            history.keep(one, note="x" * 9000)
    database.execute("PRAGMA max_page_count = 1000000")
    assert history.keep(one)


def test_a_writer_waits_for_another_and_then_says_so(
    history: History, noise: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WAIT", 0.3)
    history.keep(noise)
    assert history.folder is not None
    with sqlite3.connect(history.folder / "history.db", isolation_level=None, check_same_thread=False) as blocking:
        blocking.execute("BEGIN IMMEDIATE")
        mine = History(history.folder)
        assert mine.search().total == 1
        with pytest.raises(Problem, match="busy"):
            mine.keep(noise)
        threading.Timer(0.1, lambda: blocking.execute("ROLLBACK")).start()
        assert mine.keep(noise)
    blocking.close()
    assert not list((history.folder / "drafts").iterdir())


def test_threads_keep_and_delete_at_once(history: History, one: Explanation, noise: Explanation) -> None:
    """The same files come and go under four threads with a history each, and no record loses one."""

    def work(seed: int) -> list[str]:
        mine, left = History(history.folder), []
        for turn in range(6):
            record = mine.keep((one, noise)[(seed + turn) % 2])
            if turn % 3 == 2:
                left.append(record.id)
            else:
                mine.delete([record.id])
        return left

    with ThreadPoolExecutor(4) as pool:
        left = {id for ids in pool.map(work, range(4)) for id in ids}
    found = history.search().records
    assert {record.id for record in found} == left
    for record in found:
        same_maps(history, record, one if record.picture_name == "bus.jpg" else noise)


def test_threads_create_the_database_at_once(tmp_path: Path) -> None:
    """Whoever comes while another creates the tables finds an empty database or a whole one, never a foreign one."""

    def create(number: int, start: threading.Barrier) -> None:
        mine = store.Store(tmp_path / str(number))
        start.wait()
        with mine.writing(), mine.reading():
            pass

    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            list(pool.map(create, [number] * 8, [threading.Barrier(8)] * 8))


def test_a_sweep_takes_nothing_that_is_being_written(history: History, noise: Explanation) -> None:
    """Between the draft of a file and its row another sweeps, and a third deletes what the draft counts on."""
    first = history.keep(noise)
    held, real = history._store, history._store.draft

    def draft(blobs: Any) -> Any:
        made = real(blobs)
        held.draft = real  # type: ignore[method-assign]
        third = History(history.folder)
        third.delete([first.id])
        third.sweep()
        return made

    held.draft = draft  # type: ignore[method-assign]
    second = history.keep(noise)
    same_maps(history, second, noise)
    assert history.picture(second).sha256 == noise.image.sha256


def test_a_deletion_takes_nothing_that_was_kept_again(history: History, noise: Explanation) -> None:
    """Between the rows of a record and its files another keeps the same picture and maps."""
    first = history.keep(noise)
    held, real, again = history._store, history._store.remove, History(history.folder)
    kept: list[Record] = []

    def remove(names: Any) -> None:
        kept.append(again.keep(noise))
        real(names)

    held.remove = remove  # type: ignore[method-assign]
    history.delete([first.id])
    same_maps(history, kept[0], noise)
    assert history.picture(kept[0]).sha256 == noise.image.sha256


def test_everything_is_on_the_disk_before_its_row_is(
    history: History, noise: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is forced onto the disk before it gets its name, and its folder before the row that names it."""
    with history._store.writing() as database:
        (mode,) = database.execute("PRAGMA synchronous").fetchone()
        (journal,) = database.execute("PRAGMA journal_mode").fetchone()
    assert (mode, journal) == (2, "wal")
    history.sweep()
    events: list[tuple[str, str]] = []
    sync, move = os.fsync, os.replace

    def fsync(file: int) -> None:
        events.append(("fsync", os.readlink(f"/proc/self/fd/{file}")))
        sync(file)

    def replaced(source: Any, to: Any) -> None:
        events.extend((("replace", str(source)), ("named", str(to))))
        move(source, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    database.set_trace_callback(lambda sql: events.append((sql, "")))
    history.keep(noise)
    database.set_trace_callback(None)
    (commit,) = (i for i, (what, _) in enumerate(events) if what == "COMMIT")
    moved = [i for i, (what, _) in enumerate(events) if what == "replace"]
    assert len(moved) == 2 + len(noise.heatmaps)
    assert max(moved) < commit
    for i in moved:
        assert ("fsync", events[i][1]) in events[:i]
        shelf = os.path.dirname(events[i + 1][1])
        assert ("fsync", shelf) in events[i:commit]
        assert ("fsync", os.path.dirname(shelf)) in events[:commit]
