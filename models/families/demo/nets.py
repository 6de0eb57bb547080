"""Architectures of the demo models.

demo-clip has a picture and a phrase side by side, as vectors of one space (https://arxiv.org/abs/2103.00020), compared
with a sigmoid for each pair (https://arxiv.org/abs/2303.15343): whether a phrase is true of a scene has nothing to do
with other phrases.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.models.checkpoints import checkpoint
from sightglass.models.demo.pictures import CLASSES, COLOURS, SHAPES, SYNONYMS

N = TypeVar("N", bound=nn.Module)
WEIGHTS = Path(__file__).parents[2] / "demo" / "weights"
MEAN = STD = (0.5, 0.5, 0.5)
"""Normalisation of RGB in 0..1, of classifiers, demo-seg and demo-regress; detectors take it as it is."""

DETECTORS: dict[str, tuple[tuple[int, ...], int]] = {
    "s": ((8, 16, 32, 48, 64), 1),
    "m": ((8, 24, 40, 56, 80), 1),
    "l": ((16, 32, 64, 112, 160), 2),
}
"""Channels of P1 to P5, and blocks per C3k2."""
CLASSIFIERS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "s": ((8, 16, 24, 32, 48), (1, 1, 1, 1)),
    "m": ((8, 24, 32, 48, 64), (1, 1, 1, 1)),
    "l": ((16, 32, 56, 88, 128), (1, 1, 2, 1)),
    "cheat": ((16, 24, 40, 64, 96), (1, 1, 1, 1)),
    "seg": ((16, 24, 40, 56, 64), (1, 1, 1, 1)),
}
"""Channels of the stem and of layer1 to layer4, and blocks of each layer."""


def build(name: str) -> nn.Module:
    """Build the untrained network of a demo model (`demo-s`, `demo-cls-cheat`, `demo-vit`)."""
    kind = name.removeprefix("demo-")
    if kind.startswith("cls-"):
        return classifier(kind.removeprefix("cls-"))
    builders = {"vit": vit, "seg": segmenter, "regress": regressor, "detr": query_detector}
    net: nn.Module = builders[kind]() if kind in builders else detector(kind)
    return net


def trained(name: str, folder: Path = WEIGHTS) -> nn.Module:
    """Return a trained demo model in eval mode; raise WeightsProblem on misfit."""
    return fill(build(name), folder / f"{name}.safetensors")


def fill(net: N, path: Path) -> N:
    """Load weights in eval mode; raise WeightsProblem for a missing or unfitting file."""
    try:
        net.load_state_dict(checkpoint.read(path))
    except RuntimeError as problem:
        raise WeightsProblem(f"{path} is of another network: train it by its script in training/.") from problem
    return net.eval()


def detector(size: str) -> Any:
    """Return an Ultralytics DetectionModel with strides 8 and 16.

    It takes float32 (B, 3, h, w) RGB in 0..1, h and w multiples of 32.
    The layout is YOLO11's without its third scale: P5 and SPPF are there as context alone. Backbone P3 is `model.4`,
    the neck's P3 `model.15` and P4 `model.18`.
    """
    # Imported here, as it loads OpenCV: classifiers do not need it.
    from sightglass.models.families.ultralytics.loader import import_quietly

    import_quietly()
    from ultralytics.nn.tasks import DetectionModel

    net: Any = DetectionModel(_layout(*DETECTORS[size]), nc=len(CLASSES), verbose=False)
    net.names = dict(enumerate(CLASSES))
    return net


def query_detector() -> Any:
    """Return an RTDETRDetectionModel: demo-m's body, 30 queries, three layers.

    It takes float32 (B, 3, h, w) RGB in 0..1, h and w multiples of 32; its queries read the maps that demo-m's head
    reads, by deformable attention with four heads.
    """
    from sightglass.models.families.ultralytics.loader import import_quietly

    import_quietly()
    from ultralytics.nn.tasks import RTDETRDetectionModel

    layout = _layout(*DETECTORS["m"])
    width, queries, points, heads, layers, inner, noisy = 96, 30, 4, 4, 3, 192, 30
    # Without dropout, with the usual activation, read at the last layer.
    decoder = ["nc", width, queries, points, heads, layers, inner, 0.0, None, -1, noisy]
    layout["head"][-1] = [[15, 18], 1, "RTDETRDecoder", decoder]
    net: Any = RTDETRDetectionModel(layout, nc=len(CLASSES), verbose=False)
    net.names, net.nc = dict(enumerate(CLASSES)), len(CLASSES)
    return net


def _layout(widths: Sequence[int], blocks: int) -> dict[str, Any]:
    p1, p2, p3, p4, p5 = widths
    up: list[Any] = [-1, 1, "nn.Upsample", [None, 2, "nearest"]]

    def conv(width: int) -> list[Any]:
        return [-1, 1, "Conv", [width, 3, 2]]

    def c3k2(width: int, *, deep: bool = False) -> list[Any]:
        return [-1, blocks, "C3k2", [width, deep]]

    def join(step: int) -> list[Any]:
        return [[-1, step], 1, "Concat", [1]]

    # Steps 4 and 6 are P3 and P4 of the backbone, 15 and 18 those of the neck.
    fine = [conv(p1), conv(p2), c3k2(p2), conv(p3), c3k2(p3)]
    coarse = [conv(p4), c3k2(p4, deep=True), conv(p5), c3k2(p5, deep=True), [-1, 1, "SPPF", [p5, 5]]]
    neck = [up, join(6), c3k2(p4), up, join(4), c3k2(p3), conv(p3), join(12), c3k2(p4)]
    # Boxes up to 2 x 7 cells of stride 16 wide are enough at 192 px, and half the bins halve the box branch.
    table: dict[str, Any] = {"nc": len(CLASSES), "reg_max": 8}
    return table | {"backbone": fine + coarse, "head": [*neck, [[15, 18], 1, "Detect", ["nc"]]]}


def classifier(size: str) -> nn.Module:
    """Return a residual net with stride 8: (B, 3, h, w) to logits.

    Both cheats and their honest counterpart are one network. With this stride a map still shows a mark of 14 px.
    """
    return ResidualNet(*CLASSIFIERS["cheat" if size in ("honest", "texture") else size], classes=len(CLASSES))


def segmenter() -> nn.Module:
    """Return torchvision's LR-ASPP (https://arxiv.org/abs/1905.02244) on the body of a classifier.

    It takes float32 (B, 3, h, w), normalised by MEAN and STD, and returns {"out": logits (B, 11, h, w)}: the scenes'
    background, then their classes.
    """
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation import LRASPP

    widths = CLASSIFIERS["seg"][0]
    layers = IntermediateLayerGetter(_dilated(), {"layer1": "low", "layer4": "high"})
    module: nn.Module = LRASPP(layers, widths[1], widths[-1], len(CLASSES) + 1, inter_channels=64)
    return module


def regressor() -> nn.Module:
    """Return demo-seg's body, one more convolution and two linear layers.

    It takes float32 (B, 3, h, w), normalised by MEAN and STD, and returns degrees (B, 1). One linear layer would have
    to make the same sum of a long rod and of a short one.
    """
    width = CLASSIFIERS["seg"][0][-1]
    body = _dilated()
    extra = (nn.Conv2d(width, width, 3, padding=2, dilation=2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    body.layer4 = nn.Sequential(*body.layer4, *extra)
    body.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    module: nn.Module = body
    return module


def _dilated() -> Any:
    """Return a classifier with dilated later layers, for long objects."""
    body: Any = classifier("seg")
    for part in (*body.layer3.modules(), *body.layer4.modules()):
        if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3):
            part.dilation = part.padding = (2, 2)
    return body


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (https://arxiv.org/abs/1512.03385)."""

    def __init__(self, c_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or c_in != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResidualNet(nn.Module):
    """`stem`, `layer1` to `layer4` at strides 2, 4, 8, 8, 8, the mean over all places, `fc`."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], *, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                *(
                    ResidualBlock(widths[i] if first else widths[i + 1], widths[i + 1], stride if first else 1)
                    for first in (number == 0 for number in range(blocks[i]))
                )
            )
            for i, stride in enumerate((2, 2, 1, 1))
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def vit() -> nn.Module:
    """Return a timm ViT on 8 x 8 tokens, (B, 3, 128, 128) to logits.

    Its tokens come from convolutions (https://arxiv.org/abs/2106.14881), here from a small residual net: from flat
    patches a mark of few pixels is not learnt in minutes. There is no class token: all tokens are averaged.
    """
    from timm.models.vision_transformer import VisionTransformer

    net: Any = VisionTransformer(
        img_size=128,
        patch_size=16,
        embed_dim=128,
        depth=4,
        num_heads=4,
        mlp_ratio=3,
        num_classes=len(CLASSES),
        class_token=False,
        global_pool="avg",
    )
    stem, first, second = (16, 32, 64)
    net.patch_embed.proj = nn.Sequential(
        nn.Conv2d(3, stem, 3, 2, 1, bias=False),
        nn.BatchNorm2d(stem),
        nn.ReLU(),
        ResidualBlock(stem, first, 2),
        ResidualBlock(first, second, 2),
        nn.Conv2d(second, net.embed_dim, 3, 2, 1),
    )
    return net  # type: ignore[no-any-return]


JOINT, LENGTH = 64, 12
"""Size of the shared space, and maximum words of a phrase with its end."""
PLAIN = ("picture", "photo", "drawing", "scene", "something", "anything", "thing")
"""Words that are true of every scene."""
WORDS = (
    "<end>",
    *("a", "an", "the", "of", "that", "is"),
    *PLAIN,
    *dict.fromkeys(word for name in (*COLOURS, *SHAPES) for word in SYNONYMS.get(name, (name,))),
)
CLIP = "demo-clip"


def unreadable(phrase: str) -> str:
    """Return why a phrase cannot be read; empty if it can."""
    words = re.findall(r"[^\W_]+", phrase.lower())
    if len(words) >= LENGTH:
        return f"{CLIP} reads {LENGTH - 1} words at most: say {phrase!r} in fewer."
    if (unknown := next((word for word in words if word not in WORDS), None)) is not None:
        known = f"colours ({', '.join(COLOURS)}) and shapes ({', '.join(SHAPES)})"
        return f"{CLIP} does not know the word {unknown!r}: it was taught {known}, as in red star."
    return ""


def tokenize(phrases: Sequence[str]) -> Tensor:
    """Return (K, LENGTH) int64: each phrase's words, then zeros; raise ModelProblem for unknown or too many words."""
    rows = torch.zeros(len(phrases), LENGTH, dtype=torch.long)
    for row, phrase in zip(rows, phrases, strict=True):
        if reason := unreadable(phrase):
            raise ModelProblem(reason)
        for at, word in enumerate(re.findall(r"[^\W_]+", phrase.lower())):
            row[at] = WORDS.index(word)
    return rows


class TextTower(nn.Module):
    """(K, LENGTH) words to (K, JOINT): two transformer layers, read at the phrase's end."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS), width)
        self.places = nn.Parameter(torch.randn(LENGTH, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, JOINT, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        ends = (tokens == 0).int().argmax(1)
        beyond = torch.arange(LENGTH, device=tokens.device) > ends[:, None]
        x = self.layers(self.words(tokens) + self.places, src_key_padding_mask=beyond)
        vectors: Tensor = self.projection(self.norm(x[torch.arange(len(x), device=x.device), ends]))
        return vectors


BODY = ("stem", "layer1", "layer2", "layer3", "layer4")
"""Steps of a `ResidualNet` before its classes."""


class VisionTower(nn.Module):
    """A residual image tower: normalised (B, 3, h, w) to (B, JOINT)."""

    def __init__(self) -> None:
        super().__init__()
        body: Any = classifier("honest")
        for name in BODY:
            self.add_module(name, getattr(body, name))
        self.norm = nn.LayerNorm(body.fc.in_features)
        self.projection = nn.Linear(body.fc.in_features, JOINT)

    def features(self, pictures: Tensor) -> Tensor:
        """Return what is averaged, (B, h / 8, w / 8, C)."""
        x = pictures
        for name in BODY:
            x = self.get_submodule(name)(x)
        normed: Tensor = self.norm(x.permute(0, 2, 3, 1))
        return normed

    def forward(self, pictures: Tensor) -> Tensor:
        vectors: Tensor = self.projection(self.features(pictures).mean((1, 2)))
        return vectors


class DemoClip(nn.Module):
    """Both towers; `forward` returns logits (B, K) of phrases."""

    def __init__(self) -> None:
        super().__init__()
        self.visual, self.text = VisionTower(), TextTower()
        self.logit_scale = nn.Parameter(torch.tensor(10.0).log())
        self.logit_bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        image, text = F.normalize(self.visual(pictures), dim=1), F.normalize(self.text(tokens), dim=1)
        return self.logit_scale.exp() * image @ text.T + self.logit_bias
