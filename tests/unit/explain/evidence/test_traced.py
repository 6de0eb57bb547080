"""Where autograd's graph shows a grid is where gradients of its cells are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.explain.evidence.traced import Traced, trace

SIZE = (48, 60)


class Gated(nn.Module):
    """Weighs channels by their means, as squeeze and excitation does."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + x.mean((2, 3), keepdim=True).flatten(1).sigmoid().unflatten(1, (-1, 1, 1)))


class Branches(nn.Module):
    """Puts channels of several parts beside each other, or adds them up."""

    def __init__(self, *parts: nn.Module, adds: bool = False) -> None:
        super().__init__()
        self.parts, self.adds = nn.ModuleList(parts), adds

    def forward(self, x: Tensor) -> Tensor:
        outputs = [part(x) for part in self.parts]
        return outputs[0] + outputs[1] if self.adds else torch.cat(outputs, 1)


class Do(nn.Module):
    """Runs a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def conv(out: int, kernel: int, *, inside: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inside, out, kernel, **options)


def turned_linear(x: Tensor) -> Tensor:
    """Mix channels by a linear layer with the channels last."""
    weights = torch.full((4, x.shape[1]), 0.5)
    return F.linear(x.permute(0, 2, 3, 1), weights).permute(0, 3, 1, 2)


def sampled(*theta: float, aligns: bool = False) -> nn.Module:
    """Read the picture at the places of an affine map, as a spatial transformer does."""
    rows = torch.tensor(theta).view(1, 2, 3)

    def read(x: Tensor) -> Tensor:
        grid = F.affine_grid(rows, [1, x.shape[1], 30, 40], align_corners=aligns)
        return F.grid_sample(x, grid, align_corners=aligns)

    return Do(read)


STEPS: dict[str, Callable[[], list[nn.Module]]] = {
    "unpadded": lambda: [conv(4, 3), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 5, inside=4)],
    "parts": lambda: [Do(lambda x: x.chunk(3, 3)[1].split([20, 28], 2)[1]), conv(4, 3), nn.ReLU()],
    "part": lambda: [Do(lambda x: x.chunk(3, 3)[2])],
    "zoomed": lambda: [sampled(0.5, 0, 0.25, 0, 0.4, -0.1), conv(4, 3, padding=1)],
    "zoomed and mirrored": lambda: [sampled(-0.5, 0, 0.25, 0, 0.4, -0.1, aligns=True), conv(4, 3)],
    "unpadded strides": lambda: [conv(4, 3, stride=2), nn.ReLU(), conv(4, 5, inside=4, stride=2)],
    "valid": lambda: [conv(4, 3, padding="valid"), nn.AvgPool2d(3, 1), conv(4, 3, inside=4, stride=2)],
    "dilation": lambda: [conv(4, 3, dilation=3), nn.ReLU(), conv(4, 3, inside=4, padding=1)],
    "other padding": lambda: [conv(4, 5, padding=1, stride=3)],
    "tensorflow's padding": lambda: [Do(lambda x: F.pad(x, (0, 1, 0, 1))), conv(4, 3, stride=2)],
    "pooling": lambda: [conv(4, 3), nn.AvgPool2d(3, 2), conv(4, 3, inside=4), nn.AvgPool2d(2)],
    "transposed": lambda: [conv(4, 3, stride=2), nn.ConvTranspose2d(4, 4, 4, 2, 1), conv(4, 3, inside=4)],
    "margin": lambda: [nn.ZeroPad2d((5, 0, 0, 2)), conv(4, 4, stride=4)],
    "reflected": lambda: [nn.ReflectionPad2d((3, 1, 2, 0)), conv(4, 3)],
    "cut": lambda: [Do(lambda x: x[:, :, 3:-5, -40:]), conv(4, 3, stride=2)],
    "every second": lambda: [conv(4, 3), Do(lambda x: x[..., ::2, 1::2])],
    "mirrored": lambda: [Do(lambda x: x.flip(3)), conv(4, 3, stride=2)],
    "upside down, turned back": lambda: [Do(lambda x: x.flip(2)), conv(4, 3), Do(lambda x: x.flip(2))],
    "resized": lambda: [conv(4, 3), nn.Upsample((31, 20), mode="bilinear"), conv(4, 3, inside=4)],
    "corners": lambda: [nn.Upsample((24, 31), mode="bilinear", align_corners=True), conv(4, 3)],
    "shuffled": lambda: [conv(4, 3), nn.PixelUnshuffle(2), conv(4, 1, inside=16), nn.PixelShuffle(2)],
    "channels last": lambda: [conv(4, 3, stride=2), Do(turned_linear), nn.ReLU()],
    "gated": lambda: [conv(4, 3, stride=2), Gated(), conv(4, 3, inside=4)],
    "flattened": lambda: [conv(4, 3), Do(lambda x: (x.flatten(2) * 2).unflatten(2, x.shape[2:]))],
    "branches": lambda: [Branches(conv(4, 3), nn.Sequential(conv(4, 5), nn.ZeroPad2d(1))), conv(4, 3, inside=8)],
    "shortcut": lambda: [Branches(conv(4, 3), conv(4, 3), adds=True)],
    "blue first": lambda: [
        Do(lambda x: x[:, [2, 1, 0]]),
        conv(4, 3),
        Do(lambda x: x.index_select(1, torch.tensor([3]))),
    ],
    "stacked": lambda: [conv(4, 3), Do(lambda x: torch.stack([x, x * 2], 2).flatten(1, 2)), conv(4, 1, inside=8)],
    "parts of channels": lambda: [conv(4, 3), Do(lambda x: torch.cat([*x.chunk(2, 1)][::-1], 1)), nn.ReLU()],
}


UNEVEN = ("resized", "gated", "transposed", "shuffled")
"""Those of which each cell reads a little more on another side, or all of the input."""


def traced(net: nn.Module) -> tuple[Tensor, Tensor, Traced]:
    """Return an input, a network's output for it, and what the graph shows of that."""
    torch.manual_seed(0)
    pixels = (0.5 + torch.rand(1, 3, *SIZE)).requires_grad_()
    source = pixels * 1
    output = net(source)
    return pixels, output, trace({"last": output}, source)


@pytest.mark.parametrize("name", STEPS)
def test_cells_are_where_their_gradients_are(name: str) -> None:
    """The middle of a cell is the centroid of what it reads, by plain autograd."""
    net = nn.Sequential(*STEPS[name]()).eval()
    with torch.no_grad():
        for weights in net.parameters():
            weights.fill_(1 / 64)
    pixels, output, shown = traced(net)
    (down, across), sides = shown.covers["last"], output.shape[2:]
    for cell in [(sides[0] // 2, sides[1] // 2), (sides[0] // 2 + 1, sides[1] // 3 + 1)]:
        (slope,) = torch.autograd.grad(output[0, :, cell[0], cell[1]].sum(), pixels, retain_graph=True)
        shares = slope.abs().sum((0, 1))
        for axis, (scale, start) in enumerate((down, across)):
            line = shares.sum(1 - axis)
            middle = float(line @ (torch.arange(len(line)) + 0.5) / line.sum())
            expected = ((cell[axis] + 0.5) / sides[axis] - start) / scale * SIZE[axis]
            assert expected == pytest.approx(middle, abs=0.51 if name in UNEVEN else 0.01)


TURN = (0.966, -0.259, 0.0, 0.259, 0.966, 0.0)
"""By 15 degrees."""


@pytest.mark.parametrize("theta", [TURN, (0.0, -1.0, 0.0, 1.0, 0.0, 0.0), (0.4, 0.1, 0.2, -0.3, 0.5, 0.1)])
@pytest.mark.parametrize("aligns", [False, True])
def test_cells_of_turned_pictures_are_where_their_gradients_are(theta: tuple[float, ...], aligns: bool) -> None:
    net = nn.Sequential(nn.AvgPool2d(2), sampled(*theta, aligns=aligns), conv(2, 3), nn.AvgPool2d(2))
    with torch.no_grad():
        net[2].weight.fill_(1 / 9)
    pixels, output, shown = traced(net)
    cover, frame = np.array(shown.covers["last"]), np.array(shown.frames["last"])
    for cell in [(7, 9), (5, 8)]:
        (slope,) = torch.autograd.grad(output[0, :, cell[0], cell[1]].sum(), pixels, retain_graph=True)
        shares = slope.abs().sum((0, 1)).double().numpy()
        middle = [np.average(np.arange(n) + 0.5, weights=shares.sum(1 - axis)) / n for axis, n in enumerate(SIZE)]
        y, x = 2 * (((np.array(cell) + 0.5) / output.shape[2:]) - cover[:, 1]) / cover[:, 0] - 1
        found = (frame @ (x, y, 1) + 1) / 2
        assert found[::-1] == pytest.approx(np.array(middle), abs=0.005)


def test_bent_pictures_have_no_rows() -> None:
    def bend(x: Tensor) -> Tensor:
        grid = F.affine_grid(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid * grid.abs(), align_corners=False)

    assert traced(nn.Sequential(Do(bend), conv(3, 3), nn.ReLU()))[2] == Traced(turned={"last"})


class Localised(nn.Module):
    """Reads the picture where a network of its own says: a spatial transformer (Jaderberg et al. 2015)."""

    def __init__(self, *theta: float) -> None:
        super().__init__()
        self.find = nn.Linear(3, 6)
        nn.init.zeros_(self.find.weight)
        self.find.bias.data = torch.tensor(theta)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.find(x.mean((2, 3))).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


def test_places_that_depend_on_the_picture_are_said_to_vary() -> None:
    assert traced(nn.Sequential(Localised(*TURN), conv(3, 3)))[2].varies
    shown = traced(nn.Sequential(Localised(0.5, 0, 0, 0, 0.5, 0), nn.ReLU()))[2]
    assert np.array(shown.covers["last"]) == pytest.approx(np.array([(2.0, -0.5), (2.0, -0.5)]))
    assert shown.varies


@pytest.mark.parametrize(
    ("step", "is_mixed"),
    [
        pytest.param(lambda x: x.roll(3, 3), False, id="rolled"),
        pytest.param(lambda x: x + x.flip(3), True, id="with its mirror image"),
        pytest.param(lambda x: torch.cat([x, x.flip(2)], 1), True, id="beside its mirror image"),
        pytest.param(lambda x: torch.cat([x, x.flip(2)]).mean(0, keepdim=True), True, id="mean of two views"),
        pytest.param(lambda x: x[..., :20] * x[..., 20:40], True, id="two halves over each other"),
        pytest.param(lambda x: x.flatten(2)[..., torch.randperm(x[0, 0].numel())].view_as(x), False, id="in any order"),
        pytest.param(lambda x: (x.mT @ x)[..., :40, :40], False, id="a product of two maps"),
        pytest.param(lambda x: torch.cat([x[..., :20], x[..., 20:]], 3), False, id="two halves"),
    ],
)
def test_what_the_graph_does_not_show(step: Callable[[Tensor], Tensor], is_mixed: bool) -> None:
    shown = traced(nn.Sequential(conv(3, 3), Do(step), nn.ReLU()))[2]
    assert shown == Traced(mixed={"last"} if is_mixed else set())


def test_branches_of_other_strides_by_rounding() -> None:
    """What was made coarser and finer again has other cells where the sizes are odd: less than one aside."""
    coarse = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.Upsample((15, 15), mode="bilinear"))
    joined = nn.Sequential(nn.AdaptiveAvgPool2d(15), Branches(nn.Identity(), coarse))
    assert not traced(joined)[2].mixed
    added = nn.Sequential(nn.AdaptiveAvgPool2d(15), Branches(nn.Identity(), coarse, adds=True))
    (down, across) = traced(added)[2].covers["last"]
    # The coarse branch's 8 cells of two each are stretched over 16 of 15: the mean of both lies half as far beside.
    assert (down, across) == (pytest.approx((0.9677, 0), abs=1e-3),) * 2


def test_strides_with_full_padding_lie_evenly() -> None:
    """As all tools draw them; by the arithmetic cells are up to half a one aside."""
    layers = [conv(4, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1), conv(4, 3, inside=4, stride=3, padding=1)]
    assert traced(nn.Sequential(*layers))[2].covers == {"last": ((1.0, 0.0), (1.0, 0.0))}
