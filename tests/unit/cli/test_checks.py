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

LINE = "✗ changes with the model: no · ✓ matters: yes · ? holds still: unclear"


def test_every_map_of_every_picture_is_sealed_and_none_without_it(call: Any, sealed: list[str], scene: Path) -> None:
    assert "holds still" not in call("image", "scene.png", "--model", "demo-cls-s")[1] and sealed == []
    out = call("image", "scene.png", "./scene.png", "--model", "demo-cls-s", "--top-k", "2", "--seal")[1]
    labels = [heatmap.target.label for heatmap in Explainer("demo-cls-s")(scene, top_k=2).heatmaps]
    assert sealed == labels * 2
    assert out.count(LINE) == 4
    assert out.count("It shows the box.") >= 4 and out.count("Nobody knows.") == 4 and "It matters." not in out


def test_a_batch_adds_the_tests_to_its_table_also_after_a_run_without(
    call: Any, sealed: list[str], tmp_path: Path
) -> None:
    how = ("batch", "scene.png", "--model", "demo-cls-s", "--workers", "1")
    assert "pass all three" not in call(*how)[1]
    assert "0 of 1 maps pass all three tests." in call(*how, "--seal")[1]
    said = json.loads(call(*how, "--seal", "--json")[1])
    assert (said["sealed"], said["all_three"], said["resumed"], len(sealed)) == (1, 0, 1, 1)
    header, row = (tmp_path / "explained/scene/results.csv").read_text().splitlines()
    found = dict(zip(header.split(",")[-4:], row.split(",")[-4:], strict=True))
    assert found == {"seal": "1", "seal_model": "no", "seal_answer": "yes", "seal_still": "cannot be told"}
    assert "Maps that fail a test" in (tmp_path / "explained/scene/report.html").read_text("utf-8")


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
