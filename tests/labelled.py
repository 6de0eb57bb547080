"""Drawn scenes with boxes or masks as labels, for tests of evaluations."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from sightglass.evaluation import stored
from training.demo.scenes import draw, sample


def draw_scenes(folder: Path, count: int) -> tuple[Path, Path]:
    """Draw scenes that the demo models did not learn from; return the folder of pictures, and a file of labels."""
    pictures, labels = folder / "pictures", folder / "labels.csv"
    pictures.mkdir(parents=True)
    with labels.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "x0", "y0", "x1", "y1", "label"))
        for number in range(count):
            scene = draw(sample(number, task="detect", held_out=True))
            Image.fromarray(scene.pixels).save(pictures / f"{number:02}.png")
            rows.writerows([f"{number:02}.png", *item.box, item.label] for item in scene.objects if item.label)
    return pictures, labels


def draw_masked(folder: Path, count: int) -> tuple[Path, Path]:
    """Draw scenes that demo-seg did not learn from; return the folder of pictures, and that of masks."""
    pictures, masks = folder / "pictures", folder / "masks"
    pictures.mkdir(parents=True)
    masks.mkdir()
    for number in range(count):
        scene = draw(sample(number, task="segment", held_out=True))
        classes = np.zeros(scene.pixels.shape[:2], np.uint8)
        for item in scene.objects:
            classes[item.mask] = 1 + item.index
        Image.fromarray(scene.pixels).save(pictures / f"{number:02}.png")
        Image.fromarray(classes).save(masks / f"{number:02}.png")
    return pictures, masks


def mark_stopped(folder: Path, *, stopped: bool = True) -> None:
    """Rewrite a run's evaluation as that of a stopped run, or of a finished one."""
    about, *rows = (folder / stored.FILE).read_text("utf-8").splitlines()
    facts = stored.EvaluationFacts(**json.loads(about) | {"stopped": stopped})
    stored.write(folder / stored.FILE, map(json.loads, rows), facts)
