"""What pages compute for their words and drawings, without a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sightglass.components.choices import model_picker
from sightglass.models import catalog
from sightglass.pages.explore import layers

if TYPE_CHECKING:
    pass


def test_the_best_detector_knows_photographs() -> None:
    assert catalog.detector({"demo-s", "yolox_nano", "yolo11n-pose"}) == "yolox_nano"
    assert catalog.detector({"demo-s", "yolo26n", "yolo11s"}) == "yolo11s"
    assert catalog.detector({"demo-s"}) == "demo-s"
    assert catalog.detector(set()) == "yolo11n"


def test_layers_are_named_by_what_tells_them_apart() -> None:
    assert layers.tails(["model.0", "model.1", "model.22"]) == ["0", "1", "22"]
    paths = ["backbone.backbone.dark2", "backbone.C3_p4", "head.stems.0", "head.stems.1", "head.reg_convs.0"]
    assert layers.tails(paths) == ["dark2", "C3_p4", "stems.0", "stems.1", "reg_convs.0"]
    assert layers.tails(["a.x", "b.x", "x"]) == ["a.x", "b.x", "x"]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (("yolo11n", "yolo11s"), ("nano", "small")),
        (("yolo11n", "yolo26n"), ("YOLO11n", "YOLO26n")),
        (("yolox_nano",), ("YOLOX nano",)),
    ],
)
def test_models_are_named_by_size_where_they_are_sizes(ids: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert model_picker.short_names([catalog.spec(name) for name in ids]) == words
    assert model_picker.add_title("small and medium say cat") == "Small and medium say cat"
    assert model_picker.add_title("yolo11n") == "yolo11n"
