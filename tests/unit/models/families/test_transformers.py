"""Transformers: their tokens found by looking, CAMs and attention against references, gradients without the zeros."""

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam as library
import torch
import torchvision
import transformers
from PIL import Image as Pillow
from pytorch_grad_cam.ablation_layer import AblationLayerVit
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sightglass import Explainer
from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain.evidence import evidence as engine
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explanation import explain
from sightglass.explain.methods import METHODS
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.families.transformers.loader import TransformersClassifier
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.load import inspect_model, load
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable, WeightsTable
from tests.corpus import Touch
from tests.unit.explain.methods.test_methods import GRADIENT
from tests.unit.models.specs import own_spec

CLOSE = 1e-4
CLASSES = 5
CPU = torch.device("cpu")
SMALL = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
PICTURE = np.random.default_rng(3).integers(0, 255, (48, 80, 3), np.uint8)


class Encoded(nn.Module):
    """A ViT as one writes it by hand: PyTorch's own encoder, a class token in front."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.patches(x).flatten(2).transpose(1, 2)
        rows = self.encoder(torch.cat([self.token.expand(len(rows), -1, -1), rows], 1))
        return self.head(rows[:, 0])


def _vit(**options: Any) -> nn.Module:
    base: dict[str, Any] = {"img_size": 64, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 4}
    return VisionTransformer(**{**base, "num_classes": CLASSES, **options})


def _swin() -> nn.Module:
    return SwinTransformer(
        img_size=64, patch_size=4, embed_dim=24, depths=(2, 2), num_heads=(2, 4), window_size=4, num_classes=CLASSES
    )


def _hugging(kind: str) -> nn.Module:
    sides: dict[str, Any] = {"image_size": 64, "num_labels": CLASSES}
    if kind == "registers":
        config = transformers.Dinov2WithRegistersConfig(**SMALL, **sides, patch_size=8)
        return transformers.Dinov2WithRegistersForImageClassification(config)
    return transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL, **sides, patch_size=8))


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "vit": _vit,
    "vit, mean of tokens": lambda: _vit(class_token=False, global_pool="avg"),
    "vit, registers": lambda: _vit(reg_tokens=4, class_token=True),
    "vit, wide": lambda: _vit(img_size=(64, 32)),
    "vit, pooled by attention": lambda: _vit(class_token=False, global_pool="map"),
    "torchvision": lambda: torchvision.models.VisionTransformer(64, 8, 3, 4, 48, 96, num_classes=CLASSES),
    "transformers": lambda: _hugging("vit"),
    "transformers, registers": lambda: _hugging("registers"),
    "by hand": Encoded,
    "swin": _swin,
}


@cache
def load_net(name: str) -> LoadedModel:
    """A small transformer with seeded weights of which none is nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = BUILDERS[name]()
        for parameter in module.parameters():
            if not parameter.abs().any():
                nn.init.normal_(parameter, std=0.2)
    kind = TransformersClassifier if name.startswith("transformers") else Classifier
    size = (64, 32) if "wide" in name else (64, 64)
    labels = [f"class {index}" for index in range(CLASSES)]
    spec = ModelSpec(name, "tests", "s", "tests", name, "classify", "none")
    return LoadedModel(kind(spec, module, labels, Preprocessing(size, min(size), (0.5,) * 3, (0.5,) * 3), name), CPU)


def evidence_of(name: str, *paths: str) -> Evidence:
    loaded = load_net(name)
    size = loaded.adapter.preprocessing.size  # type: ignore[attr-defined]
    tensor = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    model_input = ModelInput(tensor, Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))
    return Evidence(loaded, model_input, layers_at(loaded, paths or loaded.default_layers))


def raws(evidence: Evidence, method: str, **options: Any) -> list[np.ndarray]:
    result = explain(Image.open(PICTURE), evidence, Options(method=method, top_k=2, **options), milliseconds={})
    return [heatmap.raw[0] for heatmap in result.heatmaps]


def target(index: int) -> Target:
    return Target(index, f"class {index}")


@pytest.mark.parametrize(
    ("name", "layer", "grid", "prefix"),
    [
        ("vit", "blocks.2.norm1", (8, 8), 1),
        ("vit, mean of tokens", "blocks.2.norm1", (8, 8), 0),
        ("vit, registers", "blocks.2.norm1", (8, 8), 5),
        ("vit, wide", "blocks.2.norm1", (8, 4), 1),
        ("torchvision", "encoder.layers.encoder_layer_2.ln_1", (8, 8), 1),
        ("transformers", "vit.layers.2.layernorm_before", (8, 8), 1),
        ("transformers, registers", "dinov2_with_registers.encoder.layer.2.norm1", (8, 8), 5),
        ("by hand", "encoder.layers.1", (8, 8), 1),
    ],
)
def test_layers_and_tokens(name: str, layer: str, grid: tuple[int, int], prefix: int) -> None:
    loaded = load_net(name)
    assert loaded.default_layers == (layer,)
    layer_info = loaded.survey.by_path[layer]
    assert (layer_info.layout, layer_info.shape[1:], layer_info.extras) == ("tokens", grid, tuple(range(prefix)))
    assert [(item.grid, len(item.extras), item.heads) for item in loaded.survey.attentions] == [(grid, prefix, 4)] * 3
    # Heads and tokens inside of attention are no maps.
    assert all(layer.shape[1:] in {grid, (8, 8)} for layer in loaded.layers)
    # A Swin is looked at where its last windows are read.
    swin = load_net("swin")
    assert swin.default_layers == ("layers.1.blocks.1.norm1",)
    assert swin.survey.by_path["layers.1.blocks.1.norm1"].layout == "nhwc"


def reshape(tensor: torch.Tensor, skipped: int = 0) -> torch.Tensor:
    result = tensor.flatten(1, -2)[:, skipped:].reshape(tensor.size(0), 8, 8, tensor.size(-1))
    return result.transpose(2, 3).transpose(1, 2)


CAMS: dict[str, Any] = {
    **{name: getattr(library, kind) for name, kind in GRADIENT.items()},
    "gradcamelementwise": library.GradCAMElementWise,
    "scorecam": library.ScoreCAM,
    "ablationcam": partial(library.AblationCAM, ablation_layer=AblationLayerVit()),
}
LAYERS = {"vit": ("blocks.2.norm1", partial(reshape, skipped=1)), "swin": ("layers.1.blocks.1.norm1", reshape)}


@pytest.mark.parametrize(
    # The library has no ablation layer for windows, and its map by scores is empty here for tokens.
    ("name", "method"),
    [(n, m) for n in LAYERS for m in CAMS if (n, m) not in (("swin", "ablationcam"), ("vit", "scorecam"))],
)
def test_cams_equal_the_librarys(name: str, method: str) -> None:
    path, reshape = LAYERS[name]
    evidence = evidence_of(name, path)
    module = evidence.loaded.adapter.module
    result = explain(Image.open(PICTURE), evidence, Options(method=method, targets=(1, 3)), milliseconds={})
    with CAMS[method](module, [module.get_submodule(path)], reshape_transform=reshape) as cam:
        for heatmap, index in zip(result.heatmaps, (1, 3), strict=True):
            theirs = cam(evidence.tensor.clone().requires_grad_(), targets=[ClassifierOutputTarget(index)])[0]
            assert np.ptp(theirs) > 0.9
            np.testing.assert_allclose(heatmap.at_input, theirs, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_equal_autograds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_of(name)
    expected = [target(index) for index in range(CLASSES)]
    (ours,) = zip(*[evidence.gradients([target])[0] for target in expected], strict=True)
    monkeypatch.setattr(engine, "sparse", contextlib.nullcontext)
    plain = evidence_of(name)
    assert torch.equal(evidence.outputs.logits, plain.outputs.logits)
    (theirs,) = zip(*[plain.gradients([target])[0] for target in expected], strict=True)
    for gradient, other in zip(ours, theirs, strict=True):
        assert other.values.abs().max() > 0
        assert (gradient.values - other.values).abs().max() <= 1e-5 * max(1, float(other.values.abs().max()))


def test_one_label_of_grey_pictures() -> None:
    config = transformers.ViTConfig(**SMALL, image_size=64, patch_size=8, num_channels=1, num_labels=1)
    result = Explainer(net := transformers.ViTForImageClassification(config).eval())(PICTURE)
    score = net(result.evidence.tensor).logits.sigmoid().item()
    assert result.predictions[0].score == pytest.approx(score, abs=1e-5) and result.task.id == "multilabel"


@contextlib.contextmanager
def unfused(module: nn.Module) -> Any:
    """timm's own way to weights: no fused attention, and what its dropout is given."""
    held: list[torch.Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        inputs[0].requires_grad_() if not inputs[0].requires_grad else None
        inputs[0].retain_grad()
        held.append(inputs[0])

    parts = [part for part in module.modules() if hasattr(part, "fused_attn")]
    before = [part.fused_attn for part in parts]
    for part in parts:
        part.fused_attn = False  # type: ignore[assignment]
    handles = [part.attn_drop.register_forward_pre_hook(keep) for part in parts]  # type: ignore[union-attr, operator]
    try:
        yield held
    finally:
        for handle in handles:
            handle.remove()
        for part, fused in zip(parts, before, strict=True):
            part.fused_attn = fused  # type: ignore[assignment]


def reference_rollout(weights: list[torch.Tensor]) -> torch.Tensor:
    """Abnar & Zuidema 2020: half attention, half shortcut, multiplied."""
    result = torch.eye(weights[0].shape[-1])
    for one in weights:
        mixed = one[0].mean(0) + torch.eye(one.shape[-1])
        result = mixed / mixed.sum(-1, keepdim=True) @ result
    return result


def reference_chefer(weights: list[torch.Tensor]) -> torch.Tensor:
    """Chefer et al. 2021, as in their own notebook."""
    relevance = torch.eye(weights[0].shape[-1])
    for one in weights:
        relevance = relevance + (one.grad[0] * one[0]).clamp(min=0).mean(0) @ relevance
    return relevance


@pytest.mark.parametrize(
    ("name", "prefix", "grid"), [("vit", 1, (8, 8)), ("vit, registers", 5, (8, 8)), ("vit, wide", 1, (8, 4))]
)
def test_rollout_and_chefer(name: str, prefix: int, grid: tuple[int, int]) -> None:
    evidence = evidence_of(name)
    module = evidence.loaded.adapter.module
    with unfused(module) as held, torch.enable_grad():
        module(evidence.tensor)[0, 3].backward()
    weights = [tensor.detach() for tensor in held]
    (ours,) = raws(evidence, "rollout", targets=(3,))
    expected = reference_rollout(weights)[0, prefix:].reshape(grid)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    (ours,) = raws(evidence, "chefer", targets=(3,))
    expected = reference_chefer(held)[0, prefix:].reshape(grid).detach()
    assert expected.max() > expected.min()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-7)


def test_attention_of_layer() -> None:
    loaded = load_net("transformers")
    evidence = evidence_of("transformers", "vit.layers.1.layernorm_before")
    net = loaded.adapter.module
    net.set_attn_implementation("eager")  # type: ignore[operator]
    try:
        with torch.no_grad():
            theirs = net(pixel_values=evidence.tensor, output_attentions=True).attentions[1]
    finally:
        net.set_attn_implementation("sdpa")  # type: ignore[operator]
    rows = theirs[0, :, 0, 1:].reshape(4, 8, 8)
    np.testing.assert_allclose(raws(evidence, "attention")[0], rows.mean(0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(raws(evidence, "attention", head=2)[0], rows[2], rtol=0, atol=1e-6)
    result = explain(Image.open(PICTURE), evidence, Options(method="attention"), milliseconds={})
    assert result.heatmaps[0].layers == ("vit.layers.1.attention",)


def spec_for(folder: Path) -> ModelSpec:
    draft = inspect_model(folder)
    assert draft.loader == "transformers"
    table = draft.table
    return own_spec(folder.name, draft.loader, draft.arch, table["task"], **table["weights"])


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3}
CROP_PCT = {**IMAGENET, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "do_resize": True}
WHOLE, CUT = (224 / 120, 224 / 200, 0, 0), (256 / 120, 256 / 120, -16, -101)
# Scales down and across, then offsets, of a picture 120 x 200, by each processor's documentation.
OLD: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "vit": ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224, **IMAGENET}, WHOLE),
    "convnext": ({**CROP_PCT, "size": 224}, CUT),
    "convnext, large": ({**CROP_PCT, "size": {"shortest_edge": 384}}, (384 / 120, 384 / 200, 0, 0)),
    "deit": ({"feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "crop_size": 224, **IMAGENET},
             (256 / 120, 256 / 200, -16, -16)),
    "levit": ({"feature_extractor_type": "LevitFeatureExtractor", "size": 224, **IMAGENET}, CUT),
    "pp-lcnet": ({"image_processor_type": "PPLCNetImageProcessor"}, CUT),
    "perceiver": ({"feature_extractor_type": "PerceiverFeatureExtractor", "crop_size": 256, "size": 224, **IMAGENET},
                  (224 / 105, 224 / 105, -15, -101)),
    "textnet": ({"image_processor_type": "TextNetImageProcessor"}, (640 / 120, 1088 / 200, 0, 0)),
    "mobilevit": ({"feature_extractor_type": "MobileViTFeatureExtractor", "size": 288, "crop_size": 256,
                   "do_flip_channel_order": True}, (288 / 120, 288 / 120, -16, -112)),
    "efficientnet": ({"image_processor_type": "EfficientNetImageProcessor"}, (346 / 120, 346 / 200, 0, 0)),
    "beit, no mean": ({"image_processor_type": "BeitImageProcessor"}, WHOLE),
    "clip": ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224},
             (224 / 120, 224 / 120, 0, -74.5)),
    "owl, bars": ({"image_processor_type": "Owlv2ImageProcessor", "size": {"height": 400, "width": 400}}, (2, 2, 0, 0)),
    "in processor_config": ({"image_processor": {"image_processor_type": "ViTImageProcessor", "do_normalize": False}},
                            WHOLE),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL, num_labels=4))
    path = tmp_path_factory.mktemp("plain")
    net.save_pretrained(path)
    return path


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(plain, tmp_path / "model")


@pytest.mark.parametrize("name", OLD)
def test_folder_processor(name: str, folder: Path) -> None:
    settings, place = OLD[name]
    file = "processor_config.json" if "image_processor" in settings else "preprocessor_config.json"
    (folder / file).write_text(json.dumps(settings))
    adapter: Any = load(spec_for(folder))
    pixels = np.random.default_rng(4).integers(0, 256, (120, 200, 3), np.uint8)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    for array in (pixels, pixels.transpose(1, 0, 2)):
        prepared = adapter.prepare(array, "trained")
        theirs = processor(images=Pillow.fromarray(array), return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(prepared.tensor, theirs, rtol=0, atol=1e-6)
    geometry = adapter.prepare(pixels, "trained").geometry
    np.testing.assert_allclose((*geometry.scale, *geometry.offset), place, rtol=0.01, atol=1.2)
    assert not adapter.notes
    # Another way of fitting the picture has the same colours, or is not offered.
    flat = np.zeros_like(pixels) + np.uint8([200, 100, 50])
    colours = [
        t[0, :, t.shape[2] // 2, t.shape[3] // 2]
        for w in adapter.preprocessings
        for t in [adapter.prepare(flat, w).tensor]
    ]
    torch.testing.assert_close(torch.stack(colours), colours[0].expand(len(colours), -1), rtol=0, atol=1e-4)
    assert (len(adapter.preprocessings) == 1) is (name in ("perceiver", "owl, bars"))


def test_row_overrides_processor(folder: Path) -> None:
    spec = replace(spec_for(folder), weights=WeightsTable(path=str(folder), preprocessing=PreprocessingTable(size=64)))
    assert "inferred (as no file states it): 64, bilinear, mean 0.485" in str(load(spec).notes)
    (folder / "preprocessor_config.json").write_text(json.dumps({**CROP_PCT, "size": 224}))
    adapter: Any = load(spec)
    assert adapter.resizing == "64, bicubic" and not adapter.notes
    np.testing.assert_allclose(adapter.preprocessing.mean, IMAGENET["image_mean"], atol=1e-5)
    np.testing.assert_allclose(adapter.preprocessing.std, IMAGENET["image_std"], atol=1e-5)
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "VideoMAEImageProcessor"}')
    with pytest.raises(ModelProblem, match="VideoMAEImageProcessor does not turn a picture into one input"):
        load(spec)


def test_wrong_folder(folder: Path) -> None:
    spec = spec_for(folder)
    config = json.loads((folder / "config.json").read_text())

    def change(**given: Any) -> None:
        (folder / "config.json").write_text(json.dumps({**config, **given}))

    change(architectures=["VisionMarvelForImageClassification"])
    with pytest.raises(ModelProblem, match="VisionMarvelForImageClassification, which Transformers"):
        load(spec)
    change(num_hidden_layers=4)
    with pytest.raises(WeightsProblem, match=r"lacks vit\.layers\.3"):
        load(spec)
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsProblem, match="not readable JSON"):
        load(spec)


def test_pickle_with_code(folder: Path, tmp_path: Path) -> None:
    spec = spec_for(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"vit.embeddings.cls_token": Touch(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises((ModelProblem, WeightsProblem)):
        load(spec)
    assert not (tmp_path / "ran").exists()


def test_projection_inside_attention_beside_an_earlier_block() -> None:
    torch.manual_seed(0)
    net = VisionTransformer(img_size=64, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=5).eval()
    picture = torch.rand(1, 3, 64, 64)
    explanation = Explainer(net)(picture, targets=[3], layers=("blocks.0", "blocks.1.attn.qkv"), method="hirescam")
    evidence = explanation.evidence
    raw = METHODS["hirescam"].run(evidence, [explanation.heatmaps[0].target]).maps[1][0]
    outputs: list[torch.Tensor] = []
    with net.blocks[1].attn.qkv.register_forward_hook(lambda *call: outputs.append(call[2])):
        logit = net(evidence.tensor)[0, 3]
    (slope,) = torch.autograd.grad(logit, outputs[0])
    torch.testing.assert_close(raw, (slope * outputs[0]).sum(2)[0, 1:].reshape(8, 8).detach(), atol=1e-8, rtol=1e-4)
