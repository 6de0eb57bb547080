"""`batch --labels`: how right a model is, which errors it makes and why, printed and in files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sightglass.batch import summary
from sightglass.evaluation import boxes, errors, stored
from sightglass.explain.phrases import plain_text
from tests.labelled import draw_scenes

SCENES = 4
HOW = ("batch", "pictures", "--model", "demo-s", "--workers", "1", "--out", "run")


def test_a_run_with_labels_says_how_right_it_is_and_what_a_lower_threshold_would_change(
    labels: Path, call: Any
) -> None:
    code, out, err = call(*HOW, "--labels", "labels.csv")
    out, evaluation = plain_text(out), stored.load(Path("run"))
    objects = sum(len(one.truths) for one in evaluation.pictures)
    assert code == 0
    assert f"on {objects} labelled objects in {SCENES} labelled pictures." in out
    assert "95 % interval" in out and "at the threshold of 25 %. Errors:" in out
    assert "Not counted: Stern (" in out and "--match LABEL=CLASS" in out
    count = len(labels.read_text("utf-8").splitlines())
    assert f"labels.csv, line {count - 1}: its box has no area." in err
    assert f"labels.csv, line {count}: a coordinate is no number." in err
    kept = json.loads(Path("run/summary.json").read_text("utf-8"))
    assert len(kept["label_problems"]) == 2 and kept["labels"]["Stern"] == []
    assert set(kept["evaluation"]["errors"]) == set(boxes.MEANINGS)
    with Path("run", summary.CSV).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["picture", *errors.COLUMNS] and len(rows) == len(errors.ErrorReport(evaluation).units)
    wrong = call(*HOW, "--match", "Sterne=star")
    assert wrong.code == 2 and "No label is called Sterne: the labels are" in wrong.err


@pytest.fixture
def labels(here: Path) -> Path:
    """Labels of scenes, of which one class has a name of its own, and two lines cannot be used."""
    path = draw_scenes(here, SCENES)[1]
    lines = path.read_text("utf-8").replace(",star\n", ",Stern\n")
    path.write_text(f"{lines}00.png,5,5,1,9,gear\n00.png,x,5,9,9,gear\n", "utf-8")
    return path
