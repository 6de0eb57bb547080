"""`--seal` and `prove`: what is printed and written."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from sightglass.cli.proving import read
from sightglass.explain import Explainer
from sightglass.explain.phrases import plain_text
from sightglass.report import embedded_recipe

LINE = "✗ changes with the model: no · ✓ matters to the answer: yes · ? stays when the picture barely changes: unclear"


def test_every_map_of_every_picture_is_sealed_and_none_without_it(call: Any, sealed: list[str], scene: Path) -> None:
    assert "barely changes" not in call("image", "scene.png", "--model", "demo-cls-s")[1] and sealed == []
    out = call("image", "scene.png", "./scene.png", "--model", "demo-cls-s", "--top-k", "2", "--seal")[1]
    labels = [heatmap.target.label for heatmap in Explainer("demo-cls-s")(scene, top_k=2).heatmaps]
    assert sealed == labels * 2
    assert out.count(LINE) == 4
    assert out.count("It shows the box.") >= 4 and out.count("Nobody knows.") == 4 and "It matters." not in out


def test_each_class_has_its_seal_in_its_own_file(call: Any, sealed: list[str], tmp_path: Path) -> None:
    how = ("class", "scene.png", "--model", "demo-cls-s", "--class", "1", "--class", "2", "--seal")
    assert call(*how)[1].count(LINE) == 2
    for one in json.loads(call(*how, "--json")[1])["results"][0]["classes"]:
        assert one["seal"]["target"] == one["label"]
        assert [mark["answer"] for mark in one["seal"]["marks"]] == ["no", "yes", "cannot be told"]
        file = tmp_path / f"explained/scene/class_analysis_{one['label']}.json"
        assert json.loads(file.read_text())["seal"] == one["seal"]


def test_a_comparison_seals_the_map_of_each_model_that_is_compared(call: Any, sealed: list[str]) -> None:
    code, out, _ = call("compare", "scene.png", "-m", "demo-cls-s", "-m", "demo-cls-m", "--seal")
    assert code == 0 and len(sealed) == 2 == out.count(LINE)


def test_a_proof_is_written_and_said(call: Any) -> None:
    how, folder = ["prove", "scene.png", "-m", "demo-cls-s", "--filling", "mean"], Path("out")
    code, said, _ = call(*how, "--out", "out", "--also", "html,report", "--steps", "4", "--filling", "linear")
    assert code == 0
    names = ["proof.json", "proof.png", "report.html", "report.pdf"]
    assert sorted(path.name for path in folder.iterdir()) == names
    written = json.loads((folder / "proof.json").read_text("utf-8"))
    assert written["sentence"] in html.unescape((folder / "report.html").read_text("utf-8"))
    assert plain_text(written["sentence"]) in said and "rank correlation" not in said
    recipe = read(folder / "proof.json")
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
        said = answer("prove", "scene.png", "-m", model, *given, "--steps", "2", "--filling", "mean")
        assert said["target"] == label


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--map", "0"), "Invalid value for '--map'"),
        (("--map", "1", "--class", "star"), "leave one of them out"),
        (("--map", "2000"), "There is no answer 2000: demo-cls-s gives 10 here."),
        (("--filling", "grey"), "There is no filling called grey"),
        (("--steps", "1"), "2 to 100 steps"),
    ],
)
def test_what_cannot_be_proved_is_one_sentence(given: tuple[str, ...], sentence: str, call: Any) -> None:
    code, _, err = call("prove", "scene.png", "-m", "demo-cls-s", *given)
    assert code == 2 and sentence in err
    assert not Path("explained").exists()
