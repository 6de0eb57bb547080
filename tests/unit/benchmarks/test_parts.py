"""Whether a detector's map shows the part that matters: the same share of the same box, hidden in many orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks import inside
from benchmarks.detectors import parts
from benchmarks.report import Row
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.faithfulness.prove import object_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.weights("yolo11n.pt", "images/labels.json")
def test_every_map_hides_as_much_of_the_box_and_blobs_are_what_it_is_held_against(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inside, "FILLINGS", ("blur", "mean"))
    monkeypatch.setattr(parts, "MASKS", 8)
    monkeypatch.setattr(parts, "MASKED", 1)
    result = parts.parts(["yolo11n"], None, 2)
    (found,) = result["models"]
    assert found["boxes"] == 2
    lines = {(line["map"], line["filling"]): line for line in found["lines"]}
    assert {name for name, _ in lines} >= {inside.WHERE, inside.PRESET, inside.BLOBS, parts.DRISE, "edges"}
    assert lines[inside.BLOBS, "mean"]["over blobs"] == (0, 0, 0) == lines[inside.PRESET, "mean"]["over why"]
    for (name, filling), line in lines.items():
        blobs = lines[inside.BLOBS, filling]["lost"][0]
        assert line["regions"] == (1 if name == parts.DRISE else 2)
        if name != parts.DRISE:
            assert line["over blobs"][0] == pytest.approx(line["lost"][0] - blobs), name
    assert found["costs"][parts.DRISE]["passes"] == 9 and found["costs"][inside.WHERE]["passes"] == 1
    assert found["costs"][parts.DRISE]["ms"] > found["costs"][inside.PRESET]["ms"] > 0
    text = parts.markdown(result)
    assert "2 boxes of" in text and f"| {parts.DRISE} | mean | 1 |" in text


def test_what_is_hidden_is_the_hottest_fifth_of_the_region_and_nothing_beside_it():
    region = np.zeros((20, 20), bool)
    region[5:15, 5:15] = True
    hot = np.zeros((20, 20))
    hot[:, :7] = 1
    (hidden,) = inside._hidden({"left": hot}, region, 0)
    assert hidden.sum() == inside.SHARE * region.sum() and hidden[5:15, 5:7].all()


def test_the_verdict_is_what_the_intervals_say():
    def rows(name: str, *lows: float) -> list[Row]:
        pairs = zip(lows, inside.FILLINGS, strict=True)
        return [{"map": name, "filling": one, "over blobs": (low + 0.1, low, low + 0.2)} for low, one in pairs]

    said = inside.verdict([*rows(inside.WHERE, -0.2, 0.0, 0.05), *rows(inside.PRESET, 0.1, 0.2, 0.3)])
    assert said == (
        "*where is it* costs more than random blobs with linear (-0.10 to +0.15). "
        "*why this class* costs more than random blobs with every filling (+0.20 to +0.40)."
    )


def test_a_box_without_a_map_is_left_out_of_its_differences():
    found = inside.joined([{("a", "blur"): 0.5, ("b", "blur"): 0.1}, {("a", "blur"): 0.9}])
    assert found["a", "blur"] == [0.5, 0.9] and np.isnan(found["b", "blur"][1])


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
