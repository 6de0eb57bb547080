"""The verb `video`: its files, its JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.cli import main
from tests.clips import clip, scene


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "moving.mp4", scene(6))
    Pillow.new("RGB", (8, 8)).save("a.png")
    return tmp_path


def test_a_clip_gets_its_folder_and_its_numbers_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["video", "moving.mp4", "-m", "demo-cls-s", "--every", "2", "--also", "gif,webp", "--json"]
    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["looked"], said["skipped"], said["cancelled"]) == (6, 3, 0, False)
    names = ("journal.jsonl", "overlay.gif", "overlay.mp4", "overlay.webp", "timeline.csv", "timeline.json")
    assert sorted(path.name for path in (here / "explained" / "moving").iterdir()) == [*names]
    timeline = json.loads((here / "explained/moving/timeline.json").read_text())
    assert [row["frame"] for row in timeline["rows"]] == [0, 2, 4]
    assert (timeline["run"]["model"], timeline["about"]["width"]) == ("demo-cls-s", 160)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("video a.png", 1, "a.png is a picture (PNG), not a video: use `image` or Explore for it."),
        ("video none.mp4", 1, "There is no file none.mp4 at that path"),
        ("video moving.mp4 --also docx", 2, "--also does not know docx: use gif, webp; an MP4 is always written."),
        ("video moving.mp4 --start 1:x", 2, "--start is 1:x: give seconds, or m:ss, as 75 or 1:15."),
        ("video moving.mp4 --every 0", 2, "every is 0: 1 is every frame, 2 every second one."),
        ("image moving.mp4", 1, "moving.mp4 is a video"),
    ],
)
def test_what_it_refuses_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, sentence: str
) -> None:
    assert main([*arguments.split(), "-m", "demo-cls-s"]) == code
    assert sentence in capsys.readouterr().err
    assert not (here / "explained").exists()


def test_models_and_clips_show_what_speaks_against_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lowest, runs = {}, {}
    for evidence in ("for", "both"):
        how = ("--json", "--evidence", evidence)
        assert main(["compare", "scene-3.png", "-m", "demo-s", "-m", "demo-seg", "--out", "out", *how]) == 0
        said = json.loads(capsys.readouterr().out)
        assert [one["recipe"].get("evidence", "for") for one in said["models"]] == [evidence] * 2
        lowest[evidence] = [values.min() for values in dict(np.load(here / "out/maps.npz")).values()]
        assert main(["video", "moving.mp4", "-m", "demo-seg", "--every", "3", "--out", evidence, *how]) == 0
        said = json.loads(capsys.readouterr().out)
        assert any("Red raises" in note for note in said["notes"]) == (evidence == "both")
        runs[evidence] = json.loads((here / evidence / "timeline.json").read_text())["rows"][0]
    assert min(lowest["for"]) >= 0 > min(lowest["both"])
    assert runs["for"]["score"] == runs["both"]["score"]
    assert runs["for"]["half_heat_area"] != runs["both"]["half_heat_area"]
