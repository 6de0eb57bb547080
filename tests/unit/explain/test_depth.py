"""A network that gives each pixel a number: a place's map, how it differs from another place's, and every door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

from sightglass.explain import Explainer
from sightglass.explain.findings.diagnosis import headline
from sightglass.explain.findings.numbers import describe_number, read_place
from sightglass.models.adapter import PlaceTarget
from sightglass.models.inspect import inspect_model
from tests.late import late

if TYPE_CHECKING:
    from pathlib import Path

transformers = late("transformers")
PICTURE = np.random.default_rng(5).integers(0, 255, (80, 120, 3), np.uint8)
OUTPUTS = [{"name": "depth", "unit": "m", "range": (0, 10)}]


class Flat(nn.Module):
    """Depth without channels, (B, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.body(x))[:, 0]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(0)
    return Explainer(Flat(), task="regress", outputs=OUTPUTS, preprocess={"size": 64})


def test_it_opens_explained_with_the_mean_of_the_picture(explainer: Explainer) -> None:
    made = explainer(PICTURE)
    assert made.depth is not None and made.depth.shape == (80, 120)
    assert made.predictions[0].score == pytest.approx(float(made.evidence.outputs.logits.detach().mean()), rel=1e-4)
    assert made.heatmaps[0].signed and " on average. Red raises depth; blue" in headline(made, "yellow")
    assert read_place(made) is None


def test_a_place_is_the_pixel_under_it_and_its_difference_to_another_is_theirs(explainer: Explainer) -> None:
    one, other = explainer(PICTURE, at=(20, 30)), explainer(PICTURE, at=(100, 60))
    both = one.with_options(against="100,60")
    assert one.depth is not None
    assert read_place(one) == pytest.approx(float(one.depth[30, 20]))
    assert read_place(both) == pytest.approx(float(one.depth[30, 20] - one.depth[60, 100]), abs=1e-6)
    raw = [made.heatmaps[0].raw[0] for made in (one, other, both)]
    # HiResCAM is linear in the gradient.
    raw = [made.with_method("hirescam").heatmaps[0].raw[0] for made in (one, other, both)]
    np.testing.assert_allclose(raw[2], raw[0] - raw[1], atol=1e-6)
    area, rest = both.area(), both.other_area()
    assert area is not None and rest is not None and area[30, 20] and rest[60, 100] and not (area & rest).any()
    number = describe_number(both)
    told = f"{number.removeprefix('−')} {'less' if number[0] == '−' else 'more'} than at the other."
    assert f"At the place depth is {told}" in headline(both, "yellow")
    assert both.heatmaps[0].state == "ok"
    lowers = one.with_method("hirescam").with_options(part="lowers").heatmaps[0].raw[0]
    np.testing.assert_allclose(lowers, -raw[0], atol=1e-7)


def test_the_gradient_is_the_finite_difference(explainer: Explainer) -> None:
    made = explainer(PICTURE, at=(10, 10, 60, 50), against="100,60")
    adapter, target = made.evidence.resident.adapter, made.heatmaps[0].target
    assert isinstance(target, PlaceTarget) and target.pixels.sum() > 4
    module = adapter.module.double()
    try:
        tensor = made.evidence.tensor.double().requires_grad_()
        (gradient,) = torch.autograd.grad(adapter.scalar(adapter.run(tensor), target), tensor)
        step = torch.randn(tensor.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1e-6
        more, less = (float(adapter.scalar(adapter.run(tensor.detach() + one), target)) for one in (step, -step))
        assert float((gradient * step).sum()) == pytest.approx((more - less) / 2, rel=1e-3)
    finally:
        module.float()


def folder_of(kind: str, path: Path) -> Path:
    """A folder of Transformers with a small network of seeded random weights."""
    torch.manual_seed(1)
    if kind == "dpt":
        config = transformers.DPTConfig(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=64,
            patch_size=16,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 16, 16, 16],
            fusion_hidden_size=16,
            is_hybrid=False,
        )
        net = transformers.DPTForDepthEstimation(config)
    else:
        body = transformers.Dinov2Config(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            image_size=70,
            patch_size=14,
            out_indices=[1, 2, 3, 4],
            reshape_hidden_states=False,
            apply_layernorm=True,
        )
        config = transformers.DepthAnythingConfig(
            backbone_config=body,
            patch_size=14,
            reassemble_hidden_size=32,
            neck_hidden_sizes=[8, 16, 16, 16],
            fusion_hidden_size=16,
            head_hidden_size=8,
        )
        net = transformers.DepthAnythingForDepthEstimation(config)
    # They end in a ReLU, of which random weights are on either side.
    for part in net.head.modules():
        if isinstance(part, nn.Conv2d):
            last = part
    nn.init.constant_(last.bias, 5.0)
    net.save_pretrained(path)
    side = 64 if kind == "dpt" else 70
    transformers.DPTImageProcessor(size={"height": side, "width": side}).save_pretrained(path)
    return path


@pytest.mark.parametrize("kind", ["dpt", "anything"])
def test_transformers_depth_networks_open_by_folder(kind: str, tmp_path: Path) -> None:
    folder = folder_of(kind, tmp_path / kind)
    draft = inspect_model(folder)
    assert draft is not None and draft.table["task"] == "regress"
    explainer = Explainer(folder)
    made = explainer(PICTURE, at=(20, 30))
    net = transformers.AutoModelForDepthEstimation.from_pretrained(folder).eval()
    pictures = transformers.AutoImageProcessor.from_pretrained(folder)(Pillow.fromarray(PICTURE), return_tensors="pt")
    with torch.no_grad():
        expected = net(**pictures).predicted_depth
    np.testing.assert_allclose(made.evidence.outputs.logits[:, 0].detach(), expected, atol=1e-4)
    assert made.predictions[0].label == "depth" and made.heatmaps[0].state == "ok"
    assert made.depth is not None and np.isfinite(made.depth).all()
