"""What pages compute for their words and drawings, without a page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from sightglass.components.choices import layer_picker, model_picker
from sightglass.components.views import comparisons, detections, snapshots
from sightglass.models import catalog
from sightglass.models.adapter import Prediction
from sightglass.models.layers import ModelStage

if TYPE_CHECKING:
    from pathlib import Path


def test_the_best_detector_knows_photographs() -> None:
    assert catalog.detector({"demo-s", "yolox_nano", "yolo11n-pose"}) == "yolox_nano"
    assert catalog.detector({"demo-s", "yolo26n", "yolo11s"}) == "yolo11s"
    assert catalog.detector({"demo-s"}) == "demo-s"
    assert catalog.detector(set()) == "yolo11n"


def test_the_chosen_box_is_found_in_any_list() -> None:
    listed = [
        detections._item(Prediction("bus", 0, 0.5, (0, 0, 10, 10), 5), "1"),
        detections._item(Prediction("person", 1, 0.5, (0, 0, 10, 10), 7), "2"),
    ]
    assert [detections.locate_box(listed, pair) for pair in ((7, 1), (9, 1), None)] == [1, 1, 0]
    assert [item.name for item in listed] == ["bus 1", "person 2"]


def test_a_kept_photo_never_overwrites_another_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    now, folder = datetime(2026, 11, 20, 14, 28, 56), tmp_path / "new"
    names = [snapshots.keep(bytes([i]), folder, now).name for i in range(3)]
    assert names == [f"heatmap_20261120_142856{end}.jpg" for end in ("", "_2", "_3")]
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [b"\0", b"\1", b"\2"]
    (folder / "secret.jpg").write_bytes(b"")
    snapshots.keep(b"", folder, datetime(2025, 1, 1))
    assert [path.name for path in snapshots.saved_photos(folder)] == [*reversed(names), "heatmap_20250101_000000.jpg"]
    assert snapshots.saved_photos(tmp_path / "none") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        snapshots.keep(b"", tmp_path / "file", now)


def test_a_layer_is_taken_and_let_go_in_the_order_of_the_model() -> None:
    order = [f"model.{i}" for i in range(12)]
    assert layer_picker.toggle(["model.9"], "model.2", order) == ["model.2", "model.9"]
    assert layer_picker.toggle(["model.2", "model.9"], "model.2", order) == ["model.9"]
    full = order[: layer_picker.MAX_LAYERS]
    assert layer_picker.toggle(full, "model.11", order) == full


def test_the_diagram_joins_what_reads_and_what_is_read() -> None:
    steps = (
        ModelStage("a", "Conv", (8, 40, 40), 16.0, (), "backbone"),
        ModelStage("b", "Conv", (8, 20, 20), 32.0, ("a",), "neck"),
        ModelStage("c", "Detect", None, None, ("a", "b"), "head"),
    )
    edges, *traces = layer_picker.diagram(steps, ["b"]).data
    assert [x for x in edges.x if x is not None] == [0, 1, 0, 2, 1, 2]
    marks = {trace.name: trace for trace in traces}
    assert list(marks) == ["backbone", "neck", "head"]
    assert (marks["neck"].marker.symbol, marks["backbone"].marker.symbol) == (("diamond",), ("circle-open",))
    assert list(marks["head"].customdata) == [""]


def test_layers_are_named_by_what_tells_them_apart() -> None:
    assert comparisons.tails(["model.0", "model.1", "model.22"]) == ["0", "1", "22"]
    paths = ["backbone.backbone.dark2", "backbone.C3_p4", "head.stems.0", "head.stems.1", "head.reg_convs.0"]
    assert comparisons.tails(paths) == ["dark2", "C3_p4", "stems.0", "stems.1", "reg_convs.0"]
    assert comparisons.tails(["a.x", "b.x", "x"]) == ["a.x", "b.x", "x"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("yolo11n", "yolo26n"), ("11n", "26n")),
        (("yolo11n", "yolo11n-seg"), ("11n", "11n-seg")),
        (("yolov8s-world", "yolov8s-worldv2"), ("world", "worldv2")),
        (("fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn"), ("fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn")),
        (("n", "x"), ("n", "x")),
    ],
)
def test_two_models_are_named_by_what_tells_them_apart(names: tuple[str, str], short: tuple[str, str]) -> None:
    assert comparisons.apart(*names) == short


def test_sizes_are_of_one_family(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"yolo11n", "yolo26n", "yolo11n-seg", "yolo11s", "demo-s", "demo-m", "demo-l"}
    monkeypatch.setattr(model_picker, "menu", lambda: ([*catalog.families()], here))
    sizes = {name: [spec.id for spec in comparisons.sizes(catalog.spec(name))] for name in sorted(here)}
    assert sizes["yolo11n"] == sizes["yolo11s"] == ["yolo11n", "yolo11s"]
    assert sizes["yolo26n"] == ["yolo26n"] and sizes["demo-m"] == ["demo-s", "demo-m", "demo-l"]


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


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([True, True, True], "All find this bus."),
        ([True, True], "Both find this bus."),
        ([True, False], "s finds this bus; m does not."),
        ([False, False], "None of them finds this bus."),
    ],
)
def test_the_verdict_says_who_finds_the_object(found: list[bool], words: str) -> None:
    assert comparisons.verdict(found, ["s", "m", "l"][: len(found)], "bus") == words
