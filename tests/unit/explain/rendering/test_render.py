"""Heat to pixels and lines: exact at the ends of opacity, within one level of the plain formula in between."""

import colorsys
import math
import warnings
from dataclasses import replace
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import sightglass
from docs import map_sheet
from sightglass.common.errors import Problem
from sightglass.common.style import CHOICES, DEFAULTS
from sightglass.explain.maps import statistics
from sightglass.explain.rendering import contours
from sightglass.explain.rendering import style as colormaps
from sightglass.explain.rendering.marks import box_mark, draw_marks, place_label
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import VIEWER_STYLE, Field, Mode, Style

NAMES = colormaps.colormaps()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def values():
    ramp = np.random.default_rng(1).random((48, 64), dtype=np.float32)
    ramp[0, :2] = 0, 1
    return ramp


def test_a_colormap_is_known_by_opencvs_names():
    for jet in ("jet", "COLORMAP_JET", "cv2.COLORMAP_JET", cv2.COLORMAP_JET):
        assert colormaps.lut(jet)[[0, -1]].tolist() == [[0, 0, 128], [128, 0, 0]]
        assert colormaps.Style.parse(jet).colormap == "jet"


SEEN = (10, 6, 50, 40)


def outside(shape):
    mask = np.ones(shape[:2], dtype=bool)
    mask[SEEN[1] : SEEN[3], SEEN[0] : SEEN[2]] = False
    return mask


@pytest.mark.parametrize("fraction", [0, 0.01, 0.2, 0.5, 0.99, 1])
def test_the_hottest_mask_has_its_share_and_nothing_colder(fraction):
    values = np.random.default_rng(2).permutation(48 * 64).reshape(48, 64).astype(np.float32) / (48 * 64)
    mask = statistics.hottest_mask(values, fraction)
    assert mask.sum() == round(fraction * mask.size)
    if 0 < mask.sum() < mask.size:
        assert values[mask].min() > values[~mask].max()


def test_equal_values_are_taken_together_or_not_at_all():
    flat = np.full((4, 5), 0.7, np.float32)
    assert [statistics.hottest_mask(flat, f).sum() for f in (0, 0.2, 0.5, 0.6, 1)] == [0, 0, 0, 20, 20]
    steps = np.array([[1, 0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 0]], np.float32)
    assert statistics.hottest_mask(steps, 0.2).tolist() == [[True] + [False] * 9]
    assert statistics.hottest_mask(steps, 0.3).tolist() == [[True] * 4 + [False] * 6]


def test_a_difference_compares_shares():
    a, b = np.zeros((2, 10, 20), np.float32)
    a[2, 3], b[7, 15] = 1, 0.2  # one cell holds all the heat of each: as far apart, whatever their scale
    share = statistics.share_difference(a, b)
    assert (share[2, 3], share[7, 15]) == (1, -1)
    assert not statistics.share_difference(a, -a / 4).any(), "a signed map by its strength"
    assert statistics.share_difference(a, np.zeros_like(a)).max() == 1


WHOLE = (0, 0, 64, 48)
STEPS = np.random.default_rng(4).integers(0, 256, (48, 64))
STEPPED = (STEPS / 255).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_colormap_ends_are_exact(name, pixels):
    near, style = ~outside(pixels.shape), Style(colormap=name)
    for changes in ({}, {"cells": True}, {"threshold": 0.4}, {"mode": "spotlight"}):
        out = paint(pixels, Field(STEPPED, SEEN, SEEN, cells=(7, 7)), replace(style, alpha=0, **changes))
        assert np.array_equal(out[near], pixels[near])
    whole, colours = Field(STEPPED, WHOLE, WHOLE), colormaps.lut(name)
    assert np.array_equal(paint(pixels, whole, replace(style, mode="map")), colours[STEPS])

    blended = paint(pixels, whole, replace(style, mode="blend", alpha=0.4))
    assert abs(blended - cv2.addWeighted(pixels, 0.6, colours[STEPS], 0.4, 0).astype(int)).max() <= 1


def test_overlay_colours_the_picture_by_its_lightness():
    picture, values = np.array([[[0, 0, 0], [255, 255, 255], [200, 100, 50]]], np.uint8), np.ones((1, 3), np.float32)
    whole = 0, 0, 3, 1
    hot = colormaps.lut("inferno")[212] / 255  # 0.83 of the colormap
    dark, white = 255 * 0.5 * hot**3, 255 * (1 - (1 - hot) ** 2.7)
    grey = (0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255
    for alpha in (0.3, 1):
        tint = np.array([dark, white, dark + (white - dark) * grey])
        under = picture[0] + alpha * (255 * np.array([[0], [1], [grey]]) - picture[0])
        expected = under + alpha * (tint - under)
        # Cells: without the white line.
        drawn = paint(picture, Field(values, whole, whole, cells=(1, 3)), Style(alpha=alpha, cells=True))
        assert abs(drawn[0] - expected).max() <= 1
        cold = paint(picture, Field(0 * values, whole, whole), Style(alpha=alpha))
        assert abs(cold[0] - (1 - 0.1 * alpha) * under).max() <= 1


@pytest.mark.parametrize("alpha", [0, 0.3, 1])
@pytest.mark.parametrize(
    ("colormap", "kept", "muted"),
    [("inferno", ["blue", "cyan", "lime"], ["orange", "red", "gold"]), ("jet", ["blue"], ["cyan", "lime", "red"])],
)
def test_without_evidence_only_colours_far_from_the_maps_stay(colormap, kept, muted, alpha):
    picture = np.array([[colormaps.parse_color(name) for name in kept + muted]], np.uint8)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].astype(float)
    expected = picture.astype(float)
    expected[:, len(kept) :] += alpha * (grey - picture)[:, len(kept) :]
    bright, nothing, width = 1 - 0.1 * alpha, np.zeros((1, 1), np.float32), picture.shape[1]
    inside = paint(picture, Field(nothing, (0, 0, width, 1), (0, 0, width, 1)), Style(colormap=colormap, alpha=alpha))
    assert abs(inside - bright * expected).max() <= 1
    beside = cv2.copyMakeBorder(picture, 0, 0, 9, 0, cv2.BORDER_REPLICATE)
    field = Field(nothing, (0, 0, 8, 1), (0, 0, 8, 1))
    outside = paint(beside, field, Style(colormap=colormap, alpha=alpha), unit=0.1)[:, 9:]
    assert abs(outside - 0.85 * bright * expected).max() <= 1.5


def test_a_map_in_grey_leaves_the_picture_its_colours(pixels):
    cold = Field(np.zeros((48, 64), np.float32), WHOLE, WHOLE)
    assert abs(paint(pixels, cold, Style(colormap="bone", alpha=1)) - 0.9 * pixels).max() <= 1


@pytest.mark.parametrize("mode", ["overlay", "blend", "map"])
@pytest.mark.parametrize("kind", ["difference", "signed"])
def test_sided_maps_are_grey_outside_their_frame(kind, mode, pixels):
    grey, values = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], np.zeros(pixels.shape[:2], np.float32)
    out = paint(pixels, Field(values, SEEN, SEEN, kind), Style(mode), unit=0.1)
    far = outside(pixels.shape)
    assert (abs(out[far] - 0.85 * grey[far]) <= 1).all()
    if mode != "map":
        assert (out[10:36, 14:46] == grey[10:36, 14:46]).all()


@pytest.mark.parametrize("name", map_sheet.PICTURES)
def test_packaged_photographs_keep_their_detail_under_saturated_peaks(name):
    result = sightglass.Explainer("efficientnet-lite0")(name, top_k=1)
    drawn = paint(result.image.pixels, result.heatmaps[0].field, map_sheet.UNLINED)
    assert map_sheet.measure(result.image.pixels, drawn, result.heatmaps[0].values).passed() == (True,) * 4


def test_style_parses_colours_and_modes():
    for name in ("green", "#008000", "rgb(0, 128, 0)"):
        assert colormaps.parse_color(Style(boxes=name).boxes) == (0, 128, 0)
    out = draw_marks(np.zeros((99, 99, 3), np.uint8), [((box_mark((9, 9, 80, 80)),), "")], color=(0, 128, 0))
    assert out[40, 9].tolist() == [0, 128, 0]
    assert Style.of({"mode": "blend", "boxes": "#00ff00"}) == Style("blend", boxes="#00ff00")
    assert Style.of({"mode": "hottest", "boxes": "greenish", "alpha": 2}) == Style()
    for style in (lambda: Style.parse("jet", mode="hottest"), lambda: Style(boxes="greenish")):
        with pytest.raises(Problem, match=r"There is no (mode|colour) called"):
            style()


def test_no_line_where_there_is_nothing_to_outline(pixels):
    for field in [Field(np.full((7, 7), level, np.float32), WHOLE, WHOLE) for level in (0.0, 0.25, 0.5, 0.75, 1.0)]:
        assert np.array_equal(paint(pixels, field, Style("contour")), pixels)


def test_small_regions_have_no_line():
    values = np.zeros((100, 100), np.float32)
    values[80:83, 80:83] = 1
    assert np.array_equal(contours.drop_small(values, 0.5), values)
    values[10:40, 10:40] = 0.8
    assert (contours.drop_small(values, 0.5) > 0.5).sum() == 30 * 30


def test_chosen_box_is_on_top():
    grey = np.full((200, 200, 3), 100, np.uint8)
    out = draw_marks(grey, [((box_mark((20, 60, 150, 150)),), label) for label in "12"], chosen=0)
    assert out[100, 20].min() > 200 and out[100, 22].max() < 60
    assert np.array_equal(out[100, 60:120], grey[100, 60:120])
    assert out[57, 23].min() > 200  # the chosen label is white and has the first place, though the other was given last
    assert np.array_equal(grey, np.full_like(grey, 100))
    with pytest.raises(ValueError, match="four finite numbers"):
        box_mark((0, 0, math.nan, 4))


def test_contact_sheet_has_equal_cells():
    red, tall = np.full((40, 40, 3), (255, 0, 0), np.uint8), np.full((80, 20, 3), (0, 0, 255), np.uint8)
    sheet = sightglass.contact_sheet([red, tall, red], columns=2, height=40)
    assert sheet.shape == (16 + 2 * 56, 16 + 2 * 56, 3)
    assert np.array_equal(sheet[16:56, 16:56], red)
    assert (sheet[16:56, 87:97] == (0, 0, 255)).all()
    captioned = sightglass.contact_sheet([red, red], ["one", "a very long caption indeed"], height=40)
    assert (captioned[:, 56:72] == 255).all()  # the long one did not run into its neighbour
    assert sightglass.contact_sheet([red] * 3, ["a", "b", "c"], columns=1, height=40).shape[0] > 120
    assert len(sightglass.contact_sheet([red], height=40, title="title")) == 16 + 16 + 40 + 16
    whole = sightglass.contact_sheet([red], height=40, title="red and blue")
    assert len(whole) == 16 + 3 * 16 + 40 + 16, "a long title has several lines"
    assert all((whole[16 * row + 16 : 16 * row + 32] < 99).any() for row in range(3)), "of which none is empty"
    with pytest.raises(sightglass.Problem, match="a caption for each picture"):
        sightglass.contact_sheet([red], ["a", "b"])


def test_label_placement():
    grey = np.full((300, 300, 3), 100, np.uint8)
    out = draw_marks(grey, [((box_mark((60, 100, 150, 250)),), "person 84 %")], chosen=0)
    assert np.array_equal(out[110:240, 70:140], grey[110:240, 70:140])
    assert out[86:96, 62:140].min(2).max() > 200
    first = place_label((60, 100, 150, 250), (80, 18), (300, 300), [])
    assert first == (60, 82, 140, 100)
    assert place_label((60, 100, 150, 250), (80, 18), (300, 300), [first]) == (60, 100, 140, 118)
    assert place_label((-30, -30, 10, 5), (40, 20), (300, 300), []) == (0, 0, 40, 20)


def test_python_and_javascript_have_the_same_choices():
    assert list(get_args(Mode)) == CHOICES["mode"]
    assert Style() == VIEWER_STYLE == Style.of(DEFAULTS) == Style.of({})
    assert vars(VIEWER_STYLE).items() <= DEFAULTS.items()


def test_settings_become_a_style_as_in_the_viewer():
    settings = {"mode": "map", "colormap": "jet", "alpha": "0.25", "threshold": 0.5, "cells": "1"}
    more = {"layout": "beside", "zoom": "0,0,2", "boxes": False, "even": "1"}
    assert Style.of(settings | more) == Style("map", "jet", 0.25, 0.5, cells=True)


def test_hot_is_the_drawn_colour_of_every_look():
    grey = np.full((9, 9, 3), 128, np.uint8)
    strong = Field(np.full((9, 9), 0.95, np.float32), (0, 0, 9, 9), (0, 0, 9, 9))
    hues = {"red": 0, "orange": 30, "yellow": 60, "green": 120, "turquoise": 185, "blue": 225, "violet": 270}
    hues["magenta"] = 310
    for style in (Style(mode, name) for mode in ("overlay", "blend", "map") for name in NAMES):
        hue, saturation, _ = colorsys.rgb_to_hsv(*paint(grey, strong, style)[4, 4] / 255)
        away = abs(hue * 360 - hues.get(style.hot.split()[-1], 0))
        assert saturation < 0.15 if style.hot in ("white", "light grey") else min(away, 360 - away) <= 48, style
    assert [Style(mode, "gray").hot for mode in ("overlay", "map")] == ["light grey", "white"]
    assert [Style(mode).hot for mode in ("overlay", "map", "spotlight")] == ["orange", "yellow", "the bright part"]


def test_what_is_not_valid_counts_for_nothing():
    assert Style.of({"mode": "<b>", "colormap": "none", "alpha": 7, "threshold": "x", "cells": [1]}) == Style()
    assert Style.of({"alpha": math.nan, "threshold": None, "mode": ["map"], "cells": True}) == Style(cells=True)


def test_what_a_person_asks_for_is_checked():
    assert Style.parse("jet") == Style(colormap="jet")
    assert Style.parse("jet", 0.0) == Style(colormap="jet", alpha=0.0)
    with pytest.raises(Problem, match=r"alpha is 2: give a number from 0 to 1\."):
        Style.parse("jet", 2)
    with pytest.raises(Problem, match=r"alpha is 'x': give a number from 0 to 1\."):
        Style.parse("jet", "x")
    with pytest.raises(Problem, match=r"There is no colormap called 2\.5: choose one of "):
        Style.parse(2.5)
    with pytest.raises(Problem, match=r"There is no colormap called 'jett': did you mean jet\?"):
        Style.parse("jett")


def test_contour_points_and_dashes():
    field = np.zeros((5, 6), np.float32)
    field[2, 2:4] = 1
    (ring,) = contours.trace(field, 0.5)
    assert {*map(tuple, ring.tolist())} == {(2, 2.5), (2.5, 2), (3.5, 2), (4, 2.5), (3.5, 3), (2.5, 3)}
    # Samples are at the centres of cells, of which the lower ones are at the level and count as above it.
    (line,) = contours.trace(np.array([[0, 0], [1, 1]], np.float32), 1.0)
    assert sorted(line.tolist()) == [[0, 1.5], [0.5, 1.5], [1.5, 1.5], [2, 1.5]]
    dashed = np.zeros((3, 40), np.uint8)
    contours.cover([dashed], [np.array([[0, 1.5], [40, 1.5]])], [0.5], 8)
    # Round ends make each dash half a width longer.
    assert [bool(drawn) for drawn in dashed[1, [4, 12, 20, 28, 36]]] == [True, False, True, False, True]


def test_contour_level_is_not_rounded():
    field = np.array([[0.1, 0.9]], np.float32)
    # 0.9 lies a little below as a float32; as a float64 it is above all of the field.
    assert float(np.float32(0.9)) < 0.9 and not contours.trace(field, 0.9)
    assert len(contours.trace(field, float(np.float32(0.9)))) == 1


@pytest.mark.parametrize("half", [0.3, 0.625, 1.5, 6.0])
def test_coverage_is_the_share_of_each_pixel(half):
    y, x = (np.mgrid[: 24 * 16, : 32 * 16] + 0.5) / 16
    for line in np.random.default_rng(0).random((12, 2, 2)) * (32, 24):
        (x0, y0), (dx, dy) = line[0], line[1] - line[0]
        t = (((x - x0) * dx + (y - y0) * dy) / (dx**2 + dy**2)).clip(0, 1)
        inside = np.hypot(x - x0 - t * dx, y - y0 - t * dy) < half
        coverage = np.zeros((24, 32), np.uint8)
        contours.cover([coverage], [line], [half])
        assert abs(coverage / 255 - inside.reshape(24, 16, 32, 16).mean((1, 3))).max() < 0.15


RAW = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
GREY = np.full((30, 40, 3), 100, np.uint8)
JET = {"colormap": "jet", "alpha": 1, "mode": "blend"}


@pytest.mark.parametrize(
    "given",
    [
        RAW,
        RAW * 0.04,
        RAW * 900,
        RAW.tolist(),
        RAW[..., None],
        RAW[None, None],
        RAW - 1e-7,
        (RAW * 200).astype(np.float64),
        Pillow.fromarray(RAW),
        torch.tensor(RAW, requires_grad=True) * 0.02,
        torch.tensor(RAW)[None, None].bfloat16(),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_raw_map_of_any_range_has_all_colours(given) -> None:
    drawn = sightglass.overlay(given, GREY, **JET)
    expected = sightglass.overlay(RAW, GREY, scale="as is", **JET)
    assert abs(drawn.astype(int) - expected).max() <= 4
    assert drawn[0, 0].tolist() == [0, 0, 128] and drawn[-1, -1].tolist() == [128, 0, 0]


def test_a_raw_map_keeps_its_scale_where_that_is_asked() -> None:
    faint = sightglass.overlay(RAW * 0.04, GREY, scale="as is", **JET)
    assert faint[-1, -1].tolist() == colormaps.lut("jet")[10].tolist()
    assert (sightglass.overlay(RAW * 0, GREY, **JET) == colormaps.lut("jet")[0]).all()
    assert (sightglass.overlay(RAW * 0 + 0.3, GREY, **JET) == colormaps.lut("jet")[255]).all()
    with pytest.raises(sightglass.Problem, match="from 0 to 9: leave scale='as is' out"):
        sightglass.overlay(RAW * 9, GREY, scale="as is")
    with pytest.raises(sightglass.Problem, match="use one of own, as is"):
        sightglass.overlay(RAW, GREY, scale="max")


def test_a_signed_raw_map_has_one_scale_on_both_sides_of_0() -> None:
    signed = np.array([[-3.0, 0, 6]])
    picture = np.full((1, 3, 3), 100, np.uint8)
    jet = colormaps.lut("jet")
    for mode in ("blend", "overlay", "map"):
        drawn = sightglass.overlay(signed, picture, colormap=cv2.COLORMAP_JET, alpha=1, mode=mode)
        assert abs(drawn[0].astype(int) - jet[[64, 128, 255]]).max() <= 4, mode
    lowers, nothing, raises = sightglass.overlay(signed, GREY, alpha=1, mode="map")[15, [1, 20, 38]].astype(int)
    assert lowers[2] > lowers[0] + 20
    assert raises[0] > raises[2] + 20
    assert np.ptp(nothing) <= 8
    assert (sightglass.overlay(-RAW, GREY) != sightglass.overlay(RAW, GREY)).any()


def test_a_raw_map_is_drawn_over_a_picture_of_another_size() -> None:
    picture = np.full((40, 60, 3), 100, np.uint8)
    drawn = sightglass.overlay(RAW, picture, colormap=None, alpha=None, mode=None)
    assert drawn.shape == (40, 60, 3) and (drawn == sightglass.overlay(RAW, picture)).all()
    assert (sightglass.overlay(np.array([[0.0, 1]]), picture, alpha=0) == picture).all()
    for wrong in (np.zeros((3, 7, 7)), np.zeros((7, 7, 3)), np.zeros((2, 1, 7, 7)), np.zeros((0, 7))):
        with pytest.raises(sightglass.Problem, match="such as the sum of its channels, before the picture"):
            sightglass.overlay(wrong, picture)
    for wrong in (np.nan, np.inf):
        with pytest.raises(sightglass.Problem, match="replace them first"):
            sightglass.overlay(np.array([[wrong, 1]]), picture)
    with pytest.raises(sightglass.Problem, match="give the map first, then the picture"):
        sightglass.overlay(picture[..., 0], np.zeros((40, 60), np.float32))
    for swapped in ("bus.jpg", picture[..., 0]):
        with pytest.raises(sightglass.Problem, match="give the map first, then the picture"):
            sightglass.overlay(swapped, np.zeros((7, 7)))


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_which_of_two_grey_arrays_was_taken_for_the_map_is_said(convert: Any) -> None:
    grey, small = np.full((40, 60), 100, np.uint8), np.arange(49, dtype=np.uint8).reshape(7, 7)
    words = r"took the array of shape \(40, 60\) for the map and that of shape \(7, 7\) for the picture: give the map"
    with pytest.warns(UserWarning, match=words) as said:
        assert sightglass.overlay(convert(grey), small).shape == (7, 7, 3)
    assert [warning.filename for warning in said] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for map, picture in ((grey, grey), (small / 49, grey), (small, np.stack([grey] * 3, 2))):
            sightglass.overlay(convert(map), picture)
