"""Explore with a segmentation network: the classes as a layer, and the map of what was clicked."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from sightglass.components.session import state
from sightglass.components.views.areas import ChosenArea
from sightglass.explain import Explainer
from sightglass.models.adapter import AreaTarget
from tests.pages.conftest import headline, received, session, texts


def test_classes_are_a_layer_beside_the_map_and_a_click_explains_a_region(page, bus):
    app = page(model="demo-seg")
    assert not app.exception
    assert not app.error
    layers = received(app, "viewer")
    assert len(layers) == 2
    assert headline(app).split(". ")[-2].startswith("Demo-seg finds")
    pixels = np.asarray(Pillow.open(bus).convert("RGB"))
    made = Explainer("demo-seg")(pixels)
    y, x = np.argwhere(made.segmentation == made.predictions[0].index)[0]
    area = session(app, ChosenArea)
    area.picture = app.session_state[state.key(state.Sidebar)].picture.sha256
    area.model, area.at = "demo-seg", (x + 0.5, y + 0.5)
    app.run()
    assert not app.exception
    assert not app.error
    region = made.with_options(per="region", at=(x + 0.5, y + 0.5))
    target = region.heatmaps[0].target
    assert isinstance(target, AreaTarget)
    assert target.span == "region"
    assert "of what speaks for this region lies outside it" in texts(app)
    assert any(button.label == "Back to the classes" for button in app.button)
    app.button(key="explore-classes").click().run()
    assert not app.error
    assert "this region" not in texts(app)


def test_other_pages_open_with_it_chosen(page):
    app = page("pages/topk.py", model="demo-seg")
    assert not app.exception
    app = app.switch_page("pages/models/page.py").run()
    assert not app.exception
    assert not app.error


def test_what_if_says_that_nothing_has_the_class_any_more(page):
    app = page("pages/whatif.py", model="demo-seg", example="scene 3")
    assert not app.exception and not app.error
    assert "takes ball-dots from 10" in texts(app)
    assert "No map: no pixel of the edited picture is ball-dots." in texts(app)
