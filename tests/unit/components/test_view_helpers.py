"""What pages compute for their words and drawings, without a page."""

from __future__ import annotations

from sightglass.models import catalog
from sightglass.pages.explore.view import tails


def test_the_best_detector_knows_photographs() -> None:
    assert catalog.detector({"demo-s", "yolox_nano", "yolo11n-pose"}) == "yolox_nano"
    assert catalog.detector({"demo-s", "yolo26n", "yolo11s"}) == "yolo11s"
    assert catalog.detector({"demo-s"}) == "demo-s"
    assert catalog.detector(set()) == "yolo11n"


def test_layers_are_named_by_what_tells_them_apart() -> None:
    assert tails(["model.0", "model.1", "model.22"]) == ["0", "1", "22"]
    paths = ["backbone.backbone.dark2", "backbone.C3_p4", "head.stems.0", "head.stems.1", "head.reg_convs.0"]
    assert tails(paths) == ["dark2", "C3_p4", "stems.0", "stems.1", "reg_convs.0"]
    assert tails(["a.x", "b.x", "x"]) == ["a.x", "b.x", "x"]
