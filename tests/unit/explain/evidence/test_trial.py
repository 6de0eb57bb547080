"""Where layers lie in the picture is measured by marks, and the default layer by gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.trial import examine
from sightglass.explain.picture.image import load_bundled

PICTURE = load_bundled("scene 1")
ROW = [*range(64)]


def explainer_of(net: nn.Module, size: tuple[int, int] = (64, 64)) -> Explainer:
    return Explainer(net.eval(), preprocess={"size": list(size)})


class Tokens(nn.Module):
    """Patches of 8 px and four other tokens in any order, one attention, and the mean of the patches."""

    def __init__(self, order: list[int], layout: str, cells: int, width: int) -> None:
        super().__init__()
        self.order, self.layout, self.cells = order, layout, [order.index(cell) for cell in range(cells)]
        self.patch, self.more = nn.Conv2d(3, width, 8, 8), nn.Parameter(torch.randn(1, 4, width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=layout != "sequence")
        self.block, self.head = nn.Identity(), nn.Linear(width, 5)

    def tokens(self, x: Tensor) -> Tensor:
        both = torch.cat([self.patch(x).flatten(2).transpose(1, 2), self.more.expand(len(x), -1, -1)], 1)
        return both[:, self.order].transpose(0, 1) if self.layout == "sequence" else both[:, self.order]

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        if self.layout == "rows":
            return self.head(self.block(tokens.transpose(1, 2) + 0)[..., self.cells].relu().mean(2))
        tokens = self.block(tokens + self.attention(tokens, tokens, tokens)[0])
        tokens = tokens.transpose(0, 1) if self.layout == "sequence" else tokens
        return self.head(tokens[:, self.cells].relu().mean(1))


@pytest.mark.parametrize(
    ("order", "layout", "grid", "width"),
    [
        pytest.param([64, *ROW], "tokens", (8, 8), 16, id="class token first"),
        pytest.param([*ROW[:32], 64, *ROW[32:]], "tokens", (8, 8), 16, id="class token in the middle"),
        pytest.param([*ROW, 64], "tokens", (8, 8), 16, id="class token last"),
        pytest.param([64, *ROW, 65, 66, 67], "tokens", (8, 8), 16, id="registers around"),
        pytest.param([64, 65, 66, 67, *ROW], "tokens", (8, 8), 16, id="thumbnail first"),
        pytest.param([*ROW, 64], "sequence", (8, 8), 16, id="batch second"),
        pytest.param([64, *ROW], "tokens", (4, 16), 16, id="wide"),
        pytest.param([72, *range(72)], "tokens", (12, 6), 16, id="high"),
        pytest.param(ROW, "rows", (8, 8), 64, id="rows of 64 channels"),
        pytest.param(ROW, "rows", (8, 8), 256, id="rows of 256 channels"),
    ],
)
def test_token_order(order: list[int], layout: str, grid: tuple[int, int], width: int) -> None:
    """Cells are gradient times activation, by plain autograd, of the tokens that the network calls those patches."""
    torch.manual_seed(0)
    net = Tokens(order, layout, grid[0] * grid[1], width).eval()
    explainer = explainer_of(net, (8 * grid[0], 8 * grid[1]))
    result = explainer(PICTURE, targets=[0], layers=["block"], method="hirescam")
    recorded: list[Tensor] = []
    net.block.register_forward_hook(lambda *call: recorded.append(call[2].requires_grad_()))
    (slope,) = torch.autograd.grad(net(result.evidence.tensor)[0, 0], recorded)
    expected = (slope * recorded[0]).sum(1 if layout == "rows" else 2).flatten()[net.cells].reshape(grid).detach()
    np.testing.assert_allclose(result.heatmaps[0].raw[0], expected, atol=1e-5 * float(expected.abs().max()))
    if layout != "rows":
        raw = explainer(PICTURE, targets=[0], method="attention").heatmaps[0].raw[0]
        weights = net.attention(*[net.tokens(result.evidence.tensor)] * 3)[1][0].detach()
        np.testing.assert_allclose(raw.ravel(), weights[net.cells].mean(0)[net.cells], atol=1e-5)


class Network(nn.Module):
    """Changes the picture, has a map of stride 8, and changes that; its answer is read from four cells of the last."""

    def __init__(self, frame: Callable[[Tensor], Tensor], mix: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.frame, self.patch, self.mix, self.last = frame, nn.Conv2d(3, 8, 8, 8), mix, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        last = self.last(self.mix(self.patch(self.frame(x))) + 0)
        return last.flatten(1)[:, :5] if last.ndim == 3 else last[:, :5, 3:5, 2:4].sum((2, 3))


@pytest.mark.parametrize(
    ("frame", "middle"),
    [
        # The middle of these cells in the input of 64 px, which is at 32 and 24 of what the convolution takes.
        pytest.param(lambda x: F.pad(x, (16, 16, 16, 16)), (16, 8), id="pad"),
        pytest.param(lambda x: F.interpolate(x[:, :, 16:48, 16:48], (64, 64)), (32, 28), id="resized crop"),
        pytest.param(lambda x: F.interpolate(x, (96, 96))[..., 16:80, 16:80], (32, 27), id="crop after resize"),
        pytest.param(lambda x: x[..., 16:, 32:], (48, 56), id="crop two sides"),
        pytest.param(lambda x: x[..., 8:], (32, 32), id="crop left"),
        pytest.param(lambda x: x[..., :56], (32, 24), id="crop right"),
        pytest.param(lambda x: x[..., 3:61, 3:61], (35, 27), id="crop a tenth"),
        pytest.param(lambda x: x[..., 5:, 11:], (37, 35), id="crop odd"),
        pytest.param(lambda x: F.pad(x, (8, 8, 8, 8))[..., 16:, 16:], (40, 32), id="pad and crop"),
        pytest.param(lambda x: F.pad(F.interpolate(x, (32, 64)), (0, 0, 16, 16)), (32, 24), id="letterbox"),
        pytest.param(lambda x: x.flip(3), (32, 40), id="left to right"),
        pytest.param(lambda x: x.transpose(2, 3), (24, 32), id="rows for columns"),
        pytest.param(lambda x: x.rot90(-1, (2, 3)), (40, 32), id="quarter turn"),
        pytest.param(lambda x: F.pad(x.flip(2), (16, 16, 16, 16)), (48, 8), id="upside down and pad"),
        pytest.param(lambda x: torch.cat([x[:, 2:], x[:, 1:2], x[:, :1]], 1), (32, 24), id="other channels"),
        pytest.param(lambda x: torch.cat([x[..., :32], x[..., 32:]], 3), (32, 24), id="two halves"),
        pytest.param(lambda x: x.roll(3, 3), (32, 21), id="rolled"),
        pytest.param(lambda x: x.movedim(1, 3).roll((-2, 2), (1, 2)).movedim(3, 1), (34, 22), id="rolled last"),
        pytest.param(lambda x: torch.cat([x[..., -3:], x[..., :-3]], -1), (32, 21), id="rolled by parts"),
    ],
)
def test_frame(frame: Callable[[Tensor], Tensor], middle: tuple[int, int], request: pytest.FixtureRequest) -> None:
    """The heat lies where the cells are that the answer is read from, within half a cell, or a note says why not."""
    torch.manual_seed(0)
    result = explainer_of(Network(frame))(PICTURE, targets=[0], method="hirescam", layers=["last"])
    cells = torch.from_numpy(np.abs(result.heatmaps[0].raw[0]))[None, None]
    heat = F.interpolate(cells, (64, 64), mode="bilinear")[0, 0]
    at = [float(heat.sum(axis) @ (torch.arange(64) + 0.5) / heat.sum()) for axis in (1, 0)]
    assert at == pytest.approx(middle, abs=4)
    assert ("rolls the picture around its edges" in " ".join(result.notes)) == ("rolled" in request.node.callspec.id)


@pytest.mark.parametrize("method", ["scorecam", "guidedgradcam"])
def test_mirrored_layer(method: str) -> None:
    """A network that mirrors its input has the mirrored map of the same on the mirrored picture, or none."""
    torch.manual_seed(0)
    net = Network(lambda x: x.flip(3), nn.ReLU())
    mirrored = explainer_of(net)(PICTURE, targets=[0], method=method, layers=["last"])
    with pytest.raises(ModelProblem, match="FullGrad takes patch to cover the whole input"):
        mirrored.with_method("fullgrad")
    net.frame = nn.Identity()
    plain = explainer_of(net)(PICTURE.pixels[:, ::-1].copy(), targets=[0], method=method, layers=["last"])
    one, other = mirrored.heatmaps[0].raw[0], plain.heatmaps[0].raw[0][:, ::-1]
    np.testing.assert_allclose(one, other, atol=0.1 * np.abs(other).max())


WINDOWS = torch.arange(64).reshape(2, 4, 2, 4).transpose(1, 2).flatten()
TILES = torch.arange(256).reshape(4, 4, 4, 4).transpose(1, 2).flatten()
ANY = torch.randperm(64, generator=torch.Generator().manual_seed(2))
FULL = torch.randn(512, 512, generator=torch.Generator().manual_seed(1)) / 20


def turns(maps: Tensor, order: Tensor) -> Tensor:
    return maps.flatten(2)[..., order].transpose(1, 2)


@pytest.mark.parametrize(
    ("mix", "side"),
    [
        pytest.param(lambda maps: turns(maps, WINDOWS), 64, id="windows"),
        pytest.param(lambda maps: turns(maps, TILES), 128, id="tiles in turn"),
        pytest.param(lambda maps: torch.cat((turns(maps, WINDOWS), turns(maps, ANY[:16])), 1), 64, id="thumbnail last"),
        pytest.param(lambda maps: maps.flatten(2)[..., ANY].view(-1, 8, 8, 8), 64, id="any order"),
        pytest.param(lambda maps: (maps.flatten(1) @ FULL).view(-1, 64, 8), 64, id="latents"),
    ],
)
def test_no_place(mix: Callable[[Tensor], Tensor], side: int) -> None:
    torch.manual_seed(0)
    explainer = explainer_of(Network(lambda x: x, mix), (side, side))
    assert [layer.path for layer in explainer.layers] == ["patch"] == [*explainer.default_layers]
    with pytest.raises(ModelProblem, match="The output of last was measured to have no place in the picture"):
        explainer(PICTURE, layers=["last"], targets=[0])


class Ensemble(nn.Module):
    """Two networks side by side, a map of one channel that weighs them, and a decoder that is not read."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU()) for _ in range(2))
        self.gate, self.head, self.decoder = nn.Conv2d(8, 1, 1), nn.Linear(8, 5), nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, last = (net(x) for net in self.nets)
        logits = self.head(((first + last) * self.gate(last).sigmoid()).mean((2, 3)))
        self.drawn = self.decoder(last)
        return logits


def test_default_layer() -> None:
    torch.manual_seed(0)
    explainer = explainer_of(Ensemble())
    result = explainer(PICTURE, targets=[0])
    assert result.heatmaps[0].layers == ("nets.1",)
    assert "Its answer is also read from nets.0, beside nets.1: layers can name these." in result.notes
    assert explainer(PICTURE, targets=[0], layers=["nets.0"]).heatmaps[0].state == "ok"


@pytest.mark.parametrize("name", ["demo-s", "demo-cls-s", "demo-vit", "demo-seg", "demo-clip", "demo-vlm"])
def test_known_places(name: str) -> None:
    """The marks agree with the places of the catalogue's own models, which are not measured when they are loaded."""
    loaded = Explainer(name).loaded
    measured, _ = examine(loaded.adapter.probe(), loaded.move_input)
    assert measured.by_path == loaded.survey.by_path
    assert measured.attentions == loaded.survey.attentions


def test_default_layer_is_read() -> None:
    """Transformers' TextNet has a pooler after its last map, and Beit's head leaves its last block out."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
    heads = {"image_size": 64, "patch_size": 8, "out_indices": [1, 2, 3, 4], "use_auxiliary_head": False}
    text = transformers.TextNetForImageClassification(transformers.TextNetConfig(num_labels=5))
    beit = transformers.BeitForSemanticSegmentation(transformers.BeitConfig(**sizes, **heads, num_labels=5))
    assert explainer_of(text, (224, 224)).default_layers == ("textnet.encoder.stages.3",)
    assert explainer_of(beit).default_layers == ("beit.layers.2.layernorm_before",)
