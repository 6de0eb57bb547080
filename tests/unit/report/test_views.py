"""A view's scene has words that its own numbers say, and is the view that was on the screen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightglass.explain import Explainer, Explanation, Image
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.phrases import percent
from sightglass.explain.rendering.style import Style
from sightglass.explain.trust.diagnosis import SAME_PLACE, agreement_sentence
from sightglass.history import History, encoding
from sightglass.report import drawing, views
from sightglass.report.layouts import pages
from sightglass.report.view import shorten


@pytest.fixture(scope="module")
def bus_explained(bus: Path) -> Explanation:
    return Explainer("efficientnet-lite0")(bus, top_k=3)


def test_a_map_s_words_are_measured(bus_explained: Explanation) -> None:
    best = bus_explained.predictions[0]
    plain = views.map_view(bus_explained, 1, {"mode": "contour", "colormap": "viridis", "alpha": 0.5, "threshold": "x"})
    assert plain.title == f"{best.label.capitalize()}, {percent(best.score)}"
    half = percent(bus_explained.statistics[1].half_heat_area)
    assert bus_explained.heatmaps[1].target.label in plain.sentence and half in plain.sentence
    assert "*" not in plain.sentence
    assert plain.display == Style("contour", "viridis", 0.5, 0.0)
    assert plain.charts == () and plain.made == "EfficientNet-Lite0 · GradCAM"


def test_classes_are_pictures_with_their_own_map(bus_explained: Explanation) -> None:
    every, two = views.classes_view(bus_explained), views.classes_view(bus_explained, (2, 0), {"mode": "map"})
    labels = [heatmap.target.label for heatmap in bus_explained.heatmaps]
    assert two.display.mode == "map"
    assert [picture.name for picture in every.pictures] == labels
    assert [picture.name for picture in two.pictures] == [labels[2], labels[0], "Difference"]
    assert two.sides == (f"more {labels[2]}", f"more {labels[0]}") and two.pictures[2].map
    for pictures in (every.pictures, two.pictures[:2]):
        assert [picture.map and picture.map.label for picture in pictures] == [picture.name for picture in pictures]
    captions = [item.text for item in pages(two)[0].items if getattr(item, "name", "") == "Caption"]
    assert captions[-1] == "Difference" and captions[-3].startswith(labels[2])
    assert every.sentence == agreement_sentence(bus_explained)
    best, rival = (bus_explained.predictions[i].label for i in (0, 1))
    assert every.sentence.startswith(best.capitalize()) and f"; {rival} " in every.sentence
    assert two.sentence == agreement_sentence(bus_explained, (2, 0))
    places = "the same place" if bus_explained.overlap(2, 0) >= SAME_PLACE else "different places"
    assert two.title.lower() == f"{labels[2]} and {labels[0]}: {places}"
    own, first = views.map_view(bus_explained, 2).pictures[0].map, two.pictures[0].map
    assert own is not None and first is not None
    np.testing.assert_array_equal(first.field.values, own.field.values)
    assert drawing.thumbnail(two)
    # Of one class there is nothing to compare.
    assert views.classes_view(replace(bus_explained, heatmaps=bus_explained.heatmaps[:1])).pictures[1:] == ()


def test_models_are_pictures_in_their_order(bus: Path, bus_explained: Explanation) -> None:
    comparison = Comparison((bus_explained, Explainer("efficientnet-lite1")(bus, top_k=1)), ("small", "medium"))
    view = views.models_view(comparison, ["Small", "Medium"], {"mode": "map"})
    assert view.display.mode == "map"
    assert [picture.name for picture in view.pictures] == ["Small", "Medium", "Difference"]
    captions = [item.text for item in pages(view)[0].items if getattr(item, "name", "").startswith("Caption")]
    # The class of each map is named, as they may be of different ones.
    maps = [picture.map for picture in view.pictures if picture.map is not None]
    assert all(f"{maps[i].label} {percent(maps[i].score or 0)}" in captions[-3 + i] for i in (0, 1))
    assert view.made == "EfficientNet-Lite0 and EfficientNet-Lite1 · GradCAM"
    assert view.sides == ("more Small", "more Medium")
    assert f"{view.title}.".lower() == comparison.verdict.lower()
    assert np.ptp(Image.open(drawing.thumbnail(view)).pixels) > 100


def test_a_record_gives_the_scene_of_its_explanation(bus_explained: Explanation, tmp_path: Path) -> None:
    history = History(tmp_path)
    record = history.keep(bus_explained, index=2, look={"colormap": "viridis"}, note="mine")
    proof = encoding.record_view(record, history.picture(record), history.heatmaps(record), history.proof(record, 2))
    live = views.map_view(bus_explained, 2, {"colormap": "viridis"})
    assert (proof.display, proof.title, proof.made) == (live.display, live.title, live.made)
    saved, other = proof.pictures[0].map, live.pictures[0].map
    assert saved is not None and other is not None
    np.testing.assert_array_equal(saved.field.values, other.field.values)
    assert (saved.field.extent, saved.field.seen, saved.score) == (other.field.extent, other.field.seen, other.score)
    assert proof.pictures[0].answers == live.pictures[0].answers


def test_a_title_is_not_cut_within_a_bracket() -> None:
    assert shorten("Wrong by 2.07° in the mean, 1.75° (95 % interval: 1 to 2°) in the median", 44) == (
        "Wrong by 2.07° in the mean, 1.75°…"
    )
    assert shorten("(all of it in brackets and long)", 12) == "(all of…"
