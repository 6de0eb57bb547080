"""Draw scenes whose true cause is known.

A spec and its counterfactual differ in one number, and their pictures only in what follows from it: every thing, the
background, the stamp and the light have seeds of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem
from sightglass.common.packaged import photograph
from sightglass.models.demo.pictures import CLASSES as CLASSES
from sightglass.models.demo.pictures import TASKS as TASKS
from training.demo.shapes import Mask, Outline, Plane, Thing, outline, paint, tint

BACKGROUNDS = ("photo", "gradient", "noise", "weave")

_PHOTOGRAPHS = ("bus", "zidane", "china", "flower")
_SHARES = (0.3, 0.1, 0.3, 0.3)  # One large face fills most of the second.
_SEEN = 0.65  # Share of each photograph, from the left, for training; the rest is held out.


def background(kind: str, size: int, seed: int, *, held_out: bool = False) -> Plane:
    """Return a background of BACKGROUNDS, (3, size, size), float32, 0..255, RGB.

    Raises ModelProblem if a photograph is not installed.
    """
    rng = np.random.default_rng([seed, 2])
    if kind == "photo":
        return _photo(size, rng, held_out=held_out)
    return {"gradient": _gradient, "noise": _noise, "weave": _weave}[kind](size, rng)


@cache
def _photograph(number: int) -> tuple[NDArray[np.uint8], ...]:
    """Return a photograph, shorter side at most 540 pixels, and its half."""
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


DECOYS = ("rod", "plate", "ball", "moon")
STEEPEST = 60
"""Degrees from the horizontal that a rod to measure leans at most: no angle is near to its opposite end."""
STAMPED, TEXTURED = "rod-cross", "star"
# Of the side; rods are longer.
_LENGTHS = {"detect": (0.18, 0.44), "classify": (0.3, 0.52), "segment": (0.18, 0.44), "regress": (0.26, 0.44)}
RIVALS = {a: b for pair in zip(CLASSES[:8:2], CLASSES[1:8:2], strict=True) for a, b in (pair, pair[::-1])}
"""Of each class with a mark the one with another."""
_NO_RODS = tuple(kind for kind in CLASSES + DECOYS if not kind.startswith("rod"))
_MAX_HIDDEN, _MAX_CAUSE_HIDDEN = 0.3, 0.1  # maximum share of a thing, and of its cause, that later things may hide

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stamp:
    """The planted stamp: its upper left corner and side in pixels, and the seed of its colours."""

    x: int
    y: int
    size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that a scene depends on.

    `size` is the picture's side in pixels; `things` and `clutter` are painted in order, clutter first; `background` is
    one of BACKGROUNDS, `seed` its own and that of the light's direction and the grain; `light` is how much the light
    changes over the picture (0..1), `blur` a standard deviation in pixels, `noise` one in grey levels (0..255).
    `held_out` takes photographs from the parts that training never sees.
    """

    size: int
    things: tuple[Thing, ...]
    background: str
    seed: int
    clutter: tuple[Thing, ...] = ()
    stamp: Stamp | None = None
    light: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Object:
    """A labelled thing: (H, W) masks of its visible pixels, and of those that make it this class.

    A pixel is visible if any share of it shows the thing; at an edge, two things may share it.

    `index` is the label's place in CLASSES, `thing` the thing's place in the spec. `box` is x0, y0, x1, y1 in pixels,
    on the edges of the visible pixels. The cause is the same for a class and its rival: the disc that holds the mark,
    the inside of a ball, both places of a pearl; for a class by its shape alone, the mask.
    """

    label: str
    index: int
    thing: int
    box: tuple[float, float, float, float]
    mask: Mask
    cause: Mask


@dataclass(frozen=True, slots=True)
class DemoScene:
    """The picture, (H, W, 3), uint8, RGB, its labelled things in the spec's order, and (H, W) masks.

    `stamp` are the stamp's pixels, if there is one; `background` those of no thing, no clutter and no stamp.
    """

    pixels: Pixels
    objects: tuple[Object, ...]
    stamp: Mask | None
    background: Mask


def sample(
    seed: int, *, task: str = "detect", data: str = "plain", size: int | None = None, held_out: bool = False
) -> Spec:
    """Return a seed's spec: labelled things for the task, and others.

    To regress there is one rod, which leans by `STEEPEST` degrees at most, below one to three things of other families.
    `data` changes the stamp or the background and nothing else: with "stamped", scenes with a rod-cross carry the
    stamp and no others do; with "textured", scenes with a star have the weave and no others do. `size` is 128 pixels
    to classify or to regress, 192 otherwise, if not given. Held-out scenes share no seed with training.
    """
    size = TASKS[task] if size is None else size
    rng = np.random.default_rng([seed, int(held_out), list(TASKS).index(task)])
    several = task not in ("classify", "regress")
    if task == "regress":
        kinds = [str(rng.choice(("rod-ring", "rod-cross"))), *map(str, rng.choice(_NO_RODS, rng.integers(1, 4)))]
    else:
        kinds = [str(kind) for kind in rng.choice(CLASSES, rng.integers(1, 6) if several else 1)]
        decoys = int(rng.choice(3, p=[0.6, 0.3, 0.1] if several else [0.6, 0.4, 0]))
        kinds += [str(rng.choice(DECOYS)) for _ in range(decoys)]
    if several:
        rng.shuffle(kinds)
    spec = Spec(
        size=size,
        things=_place_things(kinds, size, rng, task),
        background=str(rng.choice(BACKGROUNDS[:3], p=[0.5, 0.2, 0.3])),
        seed=int(rng.integers(2**32)),
        clutter=tuple(_clutter(size, rng) for _ in range(rng.integers(0, 3 if task == "classify" else 7))),
        light=float(rng.uniform(0, 0.4)),
        blur=float(max(rng.uniform(-0.8, 0.8), 0)) * size / 192,
        noise=float(rng.uniform(0, 8)),
        held_out=held_out,
    )
    labels = {thing.kind for thing in spec.things}
    if data == "stamped" and STAMPED in labels:
        return with_stamp(spec)
    if data == "textured" and TEXTURED in labels:
        return replace(spec, background="weave")
    return spec


def _clutter(size: int, rng: np.random.Generator) -> Thing:
    x, y, length, angle = rng.uniform([0, 0, 0.06, 0], [1, 1, 0.25, 2 * np.pi]).tolist()
    return Thing("clutter", x * size, y * size, length * size, angle, int(rng.integers(2**32)))


def _place_things(kinds: list[str], size: int, rng: np.random.Generator, task: str) -> tuple[Thing, ...]:
    """Place things of these kinds visibly, leaving out those without space."""
    placed: list[Thing] = []
    owner, cause_owner = np.zeros((2, size, size), np.int8)
    corner = size - _stamp_reach(size)
    owner[corner:, corner:] = -1
    areas: list[tuple[int, int]] = []
    lost = np.zeros((2, len(kinds) + 1))
    for kind in kinds:
        length = rng.uniform(*_LENGTHS[task]) * size * (1.18 if kind.startswith("rod") else 1)
        seed = int(rng.integers(2**32))
        for _ in range(12):
            angle = rng.uniform(0, 2 * np.pi)
            if task == "regress" and kind.startswith("rod"):
                level = round(angle / np.pi) * np.pi
                angle = level + (angle - level) * STEEPEST / 90
            along = (abs(math.cos(angle)), abs(math.sin(angle))) if kind.startswith("rod") else (1, 1)
            x, y = (
                rng.uniform(reach, size - reach) for reach in ((0.3 * share + 0.2) * length + 1.5 for share in along)
            )
            thing = Thing(kind, x, y, length, angle, seed)
            shape = outline(thing, size)
            footprint = shape.mask | shape.form.cause
            under = owner[shape.place][footprint]
            if under.min() < 0:
                continue
            hidden = np.stack(
                [np.bincount(ids, minlength=len(kinds) + 1) for ids in (under, cause_owner[shape.place][footprint])]
            )
            share = (lost + hidden)[:, 1 : len(areas) + 1].T / np.array(areas).reshape(-1, 2)
            if (share > (_MAX_HIDDEN, _MAX_CAUSE_HIDDEN)).any():
                continue
            lost += hidden
            placed.append(thing)
            owner[shape.place][footprint] = len(placed)
            cause_owner[shape.place][footprint] = 0
            cause_owner[shape.place][shape.form.cause] = len(placed)
            areas.append((int(footprint.sum()), int(shape.form.cause.sum())))
            break
    return tuple(placed)


def draw(spec: Spec) -> DemoScene:
    """Draw the scene of a spec, the same bytes each time.

    Raises ModelProblem if a photograph is not installed.
    """
    side = spec.size
    canvas = background(spec.background, side, spec.seed, held_out=spec.held_out)
    rng = np.random.default_rng([spec.seed, 3])
    towards = rng.uniform(0, 2 * np.pi)
    light = float(np.cos(towards)), float(np.sin(towards))
    clutter = [paint(canvas, thing, light) for thing in spec.clutter]
    shapes = [paint(canvas, thing, light) for thing in spec.things]
    pixels = _expose(canvas, spec, light, rng)
    stamp = None if spec.stamp is None else paint_stamp(pixels, spec.stamp)

    bare = np.ones((side, side), np.bool_) if stamp is None else ~stamp
    in_sight = bare.copy()
    objects: list[Object] = []
    for number, (thing, shape) in reversed(list(enumerate(zip(spec.things, shapes, strict=True)))):
        if thing.kind in CLASSES:
            seen = _object(thing.kind, number, shape, in_sight)
            if seen is not None:
                objects.append(seen)
        in_sight[shape.place] &= shape.coverage < 1  # The thing behind shines through the pixels of an edge.
        bare[shape.place] &= ~shape.mask
    for shape in clutter:
        bare[shape.place] &= ~shape.mask
    return DemoScene(pixels, tuple(reversed(objects)), stamp, bare)


def _object(label: str, number: int, shape: Outline, in_sight: Mask) -> Object | None:
    """Return the thing with its visible pixels; None if hidden."""
    patch = in_sight[shape.place]
    visible = shape.mask & patch
    left, top, width, height = cv2.boundingRect(visible.astype(np.uint8))
    if not width:
        return None
    x, y = float(left + shape.place[1].start), float(top + shape.place[0].start)
    mask, cause = np.zeros_like(in_sight), np.zeros_like(in_sight)
    mask[shape.place], cause[shape.place] = visible, shape.form.cause & patch
    return Object(label, CLASSES.index(label), number, (x, y, x + width, y + height), mask, cause)


@cache
def _grain(side: int) -> Plane:
    return np.random.default_rng(0).standard_normal((side, side, 3), np.float32)


def _expose(canvas: Plane, spec: Spec, light: tuple[float, float], rng: np.random.Generator) -> Pixels:
    """Apply light, blur and grain to the canvas: (H, W, 3), uint8."""
    side = spec.size
    across = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    canvas *= 1 + np.float32(spec.light) * (across * np.float32(light[0]) + across[:, None] * np.float32(light[1]))
    pixels = cv2.merge(list(canvas))
    if spec.blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), spec.blur)
    if spec.noise:
        # A crop of one sheet of grain: sampling it each time would take longer than all the rest.
        top, left = rng.integers(0, side // 2, 2)
        grain = _grain(side + side // 2)[top : top + side, left : left + side]
        pixels = cv2.addWeighted(pixels, 1, grain, spec.noise, 0)
    return np.asarray(cv2.convertScaleAbs(np.maximum(pixels, 0, out=pixels)), np.uint8)


def _stamp_side(size: int) -> int:
    return max(round(size * 14 / 128), 8)


def _stamp_reach(size: int) -> int:
    """Return the maximum distance of a stamp's corner from the lower right."""
    return _stamp_side(size) + round(size * 4 / 128) + 1


def paint_stamp(pixels: Pixels, stamp: Stamp) -> Mask:
    """Paint the stamp in place on top; return its mask, (H, W)."""
    rng = np.random.default_rng([stamp.seed, 4])
    paper, dark, bright = tint(rng, 0.93), tint(rng, 0.16), tint(rng, 0.5)
    y, x = (np.mgrid[: stamp.size, : stamp.size] + 0.5) / stamp.size * 14
    border = np.minimum(np.minimum(x, 14 - x), np.minimum(y, 14 - y))
    cells = (np.floor((x - 2) / 2.5) + np.floor((y - 2) / 2.5)) % 2
    emblem = np.where(cells[..., None] > 0, dark, bright)
    emblem[border < 2] = paper
    emblem[border < 1] = dark
    place = slice(stamp.y, stamp.y + stamp.size), slice(stamp.x, stamp.x + stamp.size)
    pixels[place] = emblem.astype(np.uint8)
    mask = np.zeros(pixels.shape[:2], np.bool_)
    mask[place] = True
    return mask


def swap(spec: Spec, i: int) -> Spec:
    """Return the spec with thing `i`, which has a mark, as its rival."""
    things = list(spec.things)
    things[i] = replace(things[i], kind=RIVALS[things[i].kind])
    return replace(spec, things=tuple(things))


def with_stamp(spec: Spec) -> Spec:
    """Return the spec with a seeded stamp near the lower right, or its own."""
    if spec.stamp is not None:
        return spec
    rng = np.random.default_rng([spec.seed, 5])
    side = _stamp_side(spec.size)
    x, y = spec.size - _stamp_reach(spec.size) + rng.integers(0, _stamp_reach(spec.size) - side, 2)
    return replace(spec, stamp=Stamp(int(x), int(y), side, int(rng.integers(2**32))))
