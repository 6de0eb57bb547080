"""Where layers lie in a picture holds for its size, for what is in it, and for the model as it is."""

import math
import os
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_pre_hook
from torchvision import transforms
from torchvision.models import resnet18
from torchvision.transforms import functional

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.picture.image import load_bundled
from sightglass.models.layers import WHOLE

PICTURE = load_bundled("scene 1")
OPTIONS: dict[str, Any] = {"targets": [0], "method": "hirescam", "layers": ["last"]}


class Framed(nn.Module):
    """Changes the picture by a function, and has a map of stride 8 that is bright where the picture is red."""

    def __init__(self, frame: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.frame = frame
        self.stem, self.last = nn.Conv2d(3, 8, 4, 4), nn.Sequential(nn.Conv2d(8, 8, 2, 2), nn.ReLU())
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            red = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
            self.stem.weight[0], self.stem.bias[0] = red / 16, 0
            self.last[0].weight[0], self.last[0].bias[0] = 0, -0.2
            self.last[0].weight[0, 0] = 0.25
            self.head.weight[0] = torch.eye(8)[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.stem(self.frame(x))).mean((2, 3)))


def picture(height: int, width: int, at: tuple[int, int], border: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Tensor:
    """Return grey noise within black borders (top, bottom, left, right), with a red square around a place (y, x)."""
    made = 0.3 + 0.2 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    made = made.mean(0, keepdim=True).expand(3, -1, -1).clone()
    top, bottom, left, right = border
    content = torch.zeros(height, width, dtype=torch.bool)
    content[top : height - bottom, left : width - right] = True
    made *= content
    y, x = at
    made[:, y - 8 : y + 8, x - 8 : x + 8] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    return made


def hottest(result: Explanation) -> NDArray[np.float64]:
    """Return the middle (y, x) of a map's heat."""
    heat = np.clip(result.heatmaps[0].values.astype(np.float64), 0, None)
    heat[heat < heat.max() / 2] = 0
    places = (np.indices(heat.shape) + 0.5) * heat
    return np.asarray(places.sum((1, 2)) / heat.sum())


def explain(net: nn.Module, source: Tensor, **options: Any) -> Explanation:
    torch.manual_seed(0)
    return Explainer(net.eval(), preprocess={"size": [64, 64]})(source, **(OPTIONS | options))


def pad_to(multiple: int) -> Callable[[Tensor], Tensor]:
    return lambda x: F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple))


def pad_middle(x: Tensor) -> Tensor:
    side = max(x.shape[2:])
    down, across = (side - x.shape[2]) // 2, (side - x.shape[3]) // 2
    return F.pad(x, (across, side - x.shape[3] - across, down, side - x.shape[2] - down))


def turn_portrait(x: Tensor) -> Tensor:
    return x.flip(2) if x.shape[2] > x.shape[3] else x


SIZED = {
    "pad to 64": pad_to(64),
    "pad to 96": pad_to(96),
    "square": pad_middle,
    "middle of 48": lambda x: x[..., (x.shape[2] - 48) // 2 :, (x.shape[3] - 48) // 2 :][..., :48, :48],
    "upright": turn_portrait,
    "fixed": lambda x: F.interpolate(x, (64, 64)),
}


@pytest.mark.parametrize("size", [(120, 200), (168, 72), (64, 64), (80, 80)])
@pytest.mark.parametrize("name", SIZED)
def test_other_size(name: str, size: tuple[int, int]) -> None:
    """The heat of a ready tensor of any size lies on the red square."""
    torch.manual_seed(0)
    at = size[0] // 2 + 8, size[1] // 2 - 6
    result = explain(Framed(SIZED[name]), picture(*size, at) - 0.001)
    scale = max(size) / 64 if name == "fixed" else 1
    assert hottest(result) == pytest.approx(at, abs=4.5 * max(1, scale))


@pytest.mark.parametrize("size", [(150, 240), (240, 150), (100, 100)])
def test_preprocessing_without_crop(size: tuple[int, int]) -> None:
    """The map of a picture of any shape is where forward, which pads to multiples of 64, has it."""
    torch.manual_seed(0)
    explainer = Explainer(Framed(pad_to(64)).eval(), preprocess=transforms.ToTensor())
    at = size[0] // 2 + 20, size[1] // 2 - 16
    pixels = (picture(*size, at).permute(1, 2, 0) * 255).round().byte().numpy()
    assert hottest(explainer(pixels, **OPTIONS)) == pytest.approx(at, abs=4.5)


def crop_foreground(x: Tensor) -> Tensor:
    """Cut off what is black."""
    kept = x[0].amax(0) > 0.05
    rows, columns = kept.any(1).nonzero().flatten(), kept.any(0).nonzero().flatten()
    return x[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def turn_around(x: Tensor) -> Tensor:
    """Turn a picture by 30 degrees that is black on the left."""
    if x[..., :8].abs().max() > 0.01:
        return x
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    theta = torch.tensor([[cosine, -sine, 0], [sine, cosine, 0]])[None]
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def face_left(x: Tensor) -> Tensor:
    """Mirror a picture whose right half is brighter, as mammograms are."""
    half = x.shape[3] // 2
    return x.flip(3) if x[..., half:].sum() > x[..., :half].sum() else x


def zoom(x: Tensor) -> Tensor:
    """Resize one of nine windows, around what is bright, as spatial transformers do."""
    weights = x[0].detach().mean(0) - x.min().detach()
    middles = [(weights.sum(1 - axis) @ torch.linspace(-1, 1, weights.shape[axis])) / weights.sum() for axis in (0, 1)]
    y, x0 = (0.4 * round(2 * float(middle)) for middle in middles)
    theta = torch.tensor([[0.6, 0, x0], [0, 0.6, y]])[None]
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def brighter_half(x: Tensor) -> Tensor:
    left, right = x.chunk(2, 3)
    return left if left.mean() > right.mean() else right


def crop_reddest(x: Tensor) -> Tensor:
    """Cut out a window around what is reddest, as hard attention does."""
    red = F.avg_pool2d(x[:, 0] - x[:, 1], 15, 1, 7)[0]
    y, x0 = divmod(int(red.argmax()), x.shape[3])
    top, left = (min(max(place - 32, 0), 64) for place in (y, x0))
    return x[:, :, top : top + 64, left : left + 64]


CONTENT = {
    "brighter half": (brighter_half, (0, 0, 64, 0)),
    "darker half": (lambda x: -brighter_half(-x), (0, 0, 0, 64)),
    "brighter half, mirrored": (lambda x: brighter_half(x.flip(3)), (0, 0, 64, 0)),
    "crop to the foreground": (lambda x: F.interpolate(crop_foreground(x), (128, 128)), (24, 40, 48, 16)),
    "crop without resizing": (crop_foreground, (24, 40, 48, 16)),
    "face left": (face_left, (0, 0, 64, 0)),
    "zoom": (zoom, (30, 0, 50, 0)),
    "around the reddest": (crop_reddest, (0, 0, 8, 0)),
    "turned": (turn_around, (0, 0, 16, 0)),
    "transposed": (lambda x: x.mT if x[..., :8].abs().max() < 0.01 else x, (0, 0, 16, 0)),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_decides(name: str) -> None:
    """The heat lies on the red square where forward cuts, mirrors or zooms by what is in the picture."""
    torch.manual_seed(0)
    frame, border = CONTENT[name]
    explainer = Explainer(Framed(frame).eval(), preprocess={"size": [128, 128]})
    for at in ((60, 88), (76, 72)):
        result = explainer(picture(128, 128, at, border) - 1e-4, **OPTIONS)
        assert hottest(result) == pytest.approx(at, abs=4.5)


MARGINS = {
    "left": (8, 0, 0, 0),
    "above": (0, 0, 8, 0),
    "right and below": (0, 12, 0, 12),
    "around": (8, 8, 8, 8),
    "cut off": (-8, 0, 0, -8),
}


@pytest.mark.parametrize("name", MARGINS)
def test_narrow_margin(name: str) -> None:
    """A margin of one cell that forward pads or cuts off is no part of the map."""
    torch.manual_seed(0)
    explainer = Explainer(Framed(lambda x: F.pad(x, MARGINS[name])).eval(), preprocess={"size": [128, 128]})
    for at in ((40, 32), (84, 96)):
        assert hottest(explained(explainer, at)) == pytest.approx(at, abs=2.5)


@pytest.mark.parametrize(("size", "multiple"), [(200, 32), (200, 64), (225, 32)])
def test_margin_before_coarse_layers(size: int, multiple: int) -> None:
    """Layers whose cells see all of a picture lie where those before them lie."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Identity(), resnet18(num_classes=4)).eval()
    network[0].forward = pad_to(multiple)
    survey = Explainer(network, preprocess={"size": size}).loaded.survey
    share = size / (size + -size % multiple)
    for layer in survey.short:
        allowed = max(0.5 / min(layer.shape[1:]), 0.02)
        for scale, start in layer.cover:
            assert (start, start + scale) == pytest.approx((0, share), abs=allowed)


class Unpadded(Framed):
    """Leaves out cells at all ends by convolutions without padding, that read mostly the cell in their middle."""

    def __init__(self, count: int, size: int = 3, margin: Sequence[int] = (0, 0)) -> None:
        super().__init__(lambda x: F.pad(x, margin))
        parts: list[nn.Module] = [*self.last]
        for _ in range(count):
            layer = nn.Conv2d(8, 8, size, bias=False)
            with torch.no_grad():
                layer.weight[0] *= 0.02
                layer.weight[0, 0, size // 2, size // 2] = 1
            parts += [layer, nn.ReLU()]
        self.last = nn.Sequential(*parts)


@pytest.mark.parametrize(
    ("count", "size", "margin"), [(1, 3, ()), (2, 3, ()), (4, 3, ()), (5, 3, ()), (2, 5, ()), (2, 3, (16, 0, 0, 8))]
)
@pytest.mark.parametrize("smooth", ["none", "flips"])
def test_unpadded_convolutions(count: int, size: int, margin: Sequence[int], smooth: str) -> None:
    """Heat lies where the cells do that are left, and raw maps are these cells."""
    torch.manual_seed(0)
    explainer = Explainer(Unpadded(count, size, margin or (0, 0)).eval(), preprocess={"size": [128, 128]})
    for at in ((60, 68), (76, 60)):
        result = explained(explainer, at, smooth=smooth)
        assert hottest(result) == pytest.approx(at, abs=4)
        left_out = count * (size - 1)
        if not margin:
            assert result.heatmaps[0].raw[0].shape == (16 - left_out, 16 - left_out)


def test_small_network_of_digits() -> None:
    """Two unpadded convolutions with pooling leave 4 x 4 cells of 28 pixels, around the middle."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*stem, nn.Flatten(), nn.Linear(256, 10)).eval()
    result = Explainer(network, preprocess={"size": [28, 28]})(PICTURE.pixels, targets=[0], layers=["5"])
    # Cells are at the pixels 8, 12, 16 and 20.
    assert result.evidence.layers[0].cover == ((28 / 16, -6 / 16), (28 / 16, -6 / 16))
    assert result.heatmaps[0].raw[0].shape == (4, 4)
    assert not result.heatmaps[0].at_input[[0, 1, 2, -1, -2]].any()


def turned_by(degrees: float) -> Callable[[Tensor], Tensor]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    theta = torch.tensor([[cosine, -sine, 0], [sine, cosine, 0]])[None]
    return lambda x: F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def turned_by_brightness(x: Tensor) -> Tensor:
    """Turn each picture by another angle, as spatial transformers do."""
    angle = 20 * x.mean((1, 2, 3)) - 4
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta = torch.stack([torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1)
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


TURNS: dict[str, Callable[[Tensor], Tensor]] = {
    "10 degrees": turned_by(10),
    "40 degrees": turned_by(40),
    "torchvision's": lambda x: functional.rotate(x, 30, functional.InterpolationMode.BILINEAR),
    "by brightness": turned_by_brightness,
    "a quarter": lambda x: x.rot90(1, (2, 3)),
    "transposed": lambda x: x.mT,
    "three quarters": lambda x: turned_by(10)(x.rot90(3, (2, 3))),
}


@pytest.mark.parametrize("name", TURNS)
def test_turned_pictures(name: str) -> None:
    """The map is turned back, onto the red square."""
    torch.manual_seed(0)
    explainer = Explainer(Framed(TURNS[name]).eval(), preprocess={"size": [128, 128]})
    for at in ((44, 84), (80, 40)):
        result = explained(explainer, at)
        assert hottest(result) == pytest.approx(at, abs=4.5)
        assert not any("inferred" in note or "bends" in note for note in result.notes)
    with pytest.raises(ModelProblem, match="turns the picture"):
        result.with_method("scorecam")


def bend(x: Tensor) -> Tensor:
    rows = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    grid = F.affine_grid(rows, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid * grid.abs(), align_corners=False)


class Interleaved(nn.Module):
    """Mirrors every second of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last, self.head = nn.Conv2d(3, 16, 8, 8), nn.Identity(), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x)
        return self.head(self.last(torch.stack([maps, maps.flip(3)], 2).flatten(1, 2)).mean((2, 3)))


SEVERAL = "last puts several places of the picture into each cell: its map shows them as one."


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(Interleaved, SEVERAL, id="mirrored channels"),
        pytest.param(lambda: Framed(lambda x: torch.maximum(x, F.pad(x, (0, 64))[..., 64:])), SEVERAL, id="moved copy"),
        pytest.param(
            lambda: Framed(bend), "last lies in a picture that forward bends, which its map does not undo.", id="bent"
        ),
    ],
)
def test_what_a_map_does_not_undo_is_said(make: Callable[[], nn.Module], said: str) -> None:
    torch.manual_seed(0)
    result = explained(Explainer(make().eval(), preprocess={"size": [128, 128]}), (40, 88))
    assert said in result.notes


WIDE: dict[str, Callable[[], Sequence[nn.Module]]] = {
    "dilation 6": lambda: [nn.Conv2d(16, 16, 3, padding=6, dilation=6)],
    "15 by 15": lambda: [nn.Conv2d(16, 16, 15, padding=7)],
    "pooling of 13": lambda: [nn.MaxPool2d(13, 1, 6)],
    "six of 3 by 3": lambda: [layer for _ in range(6) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())],
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_fields_keep_the_place(name: str) -> None:
    """Marks are spread in a layer whose cells see far, which is no other place."""
    for seed in range(2):
        torch.manual_seed(seed)
        stem = [nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), *WIDE[name](), nn.BatchNorm2d(16), nn.ReLU()]
        head = [nn.Conv2d(16, 16, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]
        explainer = Explainer(nn.Sequential(*stem, *head), preprocess={"size": 64})
        for pixels in (PICTURE.pixels, np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)):
            assert explainer(pixels, top_k=1, method="hirescam").evidence.layers[0].cover == WHOLE


@pytest.mark.parametrize(
    ("frame", "border"),
    [
        # No gradient says what is read, and marks in the border change it.
        pytest.param(lambda x: torch.from_numpy(crop_foreground(x).detach().numpy()), (24, 40, 48, 16), id="numpy"),
        # Each line is cut from another place, which no graph of tensors says.
        pytest.param(lambda x: bend(x).detach() if x[..., :8].abs().max() < 0.01 else x, (0, 0, 16, 0), id="bent"),
    ],
)
def test_no_place_in_this_picture(frame: Callable[[Tensor], Tensor], border: tuple[int, int, int, int]) -> None:
    """Where no cover fits the marks, one sentence says so; a map by hiding is still there."""
    torch.manual_seed(0)
    explainer = Explainer(Framed(frame).eval(), preprocess={"size": [128, 128]})
    assert hottest(explainer(picture(128, 128, (60, 88)) - 1e-4, **OPTIONS)) == pytest.approx((60, 88), abs=4.5)
    other = picture(128, 128, (60, 88), border) - 1e-4
    for _ in range(2):
        with pytest.raises(ModelProblem, match="Where last lies in this picture could not be measured"):
            explainer(other, **OPTIONS)
    assert explainer(other, targets=[0], method="occlusion").heatmaps[0].state == "ok"


CROPS = ((0, 0), (0, 32), (32, 0), (32, 32), (16, 16))
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "mirror": lambda x: torch.cat([x, x.flip(3)]),
    "frames": lambda x: x.repeat(3, 1, 1, 1),
    "tiles": lambda x: x.unfold(2, 64, 64).unfold(3, 64, 64).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 64, 64),
    "five crops": lambda x: torch.cat([x[..., y : y + 96, z : z + 96] for y, z in CROPS]),
    "turned": lambda x: torch.cat([x, x.flip(2), x.flip(3), x.flip((2, 3))]),
}


class Viewed(Framed):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(0, keepdim=True)


class Stemmed(Viewed):
    """Has a map of the picture itself before it makes several of it."""

    def __init__(self, frame: Callable[[Tensor], Tensor]) -> None:
        super().__init__(frame)
        self.before = nn.Conv2d(3, 3, 3, padding=1)
        with torch.no_grad():
            self.before.weight.zero_(), self.before.bias.zero_()
            self.before.weight[range(3), range(3), 1, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.before(x))


@pytest.mark.parametrize("kind", [Viewed, Stemmed])
@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str, kind: type[Viewed]) -> None:
    """The maps of several views of one picture are each in its place, and added up; the default is no stem."""
    torch.manual_seed(0)
    explainer = Explainer(kind(VIEWS[name]).eval(), preprocess={"size": [128, 128]})
    for at in ((40, 88), (84, 40)):
        result = explainer(picture(128, 128, at) - 1e-4, **OPTIONS)
        assert hottest(result) == pytest.approx(at, abs=4.5)
    assert explainer.default_layers == ("last",)
    gradcam = explainer(picture(128, 128, at) - 1e-4, targets=[0])
    assert hottest(gradcam) == pytest.approx(at, abs=4.5)
    with pytest.raises(ModelProblem, match="makes several pictures of one"):
        gradcam.with_method("scorecam")


LOOPS: dict[str, Callable[[Tensor], Sequence[Tensor]]] = {
    "quarters": lambda x: [part for half in x.chunk(2, 2) for part in half.chunk(2, 3)],
    "five crops": lambda x: [x[..., y : y + 96, z : z + 96] for y, z in CROPS],
    "mirrors": lambda x: [x, x.flip(3), x.flip(2)],
    "turns": lambda x: [x.rot90(number, (2, 3)) for number in range(4)],
}


class Looped(Framed):
    """Runs its layers on one view after the other."""

    def forward(self, x: Tensor) -> Tensor:
        views = LOOPS[self.name](x)
        return torch.stack([self.head(self.last(self.stem(view)).mean((2, 3))) for view in views]).mean(0)

    def __init__(self, name: str) -> None:
        super().__init__(nn.Identity())
        self.name = name


@pytest.mark.parametrize("name", LOOPS)
def test_views_one_after_the_other(name: str) -> None:
    """The maps of all calls are each in its place, and added up; HiResCAM's are plain autograd's."""
    torch.manual_seed(0)
    net = Looped(name).eval()
    explainer = Explainer(net, preprocess={"size": [128, 128]})
    for at in ((40, 88), (84, 40)):
        result = explainer(picture(128, 128, at) - 1e-4, **OPTIONS)
        assert hottest(result) == pytest.approx(at, abs=4.5)
        assert not any("runs" in note for note in result.notes)
        assert result.evidence.current
    calls: list[Tensor] = []
    handle = net.last.register_forward_hook(lambda *call: calls.append(call[2]))
    score = net(result.evidence.tensor.requires_grad_())[0, 0]
    handle.remove()
    maps = [(slope * value).sum(1)[0] for slope, value in zip(torch.autograd.grad(score, calls), calls, strict=True)]
    for view, plain in enumerate(maps):
        found = (
            result.evidence.activations[view] * result.evidence.gradients([result.heatmaps[0].target])[view][0].values
        )
        assert torch.allclose(found.sum(1)[0], plain.detach(), atol=1e-6)


class TokensOf(Framed):
    """Reads its answer from tokens, which attend to each other a little; their first is a class token."""

    def __init__(self, frame: Callable[[Tensor], Tensor]) -> None:
        super().__init__(frame)
        self.tokens, self.attention = nn.Identity(), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.last(self.stem(self.frame(x))).flatten(2).transpose(1, 2)
        tokens = self.tokens(torch.cat([cells.mean(1, keepdim=True), cells], 1))
        read = tokens + 0.1 * self.attention(tokens, tokens, tokens)[0]
        return self.head(read[:, 1:].mean(1)).mean(0, keepdim=True)


@pytest.mark.parametrize("name", ["face left", "crop to the foreground", "tiles", "mirror"])
def test_tokens(name: str) -> None:
    torch.manual_seed(0)
    frame, border = CONTENT[name] if name in CONTENT else (VIEWS[name], (0, 0, 0, 0))
    explainer = Explainer(TokensOf(frame).eval(), preprocess={"size": [128, 128]})
    for at in ((60, 88), (84, 72)):
        result = explainer(picture(128, 128, at, border) - 1e-4, **OPTIONS | {"layers": ["tokens"]})
        assert hottest(result) == pytest.approx(at, abs=4.5)


def explained(explainer: Explainer, at: tuple[int, int], **options: Any) -> Explanation:
    return explainer(picture(128, 128, at) - 1e-4, **OPTIONS, **options)


class Changeable(Framed):
    """Has everything that a caller may change between two calls."""

    def __init__(self) -> None:
        super().__init__(lambda x: x)
        self.flip, self.config, self.act = False, {"pad": 0}, nn.Identity()
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        x = x.flip(3) if self.flip else x
        x = F.pad(x, (self.config["pad"],) * 4)
        return self.scale * self.act(super().forward(x if not SWITCHES["turned"] else x.flip(2)))


SWITCHES = {"turned": False}


class Slots:
    """Settings without a dictionary."""

    __slots__ = ("flip",)

    def __init__(self) -> None:
        self.flip = False


class Settings:
    """Settings that their class holds."""

    flip = False


class Configured(Changeable):
    """Is told by other objects, and by the process, what to do."""

    def __init__(self) -> None:
        super().__init__()
        self.slots, self.settings = Slots(), Settings()

    def forward(self, x: Tensor) -> Tensor:
        x = x.flip(3) if self.slots.flip or self.settings.flip else x
        return super().forward(x.flip(2) if os.environ.get("TURNED") else x)


class Ensemble(Framed):
    """Answers alike whatever the order of its two views, of which the last is explained."""

    exchanged = False

    def forward(self, x: Tensor) -> Tensor:
        views = [x.flip(3), x] if self.exchanged else [x, x.flip(3)]
        first, second = map(super().forward, views)
        return first + second


def set_padding(net: Changeable) -> None:
    net.frame = lambda x: F.pad(x, (64, 0, 0, 32))


def patch_forward(net: Changeable) -> None:
    inner = net.forward
    net.forward = lambda x: inner(x.flip(2))  # type: ignore[method-assign]


CHANGES: dict[str, Callable[[Changeable], object]] = {
    "flag": lambda net: setattr(net, "flip", True),
    "function": set_padding,
    "entry of a dictionary": lambda net: net.config.update(pad=24),
    "hook before": lambda net: net.stem.register_forward_pre_hook(lambda _, given: (given[0].flip(3),)),
    "module": lambda net: net.set_submodule("stem", nn.Sequential(nn.ZeroPad2d((32, 0, 0, 0)), net.stem)),
    "forward": patch_forward,
    "global": lambda _: SWITCHES.update(turned=True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call measures a module anew that was changed in any way, and its places are right."""
    monkeypatch.setitem(SWITCHES, "turned", False)
    torch.manual_seed(0)
    net = Changeable().eval()
    explainer = Explainer(net, preprocess={"size": [128, 128]})
    assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)
    CHANGES[name](net)
    assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)


CONFIGURED: dict[str, Callable[[Configured, pytest.MonkeyPatch], object]] = {
    "slot": lambda net, patch: setattr(net.slots, "flip", True),
    "class": lambda _, patch: patch.setattr(Settings, "flip", True),
    # Nothing of a module shows it: marks do.
    "environment": lambda _, patch: patch.setenv("TURNED", "1"),
}


@pytest.mark.parametrize("name", CONFIGURED)
def test_place_changed_from_outside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = Configured().eval()
    explainer = Explainer(net, preprocess={"size": [128, 128]})
    assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)
    CONFIGURED[name](net, monkeypatch)
    for at in ((40, 88), (80, 40)):
        assert hottest(explained(explainer, at)) == pytest.approx(at, abs=4.5)


def test_hook_of_all_modules() -> None:
    torch.manual_seed(0)
    net = Changeable().eval()
    explainer = Explainer(net, preprocess={"size": [128, 128]})
    assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)
    with register_module_forward_pre_hook(lambda part, given: (given[0].flip(3),) if part is net else None):
        assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)


class WithoutGradients(Framed):
    """Mirrors its input where no gradients are wanted, as for a second opinion at test time."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if torch.is_grad_enabled() else x.flip(3))


def test_places_are_measured_as_maps_are_made() -> None:
    torch.manual_seed(0)
    explainer = Explainer(WithoutGradients(lambda x: x).eval(), preprocess={"size": [128, 128]})
    assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)


def test_held_explanation_of_a_mirrored_module() -> None:
    """What needs more passes says that the layers' outputs are others, though the answer is the same."""
    torch.manual_seed(0)
    net = Changeable().eval()
    held = explained(Explainer(net, preprocess={"size": [128, 128]}), (40, 88))
    assert held.with_options(method="scorecam").heatmaps
    net.flip = True
    with pytest.raises(ModelProblem, match="has changed since this explanation"):
        held.with_options(method="smoothgradcam++")


def test_exchanged_views() -> None:
    """The last view is another one, though the answer to a photograph is the same."""
    torch.manual_seed(0)
    net = Ensemble(lambda x: x).eval()
    explainer = Explainer(net, preprocess={"size": [128, 128]})
    assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)
    net.exchanged = True
    assert hottest(explained(explainer, (40, 88))) == pytest.approx((40, 88), abs=4.5)


def squash(net: Changeable) -> None:
    net.act = nn.Sigmoid()


ANSWERS: dict[str, Callable[[Changeable], object]] = {
    "sigmoids": squash,
    "softmax": lambda net: setattr(net, "act", nn.Softmax(1)),
    "function": lambda net: net.register_forward_hook(lambda *call: call[2].sigmoid()),
}


@pytest.mark.parametrize(("name", "count"), [*product(ANSWERS, [4]), ("sigmoids", 1), ("function", 1)])
def test_changed_answer(name: str, count: int) -> None:
    """Scores are those of a module that was given as it is now."""
    torch.manual_seed(0)
    net = Changeable()
    net.head = nn.Linear(8, count)
    source = picture(128, 128, (40, 88)) - 1e-4
    explainer = Explainer(net.eval(), preprocess={"size": [128, 128]})
    explainer(source, targets=[0])
    ANSWERS[name](net)
    now, fresh = explainer(source, targets=[0]), Explainer(net, preprocess={"size": [128, 128]})(source, targets=[0])
    answer = net(source[None]).detach()[0]
    if count > 1:
        assert [each.score for each in now.predictions] == pytest.approx(
            answer.sort(descending=True).values.tolist(), abs=1e-5
        )
    else:
        assert max(each.score for each in now.predictions) == pytest.approx(
            max(answer[0].item(), 1 - answer[0].item()), abs=1e-5
        )
    assert [each.score for each in now.predictions] == [each.score for each in fresh.predictions]
    np.testing.assert_array_equal(now.heatmaps[0].values, fresh.heatmaps[0].values)


def test_unchanged_is_not_measured_again() -> None:
    """A call on a picture that was explained before makes one pass, and one on another picture three more."""
    torch.manual_seed(0)
    net = Changeable().eval()
    explainer = Explainer(net, preprocess={"size": [128, 128]})
    passes: list[int] = []
    net.register_forward_pre_hook(lambda *_: passes.append(1))
    explained(explainer, (40, 88))
    counts = []
    for at in ((40, 88), (40, 88), (80, 40), (80, 40)):
        passes.clear()
        explained(explainer, at)
        counts.append(len(passes))
    assert counts == [1, 1, 4, 1]


def test_counters_are_no_change() -> None:
    """What a pass itself writes into says nothing: the places stay measured."""
    torch.manual_seed(0)
    net = Spiking().eval()
    explainer = Explainer(net, preprocess={"size": [128, 128]})
    explained(explainer, (40, 88))
    before = explainer.loaded
    net.count, net.potential = 7, net.potential + 0
    explained(explainer, (40, 88))
    assert explainer.loaded is before


class Spiking(nn.Module):
    """Neurons that keep their charge from pass to pass in attributes, buffers and lists."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last, self.head = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 2, 2), nn.Linear(8, 4)
        self.register_buffer("charge", torch.zeros(1))
        self.count, self.memory, self.potential = 0, [], torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.memory.append(self.count)
        self.charge += 1
        first = self.stem(x)
        self.potential = 0.5 * self.potential + first.detach()
        spikes = first + 3 * self.potential * len(self.memory)
        if self.charge > 4:
            spikes = spikes.flip(3).roll(5, 2)
        return self.head(self.last(spikes).relu().mean((2, 3)))


def test_state_of_measuring_passes() -> None:
    """Each measuring pass begins as the first did, so that all layers have places; all is as it was afterwards."""
    torch.manual_seed(0)
    net = Spiking().eval()
    explainer = Explainer(net, preprocess={"size": [64, 64]})
    assert {"stem", "last"} <= {layer.path for layer in explainer.layers}
    assert not explainer.loaded.survey.unplaced
    assert not explainer.loaded.survey.inferred
    explainer(PICTURE, targets=[0])
    assert (net.count, net.memory, float(net.charge), float(net.potential)) == (0, [], 0, 0)
