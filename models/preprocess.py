"""Resize and normalise pictures to model inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from sightglass.common.errors import ModelProblem
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.spec import PreprocessingTable

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and std of its pictures, the usual ones in training."""
READY = "ready"
"""The preprocessing of a tensor (C, h, w) that needs none."""
INFERRED = "Its preprocessing was inferred"
"""Begins the note on a preprocessing that nobody stated."""
UNSTATED_FIT = "The file does not say how pictures are resized"
"""Begins the note on a resizing that nobody stated."""
CLASSIFIER_WAYS = ("trained", "crop", "squash", "letterbox")
Way = Literal["trained", "crop", "squash", "letterbox", "half", "negative"]
"""How a picture is fitted to a model; not every model has each of them."""
WAYS = {
    "trained": "As in training",
    "crop": "Largest middle square",
    "squash": "Whole picture, squeezed",
    "letterbox": "Whole picture, with bars",
    "half": "Half as large: fast",
    "negative": "Light and dark swapped",
    READY: "As it is: a ready tensor",
}
"""How a picture is fitted to a model; longer names would be cut off in their menu."""
GREY = 114
"""Grey of a letterbox's bars, of 255, as Ultralytics' and YOLOX's detectors were trained with."""
MAX_RESIZED = 16
"""Area of a resized picture, in windows of its crop, up to which it is resized as a whole."""
FULL = {"uint8": 255, "uint16": 65535}
"""White in arrays of whole numbers."""
SLACK = 0.05
"""How far floats from 0 to 1 may lie beyond, as resizing overshoots."""
COUNTED = ("channels_in", "mean", "std")
"""Keys of a table that say how many channels there are."""
MAX_CHANNELS = 16
"""Maximum numbers of a pixel."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Preprocessing of a model's training."""

    size: tuple[int, int]
    """(h, w) of the input in pixels."""
    short_side: int
    """Pixels of the picture's short side before the crop `centre`, of both sides before `square`."""
    mean: tuple[float, ...]
    """One number for each channel: three of red, green and blue, one of grey, others of an array's channels."""
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    """Torchvision's `Resize` and most training scripts use the default."""
    antialias: bool = True
    """Whether shrinking averages all pixels, as Pillow and torchvision do; Keras and TensorFlow do not."""
    crop: str = "centre"
    """`centre`, `square`, `aspect`, `squash` or `letterbox`, as `PreprocessingTable.crop` describes them."""
    resized: tuple[int, int] | None = None
    """(h, w) before the crop, as `PreprocessingTable.resized` describes it; None: by `short_side`."""
    bars: str | None = None
    """`grey`, `black` or `mean`; None: grey of a letterbox, else black, as of a centre crop."""
    divide_by: float | None = None
    """Divisor of an array's numbers; None: 255 for uint8, 65535 for uint16, 1 for floats."""
    channels_order: str = "rgb"
    """Order of the colours in the input; mean and std are red first in either."""
    highest: int = 1
    """Value of white in the input before mean and std: 1, or 255."""

    def __post_init__(self) -> None:
        if not self.antialias and self.interpolation not in ("nearest", "bilinear", "bicubic"):
            raise ModelProblem(f"{self.interpolation} exists only with antialias: leave antialias = false out.")

    @property
    def channels(self) -> int:
        """Numbers of a pixel: 3 is RGB, 1 is grey, others come as arrays."""
        return len(self.mean)

    def changed(self, stated: PreprocessingTable) -> Preprocessing:
        """Return a copy changed by an operator's table.

        Where the number of channels changes, mean is 0 and std 1 unless they are stated. Raises ModelProblem where the
        keys contradict each other.
        """
        values = stated.stated()
        count = _count_channels(values)
        mean = self.mean
        std = self.std
        if count is not None and count != self.channels:
            mean = (0.0,) * count
            std = (1.0,) * count
        size = stated.sides or self.size
        if stated.sides and size[0] != size[1]:
            # Cut to its shape, most of a picture would be lost.
            values.setdefault("crop", "squash")
        plain: dict[str, Any] = {_NAMED.get(key, key): values[key] for key in _PLAIN if key in values}
        if stated.sides:
            plain.setdefault("short_side", min(size))
        resized = stated.resized
        # How pictures were resized before belongs to the size before.
        if not stated.sides and not stated.short_side:
            resized = resized or self.resized
        return replace(self, size=size, mean=stated.mean or mean, std=stated.std or std, resized=resized, **plain)

    @property
    def _covers_input(self) -> bool:
        """Whether `centre` resizes a picture until it just covers the input."""
        return self.resized == self.size if self.resized else self.short_side == min(self.size)

    def table(self) -> PreprocessingTable:
        """Return it as the keys of `weights.preprocessing`."""
        keys = {name: key for key, name in _NAMED.items()}
        values = {keys.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        return PreprocessingTable(**values | {"size": self.size[0] if self.size[0] == self.size[1] else self.size})

    def __str__(self) -> str:
        """Say how a picture is resized: `256 → 224, bilinear`."""
        size = _say_sides(self.size)
        before = _say_sides(self.resized or (self.short_side,))
        way = {
            "centre": size if self._covers_input else f"{before} → {size}",
            "square": f"squeezed to {before} → {size}",
            "aspect": f"cut to shape → {size}",
            "squash": f"squeezed to {size}",
            "letterbox": f"{size} with bars" if self.resized in (None, self.size) else f"{before} → {size} with bars",
        }[self.crop]
        rough = "" if self.antialias or self.interpolation == "nearest" else ", no antialias"
        return f"{way}, {self.interpolation}{rough}"


def _say_sides(sides: Sequence[int]) -> str:
    """Return `224`, or `96 × 128`."""
    return " × ".join(map(str, dict.fromkeys(sides)))


_PLAIN = ("short_side", "interpolation", "antialias", "crop", "bars", "divide_by", "channels", "range")
"""Keys of an operator's table whose values are those of a field."""
_NAMED = {"channels": "channels_order", "range": "highest"}
"""Fields by the key of an operator's table, where that is another."""


def _count_channels(values: Mapping[str, Any]) -> int | None:
    """Return for how many channels a table has numbers; raise ModelProblem for contradictions."""
    counts: dict[str, int] = {}
    for key in COUNTED:
        if key in values:
            counts[key] = values[key] if key == "channels_in" else len(values[key])
    if len({*counts.values()}) > 1:
        sizes = ", ".join(f"{key} {'is' if key == 'channels_in' else 'has'} {size}" for key, size in counts.items())
        raise ModelProblem(f"The preprocessing contradicts itself ({sizes}): give a number for each channel.")
    return next(iter(counts.values()), None)


def prepare(pixels: NDArray[Any], preprocessing: Preprocessing, way: str) -> ModelInput:
    """Convert a picture (H, W, C) to the input float32 (1, C, h, w).

    `pixels` is uint8 RGB, which becomes grey for a model of one channel, or an array with the model's number of
    channels: uint8, uint16 or float32. `way` is one of `CLASSIFIER_WAYS`, or READY. Raises ModelProblem for another
    number of channels, and for floats whose white is not known.
    """
    import torch

    if way == READY:
        if pixels.dtype == np.uint8:
            raise ModelProblem("ready is for a tensor of the model's input: leave preprocessing out for a picture.")
        size = (pixels.shape[0], pixels.shape[1])
        ready = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))
        return ModelInput(ready[None], Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))
    pixels = match_channels(pixels, preprocessing.channels)
    fitted, geometry = fit_picture(pixels, preprocessing, way)
    planes = torch.from_numpy(np.ascontiguousarray(fitted.transpose(2, 0, 1)))
    return ModelInput(normalise(planes, preprocessing, _divisor(pixels, preprocessing)).unsqueeze(0), geometry)


def match_channels(pixels: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return a picture with so many channels; raise ModelProblem for others."""
    if channels == 1 and pixels.shape[2] == 3:
        return np.asarray(Pillow.fromarray(pixels).convert("L"))[:, :, None]
    if pixels.shape[2] != channels:
        raise ModelProblem(
            f"This model takes {channels} channels and the picture has {pixels.shape[2]}: give a .npy or a .tif with "
            "as many."
        )
    return pixels


def to_tones(pixels: NDArray[Any], divide_by: float | None) -> tuple[NDArray[Any], float]:
    """Return a picture as bytes or floats, and the number that is white."""
    if pixels.dtype == np.uint8:
        return pixels, FULL["uint8"]
    return pixels.astype(np.float32) / (divide_by or white_of(pixels)), 1.0


def normalise(values: Tensor, preprocessing: Preprocessing, white: float) -> Tensor:
    """Return a resized picture (C, h, w), in which `white` is white, as numbers of the input, float32."""
    import torch

    mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (preprocessing.mean, preprocessing.std))
    tensor = values.float().div_(white).sub_(mean).div_(std)
    if preprocessing.channels_order == "bgr" and preprocessing.channels == 3:
        tensor = tensor.flip(0)
    return tensor if preprocessing.highest == 1 else tensor * preprocessing.highest


def white_of(pixels: NDArray[Any]) -> float:
    """Return the number that is white in a picture by its type; raise ModelProblem where that says nothing."""
    if pixels.dtype.name in FULL:
        return FULL[pixels.dtype.name]
    low, high = float(pixels.min()), float(pixels.max())
    if low >= -SLACK and high <= 1 + SLACK:
        return 1
    raise ModelProblem(
        f"The picture's numbers go from {low:g} to {high:g}, and nothing says which is white: state divide_by in "
        "weights.preprocessing (1: as they are), or give uint8, uint16 or floats from 0 to 1."
    )


def _divisor(pixels: NDArray[Any], preprocessing: Preprocessing) -> float:
    """Return what a picture's numbers are divided by: of other types than bytes that may be stated."""
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        return FULL["uint8"]
    if preprocessing.divide_by is not None:
        return preprocessing.divide_by
    # Mean and std above 1 are of numbers as they are.
    raw = pixels.dtype.name not in FULL and max(map(abs, (*preprocessing.mean, *preprocessing.std))) > 1
    return 1 if raw else white_of(pixels)


Window = tuple[tuple[int, int], tuple[int, int]]
"""First and last row, first and last column."""


def fit_picture(pixels: NDArray[Any], preprocessing: Preprocessing, way: str) -> tuple[NDArray[Any], Geometry]:
    """Return the model's view of a picture, (h, w, C), and its geometry."""
    geometry, part, window = plan_fit(pixels.shape[:2], preprocessing, way)
    small = _resize(pixels[slice(*part[0]), slice(*part[1])], preprocessing, geometry.scale, window)
    if small.shape[:2] == preprocessing.size:
        return small, geometry
    # The same tone on the scale of the array.
    white = FULL["uint8"] if pixels.dtype == np.uint8 else preprocessing.divide_by or FULL.get(pixels.dtype.name, 1)
    tones = np.array(bar_tones(preprocessing, way)) / FULL["uint8"] * white
    canvas = np.empty((*preprocessing.size, pixels.shape[2]), small.dtype)
    canvas[:] = tones
    canvas[bars_around(geometry, small.shape[:2])] = small
    return canvas, geometry


def bar_tones(preprocessing: Preprocessing, way: str) -> tuple[int, ...]:
    """Return the tone of bars in each channel, of 255."""
    if preprocessing.bars == "mean":
        return tuple(round(mean * FULL["uint8"]) for mean in preprocessing.mean)
    way = preprocessing.crop if way == "trained" else way
    # As torchvision's CenterCrop, which timm and Transformers follow.
    usual = "grey" if way == "letterbox" else "black"
    return (GREY if (preprocessing.bars or usual) == "grey" else 0,) * preprocessing.channels


def bars_around(geometry: Geometry, size: Sequence[int]) -> tuple[slice, slice]:
    """Return the rows and columns of the input where a resized picture of `size` (h, w) lies between bars."""
    top, left = (max(round(offset), 0) for offset in geometry.offset)
    return slice(top, top + size[0]), slice(left, left + size[1])


def plan_fit(shape: Sequence[int], preprocessing: Preprocessing, way: str) -> tuple[Geometry, Window, Window]:
    """Return where a picture (H, W) lies in the input, the part of it that is resized, and of that what is seen.

    The part is in pixels of the picture, the seen window in pixels of the resized part.
    """
    height, width = shape
    h, w = preprocessing.size
    frame = preprocessing.resized if way == "trained" else None
    way = preprocessing.crop if way == "trained" else way
    if way == "aspect":
        # Keras's own rounding: whole pixels of the picture are cut out.
        high, wide = max(min(height, int(width * h / w)), 1), max(min(width, int(height * w / h)), 1)
        y, x = (height - high) // 2, (width - wide) // 2
        inner, _, window = plan_fit((high, wide), preprocessing, "squash")
        offset = (-y * inner.scale[0], -x * inner.scale[1])
        return replace(inner, original=(height, width), offset=offset), ((y, y + high), (x, x + wide)), window
    resized = _resized_sides(shape, preprocessing, way, frame)
    scale = (resized[0] / height, resized[1] / width)
    top, left = (_cut_before(a, b) for a, b in zip(resized, (h, w), strict=True))
    geometry = Geometry((height, width), (h, w), scale, (float(-top), float(-left)))
    window = (max(top, 0), min(top + h, resized[0])), (max(left, 0), min(left + w, resized[1]))
    return geometry, ((0, height), (0, width)), window


def _resized_sides(
    shape: Sequence[int], preprocessing: Preprocessing, way: str, frame: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the sides to which a picture (H, W) is resized before the cut.

    `frame`: a stated `resized`.
    """
    (height, width), (h, w), short = shape, preprocessing.size, preprocessing.short_side
    if way == "squash":
        return h, w
    if way == "square":
        return frame or (short, short)
    if way == "letterbox":
        return _scale_to(shape, frame or (h, w), max)
    if way == "crop":
        ratio = max(h / height, w / width)
        return max(round(height * ratio), h), max(round(width * ratio), w)
    if frame is not None:
        return _scale_to(shape, frame, min)
    # int() and not round(): as torchvision's Resize, so that the crop falls on the same pixels.
    return (short, int(short * width / height)) if height <= width else (int(short * height / width), short)


def _scale_to(shape: Sequence[int], frame: tuple[int, int], choose: Callable[[float, float], float]) -> tuple[int, int]:
    """Return the sides of a picture (H, W) that lies in a frame or covers it.

    `choose`: max or min of both.

    Divided and rounded as timm's ResizeKeepRatio, so that the same pixels result.
    """
    ratio = choose(shape[0] / frame[0], shape[1] / frame[1])
    return max(round(shape[0] / ratio), 1), max(round(shape[1] / ratio), 1)


def _cut_before(side: int, wanted: int) -> int:
    """Return the first pixel of a centre crop, as torchvision does.

    Below 0 it is the bar before a side that is too short.
    """
    return round((side - wanted) / 2) if side >= wanted else -((wanted - side) // 2)


def letterbox(
    pixels: NDArray[Any], size: tuple[int, int], place: str, rounded: Callable[[float], int] = int, stride: int = 0
) -> tuple[NDArray[Any], Geometry]:
    """Fit a picture of bytes, or of floats from 0 to 1, into (h, w, C) with grey bars, as detectors do.

    `place`: in the `centre`, as Ultralytics, in the `corner`, as YOLOX, or `squash` without bars; `rounded` rounds the
    resized sides to pixels; `stride`: bars only fill up sides to multiples of it, 0: to `size`.
    """
    import cv2

    (height, width), (h, w) = pixels.shape[:2], size
    ratio = min(h / height, w / width)
    inner = (h, w) if place == "squash" else (max(rounded(height * ratio), 1), max(rounded(width * ratio), 1))
    if stride:
        h, w = (side + (full - side) % stride for side, full in zip(inner, size, strict=True))
    top, left = ((h - inner[0]) // 2, (w - inner[1]) // 2) if place == "centre" else (0, 0)
    grey = GREY if pixels.dtype == np.uint8 else GREY / FULL["uint8"]
    canvas = np.full((h, w, pixels.shape[2]), grey, pixels.dtype)
    # OpenCV leaves out an axis of one channel.
    small = cv2.resize(pixels, inner[::-1]).reshape(*inner, -1)
    canvas[top : top + inner[0], left : left + inner[1]] = small
    return canvas, Geometry((height, width), (h, w), (inner[0] / height, inner[1] / width), (float(top), float(left)))


def _resize(
    pixels: NDArray[Any], preprocessing: Preprocessing, scale: tuple[float, float], window: Window
) -> NDArray[Any]:
    """Return the window (y0, y1), (x0, x1) of a picture resized by `scale`; with antialias bytes stay bytes."""
    if not preprocessing.antialias and preprocessing.interpolation != "nearest":
        import torch

        # At pixel centres, with the border repeated, as Keras, PyTorch and OpenCV resize.
        y, x = (
            torch.from_numpy((np.arange(*span) + 0.5) * 2 / (factor * side) - 1)
            for span, factor, side in zip(window, scale, pixels.shape[:2], strict=True)
        )
        values = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float64))
        places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]
        options: Any = {"mode": preprocessing.interpolation, "padding_mode": "border", "align_corners": False}
        return np.asarray(torch.nn.functional.grid_sample(values, places, **options)[0].float().permute(1, 2, 0))
    height, width = pixels.shape[:2]
    high, wide = round(height * scale[0]), round(width * scale[1])
    (y0, y1), (x0, x1) = window
    how = Pillow.Resampling[preprocessing.interpolation.upper()]

    def small(plane: NDArray[Any]) -> NDArray[Any]:
        if high * wide <= MAX_RESIZED * (y1 - y0) * (x1 - x0):
            return np.asarray(Pillow.fromarray(plane).resize((wide, high), how))[y0:y1, x0:x1]
        # Pillow's float32 box rounds some bytes differently; a 1-px-wide picture stays small.
        box = (x0 / scale[1], y0 / scale[0], min(x1 / scale[1], width), min(y1 / scale[0], height))
        return np.asarray(Pillow.fromarray(plane).resize((x1 - x0, y1 - y0), how, box=box))

    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return small(pixels)
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    return np.stack([small(np.ascontiguousarray(pixels[:, :, i])) for i in range(pixels.shape[2])], axis=2)
