"""Explore with a segmentation network: the classes as a layer, and the map of what was clicked."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.components.session.state import ChosenArea
from sightglass.components.session.url_state import Unused
from sightglass.components.views import areas
from sightglass.explain import Explainer
from sightglass.explain.picture.image import to_png
from sightglass.export import embedded_recipe
from sightglass.models.geometry import fill_polygon
from tests.pages.conftest import headline, received, session, shown, texts


@pytest.fixture(scope="module")
def made(bus):
    return Explainer("demo-seg")(bus)


def place_of(made, class_: int) -> tuple[float, float]:
    """The middle of the first pixel of a class, x and y."""
    y, x = np.argwhere(made.segmentation == made.predictions[class_].index)[0]
    return x + 0.5, y + 0.5


def test_classes_are_a_layer_beside_the_map_and_a_link_opens_a_region(page, made):
    app = page(model="demo-seg")
    assert not app.exception and not app.error
    assert len(received(app, "viewer")) == 2
    assert headline(app).split(". ")[-2].startswith("Demo-seg finds")
    x, y = place_of(made, 0)
    app = page(model="demo-seg", at=f"{x},{y}")
    assert not app.exception and not app.error
    assert session(app, ChosenArea).at == (x, y)
    assert "of what speaks for this region lies outside it" in texts(app)
    app.button(key="explore-classes").click().run()
    assert not app.error and "this region" not in texts(app) and "at" not in app.query_params


def test_a_link_weighs_a_pixel_against_another_class(page, made):
    x, y = place_of(made, 0)
    rival = made.predictions[-1].label
    app = page(model="demo-seg", at=f"{x},{y}", span="pixel", rival=rival)
    assert not app.exception and not app.error
    assert app.selectbox(key="explore-against").value == rival
    assert app.segmented_control(key="explore-span").value == "pixel"
    assert (app.query_params["at"], app.query_params["rival"]) == (f"{x:g},{y:g}", rival)
    assert not session(app, Unused).said
    app = page(model="demo-seg", at="100,100,300,100,200,300")
    assert session(app, ChosenArea).at == (100, 100, 300, 100, 200, 300)
    assert "in this area lies outside it" in texts(app)


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({"at": "99999,3"}, "at “99999,3”"),
        ({"at": "nan,nan", "rival": "star"}, "rival “star”"),
    ],
)
def test_what_a_link_cannot_name_is_left_out_in_one_line(page, given, left_out):
    app = page(model="demo-seg", **given)
    assert not app.exception and not app.error
    assert any(left_out in words for words in session(app, Unused).said)


def test_a_map_of_a_region_opens_again_as_that_region(page, made):
    # Why not another class there?
    region = made.with_options(per="region", top_k=2, at=place_of(made, 1), targets=(made.predictions[0].label,))
    index = len(region.heatmaps) - 1
    view = embedded_recipe.view_of(region, index)
    assert view.screen == "explore"
    data = embedded_recipe.write(to_png(region.overlay(index)), region.recipe, view)
    app = page()
    app.file_uploader[0].upload("a region.png", data, "image/png").run()
    assert not app.exception and not app.error
    assert "this region lies outside it" in texts(app) and app.query_params["at"]
    np.testing.assert_allclose(shown(app, -1).maps[0], region.heatmaps[index].content, atol=2e-5)


def test_what_a_brush_painted_becomes_one_outline():
    painted = np.zeros((40, 60), bool)
    painted[5:20, 5:25] = True
    painted[10:15, 10:15] = False
    painted[25:38, 30:55] = True
    painted[27:30, 3:6] = True
    outline = areas._outline(painted, (600, 400))
    assert len(outline) <= 2 * areas.MAX_CORNERS
    filled = fill_polygon(np.reshape(outline, (-1, 2)), (400, 600))
    expected = painted.repeat(10, 0).repeat(10, 1)
    assert (filled & expected).sum() / (filled | expected).sum() > 0.9
    assert not filled[120, 120] and filled[280, 40] and not filled[230, 280]
