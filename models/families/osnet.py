"""Load OSNet (Zhou et al. 2019, arXiv:1905.00953) from torchreid (MIT).

The modules have torchreid's names, so that its checkpoints fit unchanged; the layer of training identities is dropped.
"""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Embedder
from sightglass.models.checkpoints import checkpoint, state_dicts
from sightglass.models.load import TableDraft
from sightglass.models.preprocess import IMAGENET, Preprocessing
from sightglass.models.spec import ModelSpec

WIDTHS = {
    "osnet_x1_0": (64, 256, 384, 512),
    "osnet_x0_75": (48, 192, 288, 384),
    "osnet_x0_5": (32, 128, 192, 256),
    "osnet_x0_25": (16, 64, 96, 128),
}
"""Channels after the stem and after each of the three stages."""
SIZE = (256, 128)
"""(h, w) of the input in pixels."""
FEATURES = 512
"""Length of a picture's vector."""


class Conv(nn.Module):
    """Convolution, norm and, unless it is `linear`, ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, *, stride: int = 1, linear: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.bn(self.conv(x))
        return normalised if self.linear else F.relu(normalised)


class Light(nn.Module):
    """A 3x3 convolution in two cheap steps: pointwise, then depthwise."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv2(self.conv1(x))))


class ChannelGate(nn.Module):
    """Channel gate by the mean over the picture; one gate is shared by all scales."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        share: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * share


class Block(nn.Module):
    """Omni-scale block: four streams with receptive fields from 3x3 to 9x9, mixed by the gate."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        middle = c_out // 4
        self.conv1 = Conv(c_in, middle)
        self.conv2a = Light(middle)
        self.conv2b, self.conv2c, self.conv2d = (
            nn.Sequential(*(Light(middle) for _ in range(count))) for count in (2, 3, 4)
        )
        self.gate = ChannelGate(middle)
        self.conv3 = Conv(middle, c_out, linear=True)
        self.downsample = Conv(c_in, c_out, linear=True) if c_in != c_out else None

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)
        views = [self.gate(view(narrow)) for view in (self.conv2a, self.conv2b, self.conv2c, self.conv2d)]
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv3(views[0] + views[1] + views[2] + views[3]) + shortcut)


class OSNet(nn.Module):
    """(B, 3, 256, 128) to (B, 512)."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        stem, first, second, third = widths
        self.conv1 = Conv(3, stem, 7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = _stage(stem, first, halved=True)
        self.conv3 = _stage(first, second, halved=True)
        self.conv4 = _stage(second, third, halved=False)
        self.conv5 = Conv(third, third)
        self.fc = nn.Sequential(nn.Linear(third, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv5(self.conv4(self.conv3(self.conv2(self.maxpool(self.conv1(x))))))
        embedding: Tensor = self.fc(maps.mean((2, 3)))
        return embedding


def _stage(c_in: int, c_out: int, *, halved: bool) -> nn.Sequential:
    pooling = [nn.Sequential(Conv(c_out, c_out), nn.AvgPool2d(2))] if halved else []
    return nn.Sequential(Block(c_in, c_out), Block(c_out, c_out), *pooling)


def load(spec: ModelSpec, progress: Progress | None = None) -> Embedder:
    """Build the model on the CPU; raise WeightsProblem for an unfitting file."""
    if spec.arch not in WIDTHS:
        raise ModelProblem(f"There is no OSNet called {spec.arch}: use one of {', '.join(WIDTHS)}.")

    def read(path: Path) -> OSNet:
        tensors = {key: value for key, value in checkpoint.read(path).items() if not key.startswith("classifier.")}
        module = OSNet(WIDTHS[spec.arch])
        state_dicts.load_into(path, tensors, module, spec.arch)
        return module

    module, sha256 = checkpoint.module_of(spec, progress, lambda: OSNet(WIDTHS[spec.arch]), read)
    preprocessing = Preprocessing(SIZE, min(SIZE), *IMAGENET, crop="squash").changed(spec.preprocessing)
    notes = ("It is untrained.",) if spec.untrained else ()
    embedder = Embedder(spec, module, (), preprocessing, sha256, notes=notes)
    embedder.subject = "persons"
    return embedder


def draft(path: Path, saved: checkpoint.Checkpoint) -> TableDraft | None:
    """Draft the table of an OSNet's checkpoint; None for any other."""
    tensors = saved.tensors
    if not {"conv1.conv.weight", "conv2.0.conv1.conv.weight", "conv2.0.conv2a.conv1.weight"} <= tensors.keys():
        return None
    width = len(tensors["conv1.conv.weight"])
    name = next((name for name, widths in WIDTHS.items() if widths[0] == width), "osnet_x1_0")
    table = {"task": "embed", "weights": {"path": str(path)}}
    return TableDraft("osnet", name, table, notes=(f"Its tensors are those of {name}.",))
