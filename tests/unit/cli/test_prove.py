"""`prove`: its files, its recipe and its replay; what cannot be proved is a sentence."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

import pytest

from sightglass.cli import main
from sightglass.cli.replay import read
from sightglass.explain import Explainer
from sightglass.explain.explainer import EVIDENCE
from sightglass.explain.phrases import plain_text
from sightglass.export import embedded_recipe

if TYPE_CHECKING:
    from pathlib import Path


def test_a_proof_is_written_said_and_made_again_bit_for_bit(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    how = ["prove", str(scene), "-m", "demo-cls-s", "--out", "out", "--also", "html,report"]
    assert main([*how, "--steps", "4", "--filling", "mean", "--filling", "linear"]) == 0
    said, folder = capsys.readouterr().out, tmp_path / "out"
    names = ["proof.json", "proof.png", "report.html", "report.pdf"]
    assert sorted(path.name for path in folder.iterdir()) == names
    written = json.loads((folder / "proof.json").read_text("utf-8"))
    assert html.escape(written["sentence"]) in (folder / "report.html").read_text("utf-8")
    assert plain_text(written["sentence"]) in said and "rank correlation" not in said
    assert main([*how[:4], "--steps", "2", "--filling", "mean", "--out", "all", "--all-measures"]) == 0
    said = capsys.readouterr().out
    assert "the map of the next best class" in said and "rank correlation" in said
    recipe = read(folder / "proof.json")
    assert recipe.prove is not None and recipe.prove.steps == 4 and recipe.prove.fillings == ("mean", "linear")
    assert embedded_recipe.read((folder / "proof.png").read_bytes()) == recipe
    # Nothing of the first run is left to take it from.
    EVIDENCE.clear()
    assert main(["replay", str(folder / "proof.json"), "--picture", str(scene)]) == 0
    assert "The curves match the saved ones bit for bit." in capsys.readouterr().out
    written["curves"][0]["deletion"][1] += 1e-12
    (folder / "proof.json").write_text(json.dumps(written), "utf-8")
    assert main(["replay", str(folder / "proof.png"), "--picture", str(scene)]) == 1
    assert "The curves differ from the saved ones." in capsys.readouterr().out


def test_any_answer_and_any_box_can_be_proved(tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--steps", "2", "--filling", "mean", "--json", "--out", str(tmp_path))

    def target(model: str, *given: str) -> str:
        assert main(["prove", str(scene), "-m", model, *given, *few]) == 0
        found: str = json.loads(capsys.readouterr().out)["target"]
        return found

    classes, boxes = (Explainer(name)(scene, maps=False).predictions for name in ("demo-cls-s", "demo-s"))
    assert target("demo-cls-s", "--map", "2") == classes[1].label
    assert target("demo-cls-s", "--class", "star") == "star"
    assert target("demo-s", "--map", "2") == boxes[1].label
    assert target("demo-s", "--target", boxes[1].label) == boxes[1].label


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--map", "0"), "counted from 1"),
        (("--map", "1", "--class", "star"), "leave one of them out"),
        (("--map", "2000"), "There is no answer 2000: demo-cls-s gives 10 here."),
        (("--filling", "grey"), "There is no filling called grey"),
        (("--steps", "1"), "2 to 100 steps"),
    ],
)
def test_what_cannot_be_proved_is_one_sentence(
    given: tuple[str, ...], sentence: str, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prove", str(scene), "-m", "demo-cls-s", "--out", str(tmp_path), *given]) == 2
    assert sentence in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
