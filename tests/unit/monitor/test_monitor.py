"""Watching a model: what is odd, what is logged of it, and that nothing of it fails whoever is watched."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.picture.image import Image
from sightglass.models.demo.scenes import draw
from sightglass.models.demo.showcase import STORIES
from sightglass.monitor import KINDS, NUMBERS, Monitor, Observation, Rules, default
from sightglass.monitor import monitor as module
from sightglass.monitor.log import Log
from sightglass.monitor.monitor import Rate
from sightglass.monitor.observation import observe
from sightglass.monitor.rules import check


@pytest.fixture(scope="module")
def made(bus: Path) -> Explanation:
    return Explainer("demo-cls-s")(bus)


@pytest.fixture(scope="module")
def detected(bus: Path) -> Explanation:
    """With a box: at a threshold where this detector of drawn scenes finds something in a photograph."""
    found = Explainer("demo-s")(bus, confidence=0.01)
    assert found.predictions
    return found


@pytest.fixture(scope="module")
def nothing() -> Explanation:
    found = Explainer("demo-s")(np.full((64, 96, 3), 128, np.uint8), confidence=0.99)
    assert not found.predictions
    return found


def seen(**numbers: float) -> Observation:
    area = numbers.pop("area", None)
    task = "detect" if "found" in numbers else "classify"
    return Observation("m", task, "cat", "ok", numbers, box_area=area)


# Rules


def test_each_rule_has_its_limit_its_words_and_can_be_off() -> None:
    usual = {"confidence": 0.9, "border_share": 0.2, "half_heat_area": 0.2}
    cases = {
        "low confidence": seen(**usual | {"confidence": 0.4}),
        "nothing found": Observation("m", "detect", None, "none", {"found": 0}),
        "border": seen(**usual | {"border_share": 0.75}),
        "even": seen(**usual | {"half_heat_area": 0.45}),
        "off the box": seen(**usual, found=1, box_inside=0.1, box_ratio=0.5, area=0.2),
        "flat": replace(seen(confidence=0.9), state="flat"),
        "no evidence": replace(seen(confidence=0.9), state="no evidence"),
        "not a number": replace(seen(confidence=0.9), state="not a number"),
    }
    assert set(cases) == set(KINDS)
    assert not check(seen(**usual), 0.5, Rules())
    for kind, case in cases.items():
        (reason,) = check(case, 0.5, Rules())
        assert reason.kind == kind and 0 < reason.beyond <= 1 and reason.text.endswith(".")
        assert bool(check(case, 0.5, Rules.off())) == (kind == "low confidence")
        assert not check(case, 0.0, Rules.off())
    assert check(cases["border"], 0.5, Rules())[0].beyond == pytest.approx(0.5)
    assert check(cases["low confidence"], 0.5, Rules())[0].beyond == pytest.approx(0.2)


def test_a_map_of_what_stands_out_is_not_held_against_a_box() -> None:
    off = seen(confidence=0.9, found=1, box_inside=0.1, box_ratio=0.5, area=0.2)
    assert check(replace(off, way="hirescam model.16"), 0.5, Rules())
    assert not check(replace(off, way="eigencam model.16"), 0.5, Rules())


def test_a_model_that_looks_into_the_corner_is_found_out_and_its_honest_twin_is_not() -> None:
    """The cause is known: a stamp in the corner, that only one of the two was taught to go by."""
    story = STORIES["stamp"]
    scenes = [Image.open(draw(story.with_clue(number)).pixels) for number in range(6)]
    flagged = {}
    for model in (story.cheat, story.honest):
        explainer = Explainer(model)
        found = [check(observe(explainer(scene, question="why")), 0.0, Rules()) for scene in scenes]
        flagged[model] = sum("border" in [reason.kind for reason in each] for each in found)
    assert flagged == {story.cheat: 6, story.honest: 0}


def test_a_limit_itself_is_not_beyond_it() -> None:
    at = seen(confidence=0.5, border_share=0.5, half_heat_area=0.35, found=1, box_inside=0.3, box_ratio=1.0, area=0.3)
    assert not check(at, 0.5, Rules())


@pytest.mark.parametrize("wrong", [{"border": 1.1}, {"even": 0.6}, {"off_box": -1}, {"border": "much"}])
def test_a_limit_that_makes_no_sense_is_told(wrong: dict[str, float]) -> None:
    with pytest.raises(Problem, match=f"The limit {next(iter(wrong))} is"):
        Rules(**wrong)


@pytest.mark.parametrize("wrong", [{"threshold": 1.5}, {"per_minute": -1}, {"keep": 0}, {"rotate_bytes": 0}])
def test_settings_that_make_no_sense_are_told(wrong: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(Problem):
        Monitor(tmp_path, **wrong)  # type: ignore[arg-type]


# What is logged


def test_an_odd_one_is_logged_whole_and_reads_back(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=1.0)
    entry = monitor.watch(made, source="test")
    assert entry is not None and monitor.problems == ()
    (read,) = monitor.entries()
    assert read.id == entry.id and read.time == entry.time and read.words == entry.words
    assert read.why[0] == "low confidence" and read.confidence == made.predictions[0].score
    assert (read.label, read.model, read.source) == (made.predictions[0].label, "demo-cls-s", "test")
    assert (read.picture, read.sha256) == (made.image.name, made.image.sha256)
    assert read.recipe == made.recipe and read.recipe.versions["sightglass"]
    assert read.statistics["border_share"] == made.statistics[0].border_share
    assert monitor.entry(read.id).id == read.id
    # The map is what it was to the last bit, and so are the raw values.
    np.testing.assert_array_equal(monitor.heatmap(read), made.heatmaps[0].content)
    assert read.raw is not None
    np.testing.assert_array_equal(np.load(read.raw), made.heatmaps[0].raw[0])
    assert read.heatmap is not None
    levels = cv2.imdecode(np.frombuffer(read.heatmap.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels.dtype == np.uint8 and levels.ndim == 2
    assert abs(levels / 255 - made.heatmaps[0].coarse).max() <= 0.5 / 255 + 1e-6
    # One line stands for itself, for whoever reads it without this library.
    (line,) = (tmp_path / "odd-000001.jsonl").read_text("utf-8").splitlines()
    plain = json.loads(line)
    assert plain["files"]["heatmap"] == read.heatmap.name and plain["recipe"]["model"] == "demo-cls-s"


def test_pictures_are_kept_only_where_they_are_asked_for(made: Explanation, tmp_path: Path) -> None:
    entry = Monitor(tmp_path / "without", threshold=1.0).watch(made)
    assert entry is not None and entry.kept is None
    assert {path.suffix for path in (tmp_path / "without").rglob("*.*")} == {".jsonl", ".png", ".npy"}
    monitor = Monitor(tmp_path / "with", threshold=1.0, pictures=True)
    entry = monitor.watch(made)
    assert entry is not None and entry.kept is not None
    assert Image.open(entry.kept).sha256 == made.image.sha256 == entry.sha256
    drawn = Image.open(monitor.overlay(entry, alpha=0.0, side=200))
    plain = made.image.thumbnail(200)
    left, top, right, bottom = (round(edge * 200 / made.image.height) for edge in made.heatmaps[0].seen)
    inside = np.s_[top + 2 : bottom - 2, left + 2 : right - 2]
    assert abs(drawn.pixels[inside].astype(int) - plain[inside]).mean() < 6


def test_without_the_picture_the_map_is_drawn_alone_in_its_place(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=1.0)
    entry = monitor.watch(made)
    assert entry is not None
    drawn = Image.open(monitor.overlay(entry, side=100))
    assert (drawn.height, drawn.width) == (100, 75)


def test_what_is_usual_leaves_one_short_line(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=0.0, rules=Rules.off())
    assert monitor.watch(made) is None
    assert [path.name for path in tmp_path.iterdir()] == ["trend-000001.jsonl"]
    assert (tmp_path / "trend-000001.jsonl").stat().st_size < 600
    columns = monitor.seen()
    assert set(columns) == {"time", "model", "task", "source", "label", "state", "way", "odd", *NUMBERS}
    assert columns["confidence"] == [pytest.approx(made.predictions[0].score, abs=1e-5)]
    assert columns["border_share"] == [pytest.approx(made.statistics[0].border_share, abs=1e-5)]
    assert columns["found"] == [None] and columns["odd"] == [()]
    assert made.image.name not in (tmp_path / "trend-000001.jsonl").read_text("utf-8")


def test_a_detector_is_as_sure_as_its_best_box_and_knows_its_boxes(detected: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=1.0)
    entry = monitor.watch(detected)
    assert entry is not None and entry.confidence == max(p.score for p in detected.predictions)
    boxes = detected.box_numbers(0)
    assert entry.boxes is not None and boxes is not None
    assert entry.boxes["inside"] == pytest.approx(boxes.inside) and entry.boxes["ratio"] == pytest.approx(boxes.ratio)
    assert monitor.seen()["found"] == [len(detected.predictions)]


def test_nothing_found_is_a_reason_by_itself(nothing: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    entry = monitor.watch(nothing)
    assert entry is not None and "nothing found" in entry.why and "low confidence" not in entry.why
    assert entry.confidence is None and entry.heatmap is None
    with pytest.raises(Problem, match="no map"):
        monitor.heatmap(entry)
    with pytest.raises(Problem, match="no map, and its picture is not kept"):
        monitor.overlay(entry)
    assert monitor.entries(why="nothing found") and not monitor.entries(why="border")


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("demo-cls-s", {"method": "layercam"}),
        ("demo-cls-s", {"method": "eigencam", "preprocessing": "letterbox"}),
        ("demo-cls-s", {"method": "occlusion", "masks": 16}),
        ("demo-s", {"confidence": 0.01, "within": "inside"}),
        ("demo-s", {"confidence": 0.01, "per": "detection", "part": "box"}),
        ("demo-cls-s", {"method": "drise", "masks": 20, "top_k": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(map(str, value.values())),
)
def test_the_map_comes_back_as_it_was_whatever_made_it(
    model: str, options: dict[str, object], bus: Path, tmp_path: Path
) -> None:
    found = Explainer(model)(bus, **options)
    monitor = Monitor(tmp_path, threshold=1.0)
    entry = monitor.watch(found)
    assert entry is not None and entry.state == "ok"
    np.testing.assert_array_equal(monitor.heatmap(entry), found.heatmaps[0].measured.content)
    assert Image.open(monitor.overlay(entry)).height == 480


def test_a_model_that_compares_pictures_names_nothing(persons: str, bus: Path, tmp_path: Path) -> None:
    found = Explainer(persons)(bus)
    monitor = Monitor(tmp_path, threshold=1.0, rules=Rules(border=0.0, even=None))
    entry = monitor.watch(found)
    assert entry is not None and entry.why == ("border",)
    assert entry.confidence is None and monitor.seen()["confidence"] == [None]
    assert Monitor(tmp_path, threshold=1.0, rules=Rules.off()).watch(found) is None


def test_only_the_first_map_is_measured(bus: Path, tmp_path: Path) -> None:
    fresh = Explainer("demo-cls-s")(bus, top_k=3)
    Monitor(tmp_path, threshold=1.0).watch(fresh)
    assert "statistics" not in vars(fresh)


def test_a_map_that_is_not_finished_is_not_looked_at(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path / "not there", threshold=1.0)
    assert monitor.watch(replace(made, finished=False)) is None
    assert monitor.state().watched == 0 and not monitor.folder.exists()  # type: ignore[union-attr]


def test_the_worst_are_those_farthest_beyond_their_limits(made: Explanation, tmp_path: Path) -> None:
    said = made.predictions[0]
    for threshold in (said.score + 0.01, 1.0, said.score + 0.02):
        assert Monitor(tmp_path, threshold=min(1.0, threshold), rules=Rules.off()).watch(made)
    monitor = Monitor(tmp_path)
    worst = monitor.entries(order="worst")
    assert [entry.severity for entry in worst] == sorted((entry.severity for entry in worst), reverse=True)
    assert worst[0].severity > worst[-1].severity
    newest = monitor.entries()
    assert [entry.time for entry in newest] == sorted((entry.time for entry in newest), reverse=True)
    assert monitor.entries(limit=1, offset=1)[0].id == newest[1].id
    assert monitor.entries(model="another") == []
    with pytest.raises(Problem, match="order"):
        monitor.entries(order="best")  # type: ignore[arg-type]


# Rotation, rate, trouble


def test_the_oldest_go_with_their_maps(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=1.0, rotate_bytes=30_000, keep=3, per_minute=1000)
    ids = [entry.id for _ in range(24) if (entry := monitor.watch(made)) is not None]
    assert len(ids) == 24
    kept = monitor.entries(limit=100)
    assert 0 < len(kept) < 24 and [entry.id for entry in kept] == ids[: -len(kept) - 1 : -1]
    assert monitor.state().bytes < 3 * 30_000 * 1.5 + 3 * 7_500 * 1.5
    for folder in tmp_path.glob("odd-??????"):
        assert folder.with_suffix(".jsonl").is_file()
    named = {path for entry in kept for path in (entry.heatmap, entry.raw)}
    assert set(tmp_path.rglob("*-map.png")) == {p for p in named if p is not None and p.suffix == ".png"}
    with pytest.raises(Problem, match="There is no entry"):
        monitor.entry(ids[0])
    assert monitor.clear() > 0 and not any(tmp_path.rglob("*.*"))


def test_too_many_a_minute_are_counted_and_the_log_says_so(
    made: Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "Rate", lambda n: Rate(n, clock=lambda: clock[0]))
    monitor = Monitor(tmp_path, threshold=1.0, per_minute=2)
    assert [monitor.watch(made) is not None for _ in range(7)] == [True, True, False, False, False, False, False]
    held = monitor.state()
    assert (held.watched, held.odd, held.logged, held.left_out) == (7, 7, 2, 5)
    assert monitor.left_out() == 0 and len(monitor.seen()["time"]) == 7
    clock[0] += 31
    assert monitor.watch(made) is not None
    assert monitor.left_out() == 5
    assert monitor.watch(made) is None
    monitor.flush()
    monitor.flush()
    assert monitor.left_out() == 6 and len(monitor.entries()) == 3
    lines = [json.loads(line) for line in (tmp_path / "odd-000001.jsonl").read_text("utf-8").splitlines()]
    assert [line["left_out"] for line in lines if "left_out" in line] == [5, 1]
    assert lines[2]["why"]["low confidence"] == 5
    assert monitor.left_out(since=datetime.now(UTC) + timedelta(hours=1)) == 0


def test_what_was_left_out_last_is_said_at_the_end(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=1.0, per_minute=0)
    assert monitor.watch(made) is None
    assert monitor.left_out() == 0
    del monitor
    assert Monitor(tmp_path).left_out() == 1


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_fails_nobody(
    made: Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    def refused(*_: object) -> int:
        raise OSError(reason, "no")

    monitor = Monitor(tmp_path, threshold=1.0)
    with monkeypatch.context() as patched:
        patched.setattr(Log, "_write", staticmethod(refused))
        assert monitor.watch(made) is None and monitor.watch(made) is None
    held = monitor.state()
    assert (held.watched, held.failed, held.logged) == (2, 2, 0)
    (problem,) = held.problems
    assert str(tmp_path) in problem and "2 times" in problem
    assert not list(tmp_path.rglob("*.npy"))
    assert monitor.watch(made) is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_disk_that_is_really_full_fails_nobody(made: Explanation, tmp_path: Path) -> None:
    for name in ("odd", "trend"):
        (tmp_path / f"{name}-000001.jsonl").symlink_to("/dev/full")
    monitor = Monitor(tmp_path, threshold=1.0)
    assert monitor.watch(made) is None
    assert monitor.state().failed == 1 and "No space left" in monitor.problems[0]
    (tmp_path / "trend-000001.jsonl").unlink()
    assert monitor.watch(made) is None
    assert monitor.state().failed == 2 and not list(tmp_path.rglob("*.n*"))


def test_a_folder_that_is_a_file_fails_nobody(made: Explanation, tmp_path: Path) -> None:
    at = tmp_path / "file"
    at.write_text("here first")
    monitor = Monitor(at, threshold=1.0)
    assert monitor.watch(made) is None
    assert monitor.problems and at.read_text() == "here first"
    assert monitor.entries() == [] and monitor.seen()["time"] == []
    with pytest.raises(Problem, match="cannot be written"):
        monitor.set_reference([made])


def test_a_map_that_cannot_be_looked_at_fails_nobody(made: Explanation, tmp_path: Path) -> None:
    broken = replace(made, heatmaps=(replace(made.heatmaps[0], at_input=np.full((4, 4), np.nan, np.float32)),))
    monitor = Monitor(tmp_path)
    assert monitor.watch(broken) is None
    assert monitor.state().failed == 1 and "could not be looked at" in monitor.problems[0]


def test_a_map_that_broke_down_is_logged_as_json_that_anyone_reads(made: Explanation, tmp_path: Path) -> None:
    first = made.heatmaps[0]
    broken = replace(
        first,
        raw=tuple(np.full_like(raw, np.nan) for raw in first.raw),
        at_input=np.zeros_like(first.at_input),
        state="not a number",
    )
    monitor = Monitor(tmp_path, threshold=0.0)
    entry = monitor.watch(replace(made, heatmaps=(broken,)))
    assert entry is not None and entry.why == ("not a number",)
    assert not monitor.heatmap(entry).any()
    assert monitor.seen()["border_share"] == [None]


def test_switched_off_it_does_nothing(made: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_MONITOR", "off")
    monitor = default()
    assert monitor.folder is None and monitor.watch(made) is None and monitor.state().watched == 0
    assert monitor.entries() == [] and monitor.models() == {} and monitor.reference() is None
    with pytest.raises(Problem, match="switched off"):
        monitor.set_reference([made])


def test_the_environment_sets_the_one_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_MONITOR", str(tmp_path))
    monkeypatch.setenv("SIGHTGLASS_MONITOR_THRESHOLD", "0.3")
    monkeypatch.setenv("SIGHTGLASS_MONITOR_PICTURES", "yes")
    assert default() is default()
    assert (default().folder, default().threshold, default().pictures) == (tmp_path, 0.3, True)
    monkeypatch.setenv("SIGHTGLASS_MONITOR_THRESHOLD", "half")
    with pytest.raises(Problem, match="SIGHTGLASS_MONITOR_THRESHOLD is 'half'"):
        default()


def test_the_log_may_come_from_anywhere(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=1.0)
    entry = monitor.watch(made)
    assert entry is not None
    log = tmp_path / "odd-000001.jsonl"
    line = json.loads(log.read_text("utf-8"))
    flat = line["geometry"] | {"scale": [0, 0]}
    out = line | {"id": "20260101T000000000000-00000000", "files": {"heatmap": "../../secret-map.png"}}
    bad = [
        "{",
        "[]",
        "null",
        '{"id": 3}',
        "[" * 100_000,
        json.dumps(out),
        json.dumps(line | {"id": "../x"}),
        json.dumps(line | {"geometry": flat}),
        json.dumps(line | {"files": []}),
        json.dumps(line | {"recipe": {"model": 1}}),
    ]
    log.write_bytes("\n".join([*bad, json.dumps(line), ""]).encode() + b"\xff\xfe\n" + b'{"id": "cut')
    found = monitor.entries()
    assert len(found) == 3
    assert sorted(one.heatmap is None for one in found) == [False, False, True]
    assert sum(one.recipe is None for one in found) == 1
    trend = tmp_path / "trend-000001.jsonl"
    trend.write_text(trend.read_text("utf-8") + '{"model": "m"}\n{"model": "m", "time": "now"}\n[]\nx\n')
    assert len(monitor.seen()["time"]) == 1


def test_reading_a_log_needs_none_of_the_heavy_libraries(made: Explanation, tmp_path: Path) -> None:
    """The page that shows it is up before torch is."""
    Monitor(tmp_path, threshold=1.0, pictures=True).watch(made)
    code = (
        "import sys\nfrom sightglass.monitor import Monitor, Rules, default\n"
        "held = Monitor(sys.argv[1])\nheld.seen(), held.reference(), held.state()\n"
        "(entry,) = held.entries(order='worst')\nassert held.overlay(entry)\n"
        "print([name for name in ('torch', 'pandas', 'scipy', 'pyarrow', 'streamlit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


# Threads and time


def test_threads_leave_whole_lines(made: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=1.0, per_minute=10_000)
    threads = [threading.Thread(target=lambda: [monitor.watch(made) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.problems == () and len(monitor.seen()["time"]) == 80
    assert len({entry.id for entry in monitor.entries(limit=100)}) == 80


def test_the_trend_is_cut_by_model_source_and_time(made: Explanation, detected: Explanation, tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, threshold=0.0)
    monitor.watch(made, source="one")
    middle = datetime.now(UTC)
    monitor.watch(detected, source="two")
    monitor.watch(detected, source="two")
    assert monitor.models() == {"demo-s": 2, "demo-cls-s": 1}
    assert monitor.seen(model="demo-s")["source"] == ["two", "two"]
    assert monitor.seen(source="one")["model"] == ["demo-cls-s"]
    assert monitor.seen(until=middle)["model"] == ["demo-cls-s"]
    assert len(monitor.seen(since=middle)["time"]) == 2
    assert len(monitor.seen(since=middle.replace(tzinfo=None))["time"]) == 2
    times = monitor.seen()["time"]
    assert times == sorted(times) and times[0].tzinfo is not None
    assert monitor.seen(limit=2)["time"] == times[1:]
