"""demo-detr: a packaged detector whose boxes are queries, explained where it was measured to be right."""

from __future__ import annotations

import pytest

from sightglass.explain import Explainer
from sightglass.explain.findings.reliability import reliability
from sightglass.explain.methods import list_methods
from sightglass.explain.questions import settings
from sightglass.models.demo import scenes


@pytest.fixture(scope="module")
def scene() -> scenes.DemoScene:
    return scenes.draw(scenes.sample(3, task="detect", held_out=True))


def test_it_finds_boxes_by_queries_and_explains_them_at_its_encoder(scene: scenes.DemoScene) -> None:
    explainer = Explainer("demo-detr")
    made = explainer(scene.pixels, per="detection", top_k=1)
    (heatmap,), first = made.heatmaps, made.predictions[0]
    (thing,) = [one for one in scene.objects if one.label == first.label]
    assert first.box == pytest.approx(thing.box, abs=8) and first.score > 0.5
    assert (heatmap.method, heatmap.layers) == ("layercam", ("model.15",))
    assert made.inside(thing.mask) > 0.4
    for question in ("where", "why"):
        chosen = settings(explainer.resident, question)
        assert (chosen["method"], chosen["layers"] or explainer.resident.default_layers) == ("layercam", ("model.15",))


def test_its_query_read_the_object_and_the_menu_knows_how_often(scene: scenes.DemoScene) -> None:
    explainer = Explainer("demo-detr")
    assert "queryattention" in {one.id for one in list_methods(explainer.resident)}
    read = explainer(scene.pixels, per="detection", top_k=1, method="queryattention")
    (thing,) = [one for one in scene.objects if one.label == read.predictions[0].label]
    assert read.inside(thing.mask) > 0.4
    where, why = (reliability("query", question, "queryattention") for question in ("where", "why"))
    assert where is not None and not where.fails and where.hit[0] > 0.7
    assert why is not None and why.fails and why.sentence.startswith("Failed")
