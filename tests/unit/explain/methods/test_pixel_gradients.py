"""Captum's methods give its numbers, and LeGrad its formula's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.maps.heatmap import smooth
from sightglass.explain.methods import METHODS, list_methods, pixel_gradients
from sightglass.explain.methods.pixel_gradients import find_noise, make_baseline
from sightglass.models.adapters.folding import copy_module
from sightglass.models.geometry import ModelInput
from tests.unit.own_nets import Answering, BlocksCNN
from training.demo import scenes

captum = pytest.importorskip("captum.attr")
IDS = tuple(method.id for method in METHODS.values() if method.family == "pixel" and method.id != "deeplift")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return scenes.draw(scenes.sample(600_001, task="classify", held_out=True)).pixels


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_gradients, "STEPS", 12)
    monkeypatch.setattr(pixel_gradients, "SAMPLES", 4)


def attribute(name: str, net: nn.Module, evidence: Any) -> torch.Tensor:
    """Return captum's own attribution (1, C, h, w), called directly."""
    inputs, grey = evidence.tensor.clone(), make_baseline(evidence)
    noise = find_noise(evidence)
    torch.manual_seed(0)
    np.random.seed(0)
    inputs.requires_grad_()
    few, layer = {"nt_samples": 4, "stdevs": noise}, net.net.get_submodule(evidence.paths[0])
    return {
        "saliency": lambda: captum.Saliency(net).attribute(inputs),
        "inputxgradient": lambda: captum.InputXGradient(net).attribute(inputs),
        "integratedgradients": lambda: captum.IntegratedGradients(net).attribute(inputs, grey, n_steps=12),
        "gradientshap": lambda: captum.GradientShap(net).attribute(inputs, grey, n_samples=4, stdevs=noise),
        "smoothgrad": lambda: captum.NoiseTunnel(captum.Saliency(net)).attribute(inputs, nt_type="smoothgrad", **few),
        "guidedbackprop": lambda: captum.GuidedBackprop(net).attribute(inputs).abs(),
        "guidedgradcam": lambda: captum.GuidedGradCam(net, layer).attribute(inputs, interpolate_mode="bilinear").abs(),
    }[name]()


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("name", IDS)
def test_the_numbers_are_captums(name: str, scene: np.ndarray) -> None:
    result = Explainer("demo-cls-s")(scene, top_k=1, method=name)
    (heatmap,), evidence = result.heatmaps, result.evidence
    index = heatmap.target.index
    net = Answering(copy_module(evidence.loaded.adapter.module), lambda net, pictures: net(pictures)[:, index])
    expected = attribute(name, net, evidence).detach()[0].sum(0).cpu().numpy()
    assert heatmap.layers == ("pixels",) and heatmap.state == "ok"
    np.testing.assert_allclose(heatmap.raw[0], expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("part", ["class", "box"])
def test_a_box_is_explained_by_its_own_candidate(part: str) -> None:
    pixels = scenes.draw(scenes.sample(600_001, task="detect", held_out=True)).pixels
    result = Explainer("demo-s")(pixels, per="detection", top_k=1, method="integratedgradients", part=part)
    (heatmap,), adapter = result.heatmaps, result.evidence.loaded.adapter
    (anchor,) = heatmap.target.anchors

    def scalar(pictures: torch.Tensor) -> torch.Tensor:
        outputs = adapter.run(pictures)
        if part == "class":
            return outputs.logits[:, heatmap.target.index, anchor]
        x0, y0, x1, y1 = outputs.boxes[:, anchor].unbind(1)
        return (x1 - x0 + y1 - y0) / outputs.units[anchor]

    method = captum.IntegratedGradients(scalar)
    inputs, grey = result.evidence.tensor, make_baseline(result.evidence)
    expected = method.attribute(inputs, grey, n_steps=12, internal_batch_size=1)[0].sum(0).cpu().numpy()
    np.testing.assert_allclose(heatmap.raw[0], expected, rtol=1e-2, atol=1e-4 * np.abs(expected).max())


def test_integrated_gradients_say_what_they_sum_to(scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_gradients, "STEPS", 50)
    result = Explainer("demo-cls-s")(scene, top_k=1, method="integratedgradients")
    evidence, target = result.evidence, result.heatmaps[0].target
    adapter = evidence.loaded.adapter
    with torch.no_grad():
        ends = [adapter.run(tensor).logits[0, target.index] for tensor in (evidence.tensor, make_baseline(evidence))]
    share = float(result.heatmaps[0].raw[0].sum() / (ends[0] - ends[1]))
    assert share == pytest.approx(1, abs=0.1)
    assert f"The values sum to {share * 100:.0f}\xa0% of the difference" in " ".join(result.notes)
    # Neither note is true of another method's map.
    assert not set(result.notes[-2:]) & set(result.with_method("gradcam").notes)


def test_guided_gradcam_follows_measured_offsets(scene: np.ndarray) -> None:
    result = Explainer("demo-cls-s")(scene, top_k=1)
    evidence, target = result.evidence, result.heatmaps[0].target
    # Cells lie half a cell above those of an even grid.
    geometry = replace(evidence.geometry, cell_offsets=((evidence.paths[0], -0.5, 0.0),))
    moved = Evidence(evidence.loaded, ModelInput(evidence.tensor, geometry), evidence.layers)
    names = ("guidedgradcam", "guidedbackprop", "gradcam")
    both, guided, cam = (METHODS[name].run(moved, [target]).maps[0][0].numpy() for name in names)
    at, cells = (np.arange(len(guided)) + 0.5) * len(cam) / len(guided) - 0.5, np.arange(len(cam))
    rows = np.stack([np.interp(at + 0.5, cells, column) for column in cam.clip(0).T], 1)
    grown = np.stack([np.interp(at, cells, row) for row in rows])
    np.testing.assert_allclose(both, guided * grown, rtol=1e-4, atol=1e-6 * np.abs(both).max())


def test_the_map_is_smoothed_and_its_raw_values_are_not(scene: np.ndarray) -> None:
    result = Explainer("demo-cls-s")(scene, top_k=1, method="inputxgradient", evidence="both")
    (heatmap,) = result.heatmaps
    maps = heatmap.at_input, heatmap.raw[0]
    smoothed, raw = (np.abs(np.diff(values, axis=1)).mean() / np.abs(values).mean() for values in maps)
    assert heatmap.signed and smoothed < raw / 3 and pixel_gradients.SMOOTHED in result.notes
    even = torch.full((1, 9, 7), 2.0)
    torch.testing.assert_close(smooth(even), even)


def test_guided_backprop_needs_relu(scene: np.ndarray) -> None:
    assert pixel_gradients.EDGES in Explainer("demo-cls-s")(scene, top_k=1, method="guidedbackprop").notes
    with pytest.raises(ModelProblem, match="no ReLU that guided backprop could guide"):
        Explainer("demo-s")(scene, top_k=1, method="guidedbackprop", per="picture")
    frozen = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).requires_grad_(False)
    head = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    net = Answering(nn.ModuleList([frozen, head]), lambda net, pictures: net[1](torch.no_grad()(net[0])(pictures)))
    with pytest.raises(ModelProblem, match=r"No gradient of .* reaches the picture: hide parts of it, as RISE does"):
        Explainer(net, preprocess={"size": 64})(scene, method="guidedbackprop")


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "edgenext_xx_small"])
def test_attention_that_is_not_over_one_grid_is_refused(name: str, scene: np.ndarray) -> None:
    # Swin attends within windows, and EdgeNeXt to channels.
    small = {"img_size": 64, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
    net = timm.create_model(name, num_classes=3, **(small if name.startswith("swin") else {}))
    explainer = Explainer(net, preprocess={"size": 64})
    assert not {"chefer", "rollout", "legrad"} & {method.id for method in list_methods(explainer.loaded)}
    for method in ("chefer", "rollout", "legrad"):
        with pytest.raises(ModelProblem, match="choose a CAM, such as LayerCAM"):
            explainer(scene, method=method)


@pytest.mark.parametrize("method", ["attention", "chefer", "legrad", "rollout"])
def test_attention_in_half_precision(method: str, scene: np.ndarray) -> None:
    net = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=64, embed_dim=24, depth=2).eval()
    full, half = (Explainer(net.to(kind))(scene, method=method, targets=(1,)) for kind in (torch.float, torch.bfloat16))
    np.testing.assert_allclose(half.heatmaps[0].raw[0], full.heatmaps[0].raw[0], rtol=0.1, atol=2e-5)


def by_hand(net: torch.nn.Module, picture: torch.Tensor, index: int) -> torch.Tensor:
    """Return LeGrad's map (8, 8) of a timm ViT without a class token: each layer's gradient, by its equations."""
    tokens = net._pos_embed(net.patch_embed(picture))
    rows = []
    for block in net.blocks:
        normed = block.norm1(tokens)
        count, heads = normed.shape[1], block.attn.num_heads
        query, key, value = block.attn.qkv(normed).reshape(1, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * block.attn.scale).softmax(-1).detach().requires_grad_()
        tokens = tokens.detach() + block.attn.proj((weights @ value).transpose(1, 2).flatten(2))
        tokens = tokens + block.mlp(block.norm2(tokens))
        (gradient,) = torch.autograd.grad(net.head(net.fc_norm(net.norm(tokens).mean(1)))[0, index], weights)
        rows.append(F.relu(gradient)[0].mean((0, 1)))
        tokens = tokens.detach()
    return torch.stack(rows).mean(0).reshape(8, 8)


def test_legrad_equals_its_equations() -> None:
    pixels = scenes.draw(scenes.sample(600_002, task="classify", held_out=True)).pixels
    result = Explainer("demo-vit")(pixels, top_k=2, method="legrad")
    net, inputs = result.evidence.loaded.adapter.module, result.evidence.tensor
    for heatmap in result.heatmaps:
        expected = by_hand(net, inputs, heatmap.target.index).cpu().numpy()
        np.testing.assert_allclose(heatmap.raw[0], expected, rtol=1e-3, atol=1e-5 * expected.max())
        assert heatmap.layers == ("every attention",) and heatmap.state == "ok"
    assert not np.allclose(result.heatmaps[0].raw[0], result.heatmaps[1].raw[0])
    # As the catalogue states: maps of its stem are drawn where they were measured to look.
    assert ("patch_embed.proj.4", -0.47, -0.47) in result.heatmaps[0].geometry.cell_offsets


@pytest.mark.filterwarnings("ignore:Setting forward")
def test_deep_lift_is_captums_on_a_module_that_it_takes(scene: np.ndarray) -> None:
    torch.manual_seed(0)
    net = BlocksCNN().eval()
    explainer = Explainer(net, preprocess={"size": 64})
    result = explainer(scene, targets=[3], method="deeplift", evidence="both")
    (heatmap,), evidence = result.heatmaps, result.evidence
    torch.manual_seed(0)
    untouched = BlocksCNN().eval()
    inputs, grey = evidence.tensor.clone().requires_grad_(), make_baseline(evidence)
    expected = captum.DeepLift(untouched).attribute(inputs, grey, target=3)[0].sum(0).detach().numpy()
    assert heatmap.signed and heatmap.layers == ("pixels",) and expected.min() < 0 < expected.max()
    np.testing.assert_allclose(heatmap.raw[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_deep_lift_refuses_what_it_has_no_rules_for(scene: np.ndarray) -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    twice = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3), "act": nn.ReLU(), "body": body[2:]})
    cases = {
        "has rules for 1 of 2 activations in a pass": Answering(body, lambda net, x: net(F.relu(x) - x)),
        "has rules for 0 of 1 activations": nn.Sequential(body[0], nn.SiLU(), *body[2:]),
        r"net\.act runs 2 times in a pass of .*: use Integrated Gradients": Answering(
            twice, lambda net, x: net["body"](net["act"](net["conv"](net["act"](x))))
        ),
    }
    for sentence, net in cases.items():
        with pytest.raises(ModelProblem, match=sentence):
            Explainer(net, preprocess={"size": 64})(scene, targets=[0], method="deeplift")
    torch.manual_seed(0)
    ends = nn.Sequential(nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    # Steps without a rule that no list of names has: the sum shows them.
    steps: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda x: x.clamp(min=0),
        lambda x: x * x,
        torch.sin,
        nn.GroupNorm(2, 4),
    ]
    for step in steps:
        net = Answering(nn.ModuleList([body[0], ends]), lambda net, x, step=step: net[1](step(net[0](x))))
        with pytest.raises(ModelProblem, match=r"sums to .*: some of its steps have no rule: use Integrated Gradients"):
            Explainer(net, preprocess={"size": 64})(scene, targets=[0], method="deeplift")
    with pytest.raises(ModelProblem, match="takes one at a time: use Integrated Gradients"):
        Explainer(body, preprocess={"size": 64})(scene, targets=lambda outputs: outputs[0, 0], method="deeplift")
