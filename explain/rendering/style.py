"""What is drawn (`Field`) and how (`Style`), and the colormaps."""

import base64
import colorsys
import functools
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from sightglass.common.errors import Problem, did_you_mean
from sightglass.common.files import Json
from sightglass.common.style import CHOICES, COLOURLESS, DEFAULTS, ENDS, HUE_NAMES, OVERLAY
from sightglass.explain.phrases import spell_value

_UNIFORM = ("inferno", "magma", "viridis", "plasma", "cividis")  # designed in a space of equal perceived steps
GRAY = "gray"
"""The colormap from black to white, which OpenCV has no name for."""


class Colormaps(Mapping[str, int | str]):
    """OpenCV's number of each colormap by its name; without one the name again.

    `colormaps["jet"]`, `colormaps()["COLORMAP_JET"]` and `colormaps().items()` are all of it.
    """

    def __call__(self) -> Self:
        """Return them all."""
        return self

    def __getitem__(self, name: str) -> int | str:
        return _numbers()[colormap_name(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(_numbers())

    def __len__(self) -> int:
        return len(_numbers())


colormaps = Colormaps()


@functools.cache
def _numbers() -> Mapping[str, int | str]:
    of_opencv = {name[9:].lower() for name in dir(cv2) if name.startswith("COLORMAP_")}
    names = (*_UNIFORM, *sorted((of_opencv | {GRAY}) - set(_UNIFORM)))
    return MappingProxyType({name: getattr(cv2, f"COLORMAP_{name.upper()}", name) for name in names})


def colormap_name(name: str | int) -> str:
    """Return a colormap's name; `cv2.COLORMAP_JET`, as text or number, is `jet`."""
    if isinstance(name, int):
        name = next((key for key in dir(cv2) if key.startswith("COLORMAP_") and getattr(cv2, key) == name), "")
    return name.removeprefix("cv2.").removeprefix("COLORMAP_").lower()


def parse_color(name: str) -> tuple[int, int, int]:
    """Return a colour by name or `#00ff00`, RGB; raise Problem."""
    try:
        red, green, blue, *_ = ImageColor.getrgb(name)
    except ValueError:
        raise Problem(f"There is no colour called {name}: name one, such as green, or give #00ff00.") from None
    return red, green, blue


def lut(name: str | int) -> "Pixels":
    """Return a colormap's colours, uint8 (256, 3); raise Problem if unknown."""
    spelling = colormap_name(name) if isinstance(name, str | int) else ""
    if spelling in colormaps():
        return _table(spelling)
    hint = did_you_mean(str(name), colormaps(), f"choose one of {', '.join(colormaps())}.")
    raise Problem(f"There is no colormap called {name!r}: {hint}")


@functools.cache
def tables() -> list[Json]:
    """Return every colormap for the browser, with its colours in base64."""
    return [{"name": name, "lut": base64.b64encode(_table(name).tobytes()).decode()} for name in colormaps()]


@functools.cache
def _table(name: str) -> "Pixels":
    levels = np.arange(256, dtype=np.uint8)[:, None]
    if name == GRAY:
        table = np.repeat(levels, 3, axis=1)
    else:
        table = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{name.upper()}"))[:, 0, ::-1].copy()
    table.setflags(write=False)
    return np.asarray(table, dtype=np.uint8)


def _name_color(red: float, green: float, blue: float) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if saturation < 0.12:
        return "light grey" if value > 0.85 else "grey"
    place = sum(hue * 360 >= edge for edge in HUE_NAMES["from"]) - 1
    name = str(HUE_NAMES["names"][place])
    if value < 0.35:
        return f"dark {name}"
    return f"pale {name}" if saturation < 0.3 else name


Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]
Unseen = Literal["light", "dark", "keep"]
Kind = Literal["heat", "difference", "signed"]
Mode = Literal["overlay", "blend", "map", "contour", "spotlight", "picture"]
FileMode = Literal["overlay", "blend"]
"""The modes of pictures in files and answers; the viewer has the others, too."""


def check_mode(mode: str, modes: Collection[str]) -> None:
    """Raise Problem for a mode that is none of `modes`."""
    if mode not in modes:
        raise Problem(f"There is no mode called {mode}: choose one of {', '.join(modes)}.")


def check_values(values: Values, *, low: float = 0) -> Values:
    """Return a map's values, (h, w) in `low`..1, as contiguous float32; raise ValueError for others."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"A map must have the shape (H, W), got {array.shape}.")
    lowest, highest = float(array.min()), float(array.max())  # both NaN if any value is
    if not (lowest >= low - 1e-5 and highest <= 1 + 1e-5):
        raise ValueError(f"A map's values must lie within {low:g}..1, got {lowest:.4g} to {highest:.4g}.")
    return array


def check_pixels(pixels: Pixels) -> Pixels:
    """Return the pixels; raise ValueError unless they are uint8 (H, W, 3)."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"A picture must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}.")
    return pixels


@dataclass(frozen=True, eq=False)
class Field:
    """One map over a picture, on any grid.

    `values`: float32 (h, w) in 0..1 or, of a `difference` and a `signed` map, in -1..1: positive where the first map
    has more, or where the picture raises what is explained (`kind`). `extent`: the part of the picture that they cover,
    x0, y0, x1, y1 in its pixels; `seen`: the part that the model was given, in whole pixels. `cells`: rows and columns
    of the grid that the map was computed on, None where there is no single one.
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
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}.")
        if self.cells is not None and min(self.cells) < 1:
            raise ValueError(f"cells must be rows and columns, at least one of each, got {self.cells}.")

    def scaled(self, before: tuple[float, float], size: tuple[int, int]) -> Self:
        """Return the field over the picture scaled from `before` to `size`, (width, height)."""
        (width, height), (across, down) = size, (new / old for new, old in zip(size, before, strict=True))
        x0, y0, x1, y1 = (edge * factor for edge, factor in zip(self.extent, (across, down) * 2, strict=True))
        left, top, right, bottom = self.seen
        left, top = min(round(left * across), width - 1), min(round(top * down), height - 1)
        seen = left, top, max(left + 1, round(right * across)), max(top + 1, round(bottom * down))
        return replace(self, extent=(x0, y0, x1, y1), seen=seen)


@dataclass(frozen=True)
class Style:
    """How a field and boxes are drawn; raises Problem for an unknown name, and for a share outside 0..1.

    `alpha`: the opacity of the strongest places. `threshold`: the share of the scale below which nothing is drawn.
    `cells`: the cells as computed, without interpolation.
    """

    mode: Mode = DEFAULTS["mode"]
    colormap: str = DEFAULTS["colormap"]
    alpha: float = DEFAULTS["alpha"]
    threshold: float = DEFAULTS["threshold"]
    cells: bool = DEFAULTS["cells"]
    boxes: str = DEFAULTS["boxes"]
    """The colour of boxes: a name, or `#00ff00`."""
    outlines: bool = DEFAULTS["outlines"]
    """Whether boxes, joints and lines are drawn."""

    def __post_init__(self) -> None:
        parse_color(self.boxes)
        for name, share in (("alpha", self.alpha), ("threshold", self.threshold)):
            if not (isinstance(share, Real) and 0 <= share <= 1):
                raise Problem(f"{name} is {spell_value(share)}: give a number from 0 to 1.")
        check_mode(self.mode, CHOICES["mode"])
        lut(self.colormap)
        object.__setattr__(self, "colormap", colormap_name(self.colormap))

    @classmethod
    def parse(cls, colormap: str | int | None, alpha: float | None = None, mode: Any = None) -> Self:
        """Return a style by its options; None: the usual one.

        Raises a Problem for an unknown colormap or mode, and for an opacity outside 0..1.
        """
        named = DEFAULTS["colormap"] if colormap is None else colormap
        lut(named)
        return cls(mode or DEFAULTS["mode"], colormap_name(named), DEFAULTS["alpha"] if alpha is None else alpha)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return the style for a view's settings; invalid ones are ignored."""
        values: dict[str, Any] = {}
        for name in _NAMES & settings.keys():
            value, kind = settings[name], type(DEFAULTS[name])
            with suppress(TypeError, ValueError, Problem):
                value = value is True or str(value) in ("1", "1.0", "true") if kind is bool else kind(value)
                # Raises for an invalid one.
                setting: dict[str, Any] = {name: value}
                replace(cls(), **setting)
                values |= setting
        return cls(**values)

    @property
    def overlay(self) -> dict[str, Any]:
        """The options of an overlay: a blend stays one, and any other mode is the usual overlay."""
        mode = "blend" if self.mode == "blend" else "overlay"
        return {"mode": mode, "colormap": self.colormap, "alpha": self.alpha}

    @property
    def hot(self) -> str:
        """What a sentence calls the strongest place of a heatmap: its colour, or its look."""
        if self.mode in COLOURLESS:
            return COLOURLESS[self.mode]
        level = round(255 * OVERLAY["named"]) / 255
        if self.mode == "overlay":
            first, last = ENDS.get(self.colormap, ENDS["others"])
            level = first + (last - first) * level ** OVERLAY["rise"]
        name = _name_color(*_table(self.colormap)[math.floor(255 * level + 0.5)] / 255)
        # Over a picture white is never pure.
        return "white" if self.mode == "map" and name == "light grey" else name


VIEWER_STYLE = Style()
GUIDE_STYLE = Style("blend", "jet", 0.5, boxes="#00ff00")
"""As scripts with OpenCV draw, for the routes that are named as theirs: red is high, blue is low, boxes are green."""
_NAMES = DEFAULTS.keys() & Style.__dataclass_fields__.keys()
