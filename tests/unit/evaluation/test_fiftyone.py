"""A labelled run as a FiftyOne dataset; FiftyOne is stood in for by what of it is used, as its version 1.22 has it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.errors.fiftyone_dataset import to_fiftyone
from sightglass.evaluation.evaluation import EvaluatedPicture, Look, Missed
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from pathlib import Path

LEFT, RIGHT = (0.0, 0.0, 50.0, 50.0), (100.0, 50.0, 250.0, 100.0)


class Double(ModuleType):
    """Labels and samples take any attribute; boxes are relative, and files absolute."""

    def __init__(self) -> None:
        super().__init__("fiftyone")
        self.taken: list[str] = []
        self.Detections, self.Classification = SimpleNamespace, SimpleNamespace

    def dataset_exists(self, name: str) -> bool:
        return name in self.taken

    def Detection(self, *, label: str, bounding_box: list[float], **fields: Any) -> SimpleNamespace:
        assert all(0 <= value <= 1 for value in bounding_box)
        return SimpleNamespace(label=label, bounding_box=bounding_box, **fields)

    def Heatmap(self, *, map_path: str) -> SimpleNamespace:
        return SimpleNamespace(map_path=map_path)

    def Sample(self, *, filepath: str, **fields: Any) -> SimpleNamespace:
        return SimpleNamespace(filepath=filepath, **fields)

    def Dataset(self, *, name: str, persistent: bool) -> SimpleNamespace:
        self.taken.append(name)
        made = SimpleNamespace(name=name, persistent=persistent, samples=[], info={}, save=lambda: None)
        made.add_samples = lambda samples, *, dynamic: made.samples.extend(samples)
        return made


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Double:
    made = Double()
    monkeypatch.setitem(sys.modules, "fiftyone", made)
    return made


def write_run(folder: Path, *pictures: EvaluatedPicture, task: Any = "detect") -> Path:
    (folder / "photos").mkdir()
    for one in pictures:
        Image.new("RGB", one.size).save(folder / "photos" / one.key)
    (folder / "my run").mkdir()
    facts = EvaluationFacts("demo-s", "", task, ("cat", "dog"), 0.25)
    stored.write(folder / "my run" / stored.FILE, [[stored.to_row(one) for one in pictures]], facts)
    return folder / "my run"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A cat that is found, a dog that is missed, a wrong box, and one below the threshold."""
    truths = (TrueBox("cat", LEFT), TrueBox("dog", RIGHT), TrueBox("dog", (150.0, 0.0, 200.0, 20.0), crowd=True))
    found = (
        Prediction("cat", 0, 0.9, LEFT, 3),
        Prediction("cat", 0, 0.6, (60.0, 0.0, 90.0, 30.0), 4),
        Prediction("dog", 1, 0.5, (150.0, 0.0, 190.0, 20.0), 5),
        Prediction("dog", 1, 0.2, RIGHT, 6),
    )
    maps = {0: np.eye(32, dtype=np.uint8) * 200, 3: np.full((32, 32), 255, np.uint8)}
    seen = EvaluatedPicture(
        "a.png", (200, 100), truths, None, found, {0: Look(0.75, 0.0, 0.1)}, maps, {1: Missed("below", 0.2)}
    )
    return write_run(tmp_path, seen, EvaluatedPicture("b.png", (200, 100), (), None, ()))


def test_objects_boxes_and_maps_say_what_is_wrong(double: Double, run: Path) -> None:
    dataset = to_fiftyone(run, run.parent / "photos")
    assert (dataset.name, dataset.persistent, dataset.info["threshold"]) == ("my run", False, 0.25)
    first, second = dataset.samples
    assert first.filepath == str(run.parent / "photos" / "a.png")
    cat, dog, crowd = first.ground_truth.detections
    assert (cat.label, cat.error, cat.bounding_box) == ("cat", "right", [0.0, 0.0, 0.25, 0.5])
    assert (dog.error, dog.missed, dog.bounding_box) == ("missed", "below", [0.5, 0.5, 0.5, 0.5])
    assert crowd.iscrowd and not hasattr(crowd, "error")
    boxes = first.predictions.detections
    assert [one.error for one in boxes] == ["right", "background", "crowd", "hidden"]
    assert boxes[0].on_object == cat.on_object == 0.75 and boxes[0].confidence == 0.9
    assert (first.errors, second.errors, first.slices) == (2, 0, [])
    # The map of the hidden box is not in it.
    with Image.open(first.heatmap.map_path) as drawn:
        assert drawn.size == (320, 160) and drawn.mode == "L"
        assert np.asarray(drawn)[0, 0] == 200 and np.asarray(drawn)[0, -1] == 0
    assert not hasattr(second, "heatmap")


def test_slices_are_on_their_objects_and_samples(double: Double, tmp_path: Path) -> None:
    small, large = (10.0, 10.0, 20.0, 20.0), (50.0, 20.0, 150.0, 90.0)
    seen = [
        EvaluatedPicture(
            f"{i:02}.png",
            (200, 100),
            (TrueBox("cat", small if i % 2 else large),),
            None,
            () if i % 2 else (Prediction("cat", 0, 0.9, large, 3),),
        )
        for i in range(40)
    ]
    dataset = to_fiftyone(write_run(tmp_path, *seen), tmp_path / "photos", "small ones", heatmaps=tmp_path / "maps")
    for i, sample in enumerate(dataset.samples):
        (one,) = sample.ground_truth.detections
        assert sorted(one.slices) == sample.slices and sample.errors == i % 2
        assert any(group.startswith("Small objects") for group in one.slices) == bool(i % 2)


def test_a_classifier_has_one_answer_a_picture(double: Double, tmp_path: Path) -> None:
    found = (Prediction("dog", 1, 0.8), Prediction("cat", 0, 0.1))
    run = write_run(tmp_path, EvaluatedPicture("a.png", (20, 20), (), "cat", found), task="classify")
    (sample,) = to_fiftyone(run, tmp_path / "photos").samples
    assert sample.ground_truth.label == "cat" and sample.errors == 1
    assert (sample.predictions.label, sample.predictions.confidence, sample.predictions.error) == ("dog", 0.8, "class")


def test_what_cannot_be_made_is_one_sentence(double: Double, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = run.parent / "photos"
    double.taken.append("my run")
    with pytest.raises(Problem, match="FiftyOne has a dataset called my run: give another name"):
        to_fiftyone(run, photos)
    with pytest.raises(Problem, match="None of the run's pictures is a file there"):
        to_fiftyone(run, [("a.png", (photos / "a.png").read_bytes())], "other")
    with pytest.raises(Problem, match="has no evaluation"):
        to_fiftyone(photos, photos, "other")
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(Problem, match="FiftyOne is not installed"):
        to_fiftyone(run, photos)
