"""Detectors on labelled drawn scenes: the better one is named, and nothing where they are alike."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from sightglass.cli import main
from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth, scorecard
from sightglass.explain import Explainer
from sightglass.explain.picture import source
from sightglass.models.demo.scenes import draw, sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sightglass.evaluation.scorecard import LabelledPicture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten labelled scenes in `pictures`, and `labels.csv`."""
    made = tmp_path_factory.mktemp("labelled")
    (made / "pictures").mkdir()
    with (made / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(ground_truth.COLUMNS)
        for number in range(10):
            scene = draw(sample(number, task="detect", held_out=True))
            Image.fromarray(scene.pixels).save(made / "pictures" / f"{number}.png")
            rows.writerows([f"{number}.png", *one.box, one.label] for one in scene.objects if one.label)
    return made


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Sequence[LabelledPicture]:
    found, left = scorecard.gather(
        list(source.find(str(folder / "pictures"))), ground_truth.read(folder / "labels.csv")
    )
    assert left == []
    return found


def test_the_better_model_is_named_with_its_lead(pictures: Sequence[LabelledPicture]) -> None:
    rows = [scorecard.score(Explainer(name), pictures) for name in ("demo-s", "demo-l")]
    small, large = rows
    assert large.scores.ap.value > small.scores.ap.value + 0.1
    assert large.found > small.found
    assert "demo-s is" in scorecard.verdict(rows) and "behind demo-l" in scorecard.verdict(rows)
    assert "cannot be told apart" in scorecard.verdict([small, replace(small, model="its twin")])
    for row in rows:
        missed = sum(one.type == "missed" for one in row.errors)
        assert row.found + missed <= row.scores.objects
        assert set(row.counts) == set(row.costs)


def test_labels_under_other_names_are_those_classes(folder: Path, pictures: Sequence[LabelledPicture]) -> None:
    text = (folder / "labels.csv").read_text().replace("star", "Stars").replace("gear", "unicorn")
    (folder / "other.csv").write_text(text)
    other, _ = scorecard.gather(list(source.find(str(folder / "pictures"))), ground_truth.read(folder / "other.csv"))
    plain, renamed = (scorecard.score(Explainer("demo-s"), some) for some in (pictures, other))
    assert renamed.unknown == (("unicorn",) if "unicorn" in text else ())
    assert renamed.scores.by_class["star"].value == pytest.approx(plain.scores.by_class["star"].value)


def test_a_classifier_and_foreign_pictures_are_one_sentence(folder: Path, pictures: Sequence[LabelledPicture]) -> None:
    with pytest.raises(Problem, match="draws no boxes"):
        scorecard.score(Explainer("demo-cls-s"), pictures)
    (folder / "none.csv").write_text("file,x0,y0,x1,y1,label\nelsewhere.png,0,0,5,5,star\n")
    with pytest.raises(Problem, match="None of the pictures has labels"):
        scorecard.gather(list(source.find(str(folder / "pictures"))), ground_truth.read(folder / "none.csv"))


def test_the_command_says_it_as_a_table_and_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["scorecard", str(folder / "pictures"), "--labels", str(folder / "labels.csv"), "-m", "demo-s"]
    assert main([*call, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["models"]
    assert main(call) == 0
    printed = capsys.readouterr().out
    assert f"{100 * row['ap']['value']:.1f}" in printed
    assert f"{row['found']} of {row['objects']}" in printed
    assert found["verdict"] == ""
    assert row["ap"]["low"] <= row["ap"]["value"] <= row["ap"]["high"]


def test_without_labels_the_command_says_what_to_give(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scorecard", str(folder / "pictures")]) == 2
    assert "--labels" in capsys.readouterr().err
