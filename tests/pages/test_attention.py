"""Attention on Explore: offered where there is any, one head or the mean of all, and all of them side by side."""

from __future__ import annotations

import numpy as np

from sightglass.components.session.state import Sidebar
from sightglass.explain import Explainer
from tests.pages.conftest import session, settled, shown, texts


def test_a_transformer_is_asked_by_its_attention_and_a_cnn_is_not(page):
    app = page(model="demo-vit")
    assert not app.exception
    assert {"attention", "rollout", "chefer"} <= set(options(app))
    app.selectbox(key="family").select("EfficientNet-Lite").run()
    assert not {"attention", "rollout", "chefer"} & set(options(app))


def options(app):
    labels = app.selectbox(key="method-classify").options
    return [label.split(" (")[0].split(" · ")[0].lower() for label in labels]


def test_one_head_is_what_the_engine_says(page):
    app = settled(page(model="demo-vit", method="attention", head="2", example="one thing"))
    assert not app.exception and not app.error
    assert app.selectbox(key="head").value == 2
    explainer = Explainer("demo-vit")
    image = session(app, Sidebar).picture
    expected = explainer(image, method="attention", head=2)
    np.testing.assert_allclose(shown(app).maps[0], expected.heatmaps[0].content, atol=1 / 65535)
    assert expected.heatmaps[0].layers == ("blocks.3.attn",)
    app.selectbox(key="head").select(-1).run()
    settled(app)
    mean = explainer(image, method="attention").heatmaps[0].content
    np.testing.assert_allclose(shown(app).maps[0], mean, atol=1 / 65535)
    assert "head" not in app.query_params


def test_all_heads_stand_side_by_side_once_they_are_asked_for(page):
    app = settled(page(model="demo-vit", method="attention"))
    viewers = [e for e in app.get("bidi_component") if e.proto.component_name.endswith("viewer")]
    assert len(viewers) == 1
    app.button(key="all-heads").click().run()
    assert not app.exception and not app.error
    viewers = [e for e in app.get("bidi_component") if e.proto.component_name.endswith("viewer")]
    assert len(viewers) == 2
    assert all(f"head {number}" in str(viewers[1].proto.bytes) for number in range(4))
    assert "blocks.3.attn" in texts(app)
