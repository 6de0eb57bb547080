"""Relevance through windows: where tokens lie against index arithmetic, and the carried row against whole matrices."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from timm.models.swin_transformer import SwinTransformer
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.attention import differentiate
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.explanation import explain
from sightglass.explain.methods import attention as windowed
from sightglass.explain.methods import list_methods
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "hiera": (224, lambda: timm.create_model("hiera_tiny_224", embed_dim=16, num_classes=CLASSES)),
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


def test_sets_of_patches_blocks_and_grids_are_found() -> None:
    found = resident_of("mobilevit").find_windows(torch.zeros(1, 3, 128, 128))
    assert [one.grid for one in found] == [(16, 16)] * 2 + [(8, 8)] * 4 + [(4, 4)] * 3
    for one in found:
        # A set is one pixel of each 2x2 patch.
        patches = np.arange(one.grid[0] ** 2).reshape(one.grid[0] // 2, 2, one.grid[0] // 2, 2)
        np.testing.assert_array_equal(one.queries, patches.transpose(1, 3, 0, 2).reshape(4, -1))
    for number, one in enumerate(resident_of("maxvit").find_windows(torch.zeros(1, 3, 160, 160))):
        side = one.grid[0]
        window = int(one.queries.shape[1] ** 0.5)
        cells, many = np.arange(side * side).reshape(side, side), side // window
        if number % 2:
            cut = cells.reshape(window, many, window, many).transpose(1, 3, 0, 2)
        else:
            cut = cells.reshape(many, window, many, window).transpose(0, 2, 1, 3)
        np.testing.assert_array_equal(one.queries, cut.reshape(many * many, -1))


def test_keys_can_be_coarser_than_queries() -> None:
    found = resident_of("pvt").find_windows(torch.zeros(1, 3, 64, 64))
    assert [(one.grid[0], one.key_grid[0]) for one in found] == [(16, 2)] * 2 + [(8, 2)] * 2 + [(4, 2)] * 2 + [
        (2, 2)
    ] * 2


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


def test_what_is_carried_is_kept() -> None:
    resident = resident_of("timm swin")
    evidence = evidence_of(resident)
    windows = resident.find_windows(evidence.tensor)
    (recorded,) = differentiate(evidence, [Target(0, "class 0")], {one.path for one in windows})
    means = [recorded[one.path][0].mean(1) for one in windows]
    assert all(torch.allclose(mean.sum(-1), torch.ones(())) for mean in means)
    # Weights that sum to 1 hand on all that a cell has: without padding nothing is lost or made.
    assert windowed.follow_rollout(windows, means).sum() == pytest.approx(1, abs=1e-5)
    row = torch.rand(64)
    assert windowed.spread(row, (8, 8), (16, 16)).sum() == pytest.approx(float(row.sum()), rel=1e-6)
    assert windowed.spread(torch.rand(81), (9, 9), (17, 17)).view(17, 17)[16, 16] > 0
    # Chefer's adds to a row what its windows carry, and no more.
    mixed = windowed.mix(*recorded[windows[-1].path])
    added = windowed.carry(row, windows[-1], mixed).sum()
    assert added == pytest.approx(float((row[windows[-1].queries] * mixed.sum(-1)).sum()), rel=1e-5)


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


@pytest.mark.parametrize("name", ["timm swin", "torchvision swin v2", "mobilevit", "maxvit", "pvt"])
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


@pytest.mark.parametrize("name", ["hiera", "edgenext"])
def test_what_cannot_be_followed_is_refused(name: str) -> None:
    # Hiera unrolls and pools its tokens within attention; EdgeNeXt attends to channels.
    resident = resident_of(name)
    assert not {"chefer", "rollout"} & {method.id for method in list_methods(resident)}
    with pytest.raises(ModelProblem, match="choose a CAM, such as LayerCAM"):
        explain(Image.open(PICTURE), evidence_of(resident), Options(method="chefer"), milliseconds={})


def test_legrad_says_that_it_needs_one_grid() -> None:
    with pytest.raises(ModelProblem, match="LeGrad cannot join its layers: choose a CAM"):
        explain(Image.open(PICTURE), evidence_of(resident_of("timm swin")), Options(method="legrad"), milliseconds={})
