"""Explore with a segmentation network: the classes as a layer, and the map of what was clicked."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.components.session import state
from sightglass.components.session.links import Unused
from sightglass.components.session.state import ChosenArea
from sightglass.components.views import areas
from sightglass.explain import Explainer
from sightglass.explain.picture.image import to_png
from sightglass.export import embedded_recipe
from sightglass.models.adapter import AreaTarget
from sightglass.models.geometry import fill_polygon
from tests.pages.conftest import headline, received, session, shown, texts


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


def test_a_link_opens_the_same_map(page, bus):
    made = Explainer("demo-seg")(np.asarray(Pillow.open(bus).convert("RGB")))
    first, *_, other = [one.index for one in made.predictions]
    y, x = np.argwhere(made.segmentation == first)[0]
    labels = made.evidence.resident.adapter.labels
    app = page(model="demo-seg", at=f"{x + 0.5},{y + 0.5}", span="pixel", rival=labels[other])
    assert not app.exception and not app.error
    assert session(app, ChosenArea).at == (x + 0.5, y + 0.5)
    assert app.selectbox(key="explore-against").value == labels[other]
    assert app.segmented_control(key="explore-span").value == "pixel"
    assert (app.query_params["at"], app.query_params["rival"]) == (f"{x + 0.5:g},{y + 0.5:g}", labels[other])
    assert not session(app, Unused).said
    app.button(key="explore-classes").click().run()
    assert "at" not in app.query_params and "rival" not in app.query_params


def test_a_link_to_an_area_opens_it(page, bus):
    app = page(model="demo-seg", at="100,100,300,100,200,300")
    assert not app.exception and not app.error
    assert session(app, ChosenArea).at == (100, 100, 300, 100, 200, 300)
    assert "in this area lies outside it" in texts(app)


@pytest.mark.parametrize(
    ("at", "against", "left_out"),
    [
        ("7", None, "at “7”"),
        ("-5,3", None, "at “-5,3”"),
        ("99999,3", None, "at “99999,3”"),
        ("nan,nan", "star", "rival “star”"),
        ("20,20", "nothing", "rival “nothing”"),
        (None, "star", "rival “star”"),
    ],
)
def test_what_a_link_cannot_name_is_left_out_in_one_line(page, at, against, left_out):
    given = {name: value for name, value in (("at", at), ("rival", against)) if value}
    app = page(model="demo-seg", **given)
    assert not app.exception and not app.error
    assert any(left_out in words for words in session(app, Unused).said)
    assert "explore-classes" not in [one.key for one in app.button] or against == "nothing"


def test_a_link_that_weighs_a_class_against_itself_opens_without_that(page, bus):
    made = Explainer("demo-seg")(np.asarray(Pillow.open(bus).convert("RGB")))
    y, x = np.argwhere(made.segmentation == made.predictions[0].index)[0]
    app = page(model="demo-seg", at=f"{x},{y}", rival=made.predictions[0].label)
    assert not app.exception and not app.error
    assert any("rival “" in words for words in session(app, Unused).said)
    assert session(app, ChosenArea).at == (x, y)


@pytest.mark.parametrize("asked", [{}, {"at": (0, 0)}])
def test_a_map_of_a_region_opens_again_as_that_region(page, bus, asked):
    whole = Explainer("demo-seg")(bus)
    y, x = np.argwhere(whole.segmentation == whole.predictions[1].index)[0]
    other = whole.predictions[0].label
    if asked:
        # Why not another class there?
        asked = {"at": (x + 0.5, y + 0.5), "targets": (other,)}
    made = whole.with_options(per="region", top_k=2, **asked)
    index = len(made.heatmaps) - 1
    view = embedded_recipe.view_of(made, index)
    assert view.screen == "explore"
    data = embedded_recipe.write(to_png(made.overlay(index)), made.recipe, view.model_copy(update={"screen": "detect"}))
    app = page()
    app.file_uploader[0].upload("a region.png", data, "image/png").run()
    assert not app.exception and not app.error
    assert "this region lies outside it" in texts(app)
    np.testing.assert_allclose(shown(app, -1).maps[0], made.heatmaps[index].content, atol=2e-5)
    assert app.query_params["at"]
    app.button(key="explore-classes").click().run()
    assert "at" not in app.query_params


def test_what_a_brush_painted_becomes_one_outline():
    painted = np.zeros((40, 60), bool)
    painted[5:20, 5:25] = True
    painted[10:15, 10:15] = False
    painted[25:38, 30:55] = True
    painted[27:30, 3:6] = True
    outline = areas._outline(painted, (600, 400))
    assert len(outline) <= 2 * areas.MAX_CORNERS
    found = fill_polygon(np.reshape(outline, (-1, 2)), (400, 600))
    wanted = painted.repeat(10, 0).repeat(10, 1)
    assert (found & wanted).sum() / (found | wanted).sum() > 0.9
    assert not found[120, 120] and found[280, 40] and not found[230, 280]
    noise = np.random.default_rng(0).random((200, 300)) < 0.5
    assert len(areas._outline(noise, (600, 400))) <= 2 * areas.MAX_CORNERS


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
