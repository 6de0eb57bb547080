"""Drawing on Explore: strokes from the browser become the session's picture, in the colours that the model wants."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from sightglass.components.session.pictures.image_source import Pictures
from sightglass.components.session.pictures.uploads import UPLOADS
from sightglass.components.session.state import Navigation, Sidebar
from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.models import drawing
from tests.pages.conftest import ROOT, act, bar, headline, received, session, shown, texts
from tests.waits import patience

LINE = {"points": [0.2, 0.2, 0.8, 0.8], "width": 1 / 16, "erases": False}
OTHER = {"points": [0.8, 0.2, 0.2, 0.8], "width": 1 / 16, "erases": False}


def paper(app) -> dict:
    """What the pad was given."""
    (given,) = received(app, "canvas")
    return given


def pads(app) -> int:
    return len(received(app, "canvas"))


def drawn(app, turn: int, *strokes: dict):
    app.session_state["pad"] = {"drawing": {"turn": turn, "strokes": list(strokes)}}
    return app.run()


def test_a_drawing_is_the_picture_and_grows_with_each_stroke(page):
    app = page()
    assert pads(app) == 0
    act(app, "draw", True)
    assert paper(app)["paper"] == "#ffffff" and paper(app)["turn"] == 0
    assert shown(app).head["size"] == [810, 1080]
    drawn(app, 1, LINE)
    assert not app.exception and not app.error
    image = session(app, Sidebar).picture
    np.testing.assert_array_equal(image.pixels, drawing.draw(drawing.strokes([LINE]), "black on white"))
    assert bar(app)["name"] == "drawing.png"
    result = Explainer()(image)
    best = result.predictions[0]
    assert best.label in headline(app) and percent(best.score) in headline(app)
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert paper(app)["turn"] == 1 and paper(app)["strokes"] == [LINE]
    drawn(app, 2, LINE, OTHER)
    assert session(app, Sidebar).picture.sha256 != image.sha256
    # One drawing is one picture, whatever it went through.
    assert [picture.name for picture in session(app, Pictures).own.values()] == ["drawing.png"]


def test_the_same_drawing_is_not_taken_up_again_when_another_picture_is_chosen(page):
    app = page()
    act(app, "draw", True)
    drawn(app, 1, LINE)
    act(app, "choose", "china")
    assert session(app, Sidebar).picture.name == "china.jpg"
    app.run()
    assert session(app, Sidebar).picture.name == "china.jpg"
    assert paper(app)["strokes"] == [LINE]
    drawn(app, 2, LINE, OTHER)
    assert session(app, Sidebar).picture.name == "drawing.png"


def test_a_drawing_outlives_a_restart_of_the_server_and_is_chosen_only_where_it_was(page):
    app = page()
    act(app, "draw", True)
    drawn(app, 1, LINE)
    key = bar(app)["chosen"]
    for address, name in ((key, "drawing.png"), (None, "bus.jpg")):
        again = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=patience(120))
        UPLOADS.drop(key)
        if address:
            again.query_params["picture"] = address
        again.session_state["pad"] = {"drawing": {"id": "of before", "turn": 7, "strokes": [LINE]}}
        again.run()
        assert not again.exception and not again.error and bar(again)["name"] == name
        act(again, "draw", True)
        assert paper(again)["strokes"] == [LINE]


def test_a_drawing_that_a_late_request_brings_again_is_not_taken_up(page):
    app = page()
    act(app, "draw", True)
    drawn(app, 2, LINE, OTHER)
    latest = bar(app)["chosen"]
    drawn(app, 1, LINE)
    assert bar(app)["chosen"] == latest


def test_drawing_from_another_screen_leads_to_explore_and_ends_where_it_is_switched_off(page):
    app = page("pages/topk.py")
    act(app, "draw", True)
    assert session(app, Navigation).page == "explore"
    assert pads(app) == 1
    drawn(app, 1, LINE)
    app.switch_page("pages/topk.py").run()
    assert pads(app) == 0 and bar(app)["name"] == "drawing.png"
    app.switch_page("pages/explore.py").run()
    assert paper(app)["strokes"] == [LINE]
    act(app, "draw", False)
    assert pads(app) == 0


@pytest.mark.parametrize(
    "strokes",
    [
        None,
        "x",
        [1, {"points": "no"}, {"points": [1]}, {"points": [0.5, float("nan")]}, {"points": [None, 3]}],
        [{"points": [1e300, -1e300, 0.5, 0.5], "width": 1e300}],
        [{"points": [0.5, 0.5], "width": "wide", "erases": "yes"}],
    ],
)
def test_what_is_no_drawing_breaks_nothing(page, strokes):
    app = page()
    act(app, "draw", True)
    app.session_state["pad"] = {"drawing": {"turn": 1, "strokes": strokes}}
    app.run()
    assert not app.exception and not app.error
    app.session_state["pad"] = {"drawing": "nonsense"}
    app.run()
    assert not app.exception and not app.error


def test_a_stroke_of_endless_points_is_left_out():
    endless = {"points": [0.5] * (2 * drawing.MAX_POINTS + 2)}
    assert drawing.strokes([LINE, endless, OTHER]) == drawing.strokes([LINE])


def test_a_picture_of_strokes_lies_where_they_were_drawn():
    pixels = drawing.draw(drawing.strokes([LINE | {"points": [0.25, 0.5, 0.75, 0.5]}]), "white on black", 64)
    rows, columns = np.nonzero(pixels[:, :, 0] > 127)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(31.5, abs=0.51)
    assert columns.min() == pytest.approx(14, abs=1) and columns.max() == pytest.approx(49, abs=1)
    rubbed = drawing.strokes([LINE, LINE | {"erases": True, "width": 0.3}])
    assert not drawing.draw(rubbed, "white on black", 64).any()
    dot = drawing.draw(drawing.strokes([{"points": [0.5, 0.5], "width": 0.2}]), "black on white", 64)
    assert 90 < (dot[:, :, 0] < 128).sum() < 170


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
def test_a_model_of_drawings_has_its_paper_on_the_screen_in_its_own_colours(page, tmp_path, own_models):
    from sightglass.models.families.keras.network import keras

    library = keras()
    with library.device("cpu"):
        layers = library.layers
        model = library.Sequential(
            [layers.Input((28, 28, 1)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
        )
    model.save(tmp_path / "own.keras")
    tables = []
    for name, colours in (("light", "white on black"), ("dark", "black on white")):
        tables.append(f'[model."{name}"]\nloader = "keras"\narch = "keras"\nsize = "{name}"')
        tables.append(f'[model."{name}".weights]\npath = "own.keras"\nlabels = ["cat", "sun", "star"]')
        tables.append(f'sketch = "{colours}"')
    own_models("\n".join(tables))
    app = page(model="light")
    assert not app.exception and not app.error
    assert paper(app)["ink"] == "#ffffff" and paper(app)["paper"] == "#000000"
    assert "White pen on black paper: as this model was trained." in texts(app)
    assert "cat, sun, star" in texts(app)
    drawn(app, 1, LINE)
    assert session(app, Sidebar).picture.pixels[0, 0, 0] == 0
    assert len(shown(app).maps) == 3
    app.selectbox(key="family").set_value("dark").run()
    assert not app.exception and not app.error
    # The same drawing, as this model wants it.
    assert paper(app)["paper"] == "#ffffff" and paper(app)["strokes"] == [LINE]
    assert session(app, Sidebar).picture.pixels[0, 0, 0] == 255
    assert [picture.name for picture in session(app, Pictures).own.values()] == ["drawing.png"]
