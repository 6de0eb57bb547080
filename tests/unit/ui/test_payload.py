"""The viewer's Python half: what it sends, and what it makes of what the browser asks, which can be anything."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.ui import viewer
from sightglass.ui.viewer import Box, Map, Pane, ViewerScene, pack

WHOLE = (0, 0, 60, 40)


def ramp(scale: float = 1.0) -> np.ndarray:
    return (np.linspace(0, scale, 12, dtype=np.float32)).reshape(3, 4)


def test_the_payload_follows_picture_and_maps_alone():
    black = np.zeros((20, 30, 3), np.uint8)

    def packed(scale: float = 1, chosen: int = 0, both: bool = True) -> bytes:
        maps = tuple(Map(name, "", ramp(scale), WHOLE, WHOLE) for name in ("a", "b")[: 1 + both])
        boxes = [Box(WHOLE, name, i, chosen=i == chosen) for i, name in enumerate("ab")]
        return pack(ViewerScene(black, "black", [Pane(), Pane(maps)], boxes))[1]

    assert packed() == packed()
    assert packed(chosen=1) == packed()
    assert packed(scale=0.5) != packed()
    assert packed(chosen=1, both=False) != packed(both=False)  # no list to choose from: Python says which
    with pytest.raises(ValueError, match=r"must lie within 0\.\.1, got 0 to 2"):
        packed(scale=2)


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"picture": "other", "xyxy": [0, 0, 9, 9]},
        {"picture": "p", "xyxy": [9, 0, 0, 9]},
        {"picture": "p", "xyxy": [0, 0, float("nan"), 9]},
        {"picture": "p", "xyxy": [0, 0, 61, 9]},
        {"picture": "p", "kind": "brush", "size": [30, 20], "bits": "!"},
    ],
)
def test_an_area_that_makes_no_sense_is_none(given):
    assert viewer.parse_region(given, "p", (60, 40)) is None
    assert viewer.parse_region({"picture": "p", "xyxy": [10, 5, 30, 25]}, "p", (60, 40)) == (10, 5, 30, 25)


def test_a_click_counts_on_its_own_picture_only():
    given = {"picture": "p", "x": 7, "y": 8.5, "box": None}
    assert viewer.parse_point(given, "p") == ((7.0, 8.5), None)
    assert viewer.parse_point(given | {"box": 2}, "p") == ((7.0, 8.5), 2)
    for wrong in (given | {"picture": "q"}, given | {"x": "left"}, {"x": 1, "y": 2}, "here", None):
        assert viewer.parse_point(wrong, "p") == (None, None)
