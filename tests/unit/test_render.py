"""Heat to pixels: exact at the ends of opacity, within one level of the plain formula in between."""

from __future__ import annotations

import math

import numpy as np
import pytest

from explain import colormaps, render, sheet
from models.errors import Problem

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


@pytest.mark.parametrize("name", NAMES)
def test_alpha_0_is_the_picture_and_alpha_1_the_map(name, pixels, values):
    assert np.array_equal(render.overlay(pixels, values, colormap=name, alpha=0), pixels)
    assert np.array_equal(render.overlay(pixels, values, colormap=name, alpha=0, weighted=True), pixels)
    coloured = colormaps.lut(name)[np.rint(values * np.float32(255)).astype(int)]
    assert np.array_equal(render.overlay(pixels, values, colormap=name, alpha=1), coloured)
    assert np.array_equal(render.heatmap_only(values, name), coloured)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("gamma", [0.5, 1.5, 3.0])
def test_overlay_is_the_plain_formula_to_one_level(pixels, values, alpha, weighted, gamma):
    level = np.rint(values.astype(np.float64) * 255)
    a = np.where(values < 0.3, 0, alpha * (level / 255) ** gamma if weighted else alpha)[..., None]
    expected = pixels * (1 - a) + colormaps.lut("turbo")[level.astype(int)].astype(np.float64) * a
    got = render.overlay(pixels, values, colormap="turbo", alpha=alpha, weighted=weighted, gamma=gamma, threshold=0.3)
    firm = abs(values - 0.3) > 1 / 255  # nearer than a level, the table decides
    assert abs(got - expected)[firm].max() <= 1


def test_threshold_keeps_what_is_at_it_and_leaves_the_picture_below(pixels):
    values = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    out = render.overlay(pixels, values, alpha=1, threshold=0.5)
    coloured = render.overlay(pixels, values, alpha=1)
    assert np.array_equal(out[values >= 0.5], coloured[values >= 0.5])
    assert np.array_equal(out[values < 0.5 - 1 / 255], pixels[values < 0.5 - 1 / 255])


SEEN = (10, 6, 50, 40)
MODES = {
    "overlay": lambda p, v, **k: render.overlay(p, v, **k),
    "contour": lambda p, v, **k: render.contour(p, v, **k),
    "hottest": lambda p, v, **k: render.hottest(p, v, 0.2, **k),
    "difference": lambda p, v, **k: render.difference(p, v, v[::-1], **k),
}


def outside(shape):
    mask = np.ones(shape[:2], dtype=bool)
    mask[SEEN[1] : SEEN[3], SEEN[0] : SEEN[2]] = False
    return mask


@pytest.mark.parametrize("mode", MODES)
def test_what_was_not_seen_is_grey_and_two_thirds_page(mode, pixels):
    values = bump(48, 64, 30, 22, 5)
    far = outside(pixels.shape)
    if mode == "contour":  # the halo may reach over the edge; this map's line does not
        assert values[far].max() < 0.2
    grey = pixels[far] @ [0.299, 0.587, 0.114]
    for unseen, ground in (("light", 255), ("dark", 20)):
        out = MODES[mode](pixels, values, seen=SEEN, unseen=unseen)[far]
        assert abs(out - (0.34 * grey + 0.66 * ground)[:, None]).max() <= 1.5
    assert np.array_equal(MODES[mode](pixels, values, seen=SEEN, unseen="keep")[far], pixels[far])


def test_what_was_seen_does_not_change_with_the_box(pixels, values):
    near = ~outside(pixels.shape)
    assert np.array_equal(render.overlay(pixels, values, seen=SEEN)[near], render.overlay(pixels, values)[near])


def test_a_bare_map_is_hatched_in_grey_where_nothing_was_seen(values):
    out = render.heatmap_only(values, "jet", seen=SEEN)
    far = outside(values.shape)
    assert np.ptp(out[far].astype(int), axis=1).max() == 0
    assert len(np.unique(out[far])) == 2


@pytest.mark.parametrize("fraction", [0, 0.01, 0.2, 0.5, 0.99, 1])
@pytest.mark.parametrize("seen", [None, SEEN])
def test_the_hottest_mask_has_its_share_and_nothing_colder(fraction, seen):
    values = np.random.default_rng(2).permutation(48 * 64).reshape(48, 64).astype(np.float32) / (48 * 64)
    mask = render.hottest_mask(values, fraction, seen)
    inside = ~outside(values.shape) if seen else np.ones_like(mask)
    assert mask.sum() == round(fraction * inside.sum())
    assert not mask[~inside].any()
    if 0 < mask.sum() < inside.sum():
        assert values[mask].min() > values[inside & ~mask].max()


def test_equal_values_are_taken_together_or_not_at_all():
    flat = np.full((4, 5), 0.7, np.float32)
    assert [render.hottest_mask(flat, f).sum() for f in (0, 0.2, 0.5, 0.6, 1)] == [0, 0, 0, 20, 20]
    steps = np.array([[1, 0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 0]], np.float32)
    assert render.hottest_mask(steps, 0.2).tolist() == [[True] + [False] * 9]
    assert render.hottest_mask(steps, 0.3).tolist() == [[True] * 4 + [False] * 6]


def test_the_spotlight_leaves_the_hot_pixels_alone_and_darkens_the_rest(pixels, values):
    mask = render.hottest_mask(values, 0.2)
    out = render.hottest(pixels, values, 0.2)
    assert np.array_equal(out[mask], pixels[mask])
    assert out[~mask].mean() < 0.4 * pixels[~mask].mean()
    assert np.array_equal(render.hottest(pixels, values, 1), pixels)


def test_the_contour_is_a_circle_where_the_map_is_round():
    values = bump(200, 240, 120.3, 99.6, 30)
    grey = np.full((200, 240, 3), 128, np.uint8)
    out = render.contour(grey, values, (0.5,), width=3)
    y, x = np.nonzero(out[..., 0] > 200)
    radius = np.hypot(x - 120.3, y - 99.6)
    expected = 30 * math.sqrt(2 * math.log(2))
    assert len(x) > 100
    assert abs(radius - expected).max() < 2.5
    assert 2 < len(x) / (2 * math.pi * expected) < 4  # as wide as asked, about
    assert abs(radius.mean() - expected) < 0.15
    angle = np.sort(np.arctan2(y - 99.6, x - 120.3))
    assert np.diff(angle).max() < 0.1  # closed
    rows, columns = np.mgrid[:200, :240]
    assert (out[np.hypot(columns - 120.3, rows - 99.6) > expected + 5] == 128).all()


def test_no_contour_runs_along_the_edge_or_on_a_flat_map(pixels):
    ramp = np.tile(np.linspace(1, 0, 64, dtype=np.float32), (48, 1))
    out = render.contour(pixels, ramp, width=1)
    changed = np.flatnonzero((out != pixels).any(axis=(0, 2)))
    assert 28 <= changed.min() <= changed.max() <= 36
    for level in (0.0, 0.5, 1.0):
        flat = np.full((48, 64), level, np.float32)
        assert np.array_equal(render.contour(pixels, flat), pixels)


def test_a_difference_compares_shares_and_is_blue_where_the_first_has_more():
    grey = np.full((10, 20, 3), 100, np.uint8)
    a, b = np.zeros((2, 10, 20), np.float32)
    a[2, 3], b[7, 15] = 1, 0.2  # one cell holds all the heat of each: as far apart, whatever their scale
    share = render.share_difference(a, b)
    assert (share[2, 3], share[7, 15]) == (1, -1)
    out = render.difference(grey, a, b, alpha=1)
    assert tuple(out[2, 3]) == (0x1F, 0x5F, 0xD0)
    assert tuple(out[7, 15]) == (0xC8, 0x32, 0x1F)
    assert np.array_equal(render.difference(grey, a, a / 2), grey)
    assert not render.share_difference(a, a / 4).any()
    assert render.share_difference(a, np.zeros_like(a)).max() == 1


def test_what_was_not_seen_takes_no_share():
    a, b = np.random.default_rng(3).random((2, 48, 64), dtype=np.float32)
    other = a.copy()
    other[outside(a.shape)] = 1
    assert np.array_equal(render.share_difference(a, b, SEEN), render.share_difference(other, b, SEEN))


def test_boxes_are_white_on_dark_and_the_chosen_one_is_on_top():
    grey = np.full((200, 200, 3), 100, np.uint8)
    out = sheet.boxes(grey, [((20, 60, 150, 150), "1"), ((20, 60, 150, 150), "2")], chosen=0)
    assert out[100, 20].min() > 200
    assert out[100, 22].max() < 60
    assert np.array_equal(out[100, 60:120], grey[100, 60:120])
    assert out[62, 22].min() > 200  # the chosen label is white, though the other was given last
    assert np.array_equal(grey, np.full_like(grey, 100))
    with pytest.raises(ValueError, match="four finite numbers"):
        sheet.boxes(grey, [((0, 0, math.nan, 4), "")])


def test_a_grid_has_equal_cells_and_scales_nothing_that_fits():
    red, tall = np.full((40, 40, 3), (255, 0, 0), np.uint8), np.full((80, 20, 3), (0, 0, 255), np.uint8)
    made = sheet.grid([red, tall, red], columns=2, gap=4, height=40)
    assert made.shape == (4 + 2 * 44, 4 + 2 * 44, 3)
    assert np.array_equal(made[4:44, 4:44], red)
    assert (made[4:44, 48:62] == 255).all()
    assert (made[4:44, 63:73] == (0, 0, 255)).all()
    assert (made[48:, 48:] == 255).all()
    assert sheet.grid([red] * 4, gap=0, height=40).shape == (80, 80, 3)
    captioned = sheet.grid([red, red], ["one", "a very long caption indeed"], gap=4, height=40)
    assert captioned.shape[0] > 48
    assert captioned[:16].min() < 100
    assert (captioned[:, 44:48] == 255).all()  # the long one did not run into its neighbour


def test_a_colour_bar_runs_from_cold_to_hot():
    bar = sheet.colour_bar("viridis", width=256, height=10)
    assert np.array_equal(bar[0], colormaps.lut("viridis"))
    assert bar[10:, :40].min() < 100
    assert bar[10:, -30:].min() < 100
    assert (bar[10:, 60:200] == 255).all()


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
        ({"gamma": 0}, "gamma must be above 0"),
        ({"seen": (0, 0, 65, 48)}, "inside 64 x 48"),
        ({"seen": (5, 5, 5, 9)}, "seen must be"),
    ],
)
def test_wrong_input_is_stopped_at_the_door(pixels, change, says):
    arguments = {"pixels": pixels, "values": GOOD} | change
    with pytest.raises(ValueError, match=says):
        render.overlay(**arguments)


def test_a_grid_says_what_it_lacks(pixels):
    with pytest.raises(ValueError, match="needs panels"):
        sheet.grid([])
    with pytest.raises(ValueError, match="got 1 for 2"):
        sheet.grid([pixels, pixels], ["one"])
