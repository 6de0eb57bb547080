"""The catalogue names what Ultralytics publishes, and a file of its own kind gets through whatever it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sightglass.models import catalog
from sightglass.models.families.ultralytics.detectors import RotatedDetector, RtDetr, YoloDetector
from sightglass.models.families.ultralytics.loader import YoloClassifier
from sightglass.models.families.ultralytics.prompts import OpenVocabulary
from sightglass.models.load import load
from tests.built import build

OURS = tuple(
    spec for family in catalog.families(packaged=True).values() for spec in family if spec.loader == "ultralytics"
)


def test_the_models_are_all_files_of_this_kind_that_the_library_publishes() -> None:
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    assert all(spec.weights.url.endswith(f"/v8.4.0/{spec.arch}") for spec in OURS)
    assert all(spec.licence == "AGPL-3.0" for spec in OURS)
    assert all((spec.task == "classify") == spec.arch.endswith("-cls.pt") for spec in OURS)

    # Not of this kind (SAM, NAS, depth, a class per pixel, one channel), or trials beside the release.
    others = ("sam", "SAM", "nas", "-depth", "-sem", "-distill", "-objv1", "-grayscale")
    published = {name for name in GITHUB_ASSETS_NAMES if name.endswith(".pt") and not any(o in name for o in others)}
    assert published == {spec.arch for spec in OURS}


KINDS = {
    "yolo11n-seg": YoloDetector,
    "yolo11n-obb": RotatedDetector,
    "yolov8s-world": OpenVocabulary,
    "yoloe-11s-seg": OpenVocabulary,
    "rtdetr-l": RtDetr,
    "yolo11n-cls": YoloClassifier,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_any_name_is_what_it_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": build(name), "train_args": {}}, tmp_path / "best.pt")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    spec = catalog.spec("best")
    assert spec.family == "best"
    assert spec.task == ("classify" if name.endswith("-cls") else "detect")
    adapter = load(spec)
    assert type(adapter) is KINDS[name]
    assert ("mask" in adapter.parts) == name.endswith("-seg")


def test_what_a_file_holds_is_told_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"model": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "ViT-B-32.pt").touch()
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    assert [name for name, (spec, *_) in catalog.families().items() if spec.id == name] == ["trap"]
    assert not (tmp_path / "ran").exists()
