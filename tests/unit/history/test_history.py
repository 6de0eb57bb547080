"""The history keeps an explanation bit for bit, stores the same thing once, and says in a sentence what goes wrong."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.explain import Explainer, Image, Problem
from sightglass.explain.maps import statistics
from sightglass.export import embedded_recipe
from sightglass.history import History, Mark, Record, array_codec, schema, store
from sightglass.history.encoding import SIDE
from sightglass.history.records import MAX_MARKS
from sightglass.models.demo.scenes import draw, sample

if TYPE_CHECKING:
    from sightglass.explain import Explanation


@pytest.fixture(scope="module")
def one(bus: Path) -> Explanation:
    return Explainer("efficientnet-lite0")(bus, top_k=3)


@pytest.fixture(scope="module")
def other(bus: Path) -> Explanation:
    return Explainer("efficientnet-lite1")(bus, top_k=1)


@pytest.fixture(scope="module")
def noise() -> Explanation:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return Explainer("efficientnet-lite0")(Image(pixels, "noise.png"), top_k=2)


@pytest.fixture(scope="module")
def scene() -> Explanation:
    """A detector's, with boxes."""
    pixels = draw(sample(502, task="detect", held_out=True)).pixels
    return Explainer("demo-s")(Image(pixels, "scene.png"), per="detection", within="inside", confidence=0.1)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def files(history: History) -> list[Path]:
    assert history.folder is not None
    return sorted(path for path in (history.folder / "files").rglob("*") if path.is_file())


def same_maps(history: History, record: Record, explanation: Explanation) -> None:
    """Every number of every map, and what the viewer is given of it, is the explanation's own."""
    kept = history.heatmaps(record)
    assert len(kept) == len(explanation.heatmaps)
    for i, (found, heatmap) in enumerate(zip(kept, explanation.heatmaps, strict=True)):
        assert found.values.dtype == np.float32
        for a, b in (
            (found.values, heatmap.content),
            (found.at_input, heatmap.at_input),
            (found.at_picture, heatmap.values),
            (found.measured, heatmap.measured.content),
            *zip(found.layer_maps, heatmap.raw, strict=True),
        ):
            assert a.shape == b.shape
            assert a.tobytes() == np.ascontiguousarray(b).tobytes()
        several = len(heatmap.raw) > 1 and len(explanation.heatmaps) > 1
        assert (found.shared is not None) == several
        if found.shared is not None:
            assert np.array_equal(found.shared, explanation.shared[i].content)
        assert found.extent == explanation.evidence.geometry.extent
        assert found.seen == heatmap.seen
        assert found.cells == (heatmap.raw[0].shape if len(heatmap.raw) == 1 else None)
        assert found.raw == (heatmap.ends or ((0.0, 0.0) if len(heatmap.raw) == 1 else None))
        assert found.statistics == explanation.statistics[i]
        assert (found.label, found.state, found.scale) == (heatmap.target.label, heatmap.state, heatmap.scale)
        assert found.boxes == explanation.own(i)


def test_a_record_is_the_explanation(history: History, one: Explanation) -> None:
    before = datetime.now(UTC)
    record = history.keep(one, index=1, look={"colormap": "jet", "alpha": 0.7}, note=" why? ", tags=["a", "b", "A"])
    assert before <= record.created <= datetime.now(UTC) + timedelta(seconds=1)
    assert record == history.get(record.id)
    assert record.recipe == one.recipe
    assert record.predictions == one.predictions
    assert record.statistics == one.statistics[1]
    assert record.labels == tuple(heatmap.target.label for heatmap in one.heatmaps)
    assert (record.index, record.label) == (1, one.heatmaps[1].target.label)
    assert record.score == one.predictions[1].score
    assert record.view == embedded_recipe.view_of(one, 1, colormap="jet", alpha=0.7)
    assert (record.note, record.tags, record.marks) == ("why?", ("a", "b"), ())
    assert (record.picture_name, record.width, record.height) == ("bus.jpg", 810, 1080)
    assert record.damaged == ""
    same_maps(history, record, one)
    picture = history.picture(record)
    assert picture.sha256 == record.picture_sha256 == one.image.sha256
    assert (picture.jpeg, picture.name) == (one.image.jpeg, "bus.jpg")
    small = Pillow.open(BytesIO(history.thumbnail(record)))
    assert (small.format, max(small.size)) == ("JPEG", SIDE)


def test_a_thumbnail_is_of_the_map_that_was_looked_at(history: History, one: Explanation) -> None:
    seen = [history.thumbnail(history.keep(one, index=i)) for i in (0, 1)]
    drawn = [np.asarray(Pillow.open(BytesIO(data))).astype(int) for data in seen]
    plain = one.image.thumbnail(SIDE).astype(int)
    assert abs(drawn[0] - drawn[1]).max() > 50
    # Where the map is hottest the picture is coloured.
    x, y = (round(at * SIDE / 1080) for at in one.statistics[0].peak)
    assert abs(drawn[0][y, x] - plain[y, x]).max() > 40


def test_a_detector_keeps_its_boxes(history: History, scene: Explanation) -> None:
    assert scene.predictions
    record = history.keep(scene, screen="detect")
    assert record.predictions == scene.predictions
    assert record.view.screen == "detect"
    same_maps(history, record, scene)
    nothing = scene.with_options(confidence=0.999)
    empty = history.keep(nothing)
    assert (empty.predictions, empty.labels, empty.statistics, empty.label) == ((), (), None, None)
    assert history.heatmaps(empty) == ()
    assert history.thumbnail(empty)


@pytest.mark.parametrize(
    ("model", "method"), [("demo-cls-s", "eigencam"), ("demo-cls-s", "occlusion"), ("demo-vit", "attention")]
)
def test_maps_of_other_methods_are_kept(history: History, noise: Explanation, model: str, method: str) -> None:
    made = Explainer(model)(noise.image, top_k=2, method=method, masks=16 if method == "occlusion" else None)
    assert made.heatmaps[0].method == method
    same_maps(history, history.keep(made), made)


def test_maps_of_several_layers_keep_their_shared_scale(history: History, noise: Explanation) -> None:
    made = Explainer("efficientnet-lite0")(noise.image, top_k=2, layers=("blocks.4", "bn2"))
    assert len(made.heatmaps[0].raw) == 2
    same_maps(history, history.keep(made), made)


def test_what_is_not_finished_is_not_kept(history: History, one: Explanation) -> None:
    with pytest.raises(Problem, match="not finished"):
        history.keep(replace(one, finished=False))
    with pytest.raises(Problem, match="no map 3"):
        history.keep(one, index=3)
    assert history.search().total == 0


@pytest.mark.parametrize("kind", ["png", "planes", "long"])
def test_any_picture_comes_back_pixel_for_pixel(history: History, noise: Explanation, kind: str) -> None:
    chance = np.random.default_rng(1)
    image = {
        "png": lambda: Image(chance.integers(0, 256, (50, 70, 3), dtype=np.uint8), "a.png"),
        "planes": lambda: Image.open(chance.random((40, 50, 5), dtype=np.float32), name="a.npy"),
        "long": lambda: Image(chance.integers(0, 256, (2, 17_000, 3), dtype=np.uint8), "a.tif"),
    }[kind]()
    record = history.keep(replace(noise, image=image))
    found = history.picture(record)
    assert found.sha256 == image.sha256
    assert np.array_equal(found.pixels, image.pixels)


def test_the_same_thing_is_stored_once_and_stays_for_the_others(history: History, one: Explanation) -> None:
    first = history.keep(one)
    before, size = files(history), history.storage()
    sizes = [path.stat().st_size for path in before]
    second = history.keep(one)
    assert files(history) == before
    third = history.keep(one.with_method("layercam"))
    assert len(files(history)) == len(before) + len(one.heatmaps) + 1  # its maps and its thumbnail
    assert history.delete([first.id, third.id, "nobody"]) > 0
    assert files(history) == before
    same_maps(history, second, one)
    assert history.picture(second).sha256 == one.image.sha256
    assert history.delete([second.id]) == sum(sizes)
    assert files(history) == []
    with pytest.raises(Problem, match="deleted"):
        history.get(first.id)
    assert size.count == 1


def test_the_meter_counts_real_bytes(history: History, one: Explanation) -> None:
    history.keep(one)
    assert history.folder is not None

    def real() -> int:
        return sum(path.stat().st_size for path in history.folder.rglob("*") if path.is_file())  # type: ignore[union-attr]

    held = sum(path.stat().st_size for path in files(history))
    record = history.search().records[0]
    assert history.storage().bytes == real()
    assert record.bytes == held
    before = real()
    assert history.delete([record.id]) == held
    assert real() <= before - held
    assert history.storage().bytes == real()


def test_a_full_store_refuses_and_keeps_what_it_has(tmp_path: Path, one: Explanation, noise: Explanation) -> None:
    history = History(tmp_path, limit=900_000)
    record = history.keep(one)
    with pytest.raises(Problem, match=r"full: 1.MB of 1.MB are taken. Delete some records"):
        for _ in range(20):
            history.keep(replace(noise, image=Image(_random(_), "x.png")))
    assert record in history.search().records
    assert history.storage().bytes <= 900_000
    assert not list((tmp_path / "drafts").iterdir())
    history.delete([record.id])
    assert history.keep(noise)


def _random(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (200, 300, 3), dtype=np.uint8)


def test_what_a_person_says_is_kept_and_found(history: History, one: Explanation) -> None:
    record = history.keep(one, note="first", tags=["old"])
    marks = (Mark("arrow", ((1, 2), (3.5, 4))), Mark("text", ((5, 6),), "Kotflügel", "light"))
    changed = history.annotate(record.id, note="line one\nline two\x07", tags=[" New ", "x"], marks=marks)
    assert changed == history.get(record.id)
    assert (changed.note, changed.tags, changed.marks) == ("line one\nline two", ("New", "x"), marks)
    assert history.annotate(record.id, tags=[]).marks == marks
    assert history.search(text="kotflu").total == 1
    assert history.search(text="first").total == 0
    assert history.choices().tags == {}
    with pytest.raises(Problem, match="deleted"):
        history.annotate("nobody", note="")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Mark("star", ((0, 0),)), "no mark star"),  # type: ignore[arg-type]
        (lambda: Mark("arrow", ((0, 0),)), "2 points, not 1"),
        (lambda: Mark("circle", ((0, 0), (float("nan"), 1))), "outside"),
        (lambda: Mark("text", ((0, 0),), " "), "must say something"),
        (lambda: Mark("text", ((0, 0),), "x" * 300), "200 at most"),
        (lambda: Mark("text", (("a", 0),), "x"), "pairs of numbers"),  # type: ignore[arg-type]
    ],
)
def test_a_mark_that_makes_no_sense_is_a_sentence(call: Any, words: str) -> None:
    with pytest.raises(Problem, match=words):
        call()


def test_too_much_to_say_is_a_sentence(history: History, noise: Explanation) -> None:
    record = history.keep(noise)
    for given, words in (
        ({"note": "x" * 10_001}, "10,000 at most"),
        ({"tags": [str(i) for i in range(21)]}, "20 at most"),
        ({"tags": ["x" * 61]}, "60 at most"),
        ({"marks": [Mark("circle", ((0, 0), (1, 1)))] * 201}, "200 at most"),
    ):
        with pytest.raises(Problem, match=words):
            history.annotate(record.id, **given)  # type: ignore[arg-type]
    assert history.get(record.id) == record


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a'; DROP TABLE records; --", "x" * 120, "\N{BUS} ü.jpg", "a\udc80.jpg"]
)
def test_names_are_only_data(history: History, noise: Explanation, name: str) -> None:
    record = history.keep(replace(noise, image=replace(noise.image, name=name)), tags=[name[:50]])
    assert history.get(record.id).picture_name == name.replace("\udc80", "?")
    assert record.damaged == ""
    assert history.search(tag=record.tags[0], label=record.label).total == 1
    assert history.search(model=name, tag=name).total == 0
    for written, _ in history.export([record.id]):
        assert ".." not in written
        assert written.count("/") == 1
    assert history.search(text="'").total >= 0
    for path in files(history):
        assert store._NAME.fullmatch(path.name)


def test_a_name_of_a_file_in_a_damaged_row_leads_nowhere(history: History, noise: Explanation) -> None:
    record = history.keep(noise)
    _sql(history, "UPDATE records SET thumbnail = '../../history.db'")
    with pytest.raises(Problem, match="makes no sense"):
        history.thumbnail(record)


def _sql(history: History, statement: str) -> None:
    assert history.folder is not None
    with sqlite3.connect(history.folder / "history.db") as database:
        database.execute(statement)
    database.close()


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
    told = found["bad"]
    assert told.id == bad.id
    assert bool(told.damaged) == (not harm.startswith(("score", "created")))
    history.annotate(bad.id, tags=["mended"], marks=[])
    assert history.get(bad.id).tags == ("mended",)
    history.delete([bad.id])
    same_maps(history, good, noise)


def test_damaged_and_lost_files_are_told_and_mended_by_keeping_again(history: History, noise: Explanation) -> None:
    record = history.keep(noise)
    for path in files(history):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    for ask in (history.heatmaps, history.thumbnail, history.picture):
        with pytest.raises(Problem, match="damaged"):
            ask(record)
    assert history.search().records == (record,)
    history.keep(noise)
    same_maps(history, record, noise)
    assert history.picture(record).sha256 == noise.image.sha256
    for path in files(history):
        path.unlink()
    for ask in (history.heatmaps, history.thumbnail, history.picture):
        with pytest.raises(Problem, match="gone"):
            ask(record)
    history.keep(noise)
    same_maps(history, record, noise)


def test_a_disk_that_is_full_keeps_nothing_half(
    history: History, noise: Explanation, one: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = history.keep(noise)
    before = files(history)
    real, calls = os.fsync, 0

    def full(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Problem, match="is full, and nothing was saved"):
        history.keep(one)
    assert history.folder is not None
    assert files(history) == before
    assert not list((history.folder / "drafts").iterdir())
    assert history.search().records == (record,)
    assert history.keep(one)


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


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path, noise: Explanation) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Problem, match="name another in SIGHTGLASS_HISTORY"):
        History(tmp_path / "file" / "history").keep(noise)


def test_looking_at_nothing_makes_no_folder(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    assert (history.search().total, history.storage().bytes, history.choices().tags) == (0, 0, {})
    assert history.delete(["nobody"]) == 0
    with pytest.raises(Problem, match="deleted"):
        history.get("nobody")
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_a_newer_version_or_of_another_program_is_a_sentence(tmp_path: Path, noise: Explanation) -> None:
    history = History(tmp_path / "newer")
    history.keep(noise)
    _sql(history, f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    with pytest.raises(Problem, match="newer Sightglass"):
        History(tmp_path / "newer").search()
    (tmp_path / "alien").mkdir()
    with sqlite3.connect(tmp_path / "alien" / "history.db") as database:
        database.execute("CREATE TABLE something (x)")
    with pytest.raises(Problem, match="another program's"):
        History(tmp_path / "alien").search()
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "history.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(Problem, match="is damaged"):
        History(tmp_path / "junk").search()


def test_a_database_that_began_anew_does_not_sweep_what_another_named(history: History, noise: Explanation) -> None:
    history.keep(noise)
    held = files(history)
    assert history.folder is not None
    for path in history.folder.glob("history.db*"):
        path.unlink()
    again = History(history.folder)
    again.sweep()
    assert files(again) == held


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
    assert history.folder is not None
    problems: list[BaseException] = []
    left: list[str] = []

    def work(seed: int) -> None:
        mine = History(history.folder)
        try:
            for turn in range(6):
                record = mine.keep((one, noise)[(seed + turn) % 2])
                if turn % 3 == 2:
                    left.append(record.id)
                else:
                    mine.delete([record.id])
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    found = history.search().records
    assert {record.id for record in found} == set(left)
    for record in found:
        same_maps(history, record, one if record.picture_name == "bus.jpg" else noise)


def test_threads_create_the_database_at_once(tmp_path: Path) -> None:
    """Whoever comes while another creates the tables finds an empty database or a whole one, never a foreign one."""
    for number in range(20):
        stores = [store.Store(tmp_path / str(number)) for _ in range(8)]
        start = threading.Barrier(len(stores))
        problems: list[BaseException] = []

        def create(one: store.Store, start: threading.Barrier, problems: list[BaseException]) -> None:
            start.wait()
            try:
                with one.writing(), one.reading():
                    pass
            except BaseException as problem:
                problems.append(problem)

        threads = [threading.Thread(target=create, args=(one, start, problems)) for one in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_history_is_carried_over_a_fork(history: History, noise: Explanation) -> None:
    history.keep(noise, note="parent")
    child = os.fork()
    if not child:
        code = 1
        try:
            history.keep(noise, note="child")
            code = 0
        finally:
            os._exit(code)
    history.keep(noise, note="meanwhile")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {record.note for record in history.search().records} == {"parent", "child", "meanwhile"}


def test_a_sweep_takes_nothing_that_is_being_written(history: History, noise: Explanation) -> None:
    """Between the draft of a file and its row another sweeps, and a third deletes what the draft counts on."""
    first = history.keep(noise)
    assert history.folder is not None
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


def test_what_was_removed_is_put_back_whole(history: History, one: Explanation, noise: Explanation) -> None:
    first = history.keep(one, note="the roof", tags=["odd"])
    marked = history.annotate(first.id, marks=[Mark("text", ((0.5, 0.5),), text="here")])
    removed = history.remove([first.id, "nobody"])
    assert history.search().total == 0 and removed.freed > 0
    # It takes the number that the other had.
    other = history.keep(noise)
    history.put_back(removed)
    back = history.get(first.id)
    assert back == marked and back.created == first.created
    same_maps(history, back, one)
    assert history.picture(back).sha256 == one.image.sha256
    for text in ("roof", "odd", "here"):
        assert [record.id for record in history.search(text=text).records] == [first.id]
    assert [record.id for record in history.search(tag="odd").records] == [first.id]
    # Once is enough.
    history.put_back(removed)
    assert {record.id for record in history.search().records} == {first.id, other.id}
    assert history.remove([first.id]).records and history.search().total == 1


def test_a_deletion_takes_nothing_that_was_kept_again(history: History, noise: Explanation) -> None:
    """Between the rows of a record and its files another keeps the same picture and maps."""
    first = history.keep(noise)
    assert history.folder is not None
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
        events.append(("replace", str(source)))
        events.append(("named", str(to)))
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
        shelf = str(Path(events[i + 1][1]).parent)
        assert ("fsync", shelf) in events[i:commit]
        assert ("fsync", str(Path(shelf).parent)) in events[:commit]


def test_two_records_of_a_picture_are_held_against_each_other(
    history: History, one: Explanation, other: Explanation
) -> None:
    first, second = history.keep(one), history.keep(other)
    compared = history.compare(first, second)
    assert compared.same_picture
    assert compared.agreement is not None
    assert compared.difference is not None
    first_seen, second_seen = one.heatmaps[0].seen, other.heatmaps[0].seen
    assert compared.seen == (*map(max, first_seen[:2], second_seen[:2]), *map(min, first_seen[2:], second_seen[2:]))
    left, top, right, bottom = compared.seen
    a, b = (e.heatmaps[0].values[top:bottom, left:right] for e in (one, other))
    import cv2

    small = [cv2.resize(values, (320, 320), interpolation=cv2.INTER_AREA) for values in (a, b)]
    assert compared.agreement == statistics.compare(*small)
    shares = [values / values.sum(dtype=np.float64) for values in small]
    gap = shares[0] - shares[1]
    assert np.allclose(compared.difference, gap / abs(gap).max(), atol=1e-5)
    assert compared.statistics == (one.statistics[0], other.statistics[0])
    assert "one picture" in compared.words[0]
    itself = history.compare(first, first)
    assert itself.agreement is not None
    assert itself.agreement.iou_top20 == 1
    assert "the same in every cell" in itself.words[0]
    assert itself.difference is not None
    assert not itself.difference.any()


def test_a_place_is_told_of_what_was_seen(history: History, one: Explanation) -> None:
    """A model that crops says nothing of the picture's edges."""
    from sightglass.explain.findings.diagnosis import describe_map
    from sightglass.explain.phrases import plain_text

    cropped = Explainer("efficientnet-lite0")(Image(_wide(), "wide.png"), top_k=1)
    first, second = history.keep(cropped), history.keep(one)
    told = [plain_text(words) for words in history.compare(first, second).words if "is hottest" in words]
    for words, explanation in zip(told, (cropped, one), strict=True):
        where = plain_text(describe_map(explanation)).partition(" is strongest ")[2]
        assert words.partition(" is hottest ")[2] == where.replace("half of it", "half of its evidence")
    assert "of the visible area" in told[0]


def _wide() -> Any:
    return np.random.default_rng(0).integers(0, 256, (60, 200, 3), dtype=np.uint8)


def test_marks_of_others_stay_where_marks_are_changed(history: History, noise: Explanation) -> None:
    record = history.keep(noise)
    a, b, c, d = (Mark("text", ((1, 2),), word) for word in "abcd")
    history.annotate(record.id, marks=[a, b])
    history.annotate(record.id, marks=[a, b, c], since=[a, b])
    assert history.get(record.id).marks == (a, b, c)
    # Begun before c was there: b is taken away, d is added, and c stays.
    assert history.annotate(record.id, marks=[a, d], since=[a, b]).marks == (a, c, d)
    with pytest.raises(Problem, match="at most"):
        history.annotate(record.id, marks=[a] * MAX_MARKS, since=[])
    assert history.get(record.id).marks == (a, c, d)


def test_why_nothing_can_be_saved_is_known_before(tmp_path: Path) -> None:
    assert History(tmp_path / "new" / "history").blocked() == ""
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    assert "make it writable" in History(tmp_path / "file" / "history").blocked()


def test_records_of_two_pictures_are_compared_in_words(history: History, one: Explanation, noise: Explanation) -> None:
    compared = history.compare(history.keep(one), history.keep(noise))
    assert not compared.same_picture
    assert (compared.agreement, compared.difference, compared.seen) == (None, None, None)
    assert "cannot be laid over each other" in compared.words[0]
    assert compared.statistics == (one.statistics[0], noise.statistics[0])
    assert len(compared.words) >= 3


def test_exported_files_open_again(history: History, one: Explanation, noise: Explanation) -> None:
    first = history.keep(one, index=1, note="n", tags=["t"])
    history.annotate(first.id, marks=[Mark("text", ((1, 2),), "here")])
    second = history.keep(noise)
    packed_up = BytesIO()
    with zipfile.ZipFile(packed_up, "w") as archive:
        for name, data in history.export([first.id, second.id, first.id]):
            archive.writestr(name, data)
    with zipfile.ZipFile(packed_up) as archive:
        names = archive.namelist()
        folder = names[0].split("/")[0]
        assert len(names) == len(set(names)) == 9
        assert archive.read(f"{folder}/picture.jpg") == one.image.jpeg
        said = json.loads(archive.read(f"{folder}/record.json"))
        with np.load(BytesIO(archive.read(f"{folder}/maps.npz"))) as maps:
            assert np.array_equal(maps[maps.files[0]], one.heatmaps[0].at_input)
        found = embedded_recipe.contents(archive.read(f"{folder}/overlay.png"))
    assert (said["note"], said["tags"], said["marks"][0]["text"]) == ("n", ["t"], "here")
    assert said["recipe"]["model"] == "efficientnet-lite0"
    assert found is not None
    assert (found.recipe, found.view) == (one.recipe, first.view)
    back = embedded_recipe.original(found)
    assert back is not None
    assert back.sha256 == one.image.sha256


def test_where_it_lies_and_how_large_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "named"))
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "1.5")
    history = History()
    assert (history.folder, history.limit) == (tmp_path / "named", 1_500_000)
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "much")
    with pytest.raises(Problem, match="in MB"):
        History()
    monkeypatch.delenv("SIGHTGLASS_HISTORY_MB")
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
    off = History()
    assert off.folder is None
    with pytest.raises(Problem, match="switched off"):
        off.search()
    monkeypatch.delenv("SIGHTGLASS_HISTORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert History().folder == tmp_path / "sightglass" / "history"
    assert not (tmp_path / "sightglass").exists()


def test_arrays_are_packed_without_loss() -> None:
    chance = np.random.default_rng(2)
    odd = chance.integers(0, 2**32, (7, 9), dtype=np.uint32).view(np.float32)  # NaN and infinities among them
    given = {
        "odd": odd,
        "one": np.array([[0.5]], np.float32),
        "pixels": chance.integers(0, 256, (4, 5, 3), dtype=np.uint8),
        "deep": chance.integers(0, 65536, (4, 5, 6), dtype=np.uint16),
    }
    data = array_codec.pack(given)
    found = array_codec.unpack(data)
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()
    assert array_codec.pack(given) == data
    for harm in (data[:-1], data[:20], b"", data + b"x", b"PK" + data):
        if harm != data + b"x":
            with pytest.raises(Problem, match="damaged"):
                array_codec.unpack(harm)


def test_importing_it_is_free() -> None:
    import subprocess
    import sys

    code = "import sys, sightglass.history; assert not {'torch', 'streamlit'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", code], check=True)
