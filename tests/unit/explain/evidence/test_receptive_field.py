"""What a cell can depend on: a bound that is never too small, against gradients of what it does depend on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sightglass.explain.evidence.layers import receptive_field


def seen(module: nn.Module, depth: int, side: int = 97) -> int:
    """The side of what the middle cell of the layer before `depth` depends on, by its gradient."""
    picture = torch.rand(1, 3, side, side, requires_grad=True)
    out = picture
    for one in list(module)[:depth]:
        out = one(out)
    middle = out.shape[-1] // 2
    out[..., middle, middle].sum().backward()
    rows = picture.grad[0].abs().sum((0, 1)).nonzero()
    return int(rows.max() - rows.min()) + 1


def test_the_bound_is_exact_for_a_chain() -> None:
    torch.manual_seed(0)
    chain = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 5),
    )
    for depth, path in enumerate("0123", 1):
        assert receptive_field(chain, path) == seen(chain, depth)


@pytest.mark.parametrize(("path", "field"), [("stem", 3), ("branch.0", 5), ("branch", 7), ("far", 11)])
def test_inner_layers_count_up_to_where_they_end(path: str, field: int) -> None:
    net = nn.Module()
    net.stem = nn.Conv2d(3, 3, 3)
    net.branch = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    net.far = nn.Conv2d(3, 3, 5)
    assert receptive_field(net, path) == field
