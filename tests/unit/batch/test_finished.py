"""What finished runs say: right and wrong by labels, headlines, and the report."""

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from sightglass import examples
from sightglass.batch import finished, run_charts, run_slides, run_store, table
from sightglass.batch import labels as run_labels
from sightglass.common.errors import ModelProblem
from sightglass.evaluation import ground_truth, kinds, stored
from sightglass.explain.phrases import NBSP
from sightglass.history.decks import pack, unpack
from sightglass.models.labels import match
from sightglass.pages.pictures.job import open_example
from sightglass.report import deck_html, drawing
from tests.labelled import mark_stopped


def test_a_correction_changes_what_labels_mean(tmp_path: Path) -> None:
    classes = ["school bus", "minibus", "leaf beetle"]
    metadata = {b"sightglass_scores": json.dumps({"classes": classes}).encode()}
    run_table = pa.table({"picture": ["0.jpg", "1.jpg", "2.jpg"], "labelled": ["bus", "bus", "minibus"]})
    parquet.write_table(run_table.replace_schema_metadata(metadata), tmp_path / table.PARQUET)
    run_labels.correct(tmp_path, {"bus": [run_labels.find_class("School buses", classes)], "minibus": []})
    assert [(row.label, row.classes, row.pictures) for row in run_labels.match_run(tmp_path)] == [
        ("minibus", (), 1),
        ("bus", ("school bus",), 2),
    ]
    with pytest.raises(ModelProblem, match="no class called beetle: did you mean leaf beetle"):
        run_labels.find_class("beetle", classes)
    named = ground_truth.RunLabels(ground_truth.GroundTruth({}, (), {"a": "bus"}), {"bus": ("minibus", "school bus")})
    row = {"width": 9, "height": 9, "scores": json.dumps([["cat", 0.5], ["school bus", 0.3]])}
    assert kinds.judge_row(named, "a", row, {}).truth == "school bus"


def test_answers_of_models_that_spell_classes_differently_agree() -> None:
    rename = finished._find_names(("Traffic_Light", "A+", "glass"), ("traffic light", "A", "glass", "glasses"))
    boxes = json.dumps([["Traffic_Light", 0.5, 1, 2, 3, 4], ["A+", 0.4, 1, 2, 3, 4]])
    row = rename({"predicted": "glass", "boxes": boxes})
    assert [row["predicted"], *(label for label, *_ in json.loads(row["boxes"]))] == ["glass", "traffic light", "\0A+"]
    assert rename({"predicted": None, "boxes": None}) == {"predicted": None, "boxes": "[]"}


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("tomato___Late_blight", {"tomato late blight"}),
        ("EGYPTIAN-cats", {"Egyptian cat"}),
        ("tinca tinca", {"tench, Tinca tinca"}),
        ("tench, Tinca tinca", {"tench, Tinca tinca"}),
        ("guitar", {"guitar"}),
        ("minibuses", {"minibus"}),
        ("Late-Blight", set()),
        ("cats", set()),
        ("fire", set()),
        ("at", set()),
        ("2023", set()),
        ("n02123045", set()),
        ("", set()),
    ],
)
def test_which_classes_a_folder_means(folder: str, expected: set[str]) -> None:
    classes = ["tomato late blight", "Egyptian cat", "tiger cat", "tench, Tinca tinca", "guitar", "guitar pick"]
    assert match(["C", "+", "c++"], ["C", "C++", "+"]) == {"C": {"C"}, "+": {"+"}, "c++": {"C++"}}
    matches = match([folder], [*classes, "fire engine", "minibus", "cat bear", "class 2023"])
    assert matches.get(folder, frozenset()) == expected


def test_stopped_run_claims_no_interval(tmp_path: Path) -> None:
    (plan, *_) = open_example().ready
    complete = finished.read([plan])
    part = replace(complete, stopped=True)
    title, words = finished.describe(part)
    assert " right so far (32 labelled pictures)." in title and words == "Stopped: the other pictures may differ."
    assert "so far" not in finished.describe(complete)[0]
    folder = Path(shutil.copytree(plan.folder, tmp_path / "run"))
    mark_stopped(folder)
    run_labels.write_summary(folder)
    summary = run_labels.load_summary(folder)
    assert summary.headline.endswith(" so far") and "95 %" not in summary.headline
    estimates = (*summary.scores.values(), *summary.by_class.values())
    assert estimates and not any(estimate.has_interval for estimate in estimates)
    accuracy = json.loads((folder / run_labels.SUMMARY).read_text("utf-8"))["summary"]["scores"]["accuracy"]
    assert accuracy["value"] == summary.scores["accuracy"].value and accuracy["low"] is None
    assert "no interval" not in summary.headline
    stopped = finished.read([replace(plan, folder=folder)])
    assert "95 %" in finished.list_models(complete, 0)[0] and "95 %" not in finished.list_models(stopped, 0)[0]
    assert not any("95 %" in chart.note for chart in run_charts.read_charts(stopped, 0))


def test_deck_of_a_run_says_what_is_decided() -> None:
    job = open_example()
    result = finished.read(job.ready)
    assert result.decision is not None
    deck = [*run_slides.make_deck(result, job.open_picture)]
    decided, lost, classes, proved, limits = deck
    assert decided.title == result.decision.headline and decided.sentence == result.decision.comparison
    assert [(bar.name, bar.value) for bar in decided.scores] == [(r.model, r.score.value) for r in result.decision.rows]
    small, large = (frame.set_index("picture")["wrong"].eq(True) for frame in result.frames[::2])
    only = small & ~large[small.index]
    assert lost.title == f"{only.sum()} right by Demo-cls-l and wrong by Demo-cls-s" and len(lost.pictures) == 3
    assert not (large & ~small[large.index]).any(), "nothing is gained"
    lowest = run_charts.read_charts(result, 0)[3].scores[:6]
    assert [(bar.name, bar.value) for bar in classes.scores] == [(each.name, each.score.value) for each in lowest]
    assert all(bar.low <= bar.value <= bar.high and bar.low < bar.high for bar in classes.scores)
    assert "with 95 % intervals. The 6 lowest; left out: 4 with higher ones." in classes.sentence
    assert proved.charts[0].sentence == proved.sentence.replace(" %", f"{NBSP}%")
    assert limits.title == "32 labelled pictures" and "No label was left out." in limits.sentence
    assert [view.title for view in map(unpack, map(pack, deck))] == [view.title for view in deck]
    assert drawing.thumbnail(decided).startswith(b"\xff\xd8")
    assert [view.left_out for view in deck] == [""] * 5 and b"Demo-cls-s" in deck_html.deck_html(deck, "T")
    alone = [*run_slides.make_deck(finished.read(job.ready[:1]), job.open_picture)]
    assert (alone[0].title, alone[-1].title) == (f"69{NBSP}% right (32 labelled pictures)", "32 pictures")


def test_models_without_labels_stand_beside_others() -> None:
    result = finished.read(open_example().ready[:2])
    fit = result.fits[0]
    for fits, shares in (((fit, None), ["69 %", ""]), ((None, fit), ["", "69 %"])):
        rows = finished.list_models(replace(result, fits=fits), 0)
        assert [row["Right"].replace(NBSP, " ") for row in rows] == shares


def test_reading_a_run_writes_nothing_and_decides_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = shutil.copytree(examples.find(examples.CLASSES), tmp_path / "batches")
    for name in (run_labels.CSV, run_labels.SUMMARY):
        (copied / "run" / name).unlink()
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(copied))
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    facts, decided = run_store.read_facts(copied / "run"), Counter[str]()
    score_runs = finished.score_runs
    monkeypatch.setattr(finished, "score_runs", lambda *runs: decided.update(["run"]) or score_runs(*runs))
    result = finished.read(facts.plans)
    assert finished.read(facts.plans) is result and result.decision is not None
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*")} == before and decided.total() == 1
    os.utime(copied / "demo-cls-m" / stored.FILE)
    assert finished.read(facts.plans) is not result


@pytest.mark.parametrize(
    ("milliseconds", "words"), [([30.0, 34.0, 40.0], "34 ms (30 ms to 40 ms)"), ([], "not measurable now"), (None, "")]
)
def test_a_time_is_measured_or_said_not_to_be(milliseconds: list[float] | None, words: str, tmp_path: Path) -> None:
    if milliseconds is not None:
        (tmp_path / finished.SPEED).write_text(json.dumps(milliseconds), "utf-8")
    assert finished.describe_time(tmp_path).replace("\N{NO-BREAK SPACE}", " ") == words
