"""Captum's methods give its numbers; attention in windows gives that of whole matrices, and LeGrad its formula's."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torch.nn import functional as F

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.explain import Explainer
from sightglass.explain.evidence.attention import differentiate
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.explanation import explain
from sightglass.explain.maps.heatmap import smooth
from sightglass.explain.methods import METHODS, list_methods, pixel_gradients
from sightglass.explain.methods import attention as windowed
from sightglass.explain.methods.method import Request
from sightglass.explain.methods.pixel_gradients import find_noise, make_baseline
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.folding import copy_module
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec
from tests.late import late
from training.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Callable

captum = late("captum.attr")
IDS = ("inputxgradient", "integratedgradients", "gradientshap", "smoothgrad", "guidedbackprop")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return scenes.draw(scenes.sample(600_001, task="classify", held_out=True)).pixels


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_gradients, "STEPS", 12)
    monkeypatch.setattr(pixel_gradients, "SAMPLES", 4)


class _Class(nn.Module):
    """One logit of a classifier, as a caller of captum would write it."""

    def __init__(self, net: nn.Module, index: int) -> None:
        super().__init__()
        self.net, self.index = net, index

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(pictures)
        return logits[:, self.index]


def attribute(name: str, net: nn.Module, evidence: Any) -> torch.Tensor:
    """Return captum's own attribution (1, C, h, w), called directly."""
    given, grey = evidence.tensor.clone(), make_baseline(evidence)
    noise = find_noise(evidence)
    torch.manual_seed(0)
    np.random.seed(0)
    if name == "inputxgradient":
        return captum.InputXGradient(net).attribute(given.requires_grad_())
    if name == "integratedgradients":
        return captum.IntegratedGradients(net).attribute(given, grey, n_steps=12)
    if name == "gradientshap":
        return captum.GradientShap(net).attribute(given, grey, n_samples=4, stdevs=noise)
    if name == "smoothgrad":
        saliency = captum.NoiseTunnel(captum.Saliency(net))
        return saliency.attribute(given, nt_type="smoothgrad", nt_samples=4, stdevs=noise)
    return captum.GuidedBackprop(net).attribute(given.requires_grad_()).abs()


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("name", IDS)
def test_the_numbers_are_captums(name: str, scene: np.ndarray) -> None:
    made = Explainer("demo-cls-s")(scene, top_k=1, method=name)
    (heatmap,), evidence = made.heatmaps, made.evidence
    net = _Class(copy_module(evidence.resident.adapter.module), heatmap.target.index)
    wanted = attribute(name, net, evidence).detach()[0].sum(0).numpy()
    assert heatmap.layers == ("pixels",) and heatmap.state == "ok"
    np.testing.assert_allclose(heatmap.raw[0], wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("part", ["class", "box"])
def test_a_box_is_explained_by_its_own_candidate(part: str) -> None:
    pixels = scenes.draw(scenes.sample(600_001, task="detect", held_out=True)).pixels
    made = Explainer("demo-s")(pixels, per="detection", top_k=1, method="integratedgradients", part=part)
    (heatmap,), adapter = made.heatmaps, made.evidence.resident.adapter
    (anchor,) = heatmap.target.anchors

    def scalar(pictures: torch.Tensor) -> torch.Tensor:
        outputs = adapter.run(pictures)
        if part == "class":
            return outputs.logits[:, heatmap.target.index, anchor]
        x0, y0, x1, y1 = outputs.boxes[:, anchor].unbind(1)
        return (x1 - x0 + y1 - y0) / outputs.units[anchor]

    method = captum.IntegratedGradients(scalar)
    given, grey = made.evidence.tensor, make_baseline(made.evidence)
    wanted = method.attribute(given, grey, n_steps=12, internal_batch_size=1)[0].sum(0).numpy()
    np.testing.assert_allclose(heatmap.raw[0], wanted, rtol=1e-2, atol=1e-4 * np.abs(wanted).max())


def test_integrated_gradients_say_what_they_sum_to(scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_gradients, "STEPS", 50)
    made = Explainer("demo-cls-s")(scene, top_k=1, method="integratedgradients")
    evidence, target = made.evidence, made.heatmaps[0].target
    adapter = evidence.resident.adapter
    with torch.no_grad():
        ends = [adapter.run(one).logits[0, target.index] for one in (evidence.tensor, make_baseline(evidence))]
    share = float(made.heatmaps[0].raw[0].sum() / (ends[0] - ends[1]))
    assert share == pytest.approx(1, abs=0.1)
    assert f"The values sum to {share * 100:.0f}\xa0% of the difference" in " ".join(made.notes)
    # Neither note is true of another method's map.
    assert not set(pixel_gradients.OWN_NOTES) & set(made.with_method("gradcam").notes)
    assert not any(note.endswith(pixel_gradients.COMPLETE) for note in made.with_method("gradcam").notes)


def test_the_same_numbers_are_drawn_again_and_nobody_elses(scene: np.ndarray) -> None:
    before = torch.random.get_rng_state()
    one, two = (Explainer("demo-cls-s")(scene, top_k=1, method="smoothgrad").heatmaps[0].raw[0] for _ in range(2))
    assert np.array_equal(one, two)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_stops_half_way_and_counts_its_steps(scene: np.ndarray) -> None:
    evidence = Explainer("demo-cls-s")(scene, top_k=1).evidence
    (target,) = [one.target for one in Explainer("demo-cls-s")(scene, top_k=1).heatmaps]
    cancel, heard = threading.Event(), []

    def progress(share: float, words: str) -> None:
        heard.append((share, words))
        if len(heard) == 2:
            cancel.set()

    evidence.raws.clear()
    with pytest.raises(Cancelled), stopped_by(cancel):
        METHODS["integratedgradients"].run(evidence, [target], Request(progress=progress))
    assert [words for _, words in heard] == [f"Integrated Gradients, step {step} of 14" for step in (0, 4)]


def test_the_map_is_smoothed_and_its_raw_values_are_not(scene: np.ndarray) -> None:
    made = Explainer("demo-cls-s")(scene, top_k=1, method="inputxgradient", evidence="both")
    (heatmap,) = made.heatmaps
    raw = heatmap.raw[0]
    assert raw.shape == made.evidence.geometry.input and heatmap.signed

    def roughness(values: np.ndarray) -> float:
        return float(np.abs(np.diff(values, axis=1)).mean() / np.abs(values).mean())

    assert roughness(heatmap.at_input) < roughness(raw) / 3
    assert pixel_gradients.SMOOTHED in made.notes
    even = torch.full((1, 9, 7), 2.0)
    torch.testing.assert_close(smooth(even), even)


def test_guided_backprop_needs_a_relu_and_says_what_is_known_of_it(scene: np.ndarray) -> None:
    assert pixel_gradients.GUIDED in Explainer("demo-cls-s")(scene, top_k=1, method="guidedbackprop").notes
    with pytest.raises(ModelProblem, match="no ReLU that guided backprop could guide"):
        Explainer("demo-s")(scene, top_k=1, method="guidedbackprop", per="picture")


CLASSES = 3
PICTURE = np.random.default_rng(3).integers(0, 255, (48, 48, 3), np.uint8)


def _shown(side: int, tokens: int, window: int, shift: int) -> np.ndarray:
    """Return the cells of each window of a Swin, by index arithmetic: padding is -1."""
    whole = -(-side // window) * window
    cells = np.full((whole, whole), -1)
    cells[:side, :side] = np.arange(side * side).reshape(side, side)
    moved = [[cells[(y + shift) % whole, (x + shift) % whole] for x in range(whole)] for y in range(whole)]
    many = whole // window
    cut = np.array(moved).reshape(many, window, many, window).transpose(0, 2, 1, 3)
    return cut.reshape(many * many, tokens)


BUILDERS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "timm swin": (64, lambda: timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=64, embed_dim=16, depths=(2, 2), num_heads=(2, 4), window_size=4,
        num_classes=CLASSES)),
    "timm swin v2": (64, lambda: timm.create_model(
        "swinv2_tiny_window8_256", img_size=64, embed_dim=16, depths=(2, 2), num_heads=(2, 4), window_size=4,
        num_classes=CLASSES)),
    "torchvision swin": (72, lambda: torchvision.models.swin_transformer.SwinTransformer(
        [4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=CLASSES)),
    "torchvision swin v2": (64, lambda: torchvision.models.swin_transformer.SwinTransformer(
        [4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=CLASSES,
        block=torchvision.models.swin_transformer.SwinTransformerBlockV2,
        downsample_layer=torchvision.models.swin_transformer.PatchMergingV2)),
    "mobilevit": (128, lambda: timm.create_model("mobilevit_xxs", num_classes=CLASSES)),
    "maxvit": (160, lambda: timm.create_model("test_maxvit", num_classes=CLASSES)),
    "pvt": (64, lambda: timm.create_model("pvt_v2_b0", num_classes=CLASSES)),
    "edgenext": (64, lambda: timm.create_model("edgenext_xx_small", num_classes=CLASSES)),
}  # fmt: skip
"""Side of the input and network, each with seeded weights."""


@cache
def resident_of(name: str) -> Resident:
    side, build = BUILDERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = build()
    return _wrap(name, module, side)


def _wrap(name: str, module: nn.Module, side: int) -> Resident:
    spec = ModelSpec(name, "tests", "s", "tests", name, "classify", "none")
    labels = [f"class {index}" for index in range(CLASSES)]
    prepared = Preprocessing((side, side), side, (0.5,) * 3, (0.5,) * 3)
    module.eval().requires_grad_(False)
    return Resident(Classifier(spec, module, labels, prepared, name), torch.device("cpu"))


def evidence_of(resident: Resident, tensor: torch.Tensor | None = None) -> Evidence:
    size: Any = resident.adapter.preprocessing.size  # type: ignore[union-attr]
    drawn = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)) if tensor is None else tensor
    given = ModelInput(drawn, Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))
    return Evidence(resident, given, find(resident, resident.default_layers))


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("timm swin", (16, 8)),
        ("timm swin v2", (16, 8)),
        ("torchvision swin", (18, 9)),  # neither is whole windows: both are padded
        ("torchvision swin v2", (16, 8)),
    ],
)
def test_a_swins_windows_are_where_its_shifts_put_them(name: str, sides: tuple[int, int]) -> None:
    resident = resident_of(name)
    found = resident.find_windows(torch.zeros(1, 3, BUILDERS[name][0], BUILDERS[name][0]))
    assert [one.grid for one in found] == [(side, side) for side in sides for _ in range(2)]
    for number, one in enumerate(found):
        np.testing.assert_array_equal(one.queries, _shown(one.grid[0], 16, 4, 2 * (number % 2)))
        assert one.keys is one.queries


def test_blocks_and_grids_are_found() -> None:
    for number, one in enumerate(resident_of("maxvit").find_windows(torch.zeros(1, 3, 160, 160))):
        side = one.grid[0]
        window = int(one.queries.shape[1] ** 0.5)
        cells, many = np.arange(side * side).reshape(side, side), side // window
        if number % 2:
            cut = cells.reshape(window, many, window, many).transpose(1, 3, 0, 2)
        else:
            cut = cells.reshape(many, window, many, window).transpose(0, 2, 1, 3)
        np.testing.assert_array_equal(one.queries, cut.reshape(many * many, -1))


def _merged(side: int, finer: int) -> torch.Tensor:
    """Return the matrix (cells, cells of the finer grid) that hands equal parts to 2x2 parents."""
    matrix = torch.zeros(side * side, finer * finer, dtype=torch.float64)
    for y in range(finer):
        for x in range(finer):
            matrix[(y // 2) * side + x // 2, y * finer + x] = 1
    return matrix / matrix.sum(1, keepdim=True)


@pytest.mark.parametrize("name", ["timm swin", "torchvision swin"])
def test_the_row_is_that_of_whole_matrices(name: str) -> None:
    resident = resident_of(name)
    evidence = evidence_of(resident)
    windows = resident.find_windows(evidence.tensor)
    (recorded,) = differentiate(evidence, [Target(1, "class 1")], {one.path for one in windows})
    relevance: torch.Tensor | None = None
    for number, one in enumerate(windows):
        weights, gradient = recorded[one.path]
        side, cells = one.grid[0], _shown(one.grid[0], 16, 4, 2 * (number % 2))
        whole = torch.zeros(side * side + 1, side * side + 1, dtype=torch.float64)  # the last row and column: padding
        for window, places in enumerate(cells):
            mean = (gradient[window] * weights[window]).clamp(min=0).mean(0)
            whole[np.ix_(places, places)] += mean
        matrix = torch.eye(side * side) + whole[:-1, :-1]
        if relevance is None:
            relevance = matrix
        elif len(relevance) != len(matrix):
            relevance = matrix @ _merged(side, windows[0].grid[0]) @ relevance
        else:
            relevance = matrix @ relevance
    assert relevance is not None
    share = _merged(windows[-1].grid[0], windows[0].grid[0]).mean(0)
    wanted = relevance.mean(0) - share
    made = windowed.follow_relevance(windows, [windowed.mix(*recorded[one.path]) for one in windows])
    torch.testing.assert_close(made.flatten().double(), wanted, rtol=1e-3, atol=1e-5 * float(wanted.max()))
    assert made.abs().max() > 0


def _spotter() -> SwinTransformer:
    """A Swin made by hand: every window adds up how bright its tokens are, and the head reads that sum alone."""
    net = SwinTransformer(
        img_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4, num_classes=CLASSES
    )
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.LayerNorm):
                setattr(parent, name, nn.Identity())
    for parameter in net.parameters():
        parameter.data.zero_()
    net.patch_embed.proj.weight.data[0] = 1 / 12
    for number, layer in enumerate(net.layers):
        wide = 8 * (1 + number)
        for block in layer.blocks:
            block.attn.qkv.weight.data[2 * wide, 0] = 1  # the value: brightness
            block.attn.proj.weight.data[1, 0] = 1
        if number:
            for part in range(4):
                layer.downsample.reduction.weight.data[[0, 1], [8 * part, 8 * part + 1]] = 0.25
    net.head.fc.weight.data[1, 1] = 1
    return net


@pytest.mark.parametrize("place", [(13, 6), (2, 2), (7, 8)])
def test_the_window_that_matters_is_shown(place: tuple[int, int]) -> None:
    resident = _wrap("spotter", _spotter(), 32)
    picture = torch.zeros(1, 3, 32, 32)
    y, x = place
    picture[..., 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 1
    evidence = evidence_of(resident, picture)
    assert evidence.outputs.logits[0, 1] > 0
    made = explain(Image.open(PICTURE), evidence, Options(method="chefer", targets=(1,)), milliseconds={})
    raw = made.heatmaps[0].raw[0]
    assert np.unravel_index(raw.argmax(), raw.shape) == place
    # Only the merged cell that holds it has a share, split among its four parents.
    inside = np.zeros_like(raw, bool)
    inside[y // 2 * 2 : y // 2 * 2 + 2, x // 2 * 2 : x // 2 * 2 + 2] = True
    assert raw[~inside].max() == 0 and raw[inside].min() > 0
    # A class that reads nothing has no map.
    other = explain(Image.open(PICTURE), evidence, Options(method="chefer", targets=(2,)), milliseconds={})
    assert other.heatmaps[0].state == "no evidence"


@pytest.mark.parametrize("name", ["timm swin", "mobilevit", "maxvit", "pvt"])
def test_chefer_and_rollout_are_offered_and_run(name: str) -> None:
    resident = resident_of(name)
    offered = {method.id for method in list_methods(resident)}
    assert {"chefer", "rollout"} <= offered and "legrad" not in offered
    evidence = evidence_of(resident)
    made = explain(Image.open(PICTURE), evidence, Options(method="chefer", top_k=2), milliseconds={})
    first, second = (heatmap.raw[0] for heatmap in made.heatmaps)
    assert first.shape == resident.find_windows(evidence.tensor)[0].grid and not np.allclose(first, second)
    assert windowed.UNMEASURED in made.notes
    assert windowed.UNMEASURED not in made.with_method("gradcam").notes
    rolled = explain(Image.open(PICTURE), evidence, Options(method="rollout", top_k=2), milliseconds={})
    np.testing.assert_array_equal(rolled.heatmaps[0].raw[0], rolled.heatmaps[1].raw[0])


def test_what_cannot_be_followed_is_refused() -> None:
    # EdgeNeXt attends to channels.
    resident = resident_of("edgenext")
    assert not {"chefer", "rollout"} & {method.id for method in list_methods(resident)}
    with pytest.raises(ModelProblem, match="choose a CAM, such as LayerCAM"):
        explain(Image.open(PICTURE), evidence_of(resident), Options(method="chefer"), milliseconds={})


def test_legrad_says_that_it_needs_one_grid() -> None:
    with pytest.raises(ModelProblem, match="LeGrad cannot join its layers: choose a CAM"):
        explain(Image.open(PICTURE), evidence_of(resident_of("timm swin")), Options(method="legrad"), milliseconds={})


def by_hand(net: torch.nn.Module, picture: torch.Tensor, index: int) -> torch.Tensor:
    """Return LeGrad's map (8, 8) of a timm ViT without a class token: each layer's gradient, by its equations."""
    tokens = net._pos_embed(net.patch_embed(picture))
    rows = []
    for block in net.blocks:
        given = block.norm1(tokens)
        count, heads = given.shape[1], block.attn.num_heads
        query, key, value = block.attn.qkv(given).reshape(1, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * block.attn.scale).softmax(-1).detach().requires_grad_()
        tokens = tokens.detach() + block.attn.proj((weights @ value).transpose(1, 2).flatten(2))
        tokens = tokens + block.mlp(block.norm2(tokens))
        logit = net.head(net.fc_norm(net.norm(tokens).mean(1)))[0, index]
        (gradient,) = torch.autograd.grad(logit, weights)
        rows.append(F.relu(gradient)[0].mean((0, 1)))
        tokens = tokens.detach()
    return torch.stack(rows).mean(0).reshape(8, 8)


def test_the_map_is_the_papers_mean_over_layers_heads_and_queries() -> None:
    pixels = scenes.draw(scenes.sample(600_002, task="classify", held_out=True)).pixels
    made = Explainer("demo-vit")(pixels, top_k=2, method="legrad")
    net, given = made.evidence.resident.adapter.module, made.evidence.tensor
    for heatmap in made.heatmaps:
        wanted = by_hand(net, given, heatmap.target.index).numpy()
        np.testing.assert_allclose(heatmap.raw[0], wanted, rtol=1e-3, atol=1e-5 * wanted.max())
        assert heatmap.layers == ("every attention",) and heatmap.state == "ok"
    # Another class has another map, and the model still answers as before.
    assert not np.allclose(made.heatmaps[0].raw[0], made.heatmaps[1].raw[0])
    again = Explainer("demo-vit")(pixels, top_k=1)
    assert again.predictions[0].score == made.predictions[0].score
