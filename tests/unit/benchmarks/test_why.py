"""Which map explains why, on photographs: every map beside the same controls, paired with *where*."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from benchmarks import __main__ as command
from benchmarks import inside
from benchmarks.classifiers import regions, why
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.questions import settings

if TYPE_CHECKING:
    from pathlib import Path


def test_maps_are_measured_beside_controls_and_where(scene: Path, tmp_path: Path):
    for number in range(2):
        shutil.copy(scene, tmp_path / f"{number}.png")
    found = why.why(["demo-cls-s"], tmp_path, 2)
    lines = {(line["map"], line["filling"]): line for line in found["models"][0]["lines"]}
    assert {name for name, _ in lines} >= {why.WHERE, why.PRESET, *why.BLIND}
    assert found["photographs"] == 2 and len(lines) == 2 * len({name for name, _ in lines})
    assert lines[why.WHERE, "blur"]["advantage over where"] == (0, 0, 0)
    assert lines["random", "blur"]["advantage"] < lines[why.PRESET, "blur"]["advantage"]
    text = why.markdown(found)
    assert "2 photographs" in text and f"| {why.PRESET} | mean |" in text


def test_the_presets_are_those_of_the_product():
    explainer = Explainer("efficientnet-lite0")
    found = why.choices(explainer)
    assert found[why.PRESET] == settings(explainer.resident, "why")
    assert found[why.WHERE]["layers"] == ()
    assert {one["layers"] for one in found.values()} >= {("blocks.2",), ("blocks.4",), ("bn2",)}


def test_without_photographs_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ModelProblem, match="--dataset FOLDER"):
        why.why((), tmp_path, None)
    assert command.main(["why"]) == 2
    assert "--dataset FOLDER" in capsys.readouterr().err


def test_of_a_classifier_a_fifth_of_its_objects_region_is_hidden_by_each_map(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inside, "FILLINGS", ("mean",))
    shutil.copy(scene, tmp_path / "a.png")
    found = regions.regions(["demo-cls-s"], tmp_path, 1)
    lines = {line["map"]: line for line in found["models"][0]["lines"]}
    assert {*lines} >= {inside.WHERE, inside.PRESET, inside.BLOBS, "edges", "centre"}
    assert lines[inside.PRESET]["lost"][0] > lines[inside.BLOBS]["lost"][0]
    assert "1 photographs" in regions.markdown(found)
    with pytest.raises(ModelProblem, match="--dataset FOLDER"):
        regions.regions((), None, None)
