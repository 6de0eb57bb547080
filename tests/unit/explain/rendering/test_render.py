"""Heat to pixels: exact at the ends of opacity, within one level of the plain formula in between."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.explain.rendering import colormaps, contact_sheet, contours, render, resampling
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style

NAMES = [colormap.name for colormap in colormaps.colormaps()]
EXPECTED = "autumn bone cividis cool hot inferno jet magma plasma rainbow spring summer turbo viridis winter"
# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB: protan, deutan, tritan.
BLINDNESS = [
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def values():
    ramp = np.random.default_rng(1).random((48, 64), dtype=np.float32)
    ramp[0, :2] = 0, 1
    return ramp


def bump(height, width, x, y, sigma):
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def noise(shape, kind="heat", seed=0):
    values = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return 2 * values - 1 if kind == "difference" else values


def levels_of(field, style):
    """On the picture of 48 x 64."""
    values = render.samples(field.values, field.kind)
    return np.concatenate([levels for _, levels in resampling.levels(values, field, style, field.seen, (48, 64))])


def lightness(rgb):
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = [linear] + [np.clip(linear @ np.transpose(matrix), 0, 1) for matrix in BLINDNESS]
    luminance = [one @ [0.2126, 0.7152, 0.0722] for one in seen]
    return [np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y) for y in luminance]


def test_every_familiar_colormap_is_there_and_the_uniform_ones_come_first():
    assert set(EXPECTED.split()) <= set(NAMES)
    assert len(set(NAMES)) == len(NAMES) >= 22
    uniform = [colormap.uniform for colormap in colormaps.colormaps()]
    assert uniform == sorted(uniform, reverse=True)


def test_opencv_gives_the_published_tables():
    # matplotlib's _cm_listed.py, first and last rows times 255
    assert colormaps.lut("inferno")[[0, -1]].tolist() == [[0, 0, 4], [252, 255, 164]]
    assert colormaps.lut("viridis")[[0, -1]].tolist() == [[68, 1, 84], [253, 231, 37]]
    assert colormaps.lut("jet")[[0, -1]].tolist() == [[0, 0, 128], [128, 0, 0]]


def test_uniform_maps_get_lighter_at_a_steady_pace():
    for colormap in colormaps.colormaps():
        if colormap.uniform:
            steps = np.diff(lightness(colormaps.lut(colormap.name))[0][::15])
            assert 2.5 < steps.min() < steps.max() < 8, colormap.name


@pytest.mark.parametrize("colormap", colormaps.colormaps(), ids=NAMES)
def test_safe_for_the_colour_blind_means_getting_lighter_for_every_eye(colormap):
    views = [light[::15] for light in lightness(colormaps.lut(colormap.name))]
    assert colormap.colour_blind_safe == all(np.diff(v).min() >= 1 and v[-1] - v[0] >= 40 for v in views)


def test_the_word_for_hot_is_that_of_the_last_colour():
    hot = {colormap.name: colormap.hot for colormap in colormaps.colormaps()}
    expected = {"inferno": "yellow", "viridis": "yellow", "magma": "pale yellow", "jet": "red", "turbo": "red"}
    expected |= {"bone": "white", "cool": "magenta", "winter": "green", "rainbow": "violet", "autumn": "yellow"}
    assert {name: hot[name] for name in expected} == expected
    assert {c.name for c in colormaps.colormaps() if c.cyclic} == {"hsv", "twilight", "twilight_shifted"}


def test_an_unknown_colormap_is_a_problem_that_suggests_one():
    with pytest.raises(Problem, match="did you mean inferno"):
        colormaps.lut("infreno")
    with pytest.raises(Problem, match="choose one of inferno"):
        colormaps.lut("qqqq")


def test_a_table_cannot_be_spoiled_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        colormaps.lut("jet")[0] = 0


SEEN = (10, 6, 50, 40)
KINDS = ("heat", "difference")
SHOWN = ("overlay", "map", "contour", "spotlight")


def outside(shape):
    mask = np.ones(shape[:2], dtype=bool)
    mask[SEEN[1] : SEEN[3], SEEN[0] : SEEN[2]] = False
    return mask


def test_a_bare_map_is_hatched_in_grey_where_nothing_was_seen(values):
    out = render.heatmap_only(values, "jet", seen=SEEN)
    far = outside(values.shape)
    assert np.ptp(out[far].astype(int), axis=1).max() == 0
    assert len(np.unique(out[far])) == 2


@pytest.mark.parametrize("fraction", [0, 0.01, 0.2, 0.5, 0.99, 1])
def test_the_hottest_mask_has_its_share_and_nothing_colder(fraction):
    values = np.random.default_rng(2).permutation(48 * 64).reshape(48, 64).astype(np.float32) / (48 * 64)
    mask = render.hottest_mask(values, fraction)
    assert mask.sum() == round(fraction * mask.size)
    if 0 < mask.sum() < mask.size:
        assert values[mask].min() > values[~mask].max()


def test_equal_values_are_taken_together_or_not_at_all():
    flat = np.full((4, 5), 0.7, np.float32)
    assert [render.hottest_mask(flat, f).sum() for f in (0, 0.2, 0.5, 0.6, 1)] == [0, 0, 0, 20, 20]
    steps = np.array([[1, 0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 0]], np.float32)
    assert render.hottest_mask(steps, 0.2).tolist() == [[True] + [False] * 9]
    assert render.hottest_mask(steps, 0.3).tolist() == [[True] * 4 + [False] * 6]


def test_a_difference_compares_shares():
    a, b = np.zeros((2, 10, 20), np.float32)
    a[2, 3], b[7, 15] = 1, 0.2  # one cell holds all the heat of each: as far apart, whatever their scale
    share = render.share_difference(a, b)
    assert (share[2, 3], share[7, 15]) == (1, -1)
    assert not render.share_difference(a, a / 4).any()
    assert render.share_difference(a, np.zeros_like(a)).max() == 1


def test_what_was_not_seen_takes_no_share():
    a, b = np.random.default_rng(3).random((2, 48, 64), dtype=np.float32)
    other = a.copy()
    other[outside(a.shape)] = 1
    assert np.array_equal(render.share_difference(a, b, SEEN), render.share_difference(other, b, SEEN))


# What the viewer shows.


def by_hand(pixels, field, style, unseen, unit):
    """The same, pixel by pixel in plain numbers; lines from `isolines`, whose own tests do that."""
    height, width = pixels.shape[:2]
    gap, dark = field.kind == "difference", unseen == "dark"
    x0, y0, x1, y1 = field.extent
    share = (field.values.astype(np.float32) + 1) / np.float32(2) if gap else field.values.astype(np.float32)
    heat = np.rint(np.float32(65535) * share).astype(int).tolist()

    def place(at, low, high, size):
        u = min(size - 1, max(0, (at - low) / (high - low) * size - 0.5))
        return int(u), min(size - 1, int(u) + 1), float(np.float32(u - int(u)))

    def read(xs, ys):
        across = [place(x, x0, x1, len(heat[0])) for x in xs]
        found = []
        for top, bottom, down in (place(y, y0, y1, len(heat)) for y in ys):
            above, below = heat[top], heat[bottom]
            for left, right, part in across:
                upper = above[left] + part * (above[right] - above[left])
                lower = below[left] + part * (below[right] - below[left])
                found.append(upper + down * (lower - upper))
        return np.reshape(found, (len(ys), len(xs)))

    def grown(rows, columns):
        xs = [x0 + (column + 0.5) / columns * (x1 - x0) for column in range(columns)]
        return read(xs, [y0 + (row + 0.5) / rows * (y1 - y0) for row in range(rows)])

    def level(value):
        if gap:
            found = math.floor(value * 254 / 65535 + 0.5) + 1
            return 256 - found if style.invert else found
        scaled = min(65535, max(0, style.offset * 65535 + style.gain * value))
        return 255 - math.floor(scaled / 257 + 0.5) if style.invert else math.floor(scaled / 257 + 0.5)

    def coloured(pixel, at):
        away = min(1, abs(at - 128) / 127)
        side = np.array((0x1F, 0x5F, 0xD0) if at > 128 else (0xC8, 0x32, 0x1F))
        below = at < np.rint(255 * style.threshold)
        if style.mode == "spotlight":
            warmth = math.floor(255 * away + 0.5) if gap else at
            t = min(1, warmth / 255 / 0.7)
            cold = 1 if warmth < np.rint(255 * style.threshold) else 1 - t * t * (3 - 2 * t)
            return pixel * (1 - 0.92 * style.alpha * cold)
        if style.mode == "map":
            ground = 48 if dark else 228
            if gap:
                return ground + (0 if away < style.threshold else away) * (side - ground)
            return np.full(3, ground) if below else colormaps.lut(style.colormap)[at]
        if style.mode == "contour":
            return pixel
        if gap:
            a = 0 if away < style.threshold else style.alpha * (away > 0 if style.even else away**0.6)
            return np.rint(pixel @ [0.299, 0.587, 0.114]) * (1 - a) + side * a
        a = 0 if below else style.alpha * (1 if style.even else (at / 255) ** 1.5)
        return pixel * (1 - a) + colormaps.lut(style.colormap)[at] * a

    values = read([x + 0.5 for x in range(width)], [y + 0.5 for y in range(height)])
    if style.cells and field.cells:
        cells = np.floor(grown(*field.cells) + 0.5)
        for y, x in itertools.product(range(height), range(width)):
            row = min(field.cells[0] - 1, max(0, math.floor((y + 0.5 - y0) / (y1 - y0) * field.cells[0])))
            column = min(field.cells[1] - 1, max(0, math.floor((x + 0.5 - x0) / (x1 - x0) * field.cells[1])))
            values[y, x] = cells[row, column]
    wanted = []
    if style.mode == "contour":
        wanted = [(0.25, 0.9), (0.5, 1.4), (0.75, 2.2)]
    elif style.mode == "overlay" and not gap and not style.cells and style.alpha > 0:
        wanted = [(style.threshold or 0.5, 1.25)]
    longest = max(field.values.shape)
    scale = 320 / longest if longest < 160 or longest > 320 else 1
    rows, columns = (math.floor(side * scale + 0.5) for side in field.values.shape)
    traced = grown(rows, columns) if wanted else np.zeros((1, 1))
    traced = (traced / 32767.5 - 1 if gap else traced / 65535).astype(np.float32)
    halo, line = np.zeros((2, height, width), np.uint8)
    for at, thick in wanted:
        at = at if gap else ((1 - at if style.invert else at) - style.offset) / style.gain
        for one in (traced, -traced) if gap else (traced,):
            if 0 < at <= 1:
                placed = contours.segments(one, at) * np.tile([(x1 - x0) / columns, (y1 - y0) / rows], 2)
                placed += np.tile([x0, y0], 2)
                halo = np.maximum(halo, contours.coverage(placed, (height, width), (thick + 1.75) * unit / 2))
                line = np.maximum(line, contours.coverage(placed, (height, width), thick * unit / 2))

    out = np.zeros(pixels.shape)
    for y, x in itertools.product(range(height), range(width)):
        pixel = pixels[y, x].astype(float)
        if style.split is not None and x + 0.5 < style.split * width:
            out[y, x] = pixel
        elif field.seen[0] <= x < field.seen[2] and field.seen[1] <= y < field.seen[3]:
            o = np.rint(coloured(pixel, level(values[y, x])))
            a, b = 0.75 * halo[y, x] / 255, line[y, x] / 255
            out[y, x] = (o * (1 - a) + 20 * a) * (1 - b) + 255 * b
        else:
            grey = np.rint(pixel @ [0.299, 0.587, 0.114])
            out[y, x] = pixel if unseen == "keep" else 0.34 * grey + 0.66 * (20 if dark else 255)
    return np.rint(out)


STYLES = {
    "as it is": Style(),
    "threshold": Style(threshold=0.3),
    "even": Style(even=True, alpha=0.4),
    "even above": Style(even=True, alpha=0.4, threshold=0.7),
    "inverted": Style(invert=True, threshold=0.2),
    "cells": Style(cells=True),
    "fixed scale": Style(gain=0.7, offset=-0.1),
    "shared scale": Style(gain=1.6, offset=0.05, invert=True),
    "swipe": Style(split=0.37, alpha=1),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", SHOWN)
@pytest.mark.parametrize("name", STYLES)
def test_shown_is_the_plain_formula_to_one_level(name, mode, kind, pixels):
    style = replace(STYLES[name], mode=mode, colormap="turbo")
    small = np.ascontiguousarray(pixels[:23, :31])
    for shape, extent, seen, unit, unseen in (
        ((5, 7), (2.3, 1.7, 29.1, 22.4), (3, 2, 29, 22), 1.0, "light"),
        ((23, 31), (0, 0, 31, 23), (0, 0, 31, 23), 2.0, "dark"),
        ((1, 1), (0, 0, 31, 23), (0, 0, 31, 20), 1.0, "keep"),
    ):
        field = Field(noise(shape, kind), extent, seen, kind, (4, 5))
        expected = by_hand(small, field, style, unseen, unit)
        got = paint(small, field, style, unseen=unseen, unit=unit)
        assert got.dtype == np.uint8
        assert abs(got - expected).max() <= 1, shape


STRONG = Style(gain=257, offset=-128.3)  # one step of 65535 is one level, and a thousandth moves many a pixel's


@pytest.mark.parametrize(("kind", "style"), [("heat", Style()), ("heat", STRONG), ("difference", Style())])
@pytest.mark.parametrize("cells", [None, (6, 5)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (40, 30), (130, 170)])
def test_levels_are_exact(shape, cells, kind, style):
    x0, y0, x1, y1 = extent = (-3.5, 2.25, 61.0, 47.5)
    field = Field(noise(shape, kind, seed=3), extent, (0, 3, 61, 48), kind, cells)
    heat = render.samples(field.values, kind).astype(int).tolist()

    def read(x, y):
        u = min(shape[1] - 1, max(0, (x - x0) / (x1 - x0) * shape[1] - 0.5))
        v = min(shape[0] - 1, max(0, (y - y0) / (y1 - y0) * shape[0] - 0.5))
        across, down = (float(np.float32(one - int(one))) for one in (u, v))
        (left, right), (top, bottom) = (int(u), min(int(u) + 1, shape[1] - 1)), (int(v), min(int(v) + 1, shape[0] - 1))
        upper = heat[top][left] + across * (heat[top][right] - heat[top][left])
        lower = heat[bottom][left] + across * (heat[bottom][right] - heat[bottom][left])
        return upper + down * (lower - upper)

    def level(value):
        if kind == "difference":
            return math.floor(value * 254 / 65535 + 0.5) + 1
        return math.floor(min(65535, max(0, style.offset * 65535 + style.gain * value)) / 257 + 0.5)

    got = levels_of(field, replace(style, cells=True))
    assert got.shape == (45, 61)
    for row, column in itertools.product(range(45), range(61)):
        # As the browser has it, which sees any part of the picture at any size.
        x, y = (column + 0.5) / 64 * 64, (row + 3.5) / 48 * 48
        if cells:
            of = (
                min(5, max(0, math.floor((y - y0) / (y1 - y0) * 6))),
                min(4, max(0, math.floor((x - x0) / (x1 - x0) * 5))),
            )
            x, y = x0 + (of[1] + 0.5) / 5 * (x1 - x0), y0 + (of[0] + 0.5) / 6 * (y1 - y0)
        assert got[row, column] == level(math.floor(read(x, y) + 0.5) if cells else read(x, y))


WHOLE = (0, 0, 64, 48)
STEPS = np.random.default_rng(4).integers(0, 256, (48, 64))
STEPPED = (STEPS / 255).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_is_exact_at_the_ends_in_every_colormap(name, pixels):
    field = Field(STEPPED, SEEN, SEEN, cells=(7, 7))
    near, style = ~outside(pixels.shape), Style(colormap=name)
    for changes in ({}, {"even": True}, {"cells": True}, {"threshold": 0.4}, {"invert": True}):
        for mode in ("overlay", "spotlight"):
            out = paint(pixels, field, replace(style, mode=mode, alpha=0, **changes))
            assert np.array_equal(out[near], pixels[near])
    whole = Field(STEPPED, WHOLE, WHOLE)
    colours = colormaps.lut(name)
    assert np.array_equal(paint(pixels, whole, replace(style, mode="map")), colours[STEPS])
    assert np.array_equal(paint(pixels, whole, replace(style, mode="map", invert=True)), colours[255 - STEPS])
    opaque = paint(pixels, whole, replace(style, alpha=1, even=True, cells=True))
    assert np.array_equal(opaque, colours[STEPS])


# Its lines.


def test_the_line_is_a_circle_where_the_map_is_round():
    grey = np.full((200, 240, 3), 128, np.uint8)
    field = Field(bump(200, 240, 119.8, 99.1, 30), (0, 0, 240, 200), (0, 0, 240, 200))
    out = paint(grey, field, Style(alpha=1e-9), unit=2.0)
    y, x = np.nonzero(out[..., 0] == 255)
    radius = np.hypot(x - 119.8, y - 99.1)
    expected = 30 * math.sqrt(2 * math.log(2))
    assert abs(radius - expected).max() < 1.3  # 1.25 pixels of the screen, each two of the picture's
    assert abs(radius.mean() - expected) < 0.05
    assert np.diff(np.sort(np.arctan2(y - 99.1, x - 119.8))).max() < 0.1  # closed
    dark = np.hypot(*(np.array(np.nonzero(out[..., 0] < 60)) - [[99.1], [119.8]])) - expected
    assert len(dark) > 300
    assert 1.2 < abs(dark).min() < abs(dark).max() < 3.5


@pytest.mark.parametrize("unit", [1.0, 2.0, 6.0])
def test_a_line_is_as_wide_as_asked_and_lies_where_its_level_is(unit):
    black = np.zeros((5, 400, 3), np.uint8)
    ramp = np.tile((np.arange(400, dtype=np.float32) + 0.5) / 400, (5, 1))
    field = Field(ramp, (0, 0, 400, 5), (0, 0, 400, 5))
    row = paint(black, field, Style("contour"), unit=unit)[2, :, 0].astype(float)
    for level, thick in ((0.25, 0.9), (0.5, 1.4), (0.75, 2.2)):
        at = slice(int(400 * level) - 40, int(400 * level) + 40)
        white = np.clip(row[at] - 15, 0, None)  # the halo is 15 on black
        assert white.sum() / 240 == pytest.approx(thick * unit, abs=0.15)
        assert white @ (np.arange(400)[at] + 0.5) / white.sum() == pytest.approx(400 * level, abs=0.1)
    light = paint(black + 255, field, Style("contour"), unit=unit)[2]
    assert light.min() == 79 or unit == 1  # a quarter of 255 and three of 20, where the halo is broad enough
    lifted = paint(black, field, Style("contour", gain=0.5, offset=0.5), unit=unit)[2, :, 0]
    assert np.flatnonzero(lifted == 255).mean() + 0.5 == pytest.approx(200, abs=0.6)  # 0.75 is where 0.5 was


def test_no_line_where_there_is_nothing_to_outline(pixels):
    flat = [Field(np.full((7, 7), level, np.float32), WHOLE, WHOLE) for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    bumpy = Field(noise((7, 7)), WHOLE, WHOLE)
    for field, style in [(field, Style("contour")) for field in flat] + [
        (bumpy, Style("contour", gain=0.2)),
        (bumpy, Style("contour", gain=0.0, offset=0.5)),
        (bumpy, Style("contour", gain=1.0, offset=2.0)),
    ]:
        assert np.array_equal(paint(pixels, field, style), pixels)


def test_a_ramp_has_no_line_along_the_edge_and_none_leaves_what_was_seen(pixels):
    ramp = np.tile(np.linspace(1, 0, 64, dtype=np.float32), (48, 1))
    out = paint(pixels, Field(ramp, WHOLE, WHOLE), replace(Style("contour"), gain=0.6))
    changed = np.flatnonzero((out != pixels).any(axis=(0, 2)))
    assert 4 <= changed.min() <= changed.max() <= 60
    seen = (10, 6, 31, 40)
    out = paint(pixels, Field(ramp, WHOLE, seen), Style("contour"), unseen="keep")
    assert (out[10, 28:31] != pixels[10, 28:31]).any()
    assert np.array_equal(out[:, 31:], pixels[:, 31:])


def test_lines_scale_with_the_picture_unless_told_otherwise():
    large = np.zeros((1500, 8, 3), np.uint8)
    field = Field(noise((30, 1)), (0, 0, 8, 1500), (0, 0, 8, 1500))
    assert np.array_equal(paint(large, field, Style()), paint(large, field, Style(), unit=3))
    assert (paint(large, field, Style()) != paint(large, field, Style(), unit=1)).any()
    small = Field(noise((30, 1)), (0, 0, 8, 150), (0, 0, 8, 150))
    assert np.array_equal(paint(large[:150], small, Style()), paint(large[:150], small, Style(), unit=1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", SHOWN)
def test_24_megapixels_need_no_gigabyte(mode, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (4000, 6000, 3), dtype=np.uint8)
    values = noise((4000, 6000), kind)
    fine = bump(4000, 6000, 2500, 1700, 900)
    box = (0, 0, 6000, 4000)
    for field in (
        Field(noise((7, 7), kind), box, box, kind),
        Field(fine if kind == "heat" else values, box, box, kind),
    ):
        if kind == "difference" and mode == "contour" and field.values is values:
            continue  # noise is all lines
        tracemalloc.start()
        try:
            out = paint(pixels, field, Style(mode))
            assert tracemalloc.get_traced_memory()[1] < 1e9
        finally:
            tracemalloc.stop()
        assert (out != pixels).any()


def test_boxes_are_white_on_dark_and_the_chosen_one_is_on_top():
    grey = np.full((200, 200, 3), 100, np.uint8)
    out = contact_sheet.boxes(grey, [((20, 60, 150, 150), "1"), ((20, 60, 150, 150), "2")], chosen=0)
    assert out[100, 20].min() > 200
    assert out[100, 22].max() < 60
    assert np.array_equal(out[100, 60:120], grey[100, 60:120])
    assert out[57, 23].min() > 200  # the chosen label is white and has the first place, though the other was given last
    assert np.array_equal(grey, np.full_like(grey, 100))
    with pytest.raises(ValueError, match="four finite numbers"):
        contact_sheet.boxes(grey, [((0, 0, math.nan, 4), "")])


def test_a_grid_has_equal_cells_and_scales_nothing_that_fits():
    red, tall = np.full((40, 40, 3), (255, 0, 0), np.uint8), np.full((80, 20, 3), (0, 0, 255), np.uint8)
    made = contact_sheet.grid([red, tall, red], columns=2, gap=4, height=40)
    assert made.shape == (4 + 2 * 44, 4 + 2 * 44, 3)
    assert np.array_equal(made[4:44, 4:44], red)
    assert (made[4:44, 48:62] == 255).all()
    assert (made[4:44, 63:73] == (0, 0, 255)).all()
    assert (made[48:, 48:] == 255).all()
    assert contact_sheet.grid([red] * 4, gap=0, height=40).shape == (80, 80, 3)
    captioned = contact_sheet.grid([red, red], ["one", "a very long caption indeed"], gap=4, height=40)
    assert captioned.shape[0] > 48
    assert captioned[:16].min() < 100
    assert (captioned[:, 44:48] == 255).all()  # the long one did not run into its neighbour


def test_a_label_covers_neither_what_is_in_its_box_nor_another_label():
    grey = np.full((300, 300, 3), 100, np.uint8)
    out = contact_sheet.boxes(grey, [((60, 100, 150, 250), "person 84 %")], chosen=0)
    assert np.array_equal(out[110:240, 70:140], grey[110:240, 70:140])
    assert out[86:96, 62:140].min(2).max() > 200
    first = contact_sheet.place_label((60, 100, 150, 250), (80, 18), (300, 300), [])
    assert first == (60, 82, 140, 100)
    assert contact_sheet.place_label((60, 100, 150, 250), (80, 18), (300, 300), [first]) == (60, 100, 140, 118)
    assert contact_sheet.place_label((-30, -30, 10, 5), (40, 20), (300, 300), []) == (0, 0, 40, 20)


def test_a_caption_that_is_too_long_keeps_its_number(monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(contact_sheet, "_write", lambda image, text, *place: written.append(text))
    captions = ["plant.jpg: Tomato - Septoria leaf spot 99 %", "a very long name.jpg: similarity 0.93", "cat < 1 %"]
    contact_sheet.grid([np.zeros((160, 160, 3), np.uint8)] * 3, captions, height=160)
    assert written[0].endswith("… 99 %") and written[1].endswith("… 0.93") and written[2] == "cat < 1 %"


NAN = np.full((48, 64), np.nan, np.float32)
GOOD = np.zeros((48, 64), np.float32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": GOOD[1:]}, r"one size, got \(48, 64, 3\) and \(47, 64\)"),
        ({"values": NAN}, "within 0..1, got nan"),
        ({"values": GOOD + 2}, "within 0..1, got 2"),
        ({"values": GOOD[0]}, r"shape \(H, W\), got \(64,\)"),
        ({"pixels": np.zeros((48, 64), np.uint8)}, r"uint8 \(H, W, 3\)"),
        ({"pixels": np.zeros((48, 64, 3), np.float32)}, "float32"),
        ({"alpha": 1.1}, "alpha must lie within 0..1, got 1.1"),
        ({"alpha": math.nan}, "alpha"),
        ({"threshold": -0.1}, "threshold"),
        ({"seen": (0, 0, 65, 48)}, "inside 64 x 48"),
        ({"seen": (5, 5, 5, 9)}, "seen must be"),
    ],
)
def test_wrong_input_is_stopped_at_the_door(pixels, change, says):
    arguments = {"pixels": pixels, "values": GOOD} | change
    with pytest.raises(ValueError, match=says):
        render.overlay(**arguments)


def shown_with(pixels, change):
    parts = {"field": {}, "style": {}, "shown": {}}
    for name, value in change.items():
        of = "field" if name in Field.__dataclass_fields__ else "shown" if name in ("unit", "picture") else "style"
        parts[of][name] = value
    field = Field(**{"values": GOOD, "extent": WHOLE, "seen": WHOLE} | parts["field"])
    return paint(parts["shown"].pop("picture", pixels), field, Style(**parts["style"]), **parts["shown"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": NAN}, "within 0..1, got nan"),
        ({"values": GOOD - 1}, "within 0..1, got -1"),
        ({"values": GOOD - 2, "kind": "difference"}, "within -1..1, got -2"),
        ({"values": GOOD[0]}, r"shape \(H, W\), got \(64,\)"),
        ({"kind": "cold"}, "kind must be one of heat, difference, signed, got 'cold'"),
        ({"extent": (0, 0, 0, 48)}, "x0 < x1 and y0 < y1, got"),
        ({"extent": (0, 0, math.nan, 48)}, "extent must be"),
        ({"cells": (0, 7)}, r"at least one of each, got \(0, 7\)"),
        ({"seen": (0, 0, 65, 48)}, "inside 64 x 48"),
        ({"mode": "hottest"}, "mode must be one of overlay, map, contour, spotlight, picture, got 'hottest'"),
        ({"alpha": 1.1}, "alpha must lie within 0..1, got 1.1"),
        ({"threshold": math.nan}, "threshold"),
        ({"split": -0.1}, "split must lie within 0..1, got -0.1"),
        ({"gain": math.inf}, "gain and offset must be finite, got inf and 0.0"),
        ({"unit": 0}, "unit must be above 0, got 0"),
        ({"picture": np.zeros((48, 64), np.uint8)}, r"uint8 \(H, W, 3\)"),
    ],
)
def test_wrong_fields_and_styles_are_stopped_at_the_door(pixels, change, says):
    with pytest.raises(ValueError, match=says):
        shown_with(pixels, change)
