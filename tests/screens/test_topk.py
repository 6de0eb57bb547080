"""Top-k: as many maps as asked for, on one scale or each on its own, and the difference of two."""

from __future__ import annotations

import numpy as np

from explain import Explainer
from tests.screens.conftest import shown, texts


def test_the_best_classes_stand_side_by_side_on_either_scale(page, bus):
    app = page("pages/topk.py")
    assert not app.exception and not app.error
    assert len(shown(app).maps) == 4
    assert [round(float(m.max()), 3) for m in shown(app).maps] == [1.0] * 4
    app.segmented_control(key="k").select(5).run()
    app.segmented_control(key="scale").select("shared").run()
    maps = shown(app).maps
    result = Explainer()(bus, top_k=5, scale="shared")
    for got, heatmap in zip(maps, result.heatmaps, strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=1 / 65535)
    assert sum(m.max() > 0.999 for m in maps) == 1
    assert (app.query_params["k"], app.query_params["scale"]) == ("5", "shared")


def select(app, label, value):
    next(box for box in app.selectbox if box.label == label).select(value).run()


def test_two_classes_are_set_against_each_other(page):
    app = page("pages/topk.py")
    select(app, "For", "minibus")
    select(app, "Not for", "trolleybus")
    panels = shown(app).head["panels"]
    assert panels[-1]["maps"][0]["kind"] == "difference"
    assert "minibus" in panels[-1]["maps"][0]["note"]
    difference = shown(app).maps[-1] * 2 - 1
    assert difference.min() < -0.1
    assert difference.max() > 0.1


def test_a_slow_method_is_declined_with_a_reason(page):
    app = page("pages/topk.py")
    app.selectbox(key="method-classify").select("scorecam").run()
    assert not app.exception
    assert "takes minutes" in texts(app)
