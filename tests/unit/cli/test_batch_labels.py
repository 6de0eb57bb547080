"""`batch --labels`: how right a model is, which errors it makes and why, printed and in files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sightglass.batch.labelled import summary
from sightglass.cli import main
from sightglass.evaluation import box_matching, stored, tables
from sightglass.explain.phrases import plain_text
from tests.labelled import draw_scenes

if TYPE_CHECKING:
    from collections.abc import Callable

SCENES = 4
HOW = ("batch", "pictures", "--model", "demo-s", "--workers", "1", "--out", "run")


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with labels, of which one class has a name of its own, and two lines cannot be used."""
    place = tmp_path_factory.mktemp("labelled")
    labels = draw_scenes(place, SCENES)[1]
    lines = labels.read_text("utf-8").replace(",star\n", ",Stern\n")
    labels.write_text(f"{lines}00.png,5,5,1,9,gear\n00.png,x,5,9,9,gear\n", "utf-8")
    return place


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    monkeypatch.chdir(folder)

    def called(*arguments: str) -> Said:
        code = main([*arguments])
        said = capsys.readouterr()
        return Said(code, plain_text(said.out), said.err)

    return called


def test_a_run_with_labels_says_how_right_it_is_and_what_a_lower_threshold_would_change(
    call: Callable[..., Said],
) -> None:
    said = call(*HOW, "--labels", "labels.csv")
    evaluation = stored.load(Path("run"))
    objects = sum(len(one.truths) for one in evaluation.pictures)
    assert said.code == 0
    assert f"on {objects} labelled objects in {SCENES} labelled pictures." in said.out
    assert "95 % interval" in said.out and "at the threshold of 25 %. Errors:" in said.out
    assert "so that every such object counts as missed: Stern (" in said.out
    assert "--match LABEL=CLASS" in said.out
    count = len(Path("labels.csv").read_text("utf-8").splitlines())
    assert f"labels.csv, line {count - 1}: its box has no area." in said.err
    assert f"labels.csv, line {count}: a coordinate is no number." in said.err
    kept = json.loads(Path("run/summary.json").read_text("utf-8"))
    assert len(kept["label_problems"]) == 2 and kept["labels"]["Stern"] == []
    assert set(kept["evaluation"]["errors"]) == set(box_matching.MEANINGS)
    with Path("run", summary.CSV).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(tables.MEANINGS) and len(rows) == len(tables.tabulate(evaluation))


def test_a_label_that_a_person_corrects_counts_and_stays_with_the_run(call: Callable[..., Said]) -> None:
    before = json.loads(call(*HOW, "--labels", "labels.csv", "--json").out)["evaluation"]
    after = json.loads(call(*HOW, "--match", "Stern=star", "--json").out)
    assert before["unknown"] == ["Stern"] and after["evaluation"]["unknown"] == []
    assert after["labels"]["Stern"] == ["star"] and after["evaluation"]["right"] > before["right"]
    # Without a word about it the next run has the same labels and the same names.
    again = json.loads(call(*HOW, "--json").out)
    assert again["evaluation"] == after["evaluation"] and again["resumed"] == SCENES
    Path("run", summary.FILE).write_text("damaged", "utf-8")
    assert summary.load(Path("run")).to_json()["right"] == after["evaluation"]["right"]
    wrong = call(*HOW, "--match", "Sterne=star")
    assert wrong.code == 2 and "No label is called Sterne: the labels are" in wrong.err


def test_of_a_classifier_the_share_that_is_right_is_told(call: Callable[..., Said]) -> None:
    names = ("ring", "star", "gear", "star")
    text = "".join(f"{number:02}.png,{name}\n" for number, name in enumerate(names))
    Path("whole.csv").write_text(f"file,label\n{text}", "utf-8")
    how = ("batch", "pictures", "--model", "demo-cls-s", "--workers", "1", "--out", "classes", "--labels", "whole.csv")
    said = call(*how)
    assert said.code == 0 and "Not counted: ring (1 picture" in said.out
    found = summary.load(Path("classes"))
    assert found.pictures == 3 and found.right <= 3
    assert f"{plain_text(found.headline)}." in said.out and found.headline.startswith("Right: ")
    assert found.scores["accuracy"].low <= found.scores["accuracy"].value <= found.scores["top5"].value
