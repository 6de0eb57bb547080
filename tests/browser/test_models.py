"""One's own model by the browser: each kind of file is dropped, and a map comes without another step."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from conftest import serving
from screen import ARTEFACTS, CANVAS, ROOT, fits, serious, settled
from torch import nn

from tests import openvino_net, plant_net

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

sync = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = str(tmp_path_factory.mktemp("store"))
    with serving(ROOT / "dashboard.py", ROOT, SIGHTGLASS_SEAL="0", SIGHTGLASS_OWN_MODELS=store) as address:
        yield address


def small() -> nn.Module:
    torch.manual_seed(0)
    parts = (nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(*parts).eval()


def checkpoint(folder: Path) -> list[Path]:
    from torchvision.models import resnet18

    torch.save(resnet18(num_classes=5).state_dict(), folder / "leaf.pth")
    (folder / "names.txt").write_text("late blight\nhealthy\nrust\nmosaic\nspot")
    return [folder / "leaf.pth", folder / "names.txt"]


def of_timm(folder: Path) -> list[Path]:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("mobilenetv3_small_050", num_classes=4).state_dict(), folder / "tiny.safetensors")
    return [folder / "tiny.safetensors"]


def onnx(folder: Path) -> list[Path]:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    torch.onnx.export(small(), (torch.zeros(1, 3, 32, 32),), folder / "net.onnx", dynamo=False)
    return [folder / "net.onnx"]


def keras(folder: Path) -> list[Path]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    import keras as library

    layers: Any = library.layers
    parts = [library.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    library.Sequential([*parts, layers.Softmax()]).save(folder / "flowers.keras")
    return [folder / "flowers.keras"]


def transformers(folder: Path) -> list[Path]:
    library = pytest.importorskip("transformers")
    sides = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1}
    config = library.ViTConfig(
        **sides, num_attention_heads=2, intermediate_size=16, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0}
    )
    library.ViTForImageClassification(config).save_pretrained(folder / "vit")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for file in sorted((folder / "vit").iterdir()):
            archive.write(file, f"vit/{file.name}")
    (folder / "vit.zip").write_bytes(made.getvalue())
    return [folder / "vit.zip"]


def code(folder: Path) -> list[Path]:
    torch.save(plant_net.tensors(), folder / "plant.pth")
    (folder / "net.py").write_bytes(plant_net.SOURCE)
    return [folder / "plant.pth", folder / "net.py"]


@pytest.mark.parametrize("kind", [checkpoint, of_timm, onnx, openvino_net.save, keras, transformers, code])
def test_a_dropped_file_is_a_map(
    kind: Callable[[Path], list[Path]], visit: Callable[..., Page], tmp_path: Path, measured: dict[str, float]
) -> None:
    files = kind(tmp_path)
    page = visit("/models?example=flower")
    page.locator(".models .row").first.wait_for()
    settled(page)
    begun = page.evaluate("performance.now()")
    page.locator('[data-testid="stFileUploader"] input[type="file"]').last.set_input_files(files)
    if kind is code:
        page.get_by_text("net.py runs code on this machine").wait_for()
        page.get_by_role("button", name="Trust it and add").click()
    page.locator(CANVAS).first.wait_for()
    measured[f"model to map, {files[0].name}"] = (page.evaluate("performance.now()") - begun) / 1e3
    settled(page)
    assert page.get_by_test_id("stAlert").count() == 0
    page.screenshot(path=ARTEFACTS / f"models-{files[0].stem}.png")
    if kind is checkpoint:
        assert serious(page) == []
        page.set_viewport_size({"width": 390, "height": 844})
        fits(page)
        assert serious(page) == []
        page.set_viewport_size({"width": 1440, "height": 900})
        page.get_by_role("button", name="Open in Explore").click()
        page.wait_for_url("**/?*model=leaf*")
        page.locator(CANVAS).first.wait_for()


def test_what_is_no_model_is_one_sentence_and_can_be_dismissed(visit: Callable[..., Page]) -> None:
    page = visit("/models")
    page.locator(".models .row").first.wait_for()
    settled(page)
    noise = {"name": "noise.pth", "mimeType": "application/octet-stream", "buffer": b"noise"}
    page.locator('[data-testid="stFileUploader"] input[type="file"]').last.set_input_files(noise)
    said = page.get_by_test_id("stAlert")
    said.wait_for()
    sentence = said.get_by_test_id("stMarkdownContainer").inner_text().strip()
    assert sentence.startswith("noise.pth is damaged") and sentence.endswith(".") and "\n" not in sentence
    page.get_by_role("button", name="Dismiss").click()
    sync.expect(said).to_have_count(0)


def test_a_model_dropped_on_another_page_is_told_where_it_belongs(visit: Callable[..., Page]) -> None:
    page = visit("/")
    page.locator(CANVAS).first.wait_for()
    settled(page)
    noise = {"name": "leaf.pth", "mimeType": "application/octet-stream", "buffer": b"noise"}
    page.locator('[data-testid="stFileUploader"] input[type="file"]').last.set_input_files(noise)
    page.get_by_text("leaf.pth is a model: drop it on the page Models.").wait_for()
