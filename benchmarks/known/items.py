"""A picture of which it is known why a network answers as it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.known.contenders import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmarks.truth.measures import Map, Mask

    Region = tuple[slice, slice]
    Picture = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Item:
    """A picture (1, C, H, W) that a network gives the class `target`, and why."""

    network: Network
    picture: Tensor
    target: int
    causes: dict[str, tuple[Mask, Region | None]]
    """By question the pixels (H, W) that are the cause, and the box within which they are ranked; None: everywhere."""
    kind: str = ""
    """Which of the pictures with this cause it is."""
    more: Callable[[Map | None], dict[str, float]] | None = None
    """Further measures of a map, by name."""
    without: tuple[tuple[str, ...], ...] = ()
    """Methods that cannot explain the network."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture as one sees it, (H, W, 3)."""
        values = self.picture[0].permute(1, 2, 0).numpy()
        grey = (values - values.min()) / np.ptp(values) * 255
        return np.ascontiguousarray(np.broadcast_to(grey.round(), (*grey.shape[:2], 3)).astype(np.uint8))


@torch.no_grad()
def answer(network: Network, picture: Tensor) -> int:
    """Return the class that a network gives a picture (1, C, H, W)."""
    return int(network.module(picture).argmax())
