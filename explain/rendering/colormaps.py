"""Provide OpenCV's colormaps as tables of 256 colours, with their properties."""

from __future__ import annotations

import base64
import colorsys
import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sightglass.common.errors import Problem, did_you_mean
from sightglass.common.files import Json

Pixels = npt.NDArray[np.uint8]

_UNIFORM = ("inferno", "magma", "viridis", "plasma", "cividis")  # designed in a space of equal perceived steps
# Lightness keeps rising for protanopes, deuteranopes and tritanopes alike (the tests simulate all three).
_SAFE = {*_UNIFORM, "bone", "deepgreen", "pink", "summer"}


@dataclass(frozen=True)
class Colormap:
    """A table of 256 colours; `hot` names the last one, `cyclic` means that cold and hot look the same."""

    name: str
    uniform: bool
    colour_blind_safe: bool
    hot: str
    cyclic: bool


@functools.cache
def colormaps() -> tuple[Colormap, ...]:
    """Return every colormap, the perceptually uniform ones first."""
    others = sorted({name[9:].lower() for name in dir(cv2) if name.startswith("COLORMAP_")} - set(_UNIFORM))
    found = []
    for name in (*_UNIFORM, *others):
        table = _table(name).astype(int)
        cyclic = bool(abs(table[0] - table[-1]).max() < 8)
        found.append(Colormap(name, name in _UNIFORM, name in _SAFE, _word(*table[-1] / 255), cyclic))
    return tuple(found)


def lut(name: str) -> Pixels:
    """Return the colours of a colormap, uint8 (256, 3) RGB, coldest first, read-only; raise a Problem if unknown."""
    names = [colormap.name for colormap in colormaps()]
    if name in names:
        return _table(name)
    hint = did_you_mean(str(name), names, f"choose one of {', '.join(names)}.")
    raise Problem(f"There is no colormap called {name!r}: {hint}")


@functools.cache
def tables() -> list[Json]:
    """Return every colormap as the browser draws it: name, uniform, hot, and its colours in base64."""
    return [
        {
            "name": colormap.name,
            "uniform": colormap.uniform,
            "hot": colormap.hot,
            "lut": base64.b64encode(lut(colormap.name).tobytes()).decode(),
        }
        for colormap in colormaps()
    ]


@functools.cache
def _table(name: str) -> Pixels:
    code = getattr(cv2, f"COLORMAP_{name.upper()}")
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], code)[:, 0, ::-1].copy()
    table.setflags(write=False)
    return np.asarray(table, dtype=np.uint8)


def _word(red: float, green: float, blue: float) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if saturation < 0.12:
        return "white" if value > 0.85 else "grey"
    names = ("red", "orange", "yellow", "green", "turquoise", "blue", "violet", "magenta", "red")
    name = names[sum(hue * 360 >= edge for edge in (15, 45, 70, 165, 200, 250, 290, 330))]
    shade = "dark " if value < 0.35 else "pale " if saturation < 0.3 else ""
    return shade + name
