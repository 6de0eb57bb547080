"""The numbers of a map, worked out by hand on tiny ones and by other libraries on larger ones."""

import dataclasses
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from sightglass import Explainer
from sightglass.explain.maps import statistics
from sightglass.explain.maps.heatmap import CELLS, small_map
from sightglass.explain.maps.statistics import hottest_mask
from sightglass.explain.picture.image import load_bundled
from tests.above import describe_above

PICTURE = (0, 0, 900, 600)


def bump(height, width, x, y, sigma):
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def test_two_by_two_by_hand():
    measured = statistics.describe(np.array([[1, 0.5], [0.5, 0]], np.float32), (10, 20, 30, 40))
    assert measured.mean == 0.5 and measured.max == 1
    assert (measured.coverage_25, measured.coverage_50, measured.coverage_75) == (0.75, 0.25, 0.25)
    assert measured.half_heat_area == 0.25  # the one cell of 1 holds half of 2
    assert measured.entropy == pytest.approx(1.5) and measured.entropy_normalised == pytest.approx(0.75)
    assert measured.gini == pytest.approx(2 * (2 * 0.5 + 3 * 0.5 + 4 * 1) / (4 * 2) - 5 / 4)
    assert measured.centre == pytest.approx((17.5, 27.5))  # 15 and 25, by 3/4 and 1/4
    assert measured.spread == pytest.approx(math.sqrt(2 * 18.75) / math.hypot(20, 20))
    assert measured.peak == (15, 25)
    assert measured.regions == (statistics.Region((10, 20, 20, 30), 0.5, 1.0),)
    assert measured.quadrants == pytest.approx((0.5, 0.25, 0.25, 0))
    assert measured.border_share == pytest.approx(0.36) and measured.histogram == (1, *[0] * 9, 2, *[0] * 8, 1)
    assert not measured.flat
    assert all(type(number) in (int, float, bool) for number in dataclasses.astuple(measured)[:10])


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (40, 30)])
def test_a_flat_map_is_even_in_every_number(shape):
    measured = statistics.describe(np.full(shape, 0.3, np.float32), (0, 0, 30, 40))
    assert measured.flat and measured.gini == pytest.approx(0, abs=1e-9)
    assert measured.entropy == pytest.approx(math.log2(shape[0] * shape[1]), rel=1e-5)
    assert measured.centre == pytest.approx((15, 20)) and measured.quadrants == pytest.approx((0.25,) * 4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 7)])
def test_no_heat_at_all_gives_zeros(shape):
    measured = statistics.describe(np.zeros(shape, np.float32), (0, 0, 30, 40))
    assert measured.centre == measured.peak == (15, 20) and measured.regions == ()
    assert measured.quadrants == (0, 0, 0, 0)
    assert measured.histogram == (shape[0] * shape[1], *[0] * 19)
    for name in ("mean", "max", "half_heat_area", "entropy", "gini", "spread", "border_share", "n_regions"):
        assert getattr(measured, name) == 0, name
    assert statistics.describe_place(measured, PICTURE, PICTURE[2:]) == "nowhere in the picture"


def test_regions_agree_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    values = ndimage.gaussian_filter(np.random.default_rng(2).random((60, 80)), 2)
    values = ((values - values.min()) / np.ptp(values)).astype(np.float32)
    values[values < 0.6] /= 2
    measured = statistics.describe(values)
    labels, count = ndimage.label(values > 0.5, np.ones((3, 3)))
    heat = ndimage.sum_labels(values.astype(np.float64), labels, range(1, count + 1)) / values.sum(dtype=np.float64)
    order = np.argsort(-heat)[:10]
    assert measured.n_regions == count > 10
    assert [r.share_of_heat for r in measured.regions] == pytest.approx(heat[order])
    slices = ndimage.find_objects(labels)
    for region, index in zip(measured.regions, order, strict=True):
        rows, columns = slices[index]
        assert region.box == (columns.start, rows.start, columns.stop, rows.stop)
        assert region.peak == pytest.approx(values[labels == index + 1].max())


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ((45, 30), "in the middle of the picture"),
        ((56, 22), "above and right of the middle of the picture"),
        ((45, 37), "below the middle of the picture"),
        ((75, 50), "at the bottom right"),
        ((20, 30), "at the left"),
        ((45, 57), "at the bottom edge"),
    ],
)
def test_the_place_in_words(at, says):
    assert statistics.describe_place(statistics.describe(bump(60, 90, *at, 4), PICTURE), PICTURE, PICTURE[2:]) == says


def test_peak_is_in_picture_coordinates():
    # At the left of the crop's bottom, and in the middle of the picture.
    crop = (300, 0, 900, 450)
    measured = statistics.describe(bump(60, 90, 16, 46, 4), crop)
    assert statistics.describe_place(measured, crop, (900, 600)) == "in the middle of the picture"
    assert statistics.describe_place(measured, crop, (1200, 450)) == "at the bottom"


def test_the_place_is_that_of_the_strongest_point():
    # The region with most evidence is in the middle.
    measured = statistics.describe(np.maximum(0.7 * bump(60, 90, 45, 30, 12), bump(60, 90, 62, 16, 3)), PICTURE)
    assert measured.peak == pytest.approx((625, 165), abs=10)
    assert statistics.describe_place(measured, PICTURE, PICTURE[2:]) == "at the top right"


def test_the_place_of_two_spots_is_not_the_cold_middle():
    measured = statistics.describe(np.maximum(bump(60, 90, 15, 30, 5), 0.9 * bump(60, 90, 75, 30, 5)), PICTURE)
    assert measured.centre[0] == pytest.approx(450, abs=60)
    assert statistics.describe_place(measured, PICTURE, PICTURE[2:]) == "at the left and at the right"
    even = statistics.describe(np.full((6, 9), 0.5, np.float32), PICTURE)
    assert statistics.describe_place(even, PICTURE, PICTURE[2:]) == "spread over the whole picture"
    assert statistics.describe_place(even, PICTURE, (900, 900)) == "spread over the whole crop"


def test_agreement_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    a = np.round(bump(40, 50, 20, 15, 9), 1)  # many ties
    b = bump(40, 50, 28, 18, 7)
    measured = statistics.agreement_matrix([a, b])[0][1]
    assert measured.rank_correlation == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    first, second = hottest_mask(a, 0.2), hottest_mask(b, 0.2)
    assert measured.iou_top20 == (first & second).sum() / (first | second).sum()


def test_each_number_is_shown_in_one_format() -> None:
    texts = {
        ("mean", 0.3141): "0.31",
        ("n_regions", 3.0): "3",
        ("flat", False): "no",
        ("half_heat_area", 0.24): "24 %",
        ("border_share", 0.002): "< 1 %",
        ("peak", (404.6, 540.2)): "405, 540",
        ("quadrants", (0.25, 0.5, 0.25, 0.0)): "25 %, 50 %, 25 %, 0 %",
    }
    for (name, value), words in texts.items():
        assert statistics.format_value(name, value).replace("\N{NO-BREAK SPACE}", " ") == words


def test_cells_of_signed_map_are_its_size() -> None:
    heatmap = Explainer("demo-cls-s")(load_bundled("scene 3"), top_k=1, method="hirescam", evidence="both").heatmaps[0]
    size = np.abs(cv2.resize(heatmap.values, (CELLS, CELLS), interpolation=cv2.INTER_AREA))
    assert heatmap.signed and float(heatmap.measured.content.min()) < -0.1
    assert np.corrcoef(size.ravel(), small_map(heatmap).ravel())[0, 1] > 0.9


CASES = json.loads((Path(__file__).parents[3] / "statistics_cases.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_numbers_that_the_browser_has_too(case):
    values = np.abs(np.array(case["values"], np.float32))
    measured = statistics.describe(values, tuple(case["extent"]))
    for expected in case["above"]:
        above = describe_above(values, expected["level"])
        assert above.area == pytest.approx(expected["area"])
        assert above.evidence == pytest.approx(expected["evidence"], abs=1e-6)
        assert above.regions == expected["regions"]
    half = describe_above(values, 0.5)
    assert measured.coverage_50 == half.area
    assert measured.evidence_50 == half.evidence
    assert measured.half_heat_area == pytest.approx(case["half"])
    assert measured.entropy_normalised == pytest.approx(case["scatter"], abs=1e-6)
    assert measured.peak == pytest.approx(case["peak"])
    assert list(measured.histogram) == case["histogram"]
