"""Define what is drawn: a `Field` is one map over a picture, a `Style` is how it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]
Unseen = Literal["light", "dark", "keep"]
Kind = Literal["heat", "difference"]
Mode = Literal["overlay", "map", "contour", "spotlight", "picture"]


@dataclass(frozen=True, eq=False)
class Field:
    """One map over a picture, on any grid.

    `values`: float32 (h, w) in 0..1 or, for a difference, in -1..1, positive where the first map has more. `extent`:
    the part of the picture that they cover, x0, y0, x1, y1 in its pixels. `cells`: rows and columns of the grid that
    the map was computed on.
    """

    values: Values
    extent: tuple[float, float, float, float]
    seen: Box
    kind: Kind = "heat"
    cells: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.extent
        if not (np.isfinite(self.extent).all() and x0 < x1 and y0 < y1):
            raise ValueError(f"extent must be x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {self.extent}.")
        _one_of(self.kind, Kind, "kind")
        if self.cells is not None and min(self.cells) < 1:
            raise ValueError(f"cells must be rows and columns, at least one of each, got {self.cells}.")


@dataclass(frozen=True)
class Style:
    """How a field is drawn. A value v of heat is drawn as offset + gain * v, within 0..1.

    `even`: the same opacity everywhere, else alpha * v**1.5. `cells`: the cells as computed, without interpolation.
    `split`: pixels whose centres are left of this share of the width show the picture alone.
    """

    mode: Mode = "overlay"
    colormap: str = "inferno"
    alpha: float = 0.9
    threshold: float = 0.0
    even: bool = False
    invert: bool = False
    cells: bool = False
    gain: float = 1.0
    offset: float = 0.0
    split: float | None = None

    def __post_init__(self) -> None:
        _one_of(self.mode, Mode, "mode")
        check_fraction(self.alpha, "alpha")
        check_fraction(self.threshold, "threshold")
        check_fraction(self.split or 0.0, "split")
        if not (math.isfinite(self.gain) and math.isfinite(self.offset)):
            raise ValueError(f"gain and offset must be finite, got {self.gain} and {self.offset}.")


def check_fraction(value: float, name: str) -> None:
    """Raise ValueError unless the value lies within 0..1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie within 0..1, got {value}.")


def _one_of(value: str, choices: Any, name: str) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}.")
