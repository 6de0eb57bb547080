"""Whether a detector's map shows the part that matters: the same share of the same box, hidden in many orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.detectors import parts
from common.errors import ModelProblem
from explain import Explainer
from explain.faithfulness.prove import object_of
from tests.conftest import weight

if TYPE_CHECKING:
    from pathlib import Path


def test_every_map_hides_as_much_of_the_box_and_blobs_are_what_it_is_held_against(monkeypatch: pytest.MonkeyPatch):
    weight("yolo11n.pt")
    monkeypatch.setattr(parts, "FILLINGS", ("blur", "mean"))
    (found,) = parts.parts(["yolo11n"], None, 1)["models"]
    assert found["boxes"] == 1
    lines = {(line["map"], line["filling"]): line for line in found["lines"]}
    assert {name for name, _ in lines} >= {parts.WHERE, parts.PRESET, parts.BLOBS, "edges"}
    assert lines[parts.BLOBS, "mean"]["over blobs"] == (0, 0, 0)
    for (name, filling), line in lines.items():
        blobs = lines[parts.BLOBS, filling]["lost"][0]
        assert line["over blobs"][0] == pytest.approx(line["lost"][0] - blobs), name
    assert "1 boxes" in parts.markdown({"machine": parts.machine(1, "cpu"), "models": [found]})


def test_the_box_is_where_it_is_in_the_models_input(scene: Path):
    made = Explainer("demo-s")(scene, per="detection", top_k=1)
    inside, (box,) = object_of(made, 0), [made.predictions[0].box]
    assert inside.shape == made.heatmaps[0].content.shape
    height, width = inside.shape
    share = parts._area(box) / (made.image.width * made.image.height)
    assert inside.mean() == pytest.approx(share, rel=0.1)
    rows, columns = np.nonzero(inside)
    assert columns.mean() / width == pytest.approx((box[0] + box[2]) / 2 / made.image.width, abs=0.02)
    assert rows.mean() / height == pytest.approx((box[1] + box[3]) / 2 / made.image.height, abs=0.02)


def test_without_annotated_photographs_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", "")
    with pytest.raises(ModelProblem, match="--dataset FOLDER"):
        parts.parts((), None, None)
