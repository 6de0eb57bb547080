"""Where layers lie in a picture holds for its size, for what is in it, and for the model as it is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.picture.image import load_bundled

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


def crop_foreground(x: Tensor) -> Tensor:
    """Cut off what is black, and resize the rest."""
    kept = x[0].amax(0) > 0.05
    rows, columns = kept.any(1).nonzero().flatten(), kept.any(0).nonzero().flatten()
    return F.interpolate(x[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], (128, 128))


def crop_alone(x: Tensor) -> Tensor:
    kept = x[0].amax(0) > 0.05
    rows, columns = kept.any(1).nonzero().flatten(), kept.any(0).nonzero().flatten()
    return x[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def face_left(x: Tensor) -> Tensor:
    """Mirror a picture whose right half is brighter, as mammograms are."""
    half = x.shape[3] // 2
    return x.flip(3) if x[..., half:].sum() > x[..., :half].sum() else x


def zoom(x: Tensor) -> Tensor:
    """Resize the window around what is bright, as spatial transformers do."""
    weights = x[0].mean(0)
    y, x0 = ((weights.sum(1 - axis) @ torch.linspace(-1, 1, weights.shape[axis])) / weights.sum() for axis in (0, 1))
    theta = torch.tensor([[0.6, 0, float(x0) / 2], [0, 0.6, float(y) / 2]])[None]
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


CONTENT = {
    "crop to the foreground": (crop_foreground, (24, 40, 48, 16)),
    "crop without resizing": (crop_alone, (24, 40, 48, 16)),
    "face left": (face_left, (0, 0, 64, 0)),
    "zoom": (zoom, (30, 0, 40, 0)),
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


def views_of(x: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    return {}


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "mirror": lambda x: torch.cat([x, x.flip(3)]),
    "frames": lambda x: x.repeat(3, 1, 1, 1),
    "tiles": lambda x: x.unfold(2, 64, 64).unfold(3, 64, 64).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 64, 64),
    "five crops": lambda x: torch.cat([x[..., :96, :96], x[..., :96, 32:], x[..., 32:, :96], x[..., 32:, 32:], x[..., 16:112, 16:112]]),
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
