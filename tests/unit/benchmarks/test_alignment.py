"""Where cells look: by arithmetic and measured, on networks whose places are known by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.alignment import run
from benchmarks.alignment.centres import Places, by_arithmetic, by_dot, by_gradient
from benchmarks.alignment.gains import interval, redrawn
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.models.adapter import Target
from sightglass.models.families.efficientnet_lite import conv
from sightglass.models.geometry import Geometry
from sightglass.models.layers import Layer


def net(*windows: nn.Conv2d, side: int) -> tuple[Any, list[Layer], torch.Tensor]:
    """Return an adapter of convolutions that average what they see, its last layer, and an input of noise."""
    module = nn.Sequential(*windows).requires_grad_(False)
    for one in windows:
        one.weight[:] = (one.weight != 0).float()
    given = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    layer = Layer(str(len(windows) - 1), tuple(module(given).shape[1:]))
    return SimpleNamespace(module=module, run=module), [layer], given


def halving(size: int, side: int) -> nn.Conv2d:
    """Return one of EfficientNet-Lite's own, whose extra row and column of zeros stand for TensorFlow's padding."""
    made = conv(1, 1, size, halves=side)
    if made.kernel_size[0] > size:
        with torch.no_grad():
            made.weight[..., 0, :] = made.weight[..., :, 0] = 0
    return made


@pytest.mark.parametrize(
    ("windows", "side", "places"),
    [
        ([nn.Conv2d(1, 1, 3, 2, 1, bias=False)], 32, Places(0.5, 2)),
        ([nn.Conv2d(1, 1, 3, 2, 1, bias=False) for _ in range(3)], 64, Places(0.5, 8)),
        ([nn.Conv2d(1, 1, 3, 1, 1, bias=False)], 32, Places(0.5, 1)),
        ([halving(3, 32)], 32, Places(1.5, 2)),
        ([halving(5, 32)], 32, Places(1.5, 2)),
        ([halving(3, 30), halving(3, 15)], 30, Places(1.5, 4)),
    ],
    ids=["padding 1", "three of them", "stride 1", "TensorFlow", "TensorFlow, 5", "15 cells to 8"],
)
def test_cells_look_where_strides_and_paddings_say(windows, side, places):
    adapter, layers, given = net(*windows, side=side)
    ((rows, columns),) = by_arithmetic(adapter, given, layers).values()
    assert rows == columns == places
    (measured,) = by_gradient(adapter, given, layers).values()
    cells = layers[0].shape[1]
    # The grid of 8 cells is uneven: its middle is where 15 cells have theirs, and it is 32 pixels long on 30.
    assert measured == pytest.approx([places.offset(side, cells)] * 2, abs=0.03)
    assert places.offset(side, cells) == pytest.approx((places.first - side / cells / 2) * cells / side, abs=0.3)


def test_a_planted_dot_finds_the_offset_too():
    adapter, layers, given = net(*(nn.Conv2d(1, 1, 3, 2, 1, bias=False) for _ in range(3)), side=128)
    (found,) = by_dot(adapter, given, layers).values()
    assert found[:, 0] == pytest.approx([-7 / 16] * 2, abs=0.1)
    assert found[:, 1] == pytest.approx([1, 1], abs=0.1)


def test_a_map_is_redrawn_at_other_places():
    raw = torch.zeros(1, 8, 8)
    raw[0, 3, 4] = 1
    geometry = Geometry((64, 64), (64, 64), (1.0, 1.0), (0.0, 0.0))
    (made,) = heatmaps([raw], [Target(0, "")], method="", layers=("a",), geometry=geometry, scale="own")
    even = Places.even(64, 8)
    assert np.allclose(redrawn(made, (even, even)).at_input, made.at_input, atol=1e-6)
    up = Places(even.first - 8, even.step)
    assert np.allclose(redrawn(made, (up, even)).at_input, np.roll(made.at_input, -8, 0), atol=1e-6)
    wide = Places(-4.0, 10)
    # Cell 4 at -4 + 4 * 10 pixels.
    assert redrawn(made, (even, wide)).at_input.max(0).argmax() in (35, 36)


def test_layers_move_where_centre_and_gain_are_clear_of_zero():
    layer = {"gradient": [(-0.4, -0.5, -0.3), (-0.3, -0.4, -0.2)]}

    def choice(**to_even: tuple[float, float, float]) -> dict[str, Any]:
        return {"to_even": {"measured": to_even}}

    clear, even = (0.04, 0.03, 0.05), (0.0, -0.01, 0.01)
    assert run.moves(layer, choice(hit=even, energy=clear))
    assert not run.moves(layer, choice(hit=(-0.2, -0.3, -0.1), energy=clear))
    assert not run.moves(layer, choice(hit=clear, energy=even))
    assert not run.moves({"gradient": [(-0.4, -0.5, -0.3), (-0.05, -0.06, -0.04)]}, choice(hit=even, energy=clear))
    assert run.moves(layer, choice(deletion=(-0.02, -0.03, -0.01)))
    assert not run.moves(layer, choice(deletion=clear))


def test_an_interval_is_of_the_mean_over_pictures():
    mean, low, high = interval([0.0, 1.0, float("nan"), 0.0, 1.0])
    assert mean == 0.5
    assert 0 <= low < 0.5 < high <= 1
