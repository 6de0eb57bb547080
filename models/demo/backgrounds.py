"""Draw the backgrounds of scenes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.common.files.packing import photograph
from sightglass.models.demo.shapes import tint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.models.demo.shapes import Plane

BACKGROUNDS = ("photo", "gradient", "noise", "weave")

_PHOTOGRAPHS = ("bus", "zidane", "china", "flower")
_SHARES = (0.3, 0.1, 0.3, 0.3)  # One large face fills most of the second.
_SEEN = 0.65  # Share of each photograph, from the left, for training; the rest is held out.


def background(kind: str, size: int, seed: int, *, held_out: bool = False) -> Plane:
    """Return a background, (3, size, size), float32, 0..255, RGB.

    Raises ModelProblem if a photograph is not installed, ValueError for an unknown kind.
    """
    if kind not in BACKGROUNDS:
        raise ValueError(f"A background is one of {', '.join(BACKGROUNDS)}, not {kind!r}.")
    rng = np.random.default_rng([seed, 2])
    if kind == "photo":
        return _photo(size, rng, held_out=held_out)
    return {"gradient": _gradient, "noise": _noise, "weave": _weave}[kind](size, rng)


@cache
def _photograph(number: int) -> tuple[NDArray[np.uint8], ...]:
    """Return a photograph with its shorter side at most 540 pixels, and at half of that."""
    name = _PHOTOGRAPHS[number]
    path = photograph(name)
    stored = None if path is None else cv2.imread(str(path), cv2.IMREAD_COLOR)
    if stored is None:
        raise ModelProblem(f"The photograph {name} is missing: pip install ultralytics scikit-learn.")
    pixels = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    scale = min(540 / min(pixels.shape[:2]), 1)
    return tuple(cv2.resize(pixels, None, fx=by, fy=by, interpolation=cv2.INTER_AREA) for by in (scale, scale / 2))


def _photo(size: int, rng: np.random.Generator, *, held_out: bool) -> Plane:
    levels = _photograph(int(rng.choice(len(_PHOTOGRAPHS), p=_SHARES)))
    height, width = levels[0].shape[:2]
    cut = int(width * _SEEN)
    first, extent = (cut, width - cut) if held_out else (0, cut)
    shorter = min(extent, height)
    side = int(rng.uniform(min(150, shorter), shorter))
    top, left = int(rng.integers(height - side + 1)), first + int(rng.integers(extent - side + 1))
    half = int(side >= 2 * size)  # Linear scaling to less than half would alias, and by area takes ten times as long.
    top, left, side = top >> half, left >> half, side >> half
    crop = levels[half][top : top + side, left : left + side]
    way = cv2.INTER_LINEAR if side > size else cv2.INTER_CUBIC
    planes = cv2.split(cv2.resize(crop, (size, size), interpolation=way))
    order = rng.permutation(3) if rng.random() < 0.35 else np.arange(3)
    mirrored = 1 - 2 * int(rng.integers(2))
    gain = np.float32(rng.uniform(0.7, 1.05))
    return np.stack([planes[channel][:, ::mirrored] for channel in order]) * gain


def _between(low: Plane, high: Plane, share: Plane) -> Plane:
    """Interpolate from `low` to `high`, (3,), by `share`, (H, W), 0..1."""
    return low[:, None, None] + share * (high - low)[:, None, None]


def _gradient(size: int, rng: np.random.Generator) -> Plane:
    low, high = tint(rng, rng.uniform(0.12, 0.5)), tint(rng, rng.uniform(0.4, 0.95))
    corners = rng.random((3, 3), np.float32)
    share = cv2.resize(corners, (size, size), interpolation=cv2.INTER_CUBIC)
    return _between(low, high, np.clip(share, 0, 1))


def _noise(size: int, rng: np.random.Generator) -> Plane:
    half = size // 2  # Smooth scaling of floats is slow, and no octave is as fine as two pixels.
    share = np.zeros((half, half), np.float32)
    cells, weight = int(rng.integers(3, 8)), 1.0
    for _ in range(int(rng.integers(2, 4))):
        octave = rng.random((cells, cells), np.float32)
        share += np.float32(weight) * cv2.resize(octave, (half, half), interpolation=cv2.INTER_CUBIC)
        cells, weight = min(cells * int(rng.integers(3, 5)), half), weight * 0.5
    share -= share.min()
    share /= share.max()
    low, high = tint(rng, rng.uniform(0.1, 0.5)), tint(rng, rng.uniform(0.4, 0.95))
    return _between(low, high, cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR))


def _weave(size: int, rng: np.random.Generator) -> Plane:
    """Draw threads over and under each other, as in a basket."""
    pitch = np.float32(rng.uniform(7, 11) * size / 128)
    turn = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    a, b = (x * cos + y * sin) / pitch + 100, (y * cos - x * sin) / pitch + 100
    over = (np.floor(a) + np.floor(b)) % 2
    thread = np.where(over > 0, a - np.floor(a), b - np.floor(b))
    arch = np.where(over > 0, b - np.floor(b), a - np.floor(a))
    share = (1 - (2 * thread - 1) ** 4) * (0.45 + 0.55 * np.sin(np.float32(np.pi) * arch))
    share *= 0.8 + 0.2 * over
    return _between(tint(rng, rng.uniform(0.05, 0.25)), tint(rng, rng.uniform(0.5, 0.85)), share)
