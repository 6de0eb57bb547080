"""The map of a class of several boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sightglass.explain import Explainer
from sightglass.explain.methods import from_evidence
from sightglass.explain.methods.from_evidence import add_evenly
from sightglass.explain.replaying import replay
from sightglass.models.geometry import Geometry, picture_cells
from tests.weights import picture, real

if TYPE_CHECKING:
    from sightglass.explain import Explanation

EVEN = Geometry((2, 2), (2, 2), (1, 1), (0, 0))


def several(name: str, label: str, method: str | None = None, **options: object) -> Explanation:
    return Explainer(name)(picture(name), targets=(label,), method=method, **options)


def test_boxes_are_added_with_the_same_peak_by_hand() -> None:
    a, b = torch.tensor([[4.0, 0.0], [-2.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    # Peaks 4 and 1, both brought to 2.5.
    torch.testing.assert_close(add_evenly(torch.stack([a, b]), EVEN), torch.tensor([[2.5, 2.5], [-1.25, 0.625 - 2.5]]))
    # One without a peak is left out beside others; alone all are added as they are.
    torch.testing.assert_close(add_evenly(torch.stack([a, -b.abs()]), EVEN), a)
    torch.testing.assert_close(add_evenly(torch.stack([-a.abs(), -b.abs()]), EVEN), -a.abs() - b.abs())


def test_a_peak_on_the_bars_of_a_letterbox_is_none() -> None:
    # The upper half of the input is a bar.
    barred = Geometry((1, 2), (2, 2), (1, 1), (1, 0))
    a, b = torch.tensor([[90.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(add_evenly(torch.stack([a, b]), barred)[1], torch.ones(2))


@pytest.mark.parametrize(("name", "label"), [("demo-s", "ball-dots"), real("yolo11n", "person")])
def test_a_class_is_the_even_sum_of_its_boxes(name: str, label: str) -> None:
    alone = several(name, label, "hirescam", per="detection")
    assert len(alone.heatmaps) > 1
    (whole,) = alone.with_options(per="class").heatmaps
    for at, raw in enumerate(whole.raw):
        y0, y1, x0, x1 = picture_cells(whole.geometry, *raw.shape)
        peaks = [heatmap.raw[at][y0:y1, x0:x1].max() for heatmap in alone.heatmaps]
        positive = [i for i, peak in enumerate(peaks) if peak > 0]
        level = sum(peaks[i] for i in positive) / max(len(positive), 1)
        expected = sum(alone.heatmaps[i].raw[at] * (level / peaks[i]) for i in positive)
        np.testing.assert_allclose(raw, expected, atol=1e-5 * abs(raw).max() + 1e-6)


def test_the_class_map_has_the_same_bits_whatever_was_asked_for_before() -> None:
    first = several("demo-s", "ball-dots")
    boxes_first = several("demo-s", "ball-dots", per="detection").with_options(per="class")
    again = replay(first.recipe, picture("demo-s"))
    for other in (boxes_first, again):
        assert all(np.array_equal(a, b) for a, b in zip(first.heatmaps[0].raw, other.heatmaps[0].raw, strict=True))


def test_a_crowd_is_explained_by_one_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    made = several("demo-s", "ball-dots")
    target = made.heatmaps[0].target
    assert len(from_evidence._boxes(target)) == len(target.anchors) > 1
    crowd = replace(target, anchors=tuple(range(from_evidence.MAX_WINDOWED + 1)))
    assert from_evidence._boxes(crowd) == [crowd]
    assert from_evidence._boxes(replace(target, index=None)) == [replace(target, index=None)]
