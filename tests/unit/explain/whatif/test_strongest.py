"""The strongest tenth of a map, covered: that area and no other, beside as much elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sightglass.explain import Explainer, Explanation
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.rendering.render import hottest_mask
from sightglass.explain.whatif import edits
from sightglass.explain.whatif.edits import Edit, EditMark, edited, parse
from sightglass.explain.whatif.strongest import DRAWS, covered_sentence, elsewhere, score_of_map, strongest_tenth


@pytest.fixture(scope="module")
def bus() -> Explanation:
    return Explainer("efficientnet-lite0")(load_bundled("bus"))


def hidden(made: Explanation, mark: EditMark | None) -> np.ndarray:
    assert mark is not None
    return edited(made.image, Edit((mark,), "grey")).hidden


def as_sent(mark: EditMark) -> EditMark:
    """The mark after it was in a browser."""
    flat = [share for point in mark.points for share in point]
    return parse({"marks": [{"kind": mark.kind, "points": flat}]}).marks[0]


def test_exactly_the_strongest_tenth_is_covered_and_not_its_rectangle(bus: Explanation) -> None:
    found, heatmap = hidden(bus, strongest_tenth(bus)), bus.heatmaps[0]
    wanted = hottest_mask(heatmap.values, 0.1, heatmap.seen)
    assert np.count_nonzero(found & wanted) / np.count_nonzero(found | wanted) > 0.97
    left, top, right, bottom = heatmap.seen
    assert found.sum() / ((right - left) * (bottom - top)) == pytest.approx(0.1, rel=0.02)
    rows, columns = np.nonzero(found)
    assert found.sum() < 0.9 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    mark = strongest_tenth(bus)
    assert mark is not None and as_sent(mark).points == mark.points


def test_as_much_elsewhere_is_the_same_area_at_the_same_places_each_time(bus: Explanation) -> None:
    own, others = hidden(bus, strongest_tenth(bus)), elsewhere(bus)
    assert len(others) == DRAWS and others == elsewhere(bus) and len({one.points for one in others}) == DRAWS
    seen = np.zeros_like(own)
    left, top, right, bottom = bus.heatmaps[0].seen
    seen[top:bottom, left:right] = True
    for mark in others:
        found = hidden(bus, mark)
        assert found.sum() == pytest.approx(own.sum(), rel=0.02)
        assert not (found & ~seen).any()
        assert (found & own).sum() < 0.5 * own.sum()


def test_a_map_that_shows_nothing_covers_nothing_and_a_ragged_one_is_covered_coarsely(bus: Explanation) -> None:
    heatmap = bus.heatmaps[0]
    for empty in (replace(bus, heatmaps=()), replace(bus, heatmaps=(replace(heatmap, state="no evidence"),))):
        assert strongest_tenth(empty) is None and elsewhere(empty) == []
    noise = np.random.default_rng(0).random(heatmap.at_input.shape, np.float32)
    mark = strongest_tenth(replace(bus, heatmaps=(replace(heatmap, at_input=noise),)))
    assert mark is not None and 100 < len(mark.points) < edits.MAX_POINTS / 2


@pytest.mark.parametrize(("model", "example"), [("efficientnet-lite0", "bus"), ("demo-s", "scene 1")])
def test_the_sentence_is_about_what_the_covered_map_is_of(model: str, example: str) -> None:
    explainer = Explainer(model)
    before = explainer(load_bundled(example))
    mark = strongest_tenth(before)
    assert mark is not None
    after = explainer(edited(before.image, Edit((mark,))).image)
    score = float(np.mean([p.score for p in (before.own() or before.predictions[:1])]))
    assert score_of_map(before, before) == pytest.approx(score)
    words = covered_sentence(before, after, 0.06, [0.2, 0.4])
    assert words.startswith(f"Covering the strongest {percent(0.06)} of the picture takes ")
    assert f"from {percent(score)} to {percent(score_of_map(before, after))}; " in words
    # The bus is no minibus any more.
    end = f" Now it says {after.predictions[0].label}." if example == "bus" else ""
    assert words.endswith(f"as much elsewhere leaves {percent(0.3)}.{end}")
