"""Draw shapes as signed distance fields.

Each family samples its body from the thing's seed before it considers the mark, so two kinds of one family with the
same seed differ only in their mark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

BODY, FACE, INK = range(3)
COVERED = 1 / 16  # Below this share of a pixel nothing is painted, so that the mask is exact.
_ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 8  # Sobel's, per pixel


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing: its kind, centre and length in pixels, angle in radians, and the seed of all else about it.

    `length` is the diameter of the circle that holds the thing, its mark at either place included.
    """

    kind: str
    x: float
    y: float
    length: float
    angle: float
    seed: int


@dataclass(frozen=True, slots=True)
class Form:
    """A thing's geometry on a patch: planes of signed distance, (h, w), pixels.

    `layers` are painted on the body in order, each with the colour of its index; `cause` is true inside the region
    that tells the kind from its rival; `bevel` is the width of the shaded edge.
    """

    body: Plane
    layers: tuple[tuple[Plane, int], ...]
    cause: Mask
    bevel: float


@dataclass(frozen=True, slots=True)
class Outline:
    """A form in its colours at its place in the picture: (rows, columns) of its patch, and (h, w) planes.

    `coverage` is the share of each pixel that is painted, 0..1; `mask` where any is.
    """

    place: tuple[slice, slice]
    form: Form
    colours: tuple[Plane, Plane, Plane]
    coverage: Plane
    mask: Mask


def locate(x: float, y: float, reach: float, angle: float, size: int) -> tuple[tuple[slice, slice], Plane, Plane]:
    """Return the patch, (rows, columns), around a point in pixels, and its turned coordinates from there, (h, w)."""
    rows, columns = (slice(max(int(np.floor(at - reach)), 0), min(int(np.ceil(at + reach)), size)) for at in (y, x))
    down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    across = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5 - x)
    return (rows, columns), *_turn(across, down, angle)


@lru_cache(maxsize=64)
def outline(thing: Thing, size: int) -> Outline:
    """Return the thing's outline in a picture of `size`, clipped."""
    place, u, v = locate(thing.x, thing.y, thing.length / 2 + 1.5, thing.angle, size)
    family, _, mark = thing.kind.partition("-")
    rng = np.random.default_rng(thing.seed)
    # The ink's luma is at least 0.3 from that of body and face.
    step = rng.uniform(0.32, 0.5)
    if rng.random() < 0.5:
        body, face = rng.uniform(0.52, 0.85), rng.uniform(0.52, 0.85)
        ink = max(min(body, face) - step, 0.04)
    else:
        body, face = rng.uniform(0.18, 0.5), rng.uniform(0.18, 0.5)
        ink = min(max(body, face) + step, 0.97)
    colours = tint(rng, body), tint(rng, face), tint(rng, ink)
    form = _FAMILIES[family](u, v, thing.length, rng, mark)
    coverage = _cover(form.body)
    mask = coverage >= COVERED
    coverage *= mask
    return Outline(place, form, colours, coverage, mask)


def paint(canvas: Plane, thing: Thing, light: tuple[float, float]) -> Outline:
    """Paint the thing in place on `canvas` (3, H, W), under `light`."""
    shape = outline(thing, canvas.shape[1])
    form = shape.form
    colours = [colour[:, None, None] for colour in shape.colours]
    colour = np.empty((3, *form.body.shape), np.float32)
    colour[:] = colours[BODY]
    for distance, index in form.layers:
        colour += _cover(distance) * (colours[index] - colour)
    kernel = np.asarray(light[0] * _ACROSS + light[1] * _ACROSS.T, np.float32)
    slope = cv2.filter2D(form.body, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    edge = _cover(-0.5 - form.body * (1 / form.bevel))
    rim = _cover(-1 - form.body)
    colour *= (1 + 0.45 * slope * edge) * (1 - 0.5 * rim)
    np.minimum(colour, 255, out=colour)
    patch = canvas[:, shape.place[0], shape.place[1]]
    colour *= shape.coverage
    patch *= 1 - shape.coverage
    patch += colour
    return shape


def _cover(distance: Plane) -> Plane:
    """Return the inner share of each pixel, 0..1."""
    share: Plane = 0.5 - distance
    np.maximum(share, 0, out=share)
    return np.minimum(share, 1, out=share)


def tint(rng: np.random.Generator, luma: float) -> Plane:
    """Sample a colour with the given luma (0..1): (3,), 0..255."""
    hue, saturation = rng.random() * 6, rng.uniform(0.35, 0.85)
    pure = [1 + saturation * (min(max(abs((hue + turn) % 6 - 3) - 1, 0), 1) - 1) for turn in (0, 4, 2)]
    grey = 0.299 * pure[0] + 0.587 * pure[1] + 0.114 * pure[2]
    if luma < grey:
        shade = [channel * luma / grey for channel in pure]
    else:
        shade = [1 - (1 - channel) * (1 - luma) / (1 - grey) for channel in pure]
    return np.array(shade, np.float32) * 255


def box(u: Plane, v: Plane, half_u: float, half_v: float) -> Plane:
    return np.maximum(np.abs(u) - half_u, np.abs(v) - half_v)


def _away(u: Plane, v: Plane) -> Plane:
    return np.asarray(cv2.magnitude(u, v), np.float32)  # a tenth of the time of np.hypot


def _turn(u: Plane, v: Plane, angle: float) -> tuple[Plane, Plane]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return u * cos + v * sin, v * cos - u * sin


def triangle(u: Plane, v: Plane, radius: float) -> Plane:
    """Return an equilateral triangle with this circumradius, one corner at -u."""
    return np.maximum(u, np.abs(v) * np.float32(0.75**0.5) - u * np.float32(0.5)) - np.float32(radius / 2)


def _rod(u: Plane, v: Plane, length: float, rng: np.random.Generator, mark: str) -> Form:
    radius = max(rng.uniform(0.13, 0.2) * length, 5.0)
    width = rng.uniform(0.3, 0.6) * radius
    turn = rng.uniform(0, np.pi)
    end = length / 2 - radius
    cap = _away(np.abs(u) - np.float32(end), v) - radius
    centre = u - end
    distance = _away(centre, v)
    layers: list[tuple[Plane, int]] = [(cap + 0.15 * radius, FACE)]
    if mark == "ring":
        stroke = max(0.17 * radius, 0.75)
        layers.append((np.abs(distance - (0.72 * radius - stroke)) - stroke, INK))
    elif mark == "cross":
        a, b = _turn(centre, v, turn)
        arm, stroke = 0.72 * radius, max(0.16 * radius, 0.75)
        layers.append((np.minimum(box(a, b, arm, stroke), box(a, b, stroke, arm)), INK))
    body = np.minimum(box(u, v, end, width), cap)
    return Form(body, tuple(layers), distance < 0.8 * radius + 0.5, 0.5 * radius)


def _plate(u: Plane, v: Plane, length: float, rng: np.random.Generator, mark: str) -> Form:
    aspect = rng.uniform(0.62, 0.95)
    half_u = length / 2 / (1 + aspect**2) ** 0.5
    half_v = aspect * half_u
    corner = rng.uniform(0.2, 0.45) * half_v
    radius = max(rng.uniform(0.1, 0.15) * length, 4.5)
    inset = 0.05 * length + 1.1 * radius
    at_u = max(half_u - inset, 0) * rng.uniform(0.8, 1)
    at_v = max(half_v - inset, 0) * rng.uniform(-1, 1)
    turn = rng.uniform(0, 2 * np.pi)
    over_u, over_v = np.abs(u) - (half_u - corner), np.abs(v) - (half_v - corner)
    body = _away(np.maximum(over_u, 0), np.maximum(over_v, 0)) + np.minimum(np.maximum(over_u, over_v), 0) - corner
    layers: list[tuple[Plane, int]] = [(np.abs(body + 0.07 * length) - max(0.009 * length, 0.4), FACE)]
    a, b = _turn(u - at_u, v - at_v, turn)
    if mark == "square":
        side = 0.57 * radius  # the triangle's area
        layers.append((box(a, b, side, side), INK))
    elif mark == "triangle":
        layers.append((triangle(a, b, radius), INK))
    return Form(body, tuple(layers), _away(a, b) < radius + 1, 0.06 * length)


def _ball(u: Plane, v: Plane, length: float, rng: np.random.Generator, mark: str) -> Form:
    radius = length / 2
    period = np.exp(rng.uniform(np.log(max(0.09 * length, 3.6)), np.log(max(0.3 * length, 4.5))))
    turn, *phase = rng.uniform(0, [np.pi, 1, 1])
    body = _away(u, v) - radius
    inside = body + max(0.08 * radius, 1.5)
    a, b = (side / np.float32(period) for side in _turn(u, v, turn))
    row = np.floor(a + np.float32(phase[0]))
    across = a + np.float32(phase[0] - 0.5) - row
    layers: list[tuple[Plane, int]] = []
    if mark == "stripes":
        layers.append((np.maximum((np.abs(across) - np.float32(0.25)) * np.float32(period), inside), INK))
    elif mark == "dots":
        staggered = b + np.float32(phase[1]) + row * np.float32(0.5)
        beside = staggered - np.floor(staggered) - np.float32(0.5)
        layers.append((np.maximum((_away(across, beside) - np.float32(0.38)) * np.float32(period), inside), INK))
    return Form(body, tuple(layers), inside < 0.5, radius)


def _moon(u: Plane, v: Plane, length: float, rng: np.random.Generator, mark: str) -> Form:
    pearl = max(rng.uniform(0.08, 0.11) * length, 3.0)
    gap = max(0.05 * length, 4.0)  # Nearer, the pearl would change the shading of the crescent's edge.
    radius = (length - 2 * pearl - gap) / 2
    shift, bite = rng.uniform(0.42, 0.55) * radius, rng.uniform(0.68, 0.8) * radius
    centre = length / 2 - radius
    crescent = np.maximum(_away(u - centre, v) - radius, bite - _away(u - centre - shift, v))
    inside = _away(u - (centre + shift - bite + gap + pearl), v) - pearl
    outside = _away(u + (length / 2 - pearl), v) - pearl
    cause = np.minimum(inside, outside) < 1
    if mark:
        chosen = inside if mark == "inside" else outside
        return Form(np.minimum(crescent, chosen), ((chosen, FACE),), cause, 0.12 * length)
    return Form(crescent, (), cause, 0.12 * length)


def _star(u: Plane, v: Plane, length: float, rng: np.random.Generator, mark: str) -> Form:
    depth = rng.uniform(0.4, 0.56)
    body = star(*fold(u, v, 5), length / 2, length / 2 * depth)
    return Form(body, ((body + np.float32(0.09 * length), FACE),), body < 0.5 - COVERED, 0.12 * length)


def _gear(u: Plane, v: Plane, length: float, rng: np.random.Generator, mark: str) -> Form:
    teeth = int(rng.integers(6, 10))
    tip = length / 2
    root = rng.uniform(0.7, 0.8) * tip
    half = rng.uniform(0.36, 0.48) * np.pi * root / teeth
    hole = rng.uniform(0.2, 0.36) * tip
    a, b = fold(u, v, teeth)
    away = _away(u, v)
    tooth = np.maximum(a - np.float32(tip * 0.97), b - np.float32(half) - (np.float32(tip) - a) * np.float32(0.2))
    body = np.maximum(np.minimum(away - np.float32(root), tooth), np.float32(hole) - away)
    hub = away - np.float32(hole + 0.5 * (root - hole))
    return Form(body, ((hub, FACE),), body < 0.5 - COVERED, 0.07 * length)


def star(a: Plane, b: Plane, tip: float, valley: float) -> Plane:
    """Return a five-pointed star by its tips' and valleys' distances."""
    side = np.array([tip - valley * np.cos(np.pi / 5), valley * np.sin(np.pi / 5)])
    normal = side[::-1] / np.hypot(*side)
    return (a - np.float32(tip)) * np.float32(normal[0]) + b * np.float32(normal[1])


def fold(u: Plane, v: Plane, sectors: int, radius: Callable[[Plane, Plane], Plane] = _away) -> tuple[Plane, Plane]:
    """Fold the plane into half of one of its equal sectors."""
    step = np.float32(2 * np.pi / sectors)
    angle = np.arctan2(v, u)
    angle -= np.round(angle / step) * step
    away = radius(u, v)
    return away * np.cos(angle), away * np.abs(np.sin(angle))


def _clutter(u: Plane, v: Plane, length: float, rng: np.random.Generator, mark: str) -> Form:
    """Draw a plain unlabelled bar, slab, triangle or half disc."""
    choice = rng.integers(3)
    if choice == 0:
        thin = rng.uniform(0.1, 0.7)
        half = length / 2 / (1 + thin**2) ** 0.5
        body = box(u, v, half, thin * half)
    elif choice == 1:
        body = triangle(u * np.float32(rng.uniform(1, 1.7)), v, length / 2)
    else:
        body = np.maximum(_away(u, v) - length / 2, u - np.float32(rng.uniform(-0.2, 0.1) * length))
    return Form(body, (), np.zeros(body.shape, np.bool_), 0.08 * length + 1)


_FAMILIES: dict[str, Callable[[Plane, Plane, float, np.random.Generator, str], Form]] = {
    "rod": _rod,
    "plate": _plate,
    "ball": _ball,
    "moon": _moon,
    "star": _star,
    "gear": _gear,
    "clutter": _clutter,
}
