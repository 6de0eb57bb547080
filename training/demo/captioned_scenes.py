"""Draw scenes of named colours and shapes.

What a phrase such as "red star" refers to is known pixel by pixel, so a map of it can be judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightglass.models.demo import pictures
from sightglass.models.demo.pictures import SHAPES as SHAPES
from sightglass.models.demo.pictures import SYNONYMS as SYNONYMS
from training.demo.scenes import background
from training.demo.shapes import Mask, Plane, box, fold, locate, star, triangle

_RGB = (
    (214, 34, 38),
    (243, 132, 24),
    (246, 218, 44),
    (42, 152, 62),
    (36, 84, 208),
    (128, 48, 168),
    (246, 246, 246),
    (24, 24, 28),
)
COLOURS = dict(zip(pictures.COLOURS, _RGB, strict=True))
SIDE = pictures.CAPTIONED_SIDE
NEVER_SEEN = frozenset({("red", "ring"), ("yellow", "heart"), ("blue", "cross"), ("white", "moon")})
"""Pairs that training neither draws nor names: a model has to combine the two words."""
_APART = 0.92  # of the sum of two radii: things may touch, none hides another


@dataclass(frozen=True, slots=True)
class NamedThing:
    """A thing: what it is called, its centre and radius in shares of the side, and its angle in radians.

    `shade` multiplies its colour, so that no two reds are the same.
    """

    colour: str
    shape: str
    x: float
    y: float
    radius: float
    angle: float
    shade: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def phrase(self) -> str:
        """`red star`"""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, slots=True)
class CaptionedSpec:
    """Everything that a scene depends on; `background` and `seed` as in `scenes`."""

    things: tuple[NamedThing, ...]
    background: str
    seed: int
    noise: float = 0.0
    held_out: bool = False

    @property
    def named(self) -> tuple[NamedThing, ...]:
        """Return the things with named shapes."""
        return tuple(thing for thing in self.things if thing.shape in SHAPES)


@dataclass(frozen=True, slots=True)
class CaptionedScene:
    """The picture, uint8 (H, W, 3) RGB, and for every phrase of a thing in it the (H, W) mask of its visible pixels."""

    pixels: NDArray[np.uint8]
    masks: dict[str, Mask]


def sample(seed: int, *, held_out: bool = False, rare: bool = False) -> CaptionedSpec:
    """Return a seed's spec: two to four named things and clutter.

    Held-out scenes share no seed and no part of a photograph with training. `rare`: the first thing is one of
    `NEVER_SEEN`, of which there is none in other scenes.
    """
    rng = np.random.default_rng([seed, int(held_out), 7])
    kinds = _kinds(rng, rare=rare)
    clutter = [(str(rng.choice(list(COLOURS))), str(rng.choice(("bar", "half")))) for _ in range(rng.integers(0, 3))]
    placed: list[NamedThing] = []
    for colour, shape in [*kinds, *clutter]:
        radius = float(rng.uniform(0.11, 0.18))
        spots = rng.uniform(radius * 0.95, 1 - radius * 0.95, (12, 2))
        room = [min((_gap(spot, radius, other) for other in placed), default=1.0) for spot in spots]
        best = int(np.argmax(room))
        if room[best] < 0:
            continue
        shade = rng.uniform(0.82, 1.06) * rng.uniform(0.95, 1.05, 3)
        x, y = spots[best].tolist()
        angle = float(rng.uniform(0, 2 * np.pi))
        placed.append(NamedThing(colour, shape, x, y, radius, angle, tuple(shade.tolist())))
    return CaptionedSpec(
        tuple(placed),
        str(rng.choice(("photo", "gradient", "noise"), p=[0.4, 0.3, 0.3])),
        int(rng.integers(2**32)),
        float(rng.uniform(0, 6)),
        held_out,
    )


def _gap(spot: NDArray[np.float64], radius: float, other: NamedThing) -> float:
    return float(np.hypot(spot[0] - other.x, spot[1] - other.y)) - _APART * (radius + other.radius)


def _kinds(rng: np.random.Generator, *, rare: bool) -> list[tuple[str, str]]:
    """Return two to four different (colour, shape), often sharing one."""
    colours, count = list(COLOURS), int(rng.integers(2, 5))
    kinds: list[tuple[str, str]] = [sorted(NEVER_SEEN)[rng.integers(len(NEVER_SEEN))]] if rare else []
    alike = rng.random() < 0.5
    while len(kinds) < count:
        colour, shape = str(rng.choice(colours)), str(rng.choice(SHAPES))
        if alike and len(kinds) == 1:
            shape = kinds[0][1]
        elif alike and len(kinds) == 2:
            colour = kinds[0][0]
        if (colour, shape) not in kinds and (colour, shape) not in NEVER_SEEN:
            kinds.append((colour, shape))
    return kinds


def draw(spec: CaptionedSpec, side: int = SIDE) -> CaptionedScene:
    """Draw a spec's scene on `side` pixels, reproducibly."""
    canvas = background(spec.background, side, spec.seed, held_out=spec.held_out)
    rng = np.random.default_rng([spec.seed, 8])
    masks: dict[str, Mask] = {}
    for thing in spec.things:
        place, share = _paint(canvas, thing, side)
        for mask in masks.values():
            mask[place] &= share < 0.5
        if thing.shape in SHAPES:
            masks[thing.phrase] = np.zeros((side, side), np.bool_)
            masks[thing.phrase][place] = share >= 0.5
    canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(spec.noise)
    return CaptionedScene(np.clip(canvas, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy(), masks)


def _paint(canvas: Plane, thing: NamedThing, side: int) -> tuple[tuple[slice, slice], Plane]:
    """Paint a thing on (3, H, W); return its patch and coverage."""
    scale = np.float32(thing.radius * side)
    place, x, y = locate(thing.x * side, thing.y * side, thing.radius * side + 1, thing.angle, side)
    u, v = x / scale, y / scale
    distance = _FORMS[thing.shape](u, v) * scale
    share: Plane = np.clip(0.5 - distance, 0, 1)
    rim = np.clip(-1.5 - distance, 0, 1) * np.float32(0.25) + np.float32(0.75)
    colour = np.clip(np.array(COLOURS[thing.colour]) * thing.shade, 0, 255).astype(np.float32)
    patch = canvas[:, *place]
    patch += share * (colour[:, None, None] * rim - patch)
    return place, share


def _away(u: Plane, v: Plane) -> Plane:
    return np.sqrt(u * u + v * v)


def _heart(u: Plane, v: Plane) -> Plane:
    # A square on its corner and two discs on its upper sides.
    v = v + np.float32(0.12)
    a, b = (u + v) * np.float32(0.5**0.5), (v - u) * np.float32(0.5**0.5)
    half = np.float32(0.5)
    discs = np.minimum(_away(a + half, b), _away(a, b + half)) - half
    return np.minimum(box(a, b, 0.5, 0.5), discs)


_FORMS: dict[str, Callable[[Plane, Plane], Plane]] = {
    "star": lambda u, v: star(*fold(u, v, 5, _away), 1, 0.42),
    "ball": lambda u, v: _away(u, v) - np.float32(0.86),
    "ring": lambda u, v: np.abs(_away(u, v) - np.float32(0.72)) - np.float32(0.2),
    "cross": lambda u, v: np.minimum(box(u, v, 0.94, 0.28), box(u, v, 0.28, 0.94)),
    "square": lambda u, v: box(u, v, 0.72, 0.72),
    "triangle": lambda u, v: triangle(u, v, 1),
    "heart": _heart,
    "moon": lambda u, v: np.maximum(_away(u, v) - 1, np.float32(0.8) - _away(u - np.float32(0.5), v)),
    "bar": lambda u, v: box(u, v, 0.95, 0.2),
    "half": lambda u, v: np.maximum(_away(u, v) - np.float32(0.9), u),
}


def example() -> CaptionedSpec:
    """Return the example scene: a red star among partly matching things."""
    return CaptionedSpec(
        (
            NamedThing("red", "star", 0.72, 0.3, 0.15, 0.3),
            NamedThing("blue", "star", 0.24, 0.68, 0.15, 1.0),
            NamedThing("red", "ball", 0.27, 0.26, 0.13, 0.0),
            NamedThing("yellow", "square", 0.73, 0.74, 0.15, 0.5),
            NamedThing("green", "bar", 0.49, 0.5, 0.12, 0.9),
        ),
        "gradient",
        12,
        noise=2.0,
        held_out=True,
    )
