"""What pages compute for their words and drawings, without a page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sightglass.components.choices import layer_picker, model_picker
from sightglass.components.views import comparisons, snapshots
from sightglass.models import catalog

if TYPE_CHECKING:
    from pathlib import Path


def test_the_best_detector_knows_photographs() -> None:
    assert catalog.detector({"demo-s", "yolox_nano", "yolo11n-pose"}) == "yolox_nano"
    assert catalog.detector({"demo-s", "yolo26n", "yolo11s"}) == "yolo11s"
    assert catalog.detector({"demo-s"}) == "demo-s"
    assert catalog.detector(set()) == "yolo11n"


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


def test_layers_are_named_by_what_tells_them_apart() -> None:
    assert comparisons.tails(["model.0", "model.1", "model.22"]) == ["0", "1", "22"]
    paths = ["backbone.backbone.dark2", "backbone.C3_p4", "head.stems.0", "head.stems.1", "head.reg_convs.0"]
    assert comparisons.tails(paths) == ["dark2", "C3_p4", "stems.0", "stems.1", "reg_convs.0"]
    assert comparisons.tails(["a.x", "b.x", "x"]) == ["a.x", "b.x", "x"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("yolo11n", "yolo26n"), ("11n", "26n")),
        (("yolov8s-world", "yolov8s-worldv2"), ("world", "worldv2")),
        (("fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn"), ("fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn")),
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
