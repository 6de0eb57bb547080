"""`--evidence both` of `compare` and `video`: signed maps, compared and drawn as such."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.cli import main
from tests.clips import clip, scene

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_models_are_compared_by_what_speaks_for_and_against(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = "compare scene-3.png -m demo-s -m demo-seg --out out --json"
    maps = {}
    for evidence in ("for", "both"):
        assert main([*asked.split(), "--evidence", evidence]) == 0
        said = json.loads(capsys.readouterr().out)
        assert [one["recipe"].get("evidence", "for") for one in said["models"]] == [evidence] * 2
        assert 0 <= said["agreement"][0][1]["iou_top20"] <= 1
        maps[evidence] = np.load(here / "out" / "maps.npz")
    for model in ("demo-s", "demo-seg"):
        assert maps["for"][model].min() == 0
        assert maps["both"][model].min() < 0


def test_a_clip_shows_what_speaks_against_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip(here / "moving.mp4", scene(4))
    asked = "video moving.mp4 -m demo-seg --every 3 --smooth 0 --json"
    runs = {}
    for evidence in ("for", "both"):
        assert main([*asked.split(), "--evidence", evidence, "--out", evidence]) == 0
        said = json.loads(capsys.readouterr().out)
        assert any("Red raises" in note for note in said["notes"]) == (evidence == "both")
        runs[evidence] = json.loads((here / evidence / "timeline.json").read_text())
    assert [run["run"]["evidence"] for run in runs.values()] == ["for", "both"]
    shown, signed = (runs[evidence]["rows"][0] for evidence in ("for", "both"))
    assert (shown["answer"], shown["score"], shown["map"]) == (signed["answer"], signed["score"], "ok")
    assert shown["half_heat_area"] != signed["half_heat_area"], "what speaks against is evidence, too"
