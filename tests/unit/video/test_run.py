"""Whole runs over generated clips: the maps are the Explainer's own, times are kept, kills cost nothing; smoothing."""

import contextlib
import csv
import itertools
import json
import math
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Style
from sightglass.models.geometry import ModelInput
from sightglass.video import Settings, run, runner
from sightglass.video import records as parts
from sightglass.video.clip import Clip, Frame
from sightglass.video.draw import Painter
from sightglass.video.frames import ClipExplainer, Tracker
from sightglass.video.records import AnswerRecord, FrameRecord, smooth_maps
from sightglass.video.timeline import LASTING, Moment, clock, name_moments, name_objects, rgb_of
from sightglass.video.timeline import find_moments as moments
from tests.clips import clip, scene

EXACT = Settings(smooth=0.0, labels=False, side=0)
MODEL, DETECTOR = "demo-cls-s", "demo-s"


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three quarters of a second with a tone of a second."""
    return clip(tmp_path_factory.mktemp("clips") / "moving.mp4", scene(18), sound="aac")


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(MODEL)


def frames_of(path: Path) -> list[Any]:
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def test_a_method_that_takes_no_detector_is_refused_without_an_object_too() -> None:
    explainer = ClipExplainer(Explainer(DETECTOR), {"method": "fullgrad"}, EXACT)
    with pytest.raises(ModelProblem, match="FullGrad explains classifiers only"):
        explainer([Frame(0, 0, 0.0, np.full((96, 160, 3), 90, np.uint8))])


def test_the_map_of_each_frame_is_the_explainers_own(moving: Path, explainer: Explainer, tmp_path: Path) -> None:
    summary = run(moving, explainer, tmp_path, settings=EXACT)
    assert (summary.frames, summary.explained, summary.skipped) == (18, 18, 0)
    written = frames_of(summary.clip)
    frames = list(Clip(moving).frames())
    clip_explainer = ClipExplainer(explainer, {}, EXACT)
    records = [record for i in range(0, 18, 4) for record in clip_explainer(frames[i : i + 4])]
    painter = Painter(clip_explainer, 160, 160)
    for i in (0, 5, 17):
        result = explainer(Image(frames[i].pixels), top_k=1)
        ((answer, heatmap_of_clip),) = painter.maps(records[i])
        assert answer.label == result.predictions[0].label
        assert answer.score == pytest.approx(result.predictions[0].score, abs=1e-5)
        assert np.allclose(heatmap_of_clip.content, result.heatmaps[0].content, atol=1e-4)
        heatmap = result.heatmaps[0]
        height, width = heatmap.geometry.original
        expected = paint(frames[i].pixels, heatmap.field.scaled((width, height), (160, 160)), Style())
        assert np.abs(written[i].to_ndarray(format="rgb24").astype(int) - expected).mean() < 6


@pytest.mark.parametrize("method", ["sharp", "tested"])
@pytest.mark.parametrize("model", [MODEL, DETECTOR])
def test_each_frame_has_its_own_map_of_pixels(model: str, method: str, tmp_path: Path) -> None:
    path, explainer = clip(tmp_path / "short.mp4", scene(3)), Explainer(model)
    summary = run(path, explainer, tmp_path / "out", settings=EXACT, options={"method": method})
    assert (summary.frames, summary.explained, summary.skipped) == (3, 3, 0)
    frames = list(Clip(path).frames())
    clip_explainer = ClipExplainer(explainer, {"method": method}, EXACT)
    painter = Painter(clip_explainer, 160, 160)
    contents = []
    for frame, record in zip(frames, clip_explainer(frames), strict=True):
        (answer, heatmap), *_ = painter.maps(record)
        result = explainer(Image(frame.pixels), method=method, per="detection" if answer.box else "class")
        own = next(each for each in result.heatmaps if each.target.label == answer.label)
        np.testing.assert_allclose(heatmap.content, own.content, atol=1e-4)
        contents.append(heatmap.content)
    assert np.abs(contents[0] - contents[-1]).max() > 0.1


@pytest.mark.parametrize(("model", "together"), [(MODEL, 4), (DETECTOR, 1)])
def test_workers_see_what_one_pass_after_another_does(moving: Path, model: str, together: int) -> None:
    before = torch.get_num_threads()
    frames, explainer = list(Clip(moving).frames()), Explainer(model)
    alone, several = ClipExplainer(explainer, {}, EXACT), ClipExplainer(explainer, {}, EXACT)
    alone.workers, several.workers = 1, 3
    threads = set[tuple[str, int]]()
    prepare = several._prepare

    def watched(loaded: LoadedModel, pixels: Any) -> ModelInput:
        threads.add((threading.current_thread().name, torch.get_num_threads()))
        return prepare(loaded, pixels)

    several._prepare = watched  # type: ignore[method-assign]
    with contextlib.closing(several):
        records = several(frames)
    expected = [record for i in range(0, 18, together) for record in alone(frames[i : i + together])]
    assert {threads_each for _, threads_each in threads} == {1}
    assert "MainThread" not in {name for name, _ in threads}
    assert torch.get_num_threads() == before
    # Of large frames fewer are in memory, but never less than a pass takes.
    assert several.count_frames(160 * 160 * 3) == together * 6
    assert several.count_frames(3840 * 2160 * 3) == max(together, 4 // together)
    assert several.count_frames(10**9) == together
    assert [explainer.number for explainer in records] == list(range(18))
    for ours, theirs in zip(records, expected, strict=True):
        assert [(a.label, a.track) for a in ours.answers] == [(b.label, b.track) for b in theirs.answers]
        for a, b in zip(ours.answers, theirs.answers, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-5)
            assert (a.raws is None) == (b.raws is None)
            assert all(np.allclose(x, y, atol=1e-4) for x, y in zip(a.raws or (), b.raws or (), strict=True))


def test_the_times_of_frames_are_kept(explainer: Explainer, tmp_path: Path) -> None:
    pts = [0, 400, 401, 900, 2000, 9000]
    path = clip(tmp_path / "a.mp4", scene(6), pts=pts, time_base=Fraction(1, 12800))
    summary = run(path, explainer, tmp_path / "out", settings=EXACT)
    assert [frame.time for frame in frames_of(summary.clip)] == pytest.approx([at / 12800 for at in pts], abs=1e-6)
    rows = list(csv.DictReader((tmp_path / "out" / "timeline.csv").open()))
    assert [float(row["seconds"]) for row in rows] == pytest.approx([at / 12800 for at in pts], abs=1e-4)


class Killed(BaseException):
    """What nothing catches, as a kill."""


def _killed_at(patch: pytest.MonkeyPatch, module: Any, name: str, call: int) -> None:
    real, calls = getattr(module, name), iter(range(1000))

    def dying(*given: Any, **more: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return real(*given, **more)

    patch.setattr(module, name, dying)


@pytest.mark.parametrize(
    ("model", "module", "name", "call"),
    [
        (MODEL, runner.records, "save", 2),
        (DETECTOR, runner.records, "save", 2),
        (DETECTOR, runner, "_paint", 10),
        (MODEL, runner.timeline, "write_timeline", 0),
    ],
)
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(moving, tmp_path, monkeypatch, model, module, name, call):
    monkeypatch.setattr(runner, "PART", 4)
    settings = Settings(every=2, side=0)
    whole = run(moving, model, tmp_path / "whole", settings=settings)
    with monkeypatch.context() as patch:
        _killed_at(patch, module, name, call)
        with pytest.raises(Killed):
            run(moving, model, tmp_path / "killed", settings=settings)
    rest = run(moving, model, tmp_path / "killed", settings=settings)
    assert rest.resumed
    assert [frame.time for frame in frames_of(rest.clip)] == pytest.approx([i / 25 for i in range(18)], abs=1e-4)
    assert rest.moments == whole.moments
    for file in ("overlay.mp4", "timeline.csv", "timeline.json"):
        assert (rest.folder / file).read_bytes() == (whole.folder / file).read_bytes()
    assert sorted(path.name for path in rest.folder.iterdir()) == sorted(path.name for path in whole.folder.iterdir())


def test_stopped_and_finished_runs(moving, explainer, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "PART", 4)
    cancel = threading.Event()
    reports: list[tuple[float, str]] = []

    def stop(share: float, words: str) -> None:
        reports.append((share, words))
        if "frame 8" in words:
            cancel.set()

    shown: list[tuple[float, Any]] = []
    monkeypatch.setattr(runner, "PREVIEW_EVERY", 0.0)
    preview = lambda seconds, pixels: shown.append((seconds, pixels))  # noqa: E731
    first = run(moving, explainer, tmp_path, settings=EXACT, progress=stop, preview=preview, cancel=cancel)
    assert first.cancelled and first.explained == 8
    assert not first.clip.exists()
    # Frames under their maps, while nothing is written yet.
    seconds, pixels = shown[-1]
    frame = Clip(moving).frame_at(seconds)
    assert seconds == pytest.approx(7 / 25, abs=1e-3)
    assert (pixels == paint(frame.pixels, explainer(Image(frame.pixels), top_k=1).heatmaps[0].field, Style())).all()
    second = run(moving, explainer, tmp_path, settings=EXACT, progress=lambda *it: reports.append(it))
    assert (second.cancelled, second.resumed, second.explained) == (False, True, 18)
    assert [share for share, _ in reports] == sorted(share for share, _ in reports)
    monkeypatch.setattr(ClipExplainer, "__call__", None)
    assert run(moving, explainer, tmp_path, settings=EXACT).moments == second.moments
    with pytest.raises(ModelProblem, match=r"^Results cannot be written to .*: choose another folder"):
        run(moving, explainer, moving / "out")
    with pytest.raises(ModelProblem, match="holds results of other settings"):
        run(moving, explainer, tmp_path, settings=Settings(every=3))


def test_a_class_that_was_named_is_followed(moving: Path, explainer: Explainer, tmp_path: Path) -> None:
    summary = run(moving, explainer, tmp_path, options={"targets": ("gear",), "evidence": "both"}, settings=EXACT)
    assert summary.notes == ("Red raises the score; blue, in dashed lines, lowers it.",)
    rows = json.loads((summary.folder / "timeline.json").read_text())["rows"]
    frame = next(Clip(moving).frames())
    index = explainer.labels.index("gear")
    every = explainer(Image(frame.pixels), maps=False, top_k=len(explainer.labels)).predictions
    assert {row["answer"] for row in rows} == {"gear"}
    assert rows[0]["score"] == pytest.approx(next(p.score for p in every if p.index == index), abs=1e-4)
    assert rows[0]["best"] == every[0].label


def test_an_object_keeps_its_number_and_its_own_map(moving: Path, tmp_path: Path) -> None:
    detector = Explainer(DETECTOR)
    rows = json.loads((run(moving, detector, tmp_path, settings=EXACT).folder / "timeline.json").read_text())["rows"]
    of = {number: [row for row in rows if row["object"] == number] for number in (1, 2)}
    assert all(len(found) == 18 and len({row["answer"] for row in found}) == 1 for found in of.values())
    # Everything moves to the right, by 0.4 pixels a frame.
    assert of[1][-1]["x0"] - of[1][0]["x0"] == pytest.approx(17 * 0.4, abs=3)
    frame = next(Clip(moving).frames())
    looking = ClipExplainer(detector, {}, EXACT)
    (record,) = looking([frame])
    painter = Painter(looking, 160, 160)
    result = detector(Image(frame.pixels), per="detection", top_k=3)

    # A pass with another number of threads rounds the other way.
    def place(box: Any) -> tuple[float, ...]:
        return tuple(round(edge, 2) for edge in box)

    maps = {place(answer.box): heatmap.content for answer, heatmap in painter.maps(record)}
    assert len(maps) == 3
    # Each box has the colour of its object.
    numbered = replace(record, answers=tuple(replace(a, track=n) for n, a in enumerate(record.drawn_answers, 1)))
    painter.settings = replace(EXACT, labels=True)
    flat = painter.paint(np.full_like(frame.pixels, 128), numbered, ())
    assert [n for n in (1, 2, 3) if not (flat == rgb_of(n)).all(2).any()] == []
    for prediction, heatmap in zip(result.predictions[:3], result.heatmaps, strict=True):
        if (at := place(prediction.box)) in maps:
            assert np.allclose(maps[at], heatmap.content, atol=1e-4)
    assert {place(prediction.box) for prediction in result.predictions} >= set(maps)
    followed = run(moving, detector, tmp_path / "one", settings=Settings(only=2, every=6, side=0))
    mapped = [row for row in json.loads((followed.folder / "timeline.json").read_text())["rows"] if row["map"]]
    assert {row["object"] for row in mapped} == {2}


def test_memory_does_not_grow_with_the_clip(explainer, tmp_path, monkeypatch):
    read, raw = Clip.frames, np.eye(4, dtype=np.float32)
    alive, most = set[int](), 0

    def frames(self: Clip, *given: Any, **more: Any) -> Iterator[Frame]:
        nonlocal most
        for frame in read(self, *given, **more):
            alive.add(id(frame))
            weakref.finalize(frame, alive.discard, id(frame))
            most = max(most, len(alive))
            yield frame

    def looked(self: ClipExplainer, frames: list[Frame]) -> list[FrameRecord]:
        seen = AnswerRecord("gear", 9, 0.5, raws=(raw,))
        return [FrameRecord(frame.number, frame.pts, frame.seconds, "gear", 0.5, (seen,)) for frame in frames]

    monkeypatch.setattr(Clip, "frames", frames)
    monkeypatch.setattr(ClipExplainer, "__call__", looked)
    path = clip(tmp_path / "long.mp4", [np.full((32, 32, 3), i % 251, np.uint8) for i in range(600)])
    still = Settings(every=25, labels=False, style=Style(mode="picture"))
    assert run(path, explainer, tmp_path / "out", settings=still).frames == 600
    # Two stages read ahead, however long the clip is.
    assert 2 < most < 60


def test_segmentation_clip_follows_class() -> None:
    frame = Frame(0, 0, 0.0, scene(1)[0])
    segmenter = Explainer("demo-seg")
    result = segmenter(Image(frame.pixels), top_k=1)
    label, smaller = result.predictions[0].label, result.predictions[1].label
    absent = next(label for label in segmenter.labels if label not in {found.label for found in result.predictions})
    for targets, expected in (((), label), ((smaller,), smaller), ((absent,), absent)):
        ((record,), looking) = _look_at(segmenter, frame, targets=targets)
        (seen,) = record.answers
        assert (record.best, seen.label) == (label, expected)
        if expected == absent:
            # No pixel has it, so that there is nothing to explain.
            assert (seen.score, seen.raws) == (0.0, None)
            continue
        alone = segmenter(Image(frame.pixels), targets=(expected,))
        assert seen.score == pytest.approx(next(p.score for p in alone.predictions if p.label == expected))
        assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(seen.raws, alone.heatmaps[0].raw, strict=True))
        ((_, mine),) = Painter(looking, 160, 160).maps(record)
        assert np.allclose(mine.content, alone.heatmaps[0].content, atol=1e-4)


def _look_at(explainer: Explainer, frame: Frame, **options: Any) -> tuple[list[FrameRecord], ClipExplainer]:
    looking = ClipExplainer(explainer, options, EXACT)
    looking.workers = 1
    return looking([frame]), looking


@pytest.mark.parametrize("model", [MODEL, DETECTOR, "demo-seg"])
def test_evidence_against_keeps_its_sign_in_a_clip(model: str) -> None:
    frame, explainer = Frame(0, 0, 0.0, scene(1)[0]), Explainer(model)
    (record,), looking = _look_at(explainer, frame, evidence="both")
    painter = Painter(looking, 160, 160)
    answer, mine = painter.maps(record)[0]
    how = {"per": "detection"} if model == DETECTOR else {}
    expected = explainer(Image(frame.pixels), evidence="both", confidence=0.25, top_k=1, **how).heatmaps[0]
    assert mine.content.min() < 0 < mine.content.max()
    assert np.allclose(mine.content, expected.content, atol=1e-3)
    drawn = painter.paint(frame.pixels, record, [(answer, mine)]).astype(int)
    # Over grey, so that every colour is the map's.
    assert np.ptp(painter.paint(frame.pixels, record, ()).astype(int), axis=2).max() == 0 < np.ptp(drawn, axis=2).max()


def test_two_classes_at_one_place_are_one_object() -> None:
    place, beside = (10.0, 10.0, 60.0, 60.0), (70.0, 70.0, 90.0, 90.0)

    def seen(*found: tuple[int, float, Any]) -> list[AnswerRecord]:
        return [AnswerRecord("a", index, score, box) for index, score, box in found]

    for classes, expected in ((), [(1, None, 2), (None, 1, 2)]), ((0,), [(1, None, 2), (1, None, 2)]):
        tracker = Tracker(0.25, 0.7, classes)
        first, second = seen((0, 0.9, place), (1, 0.8, place), (0, 0.9, beside)), (0, 0.6, place)
        assert tracker.update(first) == expected[0]
        assert tracker.update(seen(second, (1, 0.8, place), (0, 0.9, beside))) == expected[1]


def record(number: int, value: float, *, index: int = 0, seconds: float | None = None) -> FrameRecord:
    raws = (np.full((2, 2), value, np.float32),)
    at = number / 25 if seconds is None else seconds
    return FrameRecord(number, number, at, "a", 0.5, (AnswerRecord("a", index, 0.5, raws=raws),))


def values(records: list[FrameRecord], tau: float) -> list[float]:
    return [float(item.answers[0].raws[0][0, 0]) for item in smooth_maps(records, tau) if item.answers[0].raws]


def test_an_impulse_stays_where_it_is_and_spreads_evenly() -> None:
    series = values([record(i, float(i == 30)) for i in range(61)], 0.1)
    assert int(np.argmax(series)) == 30 and series == pytest.approx(series[::-1], abs=1e-7)
    assert series[29] / series[30] == pytest.approx(math.exp(-0.04 / 0.1), rel=0.01)
    assert sum(series) == pytest.approx(1, abs=1e-6)


def test_only_a_window_is_in_memory() -> None:
    read = 0

    def records():
        nonlocal read
        for i in range(500):
            read = i
            yield record(i, 1.0, seconds=i / 1000)

    for number, smoothed in enumerate(smooth_maps(records(), 1.0)):
        assert smoothed.number == number and read - number <= parts.HALF_WINDOW + 1


def row(frame: int, best: str = "cat", x: float = 10.0, number: int | None = None) -> dict:
    columns = {"seconds": frame / 25, "frame": frame, "answer": best, "score": 0.9, "object": number}
    return columns | {"best": None if number else best, "best_score": 0.9, "map": "ok", "centre_x": x, "centre_y": 10.0}


TRACKS = [(1, "cat", range(60)), (2, "fox", range(20, 28)), (2, "dog", range(28, 40)), (3, "fly", [50])]
UNSURE = [("parking meter", 0.07), ("racer", 0.17)]
GUESSES = [row(20 + i, label) | {"best_score": score} for i in range(60) for label, score in [UNSURE[i // 10 % 2]]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [row(i, "dog" if i == 10 or i >= 40 else "cat") for i in range(80)],
            [("answer", 40, "cat becomes dog, 90 % sure", "dog")],
        ),
        (
            [*(row(i) for i in range(20)), *GUESSES, *(row(80 + i, "dog") for i in range(20))],
            [
                ("answer", 20, "unsure: at best parking meter, 7 %", ""),
                ("answer", 80, "sure again: dog, 90 % sure", "dog"),
            ],
        ),
        (
            [row(i, label, number=n) for n, label, at in TRACKS for i in at],
            [("object", 20, "dog 2 comes", "dog"), ("gone", 39, "dog 2 goes", "dog")],
        ),
    ],
)
def test_changes_that_last_are_moments(rows: list[dict], expected: list[tuple[str, int, str, str]]) -> None:
    names = name_objects(rows)
    events = moments(sorted(rows, key=lambda entry: entry["frame"]), names)
    assert [(event.kind, event.frame, event.words, event.label) for event in events] == expected
    assert LASTING > 1 / 25


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], ""),
        (
            [("object", 0.9333, "rod-ring"), ("object", 2.4, "rod-ring"), ("gone", 2.5, "rod-ring")],
            "2 rod-rings from 0:00.9 and 0:02.4",
        ),
        # It may be the same one.
        (
            [("object", 0.9333, "rod-ring"), ("gone", 1.5, "rod-ring"), ("object", 2.4, "rod-ring")],
            "rod-ring from 0:00.9 and 0:02.4",
        ),
        (
            [("object", 0.96, "bus"), ("object", 61.26, "person"), ("object", 3600.0, "person")],
            "bus from 0:01.0; 2 people from 1:01.3 and 1:00:00.0",
        ),
        ([("object", 0.5, "bus"), ("object", 0.7, "person")], "bus from 0:00.5 and person from 0:00.7"),
        # An answer that comes twice is no two things, and where the model is unsure it says nothing.
        (
            [("answer", 1.0, "cat"), ("answer", 2.0, ""), ("answer", 3.0, "cat")],
            "cat from 0:01.0 and 0:03.0; unsure from 0:02.0",
        ),
        ([("object", 1.0, "cat")] * 4, ""),
    ],
)
def test_moments_are_named_with_their_times(found: list[tuple[Any, float, str]], expected: str) -> None:
    # The first that came goes first.
    came = itertools.count(1)
    numbers = [1 if kind == "gone" else next(came) for kind, _, _ in found]
    events = [Moment(at, 0, kind, "", number, label) for (kind, at, label), number in zip(found, numbers, strict=True)]
    assert name_moments(events) == expected


def test_a_time_keeps_its_fractions() -> None:
    assert [clock(at) for at in (0, 0.96, 59.95, 59.96, 3599.99)] == [
        *("0:00.0", "0:01.0", "1:00.0", "1:00.0", "1:00:00.0")
    ]
    assert [clock(at, 2) for at in (0.0333, 7.428, 59.996)] == ["0:00.03", "0:07.43", "1:00.00"]
