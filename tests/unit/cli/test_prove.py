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
from sightglass.explain.replaying import replay, replay_proof
from sightglass.export import embedded_recipe

if TYPE_CHECKING:
    from pathlib import Path


def test_a_proof_is_written_said_and_made_again_bit_for_bit(
    tmp_path: Path, bus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    also = ["--also", "html,report"]
    assert main(["prove", str(bus), "--steps", "4", "--filling", "mean", "--filling", "linear", *also]) == 0
    said = capsys.readouterr().out
    folder = tmp_path / "explained/bus"
    names = ["proof.json", "proof.png", "report.html", "report.pdf"]
    assert sorted(path.name for path in folder.iterdir()) == names
    written = json.loads((folder / "proof.json").read_text("utf-8"))
    assert html.escape(written["sentence"]) in (folder / "report.html").read_text("utf-8")
    assert plain_text(written["sentence"]) in said
    assert "random places, as smooth as this map" in said and "keeps 90 % of the score" in said
    assert "the map of the next best class" not in said and "rank correlation" not in said
    assert main(["prove", str(bus), "--steps", "2", "--filling", "mean", "--out", "all", "--all-measures"]) == 0
    said = capsys.readouterr().out
    assert "the map of the next best class" in said and "rank correlation" in said
    recipe = read(folder / "proof.json")
    assert recipe.prove is not None and recipe.prove.steps == 4 and recipe.prove.fillings == ("mean", "linear")
    assert embedded_recipe.read((folder / "proof.png").read_bytes()) == recipe
    # Nothing of the first run is left to take it from.
    EVIDENCE.clear()
    again = replay_proof(recipe, replay(recipe, bus))
    assert again is not None
    assert json.loads(json.dumps(again.summary()["curves"])) == written["curves"]
    assert main(["replay", str(folder / "proof.json"), "--picture", str(bus)]) == 0
    assert "The curves match the saved ones bit for bit." in capsys.readouterr().out
    written["curves"][0]["deletion"][1] += 1e-12
    (folder / "proof.json").write_text(json.dumps(written), "utf-8")
    assert main(["replay", str(folder / "proof.png"), "--picture", str(bus)]) == 1
    assert "The curves differ from the saved ones." in capsys.readouterr().out


def test_any_answer_and_any_box_can_be_proved(
    tmp_path: Path, bus: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--steps", "2", "--filling", "mean", "--json", "--out", str(tmp_path))

    def target(*given: str) -> str:
        assert main(["prove", *given, *few]) == 0
        found: str = json.loads(capsys.readouterr().out)["target"]
        return found

    best = [one.label for one in Explainer()(bus, maps=False).predictions]
    assert target(str(bus), "--map", "2") == best[1]
    assert target(str(bus), "--class", "goldfish") == "goldfish"
    boxes = Explainer("demo-s")(scene, maps=False).predictions
    assert target(str(scene), "-m", "demo-s", "--map", "2") == boxes[1].label
    assert target(str(scene), "-m", "demo-s", "--target", boxes[1].label) == boxes[1].label


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--map", "0"), "counted from 1"),
        (("--map", "1", "--class", "minibus"), "leave one of them out"),
        (("--map", "2000"), "There is no answer 2000: efficientnet-lite0 gives 1000 here."),
        (("--filling", "grey"), "There is no filling called grey"),
        (("--steps", "1"), "2 to 100 steps"),
        (("--score-thr", "0.5"), "draws no boxes"),
    ],
)
def test_what_cannot_be_proved_is_one_sentence(
    given: tuple[str, ...], sentence: str, bus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prove", str(bus), "--out", str(tmp_path), *given]) == 2
    assert sentence in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
