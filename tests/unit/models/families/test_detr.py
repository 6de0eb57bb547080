"""DETR's family: boxes, maps and query attention equal those of the libraries, on small seeded networks."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explainer import Explainer
from sightglass.explain.explanation import explain
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.detector import SIDES
from sightglass.models.load import inspect_model, load
from sightglass.models.spec import ModelSpec
from tests.built import built
from tests.folding import unfold
from tests.unit.models.specs import own_spec
from tests.zoo.compare import compare

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
PICTURE = np.random.default_rng(3).integers(0, 255, (96, 160, 3), np.uint8)
NAMES = {0: "cat", 1: "dog", 2: "bird"}
RESNET: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
STAGES = ["stage2", "stage3", "stage4"]
SMALL: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "id2label": NAMES,
    "label2id": {name: index for index, name in NAMES.items()},
}
HYBRID: dict[str, Any] = {
    **SMALL,
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [16, 24, 32],
    "decoder_in_channels": [32, 32, 32],
    "num_queries": 20,
}
SQUARE = {"size": {"height": 128, "width": 128}}
"""What an RT-DETR's processor makes of a picture here."""


def _detr(kind: str = "Detr") -> tuple[Any, Any]:
    body = transformers.ResNetConfig(**RESNET, out_features=["stage4"])
    sizes = {**SMALL, "encoder_layers": 2, "num_queries": 12}
    config = getattr(transformers, f"{kind}Config")(**sizes, backbone_config=body, use_timm_backbone=False)
    return config, transformers.DetrImageProcessor(size={"shortest_edge": 96, "longest_edge": 200})


def _rt_detr(version: str = "") -> tuple[Any, Any]:
    body = transformers.RTDetrResNetConfig(**RESNET, out_features=STAGES)
    config = getattr(transformers, f"RTDetr{version}Config")(**HYBRID, backbone_config=body)
    return config, transformers.RTDetrImageProcessor(**SQUARE)


def _d_fine() -> tuple[Any, Any]:
    body = transformers.HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 16, 24, 32],
        hidden_sizes=[8, 16, 24, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[2, 2, 2, 2],
        out_features=STAGES,
    )
    config = transformers.DFineConfig(**HYBRID, backbone_config=body, decoder_n_points=[3, 6, 3])
    return config, transformers.RTDetrImageProcessor(**SQUARE)


def _rf_detr() -> tuple[Any, Any]:
    body = transformers.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=128,
        patch_size=16,
        num_windows=2,
        out_features=["stage2", "stage4"],
    )
    config = transformers.RfDetrConfig(
        backbone_config=body,
        d_model=32,
        decoder_layers=2,
        decoder_self_attention_heads=4,
        decoder_cross_attention_heads=4,
        decoder_ffn_dim=48,
        num_queries=20,
        group_detr=2,
        id2label=NAMES,
        label2id=SMALL["label2id"],
    )
    return config, transformers.RfDetrImageProcessor(**SQUARE)


KINDS = {
    "DetrForObjectDetection": _detr,
    "TableTransformerForObjectDetection": lambda: _detr("TableTransformer"),
    "RTDetrForObjectDetection": _rt_detr,
    "RTDetrV2ForObjectDetection": lambda: _rt_detr("V2"),
    "DFineForObjectDetection": _d_fine,
    "RfDetrForObjectDetection": _rf_detr,
}
DEFORMABLE = list(KINDS)[2:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detr")


def save_model(name: str, folders: Path) -> Path:
    """A folder as `save_pretrained` writes it, with weights from a seed, spread so that no answer is the same."""
    folder = folders / name
    if not folder.is_dir():
        config, processor = KINDS[name]()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = getattr(transformers, name)(config).eval()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter += 0.05 * torch.randn(parameter.shape)
        net.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def spec_of(folder: Path, task: str = "detect") -> ModelSpec:
    return own_spec(folder.name, "transformers", folder.name, task, path=str(folder))


@pytest.fixture(scope="module")
def loaded_of(folders: Path) -> Any:
    return cache(lambda name: LoadedModel(load(spec_of(save_model(name, folders))), CPU))


@pytest.mark.parametrize("boxes", [5, 100])
def test_boxes_that_are_tokens_are_explained_where_attention_reads_patches(boxes: int) -> None:
    net = make_yolos(boxes)
    explainer = Explainer(net, preprocess=transformers.YolosImageProcessor(size={"height": 48, "width": 80}))
    result = explainer(PICTURE, per="detection", top_k=2, confidence=0.0, method="hirescam")
    assert result.heatmaps[0].layers == ("vit.encoder.layer.1.layernorm_before",)
    evidence = result.evidence
    assert evidence.layers[0].extras == (0, *range(-boxes, 0))
    recorded: list[torch.Tensor] = []
    net.vit.encoder.layer[1].layernorm_before.register_forward_hook(lambda *call: recorded.append(call[2]))
    logits = net(pixel_values=evidence.tensor.clone().requires_grad_()).logits[0]
    for heatmap in result.heatmaps:
        (anchor,) = heatmap.target.anchors
        (slope,) = torch.autograd.grad(logits[anchor, heatmap.target.index], recorded[0], retain_graph=True)
        expected = (slope * recorded[0])[0, 1:61].sum(1).reshape(6, 10)
        np.testing.assert_allclose(heatmap.raw[0], expected.detach(), rtol=1e-4, atol=1e-6)
        assert heatmap.state == "ok"
    with pytest.raises(ModelProblem, match="draws boxes, and this method explains classes"):
        result.with_method("rollout")


def make_yolos(boxes: int) -> Any:
    """A small YOLOS of 60 patches and so many boxes, with weights from a seed."""
    config = transformers.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=[48, 80],
        patch_size=8,
        num_detection_tokens=boxes,
        id2label=NAMES,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = transformers.YolosForObjectDetection(config).eval()
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return net


def evidence_of(loaded: LoadedModel, *layers: str) -> Evidence:
    model_input = loaded.adapter.prepare(PICTURE, "trained")
    # An untrained network carries a last bit that differs far.
    with unfold():
        return Evidence(loaded, model_input, layers_at(loaded, layers or loaded.default_layers))


@pytest.mark.parametrize("name", KINDS)
def test_boxes_are_those_of_the_library_each_with_its_query(name: str, loaded_of: Any) -> None:
    loaded = loaded_of(name)
    adapter, evidence = loaded.adapter, evidence_of(loaded)
    with torch.no_grad():
        answer = adapter.module(pixel_values=evidence.tensor)
    scores = adapter.processor.post_process_object_detection(answer, threshold=0.0)[0]["scores"]
    threshold = float(scores.sort(descending=True).values[4:6].double().mean())
    (expected,) = adapter.processor.post_process_object_detection(
        answer, threshold=threshold, target_sizes=[PICTURE.shape[:2]]
    )
    predictions = adapter.decode(evidence.outputs, evidence.geometry, top_k=5, confidence=threshold, iou=0.5)
    assert len(predictions) == len(expected["scores"]) > 1
    order = expected["scores"].argsort(descending=True, stable=True)
    np.testing.assert_allclose([p.score for p in predictions], expected["scores"][order], atol=1e-5)
    assert [p.index for p in predictions] == expected["labels"][order].tolist()
    assert {p.label for p in predictions} <= set(NAMES.values())
    height, width = PICTURE.shape[:2]
    for prediction, box in zip(predictions, expected["boxes"][order].tolist(), strict=True):
        np.testing.assert_allclose(prediction.box, np.clip(box, 0, [width, height, width, height]), atol=0.05)
        # A box is its query.
        cx, cy, w, h = answer.pred_boxes[0, prediction.anchor].tolist()
        raw = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * [width, height, width, height]
        np.testing.assert_allclose(raw, box, atol=0.05)


@pytest.mark.parametrize("name", KINDS)
def test_every_part_of_a_query_reaches_backbone_and_encoder(name: str, loaded_of: Any) -> None:
    loaded = loaded_of(name)
    paths = tuple(dict.fromkeys(path for chosen in loaded.adapter.presets(loaded.layers).values() for path in chosen))
    assert any("backbone" in path for path in paths)
    assert not any("decoder" in path for path in paths)
    evidence = evidence_of(loaded, *paths)
    for part in loaded.adapter.parts:
        for path, (gradient,) in zip(paths, evidence.gradients([Target(1, "dog", (3,), part)]), strict=True):
            values = gradient.values
            assert values.isfinite().all(), (part, path)
            assert values.any() or part in ("contrast",), (part, path)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("layers", [{}, {"layers": "backbone end"}])
def test_maps_equal_autograd(name: str, layers: dict[str, str], folders: Path, bus: Path) -> None:
    folder = save_model(name, folders)
    net = getattr(transformers, name).from_pretrained(folder)
    outcome = compare(net, KINDS[name]()[1], {"model": folder, **layers}, bus)
    # Marks spread through kernels of noise: the zoo compares places.
    assert outcome.kind == "equal" or outcome.reason.startswith("marks"), outcome


@pytest.mark.parametrize("head", [None, 2])
@pytest.mark.parametrize("name", list(KINDS)[:2])
def test_query_attention_equals_transformers(name: str, head: int | None, loaded_of: Any) -> None:
    loaded = loaded_of(name)
    evidence, net = evidence_of(loaded), loaded.adapter.module
    usual = net.config._attn_implementation
    net.config._attn_implementation = "eager"
    try:
        with torch.no_grad():
            theirs = net(pixel_values=evidence.tensor, output_attentions=True).cross_attentions[-1][0]
    finally:
        net.config._attn_implementation = usual
    rows = theirs[:, 5].reshape(4, 3, 5)
    options = Options(per="detection", targets=((5, 1),), method="queryattention", head=head)
    result = explain(Image.open(PICTURE), evidence, options, milliseconds={})
    (heatmap,) = result.heatmaps
    np.testing.assert_allclose(heatmap.raw[0], rows.mean(0) if head is None else rows[head], atol=1e-6)
    assert heatmap.layers == ("model.decoder.layers.1.encoder_attn",)
    assert not any("query read" in note for note in result.with_options(method="gradcam", head=None).notes)


@pytest.mark.parametrize("name", DEFORMABLE)
def test_cell_weights_sum_to_attention(name: str, loaded_of: Any) -> None:
    """The weights of all cells, times the cells' values, are the library's own sum before its last projection."""
    loaded = loaded_of(name)
    attending = loaded.adapter.module.get_submodule(loaded.adapter.cross_attention)
    held: dict[str, Any] = {}
    handle = attending.register_forward_hook(
        lambda _m, args, kwargs, out: held.update(kwargs, returned=out[0]), with_kwargs=True
    )
    with handle, torch.no_grad():
        outputs = loaded.adapter.run(loaded.adapter.prepare(PICTURE, "trained").tensor)
    # D-FINE projects neither the values nor their sum.
    first, last = (getattr(attending, name, torch.nn.Identity()) for name in ("value_proj", "output_proj"))
    heads = outputs.attended.heads
    levels = outputs.attended.levels(7)
    weights = torch.cat([level.flatten(1) for level in levels], 1)  # (heads, cells)
    with torch.no_grad():
        values = first(held["encoder_hidden_states"])[0].view(weights.shape[1], heads, -1)
        expected = last(torch.einsum("hc,chd->hd", weights, values).flatten())
    torch.testing.assert_close(expected, held["returned"][0, 7], atol=1e-5, rtol=1e-4)
    # One map: a coarse cell's weight is shared among the finest cells that it covers.
    finest = levels[0].shape[1:]
    shared = torch.zeros_like(levels[0])
    for level in levels:
        down, across = finest[0] // level.shape[1], finest[1] // level.shape[2]
        shared += level.repeat_interleave(down, 1).repeat_interleave(across, 2) / (down * across)
    torch.testing.assert_close(torch.as_tensor(outputs.attended.maps(7)), shared, atol=1e-6, rtol=0)


def test_a_folder_is_drafted_and_opened_by_its_path(folders: Path) -> None:
    folder = save_model("DFineForObjectDetection", folders)
    draft = inspect_model(folder)
    assert (draft.loader, draft.arch, draft.table["task"]) == ("transformers", "DFineForObjectDetection", "detect")
    result = Explainer(str(folder))(PICTURE, per="detection", top_k=1, confidence=0.3)
    assert result.heatmaps[0].state == "ok"
    assert result.missing((80, 48, 80, 48)).candidate.anchor is not None
    net = transformers.DFineForObjectDetection.from_pretrained(folder)
    in_memory = Explainer(net, preprocess=transformers.RTDetrImageProcessor(**SQUARE))
    assert in_memory(PICTURE, top_k=1, confidence=0.3, maps=False).predictions == result.predictions


def test_wrong_detector_folder_is_said(folders: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(save_model("RTDetrForObjectDetection", folders), folder)
    with pytest.raises(ModelProblem, match='copy draws boxes: give it task = "detect"'):
        load(spec_of(folder, "embed"))


def test_ultralytics_rtdetr_queries_have_attention_too() -> None:
    adapter = built("rtdetr-l")
    loaded = LoadedModel(adapter, CPU)
    tensor = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = adapter.run(tensor)
    attended = outputs.attended
    assert attended.path == "model.28.decoder.layers.5.cross_attn"
    assert attended.sizes == ((20, 20), (10, 10), (5, 5))
    assert attended.maps(0).shape == (8, 20, 20)
    torch.testing.assert_close(attended.weights.sum(2), torch.ones(8, outputs.count))
    assert loaded.adapter.parts == ("class", "contrast", "box", *SIDES, "all")
