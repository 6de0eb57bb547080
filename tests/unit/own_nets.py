"""Networks as people write them, for the tests: `own_nets.py:BlocksCNN` is an architecture to a models.toml."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Answering(nn.Module):
    """A network whose output a function makes of it, as other libraries want the logits of a classifier."""

    def __init__(self, net: nn.Module, answer: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.net, self.answer = net, answer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer(self.net, x)


def hooks_on(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def block(taken: int, given: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(taken, given, 3, padding=1), nn.BatchNorm2d(given), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    )


class BlocksCNN(nn.Module):
    """block1 to block4: 224 px become 14."""

    def __init__(self, num_classes: int = 10, width: int = 8) -> None:
        super().__init__()
        self.block1, self.block2 = block(3, width), block(width, 2 * width)
        self.block3, self.block4 = block(2 * width, 4 * width), block(4 * width, 8 * width)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.fc = nn.Linear(8 * width * 16, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.block4(self.block3(self.block2(self.block1(x))))).flatten(1))


class Reader(nn.Module):
    """Reads patches by the attention of one learned query, and no layer of its own stands before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.GELU(), nn.Conv2d(32, 32, 3, padding=1))
        self.query = nn.Parameter(torch.randn(1, 1, 32))
        self.cross_attn = nn.MultiheadAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.stem(x).flatten(2).transpose(1, 2)
        return self.head(self.cross_attn(self.query.expand(len(x), -1, -1), patches, patches)[0][:, 0])


class Softmaxed(nn.Module):
    """Returns probabilities, from a module, in a dict."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.net = BlocksCNN(num_classes)
        self.last = nn.Softmax(dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.net(x))


class YesNo(BlocksCNN):
    """One number: a probability by a sigmoid."""

    def __init__(self) -> None:
        super().__init__(1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.sigmoid(super().forward(x))


class Fixed(nn.Module):
    """Takes 64 x 64 grey pictures and no others, and returns features beside its logits."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=4, padding=1)
        self.fc = nn.Linear(8 * 16 * 16, num_classes)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = F.relu(self.conv(x)).flatten(1)
        return {"features": features, "logits": self.fc(features)}


class Broken(nn.Module):
    def __init__(self, depth: int) -> None:
        raise RuntimeError(f"no depth {depth} here")


class HeadPose(nn.Module):
    """Three numbers in degrees; the red half of a picture raises the first, and the blue half lowers it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        self.fc = nn.Linear(2, 3, bias=False)
        self.conv.weight.data.zero_()
        self.conv.weight.data[0, 0, 1, 1] = self.conv.weight.data[1, 2, 1, 1] = 1.0
        self.fc.weight.data = torch.tensor([[90.0, -60.0], [0.0, 20.0], [-5.0, 0.0]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(F.relu(self.conv(x)).mean((2, 3)))


class Heads(BlocksCNN):
    """An age and two classes, in a dict."""

    def __init__(self) -> None:
        super().__init__(3, width=4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = super().forward(x)
        return {"age": outputs[:, :1], "gender": outputs[:, 1:]}


class Drone(BlocksCNN):
    """Steering and collision, in a list, as DroNet returns them."""

    def __init__(self) -> None:
        super().__init__(2, width=4)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        outputs = super().forward(x)
        return [outputs[:, 0], outputs[:, 1].sigmoid()]


class Flat(nn.Module):
    """Linear layers alone, for 16 px."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8), nn.ReLU(), nn.Linear(8, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class NaNInTheDark(BlocksCNN):
    """Answers NaN for a picture whose mean is below a limit."""

    def __init__(self, num_classes: int = 10, limit: float = -1.5) -> None:
        super().__init__(num_classes)
        self.limit = limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).where(x.mean((1, 2, 3))[:, None] > self.limit, torch.nan)


class NaNInside(BlocksCNN):
    """Has NaN at one place of its last map, and finite answers."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.block4.append(Hole())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.block4(self.block3(self.block2(self.block1(x)))).nan_to_num()).flatten(1))


class Hole(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.index_fill(3, torch.tensor([0]), torch.nan)


class Segmenter(nn.Module):
    """A map for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class WithNumbers(Segmenter):
    """A picture and a row of numbers."""

    def forward(self, x: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3)) + numbers


DEPTH_NET = """
from torch import nn

class Depth(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        return self.last(self.body(x))
"""
"""The file of a network that gives each pixel a number."""
