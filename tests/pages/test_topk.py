"""Top-k: as many maps as asked for, on one scale or each on its own, and the difference of two."""

from __future__ import annotations

import numpy as np

from sightglass.explain import Explainer
from sightglass.explain.findings.diagnosis import agreement_sentence
from tests.pages.conftest import rerun_until, shown, texts


def select(app, label, value):
    next(box for box in app.selectbox if box.label == label).select(value).run()


def test_the_best_classes_stand_side_by_side_and_can_share_a_scale(page, bus):
    app = page("topk")
    assert not app.exception and not app.error
    assert [round(float(one.max()), 3) for one in shown(app).maps] == [1.0] * 4
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


def test_a_link_opens_averaged_layers_with_their_shared_scale(page, bus):
    app = page("topk", layers="blocks.4,bn2", k="3")
    view = shown(app)
    result = Explainer()(bus, top_k=3, scale="shared", layers=("blocks.4", "bn2"))
    assert view.head["range"] is None
    for got, heatmap in zip(view.shared, result.heatmaps, strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=2e-5)


def test_two_classes_are_set_against_each_other_in_the_headline_and_on_the_slide(page, bus):
    result = Explainer()(bus, top_k=4)
    labels = [heatmap.target.label for heatmap in result.heatmaps]
    app = page("topk")
    assert app.markdown[0].value.endswith(agreement_sentence(result))
    select(app, "First class", "minibus")
    select(app, "Second class", "police van")
    headline = agreement_sentence(result, (labels.index("minibus"), labels.index("police van")))
    assert app.markdown[0].value == f"## {headline}"
    last = shown(app).head["panels"][-1]["maps"][0]
    assert (last["kind"], last["sides"]) == ("difference", ["minibus", "police van"])
    difference = shown(app).maps[-1] * 2 - 1
    assert difference.min() < -0.1 and difference.max() > 0.1
    next(button for button in app.button if button.label == "Add to deck").click().run()
    assert next(one.value for one in app.text_input if one.label == "Title") == headline


def test_a_slow_method_is_declined_with_a_reason(page):
    app = page("topk", method="scorecam")
    assert not app.exception
    assert "takes minutes" in texts(app) and "choose a fast method" in texts(app)


def test_one_map_for_all_classes_is_told_of_and_not_taken_for_agreement(page):
    app = page("topk", model="demo-cls-s", method="eigencam")
    rerun_until(app, lambda: app.dataframe)
    assert not app.exception and not app.error
    assert any("gives the same map for every class" in one.value for one in app.markdown)
    assert "highlight the same place" not in texts(app)
    assert "Overlap with the first" not in app.dataframe[0].value
