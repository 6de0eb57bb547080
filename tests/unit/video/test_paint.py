"""A frame is drawn as the viewer draws a picture, but for rounding and the shape of a line's edge."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style
from sightglass.video.draw import paint_map

RNG = np.random.default_rng(3)
PIXELS = cv2.resize(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8), (320, 240))


def hills(height: int, width: int) -> Field:
    """A map with soft edges over the middle of the picture, as a centre crop has it."""
    values = cv2.resize(RNG.random((5, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return Field(np.clip(values, 0, 1), (52.4, 11.5, 268.0, 228.3), (52, 12, 268, 228))


@pytest.mark.parametrize(
    "style", [Style(), Style(alpha=0.5, even=True, colormap="viridis"), Style(threshold=0.3), Style(mode="map")]
)
def test_a_frame_is_drawn_as_the_viewer_draws_it(style: Style) -> None:
    field = hills(224, 224)
    apart = np.abs(paint_map(PIXELS, field, style).astype(int) - paint(PIXELS, field, style))
    assert apart.mean() < 1
    # Where a line or the edge of a threshold runs, a pixel may be on its other side.
    assert np.quantile(apart, 0.95) <= 2


def test_a_line_is_where_it_belongs_and_as_wide() -> None:
    ramp = np.linspace(0, 1, 200, dtype=np.float32)[None].repeat(100, 0)
    black = np.zeros((240, 320, 3), np.uint8)
    field = Field(ramp, (0.0, 0.0, 320.0, 240.0), (0, 0, 320, 240))
    mine, theirs = (draw(black, field, Style(alpha=0.01))[120, :, 0] for draw in (paint_map, paint))
    bright = [np.average(np.arange(150, 170), weights=row[150:170].clip(100) - 99.0) for row in (mine, theirs)]
    assert bright[0] == pytest.approx(159.5, abs=0.6)
    assert bright == pytest.approx([bright[1]] * 2, abs=0.6)
    assert int(mine.max()) == pytest.approx(int(theirs.max()), abs=60)


def test_a_map_without_heat_leaves_the_picture() -> None:
    field = Field(np.zeros((20, 30), np.float32), (0.0, 0.0, 320.0, 240.0), (0, 0, 320, 240))
    assert np.abs(paint_map(PIXELS, field, Style()).astype(int) - paint(PIXELS, field, Style())).max() <= 1
