"""A training of Ultralytics' own trainer, watched: every epoch has its maps, and the weights stay as they would be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image as Pillow

from sightglass.callbacks import Watcher, watched
from sightglass.models.demo.scenes import draw, sample

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ultralytics")
SIDE = 64


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A data set of four drawn scenes, all for both training and checks."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(4):
        drawn = draw(sample(number, task="detect", size=160))
        Pillow.fromarray(drawn.pixels).resize((SIDE, SIDE)).save(tmp_path / "images" / f"{number}.png")
        (tmp_path / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    data = {"path": str(tmp_path), "train": "images", "val": "images", "names": ["thing", "other"]}
    (tmp_path / "data.yaml").write_text(json.dumps(data))
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ultralytics' own, on what else is installed.
def test_what_ultralytics_trains_is_watched_and_trained_as_without(scenes: Path) -> None:
    from ultralytics import YOLO

    def train(folder: str, watcher: Watcher | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        yolo = YOLO("yolo11n.yaml", task="detect")
        if watcher is not None:
            watcher.attach_to_yolo(yolo)
        fixed = {"epochs": 2, "imgsz": SIDE, "batch": 4, "device": "cpu", "workers": 0, "seed": 0, "amp": False}
        quiet = {"plots": False, "val": False, "verbose": False, "project": str(scenes / folder)}
        yolo.train(data=str(scenes / "data.yaml"), **fixed, **quiet)
        return {name: one.clone() for name, one in yolo.trainer.ema.ema.state_dict().items()}

    pictures = [scenes / "images" / f"{number}.png" for number in range(2)]
    watcher = Watcher(pictures, scenes / "watched", inside=(16, 16, 48, 48))
    seen = train("seen", watcher)
    made = watched.read(scenes / "watched")
    assert [epoch.number for epoch in made.epochs] == [0, 1]
    assert [epoch.problem for epoch in made.epochs] == ["", ""]
    assert all(len(epoch.answers) == len(pictures) for epoch in made.epochs)
    alone = train("alone", None)
    assert all(torch.equal(seen[name], one) for name, one in alone.items())
