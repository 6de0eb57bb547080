"""Top-k: as many maps as asked for, on one scale or each on its own, and the difference of two."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.explain import Explainer
from sightglass.explain.findings.diagnosis import agreement_sentence
from sightglass.explain.phrases import percent
from tests.pages.conftest import rerun_until, shown, texts


def test_the_best_classes_stand_side_by_side_and_can_share_a_scale(page, bus):
    app = page("pages/topk.py")
    assert not app.exception and not app.error
    assert len(shown(app).maps) == 4
    assert [round(float(m.max()), 3) for m in shown(app).maps] == [1.0] * 4
    app.segmented_control(key="k").select(5).run()
    # What the browser makes of it on the shared scale is what the engine makes of it.
    view = shown(app)
    low, high = view.head["range"]
    result = Explainer()(bus, top_k=5, scale="shared")
    for got, heatmap, panel in zip(view.maps, result.heatmaps, view.head["panels"], strict=True):
        raw = panel["maps"][0]["raw"]
        scaled = (raw[0] - low + got * (raw[1] - raw[0])) / (high - low)
        np.testing.assert_allclose(scaled, heatmap.content, atol=2e-5)
    assert app.query_params["k"] == "5"


def test_averaged_layers_bring_their_shared_scale(page, bus):
    app = page("pages/topk.py", layers="blocks.4,bn2")
    view = shown(app)
    result = Explainer()(bus, top_k=4, scale="shared", layers=("blocks.4", "bn2"))
    assert view.head["range"] is None
    for got, heatmap in zip(view.shared, result.heatmaps, strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=2e-5)


def select(app, label, value):
    next(box for box in app.selectbox if box.label == label).select(value).run()


def test_two_classes_are_set_against_each_other(page):
    app = page("pages/topk.py")
    select(app, "First class", "minibus")
    select(app, "Second class", "trolleybus")
    panels = shown(app).head["panels"]
    assert panels[-1]["maps"][0]["kind"] == "difference"
    assert panels[-1]["maps"][0]["sides"] == ["minibus", "trolleybus"]
    difference = shown(app).maps[-1] * 2 - 1
    assert difference.min() < -0.1
    assert difference.max() > 0.1


@pytest.mark.parametrize("second", ["trolleybus", "police van"])
def test_the_headline_and_the_slide_are_of_the_two_classes_that_are_compared(page, bus, second):
    result = Explainer()(bus, top_k=4)
    labels = [heatmap.target.label for heatmap in result.heatmaps]
    app = page("pages/topk.py")
    assert app.markdown[0].value.endswith(agreement_sentence(result))
    select(app, "First class", "minibus")
    select(app, "Second class", second)
    pair = labels.index("minibus"), labels.index(second)
    headline = agreement_sentence(result, pair)
    assert app.markdown[0].value == f"## {headline}"
    assert f"minibus and {second}" in headline and percent(result.overlap(*pair)) in headline
    next(button for button in app.button if button.label == "Add to deck").click().run()
    assert next(one.value for one in app.text_input if one.label == "Title") == headline


def test_a_slow_method_is_declined_with_a_reason(page):
    app = page("pages/topk.py")
    app.selectbox(key="method-classify").select("scorecam").run()
    assert not app.exception
    assert "takes minutes" in texts(app)
    assert "choose a fast method" in texts(app)


@pytest.mark.parametrize(("model", "method"), [("demo-vit", "rollout"), ("demo-cls-s", "eigencam")])
def test_one_map_for_all_classes_is_told_of_and_not_taken_for_agreement(page, model, method):
    app = page("pages/topk.py", model=model, method=method)
    rerun_until(app, lambda: app.dataframe)
    assert not app.exception and not app.error
    assert any("gives the same map for every class" in m.value for m in app.markdown)
    assert "highlight the same place" not in texts(app)
    assert "Overlap with the first" not in app.dataframe[0].value
