"""Small untrained networks of four kinds, for pictures (B, 3, SIDE, SIDE)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from benchmarks.known.contenders import Network

SIDE, CLASSES = 48, 4
PATCH = 6
"""Side of a token's patch of pixels."""


@dataclass(frozen=True)
class Architecture:
    """How a network is built and trained."""

    build: Callable[[], Network]
    rate: float = 3e-3
    steps: int = 1200


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *(nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
            *(nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.last(self.inner(x) + self.shortcut(x))
        return summed


def stage(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1), nn.ReLU()


def mean_pooling() -> Network:
    """Return four convolutions, a mean over 6 x 6 places and a linear layer."""
    stages = (*stage(3, 16), nn.MaxPool2d(2), *stage(16, 24), nn.MaxPool2d(2), *stage(24, 32), nn.MaxPool2d(2))
    module = nn.Sequential(*stages, *stage(32, 48), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, CLASSES))
    return Network(module, "10")


def flattened() -> Network:
    """Return four convolutions and a linear layer with weights for each place."""
    stages = (*stage(3, 16), nn.MaxPool2d(2), *stage(16, 24), nn.MaxPool2d(2), *stage(24, 32), nn.MaxPool2d(2))
    return Network(nn.Sequential(*stages, *stage(32, 32), nn.Flatten(), nn.Linear(32 * 36, CLASSES)), "10")


def residual() -> Network:
    """Return two residual blocks, a mean over 12 x 12 places, a linear layer."""
    stem = nn.Conv2d(3, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    blocks = Residual(16, 24, 2), Residual(24, 40, 1)
    module = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, CLASSES))
    return Network(module, "4")


def transformer() -> Network:
    """Return two blocks of attention over 8 x 8 tokens, and their mean's classes."""
    grid = SIDE // PATCH
    sizes = {"embed_dim": 48, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0}
    module = VisionTransformer(
        img_size=SIDE, patch_size=PATCH, num_classes=CLASSES, class_token=False, global_pool="avg", **sizes
    )
    return Network(module, "blocks.1", (grid, grid))


ARCHITECTURES = {
    "mean": Architecture(mean_pooling),
    "flatten": Architecture(flattened),
    "residual": Architecture(residual),
    "transformer": Architecture(transformer, rate=1e-3, steps=2400),
}
"""By the name that reports have."""
