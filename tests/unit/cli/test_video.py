"""The verb `video`: its files, its JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clips import clip, scene


@pytest.fixture(autouse=True)
def moving(here: Path) -> None:
    clip(here / "moving.mp4", scene(6))


def test_a_clip_gets_its_folder_and_its_numbers_as_json(answer: Any) -> None:
    said = answer("video", "moving.mp4", "-m", "demo-cls-s", "--every", "2", "--also", "gif,webp")
    assert (said["frames"], said["looked"], said["skipped"], said["cancelled"]) == (6, 3, 0, False)
    names = ("journal.jsonl", "overlay.gif", "overlay.mp4", "overlay.webp", "timeline.csv", "timeline.json")
    assert sorted(path.name for path in Path("explained/moving").iterdir()) == [*names]
    timeline = json.loads(Path("explained/moving/timeline.json").read_text())
    assert [row["frame"] for row in timeline["rows"]] == [0, 2, 4]
    assert (timeline["run"]["model"], timeline["about"]["width"]) == ("demo-cls-s", 160)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("video bus.png", 1, "bus.png is a picture (PNG), not a video: use `image` or Explore for it."),
        ("video none.mp4", 1, "There is no file none.mp4 at that path"),
        ("video moving.mp4 --also docx", 2, "--also does not know docx: use gif, webp."),
        ("video moving.mp4 --start -1", 2, "The range starts at -1 s: give 0 or more."),
        ("video moving.mp4 --every 0", 2, "every is 0: 1 is every frame, 2 every second one."),
        ("image moving.mp4", 1, "moving.mp4 is a video"),
    ],
)
def test_what_it_refuses_is_one_sentence(call: Any, arguments: str, code: int, sentence: str) -> None:
    said = call(*arguments.split(), "-m", "demo-cls-s")
    assert said.code == code and sentence in said.err
    assert not Path("explained").exists()
