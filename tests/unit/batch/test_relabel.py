"""Labels that a person corrects after a run: scores, counts, undoing, and files of the corrected labels."""

from dataclasses import replace
from pathlib import Path

import pytest

from sightglass.batch import finished, labels, relabel, run
from sightglass.batch.run_store import RunPlan
from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth, label_changes, stored
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.label_changes import LabelChange
from tests.labelled import draw_scenes
from tests.unit.evaluation.test_boxes import of_pycocotools


def test_corrected_boxes(tmp_path: Path) -> None:
    pictures, table = draw_scenes(tmp_path / "drawn", 8)
    table.write_text(table.read_text("utf-8").replace(",star\n", ",Stars\n"), "utf-8")
    given = ground_truth.read(table)
    crowds = {key: (replace(first, crowd=True), *others) for key, (first, *others) in [*given.pictures.items()][:2]}
    given = replace(given, pictures={**given.pictures, **crowds})
    first, second, again = (tmp_path / name for name in ("first", "second", "again"))
    for folder, model in ((first, "demo-s"), (second, "demo-m")):
        run(pictures, model, folder, labels=given)
    before, scores = stored.load(first), labels.load_summary(first).scores
    missed, extra = (ErrorReport(before).select(kind)[0] for kind in ("missed", "extra"))
    for unit, label, removed in ((missed, missed.truth, True), (extra, extra.answer, False)):
        relabel.change_label([first, second], LabelChange(unit.picture.key, label.label, label.box, removed))
    after, summary = stored.load(first), labels.load_summary(first)
    assert (after.corrected, after.objects, after.not_counted) == (2, before.objects, 2)
    (first / "problems.csv").write_text("picture,problem\nx.jpg,It is damaged.\n", "utf-8")
    left_out = finished.decide_runs({at: stored.load(at) for at in (first, second)}).left_out
    assert "2 labels corrected." in left_out and "1 file could not be read." in left_out

    # The corrected file alone has the same AP, and read for a run the same scores.
    (tmp_path / "labels.json").write_text(relabel.export_labels(first), "utf-8")
    truth = ground_truth.read(tmp_path / "labels.json")
    assert "Stars" in truth.classes and "star" not in truth.classes
    truths = [
        [replace(box, label=box.label.replace("Stars", "star")) for box in truth.find(p.key)] for p in after.pictures
    ]
    expected = of_pycocotools(truths, [[*picture.predictions] for picture in after.pictures]).stats
    assert summary.scores["ap"].value == pytest.approx(expected[0])
    run(pictures, "demo-s", again, labels=truth)
    assert labels.load_summary(again).scores == summary.scores and stored.load(again).corrected == 0
    # Changes that the labels have already are none.
    run(pictures, "demo-s", first, labels=truth)
    assert stored.load(first).corrected == 0 and labels.load_summary(first).scores == summary.scores
    run(pictures, "demo-s", first, labels=given)
    for left in (1, 0):
        relabel.change_label([first], None)
        assert stored.load(first).corrected == left
    assert labels.load_summary(first).scores == scores != summary.scores


def test_corrected_classes(tmp_path: Path) -> None:
    pictures, table = draw_scenes(tmp_path / "drawn", 4)
    out = tmp_path / "run"
    table.write_text("file,label\n00.png,gears\n01.png,star\n02.png,no class\n", "utf-8")
    run(pictures, "demo-cls-s", out, labels=table)
    before, rows = stored.load(out), finished.load(out).set_index("picture")
    answers, judged = rows["predicted"], rows["wrong"].notna()
    assert ([picture.key for picture in before.pictures], before.not_counted) == ([*rows.index[judged]], 1)
    assert [*rows["wrong"][judged]] == [answers["00.png"] != "gear", answers["01.png"] != "star"]
    # A label that is contradicted, one without a class, and a picture without a label.
    classes = {"01.png": answers["01.png"], "02.png": "star", "03.png": answers["03.png"]}
    for key, label in classes.items():
        relabel.change_label([out], LabelChange(key, label))
    true, after = {"00.png": "gear"} | classes, stored.load(out)
    right = sum(answers[key] == label for key, label in true.items())
    assert [*finished.load(out)["wrong"]] == [answers[key] != label for key, label in true.items()]
    assert labels.load_summary(out).scores["accuracy"].value == right / 4
    assert (after.corrected, after.not_counted, right > 1) == (3, 0, True)
    table.write_text(relabel.export_labels(out), "utf-8")
    named = {key: "gears" if label == "gear" else label for key, label in true.items()}
    assert ground_truth.read(table).picture_labels == named


@pytest.mark.parametrize("name", [label_changes.FILE, labels.CORRECTIONS, labels.FILE])
def test_damaged_file_stays(name: str, tmp_path: Path) -> None:
    pictures, table = draw_scenes(tmp_path / "drawn", 1)
    run(pictures, "demo-s", out := tmp_path / "run", labels=table)
    (out / name).write_bytes(b'{"half')
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changes = {
        label_changes.FILE: lambda: relabel.change_label([tmp_path / "new", out], None),
        labels.CORRECTIONS: lambda: labels.correct(out, {"star": []}),
        labels.FILE: lambda: run(pictures, "demo-s", out),
    }
    for use in (changes[name], lambda: finished.read([RunPlan("demo-s", {}, out)])):
        with pytest.raises(Problem, match=f"{name} in .* cannot be read"):
            use()
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
