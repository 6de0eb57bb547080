"""Measure beside the methods what cannot know the cause, and a rule of others.

These maps are never counted.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.known.contenders import METHODS, Method, Network
from benchmarks.timing import SEED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from benchmarks.truth.columns import Line
    from benchmarks.truth.measures import Map

CONTROL = "control"
"""What stands in place of a library's name."""
SHUFFLED = "shuffled weights"
CHECKED = {
    "Grad-CAM": ("Sightglass", "GradCAM"),
    "Integrated Gradients": ("captum", "IntegratedGradients"),
    "Sharp": ("Sightglass", "Sharp"),
    "Tested": ("Sightglass", "Tested"),
}
"""One method of layers, one of pixels, and those of both, by the names that the controls have."""
COMPONENTS = (
    *(("pytorch-grad-cam", name) for name in ("GradCAM", "GradCAMPlusPlus", "HiResCAM", "XGradCAM", "LayerCAM")),
    *(("pytorch-grad-cam", name) for name in ("GradCAMElementWise", "ScoreCAM", "AblationCAM")),
    *(("pytorch-grad-cam", name) for name in ("EigenCAM", "EigenGradCAM")),
    ("torch-cam", "SmoothGradCAMpp"),
)
"""Eleven maps, of which MetaCAM's rule takes those that there are."""
META = (CONTROL, "MetaCAM's rule")
STRONGEST = 0.2
"""The share of a map's pixels that it votes for."""


@lru_cache(8)
def shuffled(network: Network) -> Network:
    """Return a network with the numbers of each parameter in another order."""
    module, generator = deepcopy(network.module), torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for values in module.parameters():
            order = torch.randperm(values.numel(), generator=generator)
            values.copy_(values.flatten()[order].reshape(values.shape))
    return replace(network, module=module)


def of_shuffled(line: Line, network: Network, picture: Tensor, target: int) -> Map | None:
    return METHODS[line](shuffled(network), picture, target)


def of_least_likely(line: Line, network: Network, picture: Tensor, target: int) -> Map | None:
    """Explain the class that the network holds for the least likely, whatever the target."""
    with torch.no_grad():
        least = int(network.module(picture).argmin())
    return METHODS[line](network, picture, least)


CONTROLS: dict[Line, Method] = {
    (CONTROL, f"{name}, {what}"): partial(method, line)
    for what, method in ((SHUFFLED, of_shuffled), ("least likely class", of_least_likely))
    for name, line in CHECKED.items()
}


def consensus(maps: Mapping[Line, Map | None]) -> Map | None:
    """Return by how many maps a pixel is among the strongest (MetaCAM, arXiv 2307.16863).

    Where as many vote for a pixel as for another, the mean of the maps orders them.
    """
    shown = [of for line in COMPONENTS if (of := maps.get(line)) is not None and of.max() > 0]
    return sum(votes(shown)) + np.mean([of / of.max() for of in shown], 0) / 2 if shown else None


def votes(maps: Iterable[Map]) -> list[Map]:
    """Return for each map 1 where it is strongest, and 0 elsewhere."""
    return [((of > 0) & (of >= np.quantile(of, 1 - STRONGEST))).astype(np.float32) for of in maps]
