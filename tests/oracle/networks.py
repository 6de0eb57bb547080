"""Random networks and pictures for hypothesis, and explainers of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torchvision import transforms

from sightglass.explain import Explainer
from tests.oracle import reference

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
CLASSES = 4
SIDE = 64


@dataclass(frozen=True)
class Design:
    """A random network: its widths, strides and ends."""

    seed: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    pooled: bool

    @property
    def last_layer(self) -> str:
        """The path of the last ReLU."""
        return str(3 * len(self.widths) - 1)

    def build(self) -> nn.Sequential:
        torch.manual_seed(self.seed)
        layers: list[nn.Module] = []
        taken = 3
        for width, stride in zip(self.widths, self.strides, strict=True):
            layers += [nn.Conv2d(taken, width, 3, stride, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            taken = width
        end = nn.AdaptiveAvgPool2d(1 if self.pooled else 2)
        module = nn.Sequential(*layers, end, nn.Flatten(), nn.Linear(taken * (1 if self.pooled else 4), CLASSES))
        return module.eval()


designs = st.builds(
    lambda seed, parts, pooled: Design(seed, tuple(w for w, _ in parts), tuple(s for _, s in parts), pooled),
    st.integers(0, 10_000),
    st.lists(st.tuples(st.integers(2, 6), st.sampled_from((1, 2))), min_size=2, max_size=4),
    st.booleans(),
)
pictures = st.builds(
    lambda seed, wide, high: Image.fromarray(np.random.default_rng(seed).integers(0, 256, (high, wide, 3), np.uint8)),
    st.integers(0, 10_000),
    st.integers(40, 130),
    st.integers(40, 130),
)


def make_grey(side: int) -> torch.Tensor:
    """Return the input (1, 3, side, side) of a picture in the grey that stands for nothing."""
    return reference.normalise(Image.new("RGB", (side, side), (114, 114, 114)), MEAN, STD)


def explain(module: nn.Module, path: str, side: int = SIDE) -> Explainer:
    """Return the explainer of a module at a layer, of pictures resized to a square."""
    steps = [transforms.Resize((side, side)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return Explainer(module, preprocess=transforms.Compose(steps), task="classify", layers=[path])
