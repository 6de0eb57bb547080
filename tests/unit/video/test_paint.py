"""A frame is drawn as the viewer draws a picture, but for rounding and the shape of a line's edge."""

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
    "style", [Style(), Style(alpha=0.5, colormap="viridis"), Style(threshold=0.3), Style(mode="map")]
)
def test_a_frame_is_drawn_as_the_viewer_draws_it(style: Style) -> None:
    field = hills(224, 224)
    apart = np.abs(paint_map(PIXELS, field, style).astype(int) - paint(PIXELS, field, style))
    assert apart.mean() < 1
    # Where a line or the edge of a threshold runs, a pixel may be on its other side.
    assert np.quantile(apart, 0.95) <= 2
