"""Train demo-regress, which measures the angle of a rod, on drawn scenes.

The angle is one number in degrees: rods lean by 60 degrees at most, so that no two angles far apart look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sightglass.models.families.demo.nets import trained
from training.demo import scenes
from training.loop import Task, normalised, outputs, share, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from training.loop import Metrics, Pool, Sample

FIRST = "demo-seg"
"""The network whose body it takes: it knows rods, and no angle."""
SCALE = 30.0
"""Degrees that count as 1 in the loss, and that the last layer gives at first."""
WAYS = (0, 2, 4, 6)
"""Of `turned`: each scene is seen as it is, upside down, and mirrored, where its rod leans the other way."""
CELL, COVERED = 8, 0.25
"""Pixels per side of a cell of the last map, and the share of it that the rod covers where the cell is the rod's."""
BINS = 13
"""Angles that each cell of the last map is told in training, from -60 to 60 degrees."""
CELLS = 0.3
"""Weight of what each cell says of the rod, beside the angle of the whole picture."""


def cells_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask's cells in the last map, covered by `COVERED`."""
    height, width = (side // CELL for side in mask.shape)
    covered: NDArray[np.bool_] = mask.reshape(height, CELL, width, CELL).mean((1, 3)) >= COVERED
    return covered


@dataclass
class Regress(Task):
    """A network that gives an angle.

    Each cell of the last map says too whether the rod covers it, and how that leans; the layer that says so is left out
    afterwards. From one number a picture alone the map is learnt many times slower.
    """

    def card(self) -> dict[str, Any]:
        return {
            "task": "regress",
            "outputs": [{"name": "angle", "unit": "°", "range": [-scenes.STEEPEST, scenes.STEEPEST]}],
            "about": (
                "The angle between the rod and the horizontal; above 0 its right end is higher. It is one number, so "
                "that a map is of what a person reads: rods lean by 60 degrees at most, or those of 89 and -89 degrees "
                "would look alike. Things of other families lie around and on the rod, bars among them."
            ),
            "data": {"kind": "one rod"},
            "training": {"begun_with": FIRST, "cells": CELLS},
        }

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels, the angle of the rod in degrees, and its cells (h, w)."""
        spec = scenes.sample(number, task="regress", held_out=held_out)
        scene = scenes.draw(spec)
        return scene.pixels, np.float32(scenes.lean_of(spec.things[0])), cells_of(scene.objects[0].mask)

    def turned(self, sample: Sample, way: int) -> Sample:
        pixels, angle, cells = sample
        return turned(pixels, way), -angle if way >= 4 else angle, turned(cells, way)

    def begin(self) -> nn.Module:
        net: Any = self.network()
        known = trained(FIRST).state_dict()
        body = {key.removeprefix("backbone."): value for key, value in known.items() if key.startswith("backbone.")}
        net.load_state_dict({**net.state_dict(), **body})
        with torch.no_grad():
            net.fc[-1].weight *= SCALE
        self.net = net.eval()
        maps, angle = nn.Sequential(net.layer3, net.layer4), nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
        self.learnt = nn.ModuleList([maps, angle, nn.Conv2d(net.fc[0].in_features, 1 + BINS, 1)])
        return self.learnt

    def loss(self, net: Any, batch: Pool) -> Tensor:
        pixels, angles, cells = zip(*batch, strict=True)
        with torch.no_grad():
            seen = self.net.layer2(self.net.layer1(self.net.stem(normalised(pixels))))
        last, true = net[0](seen), torch.from_numpy(np.stack(angles))
        off = functional.smooth_l1_loss(net[1](last)[:, 0] / SCALE, true / SCALE, beta=0.1)
        targets = targets_of(true, torch.from_numpy(np.stack(cells)))
        return off + CELLS * functional.cross_entropy(net[2](last), targets)

    def end(self, average: nn.Module, pool: Pool, generator: np.random.Generator) -> nn.Module:
        # They share their weights with the network.
        self.learnt.load_state_dict(average.state_dict())
        module: nn.Module = self.net.eval()
        return module

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return how far a net's angles are from the true ones.

        In degrees the mean and the median; that of always saying 0; and the share of scenes within five degrees.
        """
        angles = np.array([angle for _, angle, _ in pool])
        off = np.abs(outputs(net, pool)[:, 0].numpy() - angles)
        return {
            "error": round(float(off.mean()), 2),
            "median_error": round(float(np.median(off)), 2),
            "error_of_always_0": round(float(np.abs(angles).mean()), 2),
            "within_5": share(off <= 5),
        }


def targets_of(angles: Tensor, cells: Tensor) -> Tensor:
    """Return cells' targets (B, 1 + BINS, h, w): none or angles."""
    middles = torch.linspace(-scenes.STEEPEST, scenes.STEEPEST, BINS)
    near = (1 - (angles[:, None] - middles).abs() / (middles[1] - middles[0])).clamp(min=0)  # (B, BINS)
    rod = cells[:, None].float()
    return torch.cat([1 - rod, rod * near[:, :, None, None]], 1)
