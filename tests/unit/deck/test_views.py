"""A view's scene has words that its own numbers say, and is the view that was on the screen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.deck import SceneView, drawing, payload, scenes, views
from sightglass.deck.page import describe_making, pages
from sightglass.explain import Explainer, Image
from sightglass.explain.comparison.models import Comparison, Timing
from sightglass.explain.phrases import percent
from sightglass.explain.trust.diagnosis import SAME_PLACE, agreement_sentence
from sightglass.history import History

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain import Explanation


@pytest.fixture(scope="module")
def bus_explained(bus: Path) -> Explanation:
    return Explainer("efficientnet-lite0")(bus, top_k=3)


def test_a_map_s_words_are_measured(bus_explained: Explanation) -> None:
    best = bus_explained.predictions[0]
    plain = views.of_map(bus_explained, 1, {"mode": "contour", "colormap": "viridis", "alpha": 0.5, "threshold": "x"})
    assert plain.title == f"{best.label.capitalize()}, {percent(best.score)}"
    half = percent(bus_explained.statistics[1].half_heat_area)
    assert bus_explained.heatmaps[1].target.label in plain.sentence and half in plain.sentence
    assert "*" not in plain.sentence
    assert plain.view == SceneView(0, 0, "viridis", "contour", 0.5, 0.0)
    assert plain.proof is None and plain.commands[0].startswith("sightglass image bus.jpg")
    assert "EfficientNet-Lite0, GradCAM" in plain.notes and "cropped away" in plain.notes


def test_a_proved_map_s_sentence_is_its_proof_s(bus_explained: Explanation) -> None:
    proof = bus_explained.prove(0, steps=4)
    made = views.of_map(bus_explained, 0)
    assert made.sentence == proof.sentence and made.proof is not None
    assert made.proof.map == made.view.map == 0


def test_classes_are_panels_with_their_own_map_alone(bus_explained: Explanation) -> None:
    every, two = views.of_classes(bus_explained), views.of_classes(bus_explained, (2, 0), {"mode": "map"})
    labels = [one.target.label for one in bus_explained.heatmaps]
    assert every.kind == two.kind == "classes" and two.view.mode == "map"
    assert [one.name for one in every.panels] == labels
    assert [one.name for one in two.panels] == [labels[2], labels[0], "Difference"]
    assert two.sides == (f"more {labels[2]}", f"more {labels[0]}") and two.panels[2].picture
    for shown in (every.panels, two.panels[:2]):
        assert [[one.label for one in panel.maps] for panel in shown] == [[one.name] for one in shown]
    captions = [item.words for item in pages(two)[0].items if getattr(item, "name", "") == "Caption"]
    assert captions[-1] == "Difference" and captions[-3].startswith(labels[2])
    assert every.sentence == agreement_sentence(bus_explained)
    assert two.sentence == agreement_sentence(bus_explained, (2, 0))
    places = "the same place" if bus_explained.overlap(2, 0) >= SAME_PLACE else "different places"
    assert two.title.lower() == f"{labels[2]} and {labels[0]}: {places}"
    (again,) = scenes(payload([two]))
    own = views.of_map(bus_explained, 2).panels[0].maps[0]
    assert np.array_equal(again.panels[0].maps[0].values, own.values)
    assert drawing.thumbnail(two) and f"\nAnswers: {labels[0]} " in describe_making(two)
    # Of one class there is nothing to compare.
    assert views.of_classes(replace(bus_explained, heatmaps=bus_explained.heatmaps[:1])).kind == "picture"


def test_models_are_panels_in_their_order(bus: Path, bus_explained: Explanation) -> None:
    other = Explainer("efficientnet-lite1")(bus, top_k=1)
    timing = Timing(1, 1, 1)
    comparison = Comparison((bus_explained, other), ("small", "medium"), (timing, timing))
    made = views.of_models(comparison, ["Small", "Medium"], {"mode": "map"})
    assert made.kind == "models" and made.view.mode == "map"
    assert [one.name for one in made.panels] == ["Small", "Medium", "Difference"]
    captions = [item.words for item in pages(made)[0].items if getattr(item, "name", "").startswith("Caption")]
    # The class of each map is named, as they may be of different ones.
    assert [
        f"{made.panels[i].maps[0].label} {percent(made.panels[i].maps[0].score or 0)}" in captions[-3 + i]
        for i in (0, 1)
    ]
    assert made.made == "EfficientNet-Lite0 and EfficientNet-Lite1 · GradCAM" and made.sides == (
        "more Small",
        "more Medium",
    )
    assert f"{made.title}.".lower() == comparison.verdict.lower()
    assert len(made.commands) == 2
    assert scenes(payload([made]))[0].panels[1].answers == made.panels[1].answers
    assert np.ptp(Image.open(drawing.thumbnail(made)).pixels) > 100


def test_a_record_gives_the_scene_of_its_explanation(bus_explained: Explanation, tmp_path: Path) -> None:
    history = History(tmp_path)
    record = history.keep(bus_explained, index=2, look={"colormap": "viridis"}, note="mine")
    made = views.of_record(record, history.picture(record), history.heatmaps(record), history.proof(record, 2))
    live = views.of_map(bus_explained, 2, {"colormap": "viridis"})
    assert (made.view, made.commands) == (live.view, live.commands)
    assert made.title == live.title and made.notes.startswith("mine")
    # Records of earlier versions have no title of their own.
    before = views.of_record(replace(record, title=""), history.picture(record), history.heatmaps(record))
    assert before.title == live.title
    for one, other in zip(made.panels[0].maps, live.panels[0].maps, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
