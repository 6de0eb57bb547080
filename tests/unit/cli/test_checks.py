"""`--checks`, `prove` and `batch --labels`: what is printed and written."""

import csv
import html
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PictureFile

from sightglass.batch.labels import CSV
from sightglass.cli.proving import read
from sightglass.evaluation import errors, kinds, stored
from sightglass.explain import Explainer
from sightglass.explain.phrases import plain_text
from sightglass.report import embedded_recipe
from tests.labelled import draw_scenes

LINE = "✗ changes with the model: no · ✓ matters to the answer: yes · ? stays when the picture barely changes: unclear"


def test_checks_of_every_map(call: Any, checked: list[str], scene: Path) -> None:
    assert "barely changes" not in call("image", "scene.png", "--model", "demo-cls-s")[1] and checked == []
    out = call("image", "scene.png", "./scene.png", "--model", "demo-cls-s", "--top-k", "2", "--checks")[1]
    assert checked == [heatmap.target.label for heatmap in Explainer("demo-cls-s")(scene, top_k=2).heatmaps] * 2
    assert out.count(LINE) == 4
    assert out.count("It shows the box.") >= 4 and out.count("Nobody knows.") == 4 and "It matters." not in out


def test_compare_checks_of_each_model(call: Any, checked: list[str]) -> None:
    code, out, _ = call("compare", "scene.png", "-m", "demo-cls-s", "-m", "demo-cls-m", "--checks")
    assert code == 0 and len(checked) == 2 == out.count(LINE)


def test_a_proof_is_written_and_said(call: Any) -> None:
    how, folder = ["prove", "scene.png", "-m", "demo-cls-s", "--filling", "mean"], Path("out")
    code, said, _ = call(*how, "--out", "out", "--also", "html", "--steps", "4", "--filling", "linear")
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["proof.json", "proof.png", "report.html"]
    written = json.loads((folder / "proof.json").read_text("utf-8"))
    assert written["sentence"] in html.unescape((folder / "report.html").read_text("utf-8"))
    assert plain_text(written["sentence"]) in said and "rank correlation" not in said
    recipe = read(folder / "proof.json").recipe
    assert recipe.prove is not None and recipe.prove.steps == 4 and recipe.prove.fillings == ("mean", "linear")
    assert embedded_recipe.read((folder / "proof.png").read_bytes()) == recipe
    code, said, _ = call("replay", "out/proof.png")
    assert code == 0 and "scene.png: demo-cls-s" in said


def test_any_answer_and_any_box_can_be_proved(answer: Any) -> None:
    classes, boxes = (Explainer(name)("scene.png", maps=False).predictions for name in ("demo-cls-s", "demo-s"))
    for model, given, label in (
        ("demo-cls-s", ("--map", "2"), classes[1].label),
        ("demo-cls-s", ("--class", "star"), "star"),
        ("demo-s", ("--map", "2"), boxes[1].label),
        ("demo-s", ("--target", boxes[1].label), boxes[1].label),
    ):
        assert answer("prove", "scene.png", "-m", model, *given, "--steps", "2", "--filling", "mean")["target"] == label


def test_which_prints_the_maps_of_the_tested_one(answer, call) -> None:
    asked = ("which", "scene.png", "-m", "demo-cls-s", "--class", "star")
    said = answer(*asked)
    heatmap = Explainer("demo-cls-s")("scene.png", method="tested", targets=["star"]).heatmaps[0]
    ranked = sorted(heatmap.candidates, key=lambda each: -each.weight)
    assert said["target"] == "star" and said["quantity"] == "lead"
    assert [(each["name"], each["taken"]) for each in said["candidates"]] == [
        (each.name, each.weight) for each in ranked
    ]
    code, out, _ = call(*asked)
    assert code == 0 and plain_text(out).splitlines()[1] == said["sentence"]
    lines = [line for line in plain_text(out).splitlines() if "%" in line]
    for each, line in zip(ranked, lines[2:], strict=False):
        assert line.strip().startswith(each.name), out
    assert not Path("explained").exists()


def test_which_takes_the_layers_and_the_box_that_it_is_given(answer) -> None:
    box = Explainer("demo-s")("scene.png", maps=False).predictions[1]
    given = ("--map", "2", "--target-layers", "model.15")
    recipe = answer("which", "scene.png", "-m", "demo-s", *given)["recipe"]
    assert recipe["layers"] == ["model.15"] and recipe["targets"] == [[box.anchor, box.index]]


def test_which_says_that_nothing_can_be_told_of_one_colour(answer, call) -> None:
    PictureFile.new("RGB", (160, 96), (90, 90, 90)).save("grey.png")
    asked = ("which", "grey.png", "-m", "demo-cls-s")
    said = answer(*asked)
    assert "cannot be told" in said["sentence"] and said["candidates"]
    for each in said["candidates"]:
        assert each["score"] is None and {*each["hidden"], *each["kept"]} == {None}
    code, out, _ = call(*asked)
    assert code == 0 and plain_text(out).splitlines()[1] == said["sentence"]
    # Of the table's numbers there is only what is taken of each map.
    assert all(line.count("%") == 1 for line in out.splitlines() if " – " in line) and " – " in out


SCENES = 10
HOW = ("batch", "pictures", "--model", "demo-s", "--workers", "1", "--out", "run")


def test_batch_labels_prints_evaluation(labels, call):
    code, out, err = call(*HOW, "--labels", "labels.csv")
    out, evaluation = plain_text(out), stored.load(Path("run"))
    objects = evaluation.objects
    assert code == 0 and f"on {objects} labelled objects in {SCENES} labelled pictures." in out
    assert "95 % interval" in out and "at the threshold of 25 %. Errors:" in out
    assert "Not counted: Stern (" in out and "--match LABEL=CLASS" in out
    count = len(labels.read_text("utf-8").splitlines())
    assert f"labels.csv, line {count - 1}: its box has no area." in err
    assert f"labels.csv, line {count}: a coordinate is no number." in err
    kept = json.loads(Path("run/summary.json").read_text("utf-8"))
    assert len(kept["label_problems"]) == 2 and kept["labels"]["Stern"] == []
    assert set(kept["evaluation"]["errors"]) == set(kinds.TYPE_NAMES)
    with Path("run", CSV).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["picture", *errors.COLUMNS] and len(rows) == len(errors.ErrorReport(evaluation).units)


@pytest.fixture
def labels(here: Path) -> Path:
    """Labels of scenes, of which one class has a name of its own, and two lines cannot be used."""
    path = draw_scenes(here, SCENES)[1]
    lines = path.read_text("utf-8").replace(",star\n", ",Stern\n")
    path.write_text(f"{lines}00.png,5,5,1,9,gear\n00.png,x,5,9,9,gear\n", "utf-8")
    return path
