"""Requests and answers of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.maps.heatmap import State
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box, Geometry

MAX_BYTES = 2 * 2**20
"""Of a frame."""


@dataclass(frozen=True)
class Pin:
    """What a viewer wants to see the map of, whatever the model says first: a class, or the object in a box."""

    index: int
    """A class."""
    box: Box | None = None
    """xyxy as shares of the frame's width and height; None: the class, wherever it is."""


@dataclass(frozen=True, eq=False)
class RawMap:
    """A map as it was computed, before it is scaled and grown."""

    label: str
    score: float
    """0..1."""
    state: State
    """`raws` are empty unless it is "ok"."""
    raws: tuple[NDArray[np.float32], ...]
    """Signed, one float32 (h, w) per layer."""
    layers: tuple[str, ...]
    """Their paths; empty likewise."""
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class FrameAnswer:
    """What one frame gave."""

    size: tuple[int, int]
    """Width and height of the frame in pixels."""
    predictions: tuple[Prediction, ...]
    """The best, and the class that is followed: last, where it is not among them."""
    map: RawMap | None
    """None where what is followed is not in the frame."""
    place: int | None
    """Which of the boxes the map is of."""
    lost: bool
    """Whether the followed object was out of sight for too long to be followed on."""
    milliseconds: dict[str, float]
    """Spent on `decode`, `prepare`, `model` and `maps`."""
