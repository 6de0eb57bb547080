"""Draw persons who differ in their clothes alone.

A person is five garments. Everything else is random: skin, hair, build, limbs, place, light, background. Persons come
in pairs of twins, 2k and 2k + 1, who wear the same but for one garment: what tells one from the other is known to the
pixel. Every picture is a spec of numbers, drawn the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.demo.shapes import Mask

Point = tuple[float, float]

SIZE = (96, 48)
"""(H, W) of a picture, of the shape that re-identification works with."""
GARMENTS = ("hat", "top", "legs", "shoes", "bag")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (206, 30, 36),
    "yellow": (244, 216, 44),
    "green": (34, 150, 56),
    "blue": (36, 72, 200),
    "purple": (132, 44, 168),
    "pink": (246, 146, 190),
    "white": (242, 242, 238),
    "black": (30, 30, 34),
}
PATTERNS = ("plain", "hoops", "stripes", "checks", "dots")
LEGS = ("trousers", "shorts", "skirt")
HELD_OUT = 1_000_000
"""First of the persons that no training draws."""

_SKIN = ((241, 204, 172), (224, 172, 128), (190, 132, 92), (132, 86, 58), (84, 54, 40))
_HAIR = ((30, 24, 22), (88, 56, 34), (176, 124, 62), (150, 150, 150), (150, 62, 32))
_SCALE = 2
_TABLE = np.array(list(COLOURS.values()), np.float32)


@dataclass(frozen=True, slots=True)
class Outfit:
    """What one person wears: each colour a place in COLOURS."""

    hat: int
    top: int
    pattern: str
    ink: int
    """Of the top's pattern; a plain one shows none of it."""
    legs: int
    cut: str
    shoes: int
    bag: int


@dataclass(frozen=True, slots=True)
class PersonSpec:
    """One picture of one person; all but `outfit` follows from `seed`."""

    outfit: Outfit
    seed: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn person."""

    pixels: NDArray[np.uint8]
    """(96, 48, 3) RGB"""
    garments: dict[str, Mask]
    """Where each garment can be seen, (96, 48)."""


def outfit(person: int) -> Outfit:
    """Return a person's outfit; the twin's differs in `differs`."""
    rng = np.random.default_rng([person // 2, 11])
    # One colour on neighbouring garments would hide where one ends.
    hat, top, ink, legs, shoes, bag = rng.integers(0, len(COLOURS), 6).tolist()
    ink, bag = _other(ink, top), _other(bag, top)
    legs = _other(legs, top)
    shoes = _other(shoes, legs)
    pattern, cut = PATTERNS[rng.integers(len(PATTERNS))], LEGS[rng.integers(len(LEGS))]
    worn = Outfit(hat, top, pattern, ink, legs, cut, shoes, bag)
    if person % 2 == 0:
        return worn
    garment = differs(person)
    taken = (getattr(worn, garment), top, ink, legs)
    free = [colour for colour in range(len(COLOURS)) if colour not in taken]
    changed: dict[str, Any] = {garment: int(rng.choice(free))}
    return replace(worn, **changed)


def _other(colour: int, than: int) -> int:
    return (colour + 3) % len(COLOURS) if colour == than else colour


def differs(person: int) -> str:
    """Return the garment distinguishing a person from the twin."""
    return GARMENTS[np.random.default_rng([person // 2, 12]).integers(len(GARMENTS))]


def twin(person: int) -> int:
    """Return the person with all but one garment the same."""
    return person ^ 1


def sample(person: int, picture: int, *, held_out: bool = False) -> PersonSpec:
    """Return a picture's spec by number; `held_out`: never drawn in training."""
    return PersonSpec(outfit(person), int(np.random.default_rng([person, picture, held_out]).integers(2**32)))


def wearing(spec: PersonSpec, garment: str, of: Outfit) -> PersonSpec:
    """Return the picture's spec with one garment of another outfit."""
    changed = {"top": ("top", "pattern", "ink"), "legs": ("legs", "cut")}.get(garment, (garment,))
    return replace(spec, outfit=replace(spec.outfit, **{name: getattr(of, name) for name in changed}))


class _Canvas:
    """Paints at twice the size; `owner` says which part each pixel belongs to."""

    def __init__(self, pixels: NDArray[np.float32]) -> None:
        self.pixels = pixels
        self.owner: NDArray[np.uint8] = np.zeros(pixels.shape[:2], np.uint8)

    def polygon(self, part: int, colour: Sequence[float], *points: Point) -> None:
        for plane, value in self._planes(part, colour):
            cv2.fillPoly(plane, [_whole(points)], value)

    def line(self, part: int, colour: Sequence[float], thickness: float, *points: Point) -> None:
        for plane, value in self._planes(part, colour):
            cv2.polylines(plane, [_whole(points)], False, value, max(int(thickness), 1))

    def disc(self, part: int, colour: Sequence[float], centre: Point, radius: float, *, upper: bool = False) -> None:
        """Draw a disc, or only its upper part."""
        (at,), size = _whole([centre]).tolist(), max(round(radius), 1)
        turn = (180 - 18, 360 + 18) if upper else (0, 360)
        for plane, value in self._planes(part, colour):
            cv2.ellipse(plane, at, (size, size), 0, *turn, value, -1)

    def _planes(self, part: int, colour: Sequence[float]) -> tuple[tuple[Any, Any], ...]:
        return (self.pixels, tuple(map(float, colour))), (self.owner, part)


def _whole(points: Sequence[Point]) -> NDArray[np.int32]:
    return np.array(points, np.float32).round().astype(np.int32)


def draw(spec: PersonSpec) -> Figure:
    """Draw the figure of a spec, the same bytes each time."""
    rng = np.random.default_rng([spec.seed, 1])
    height, width = SIZE[0] * _SCALE, SIZE[1] * _SCALE
    canvas = _Canvas(_behind(height, width, rng))
    _person(canvas, spec.outfit, rng)
    pixels = _expose(cv2.resize(canvas.pixels, SIZE[::-1], interpolation=cv2.INTER_AREA), rng)
    parts = ((canvas.owner == number).astype(np.float32) for number in range(1, len(GARMENTS) + 1))
    shares = (cv2.resize(part, SIZE[::-1], interpolation=cv2.INTER_AREA) for part in parts)
    return Figure(pixels, {name: np.asarray(share >= 0.5) for name, share in zip(GARMENTS, shares, strict=True)})


def _person(canvas: _Canvas, worn: Outfit, rng: np.random.Generator) -> None:
    """Draw legs, arms, top, head, hat and bag, back to front."""
    height, width = canvas.owner.shape
    tall = rng.uniform(0.8, 0.94) * height
    crown = rng.uniform(0.02, 0.98 - tall / height) * height
    middle = width * (0.5 + rng.uniform(-0.1, 0.1))
    lean, broad = rng.uniform(-0.04, 0.04) * tall, rng.uniform(0.88, 1.12)
    side = 1 if rng.random() < 0.5 else -1
    skin, hair = _SKIN[rng.integers(len(_SKIN))], _HAIR[rng.integers(len(_HAIR))]

    def at(x: float, y: float) -> Point:
        """Convert x from the middle and y from the crown, in heights."""
        return middle + lean * (1 - y) + x * tall * broad, crown + y * tall

    shade = {name: rng.uniform(0.9, 1.08) for name in GARMENTS}
    tone = {name: _TABLE[getattr(worn, name)] * shade[name] for name in GARMENTS}
    hat, top, legs, shoes, bag = range(1, 6)
    bare = len(GARMENTS) + 1
    bend, stride = rng.uniform(-0.03, 0.05, 2), rng.uniform(0.03, 0.11, 2)
    for out, bent, apart in ((-1, bend[0], stride[0]), (1, bend[1], stride[1])):
        hip, knee = at(out * 0.045, 0.5), at(out * (0.05 + apart / 2 + bent / 2), 0.73)
        foot = at(out * (0.045 + apart), 0.955)
        canvas.line(bare, skin, 0.06 * tall, hip, knee, foot)
        if worn.cut != "skirt":
            canvas.line(legs, tone["legs"], 0.085 * tall, hip, knee, foot if worn.cut == "trousers" else knee)
        toe = (foot[0] + out * 0.035 * tall, foot[1] + 0.012 * tall)
        canvas.line(shoes, tone["shoes"], 0.055 * tall, (foot[0] - out * 0.01 * tall, toe[1]), toe)
    if worn.cut == "skirt":
        flare = rng.uniform(0.1, 0.14)
        canvas.polygon(legs, tone["legs"], at(-0.075, 0.47), at(0.075, 0.47), at(flare, 0.72), at(-flare, 0.72))
    for out, swing in zip((-1, 1), rng.uniform(0.03, 0.16, 2).tolist(), strict=True):
        shoulder, elbow = at(out * 0.095, 0.2), at(out * (0.11 + swing * 0.6), 0.35)
        hand = at(out * (0.1 + swing), 0.48)
        canvas.disc(bare, skin, hand, 0.024 * tall)
        canvas.line(top, tone["top"], 0.052 * tall, shoulder, elbow, hand)
    canvas.line(bare, skin, 0.05 * tall, at(0, 0.12), at(0, 0.18))
    half = (at(0.07, 0.165), at(0.115, 0.2), at(0.088, 0.52))
    canvas.polygon(top, tone["top"], *half, *(at(-x, y) for x, y in ((0.088, 0.52), (0.115, 0.2), (0.07, 0.165))))
    head = at(rng.uniform(-0.008, 0.008), 0.095)
    canvas.line(bare, hair, 0.11 * tall, head, (head[0], head[1] + rng.uniform(0.0, 0.07) * tall))
    canvas.disc(bare, skin, (head[0], head[1] + 0.012 * tall), 0.047 * tall)
    brim = at(side * 0.075, 0.072)
    canvas.line(hat, tone["hat"], 0.022 * tall, (head[0], brim[1]), brim)
    canvas.disc(hat, tone["hat"], (head[0], brim[1]), 0.062 * tall, upper=True)
    strap, hang = at(-side * 0.07, 0.18), at(side * rng.uniform(0.1, 0.13), rng.uniform(0.47, 0.53))
    canvas.line(bag, tone["bag"], 0.016 * tall, strap, hang)
    wide, deep = 0.06 * tall, 0.05 * tall
    corners = [(hang[0] + x * wide, hang[1] + y * deep) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    canvas.polygon(bag, tone["bag"], *corners)
    if worn.pattern != "plain":
        seen = (canvas.owner == top) & _ink(worn.pattern, canvas.owner.shape, 0.062 * tall, rng)
        canvas.pixels[seen] = _TABLE[worn.ink] * shade["top"]


def _ink(pattern: str, shape: tuple[int, ...], pitch: float, rng: np.random.Generator) -> Mask:
    """Return the mask of a pattern's second colour, (h, w)."""
    y, x = ((np.arange(side) + rng.uniform(0, pitch)) / pitch for side in shape)
    down, across = y[:, None], x[None, :]
    masks: dict[str, Mask] = {
        "hoops": down % 1 < 0.45,
        "stripes": across % 1 < 0.45,
        "checks": (np.floor(across) + np.floor(down)) % 2 == 0,
        "dots": (across % 1 - 0.5) ** 2 + (down % 1 - 0.5) ** 2 < 0.09,
    }
    return np.broadcast_to(masks[pattern], shape)


def _behind(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a random background with garment-coloured things, (h, w, 3)."""
    cells = rng.uniform(20, 235, (int(rng.integers(2, 7)), int(rng.integers(2, 4)), 3)).astype(np.float32)
    pixels = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 5))):
        colour = _TABLE[rng.integers(len(_TABLE))] * rng.uniform(0.8, 1.1)
        x, y = rng.uniform(-0.1, 1.1) * width, rng.uniform(0, 1) * height
        w, h = rng.uniform(0.03, 0.26) * width, rng.uniform(0.03, 0.35) * height
        corners = cv2.boxPoints(((x, y), (w, h), float(rng.uniform(-25, 25))))
        cv2.fillPoly(pixels, [corners.round().astype(np.int32)], colour.tolist())
    return np.asarray(pixels, np.float32)


def _expose(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Apply light, blur and grain."""
    height, width = pixels.shape[:2]
    light = rng.uniform(0.8, 1.08) * rng.uniform(0.96, 1.04, 3)
    across = np.linspace(-1, 1, width)[None, :, None] * rng.uniform(-0.12, 0.12)
    down = np.linspace(-1, 1, height)[:, None, None] * rng.uniform(-0.12, 0.12)
    pixels = pixels * (light * (1 + across + down)).astype(np.float32)
    blur = rng.uniform(-0.4, 0.8)
    if blur > 0.15:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * rng.uniform(0, 7)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)
