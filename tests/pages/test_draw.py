"""Drawing on Explore: strokes from the browser become the session's picture, in the colours that the model wants."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from sightglass.components.session.pictures.image_source import UPLOADS, Pictures
from sightglass.components.session.state import Sidebar
from sightglass.explain import Explainer
from sightglass.models import drawing
from tests.pages.conftest import act, bar, headline, received, session, shown, texts

LINE = {"points": [0.2, 0.2, 0.8, 0.8], "width": 1 / 16, "erases": False}
OTHER = {"points": [0.8, 0.2, 0.2, 0.8], "width": 1 / 16, "erases": False}
NONSENSE = (None, [1, {"points": "no"}, {"points": [0.5, float("nan")]}], [{"points": [1e300, 0.5], "width": "wide"}])


def paper(app) -> dict:
    """What the pad was given."""
    (given,) = received(app, "canvas")
    return given


def drawn(app, turn: int, *strokes: dict):
    app.session_state["pad"] = {"drawing": {"turn": turn, "strokes": list(strokes)}}
    return app.run()


def test_a_drawing_is_the_picture_and_grows_with_each_stroke(page):
    app = page()
    assert not received(app, "canvas")
    act(app, "draw", True)
    assert paper(app)["paper"] == "#ffffff" and paper(app)["turn"] == 0
    drawn(app, 1, LINE)
    assert not app.error
    image = session(app, Sidebar).picture
    np.testing.assert_array_equal(image.pixels, drawing.draw(drawing.strokes([LINE]), "black on white"))
    result = Explainer()(image)
    assert bar(app)["name"] == "drawing.png" and result.predictions[0].label in headline(app)
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    drawn(app, 2, LINE, OTHER)
    latest = session(app, Sidebar).picture.sha256
    assert latest != image.sha256
    # A late request brings nothing back, and one drawing is one picture, whatever it went through.
    drawn(app, 1, LINE)
    assert session(app, Sidebar).picture.sha256 == latest
    assert [picture.name for picture in session(app, Pictures).own.values()] == ["drawing.png"]
    for strokes in NONSENSE:
        app.session_state["pad"] = {"drawing": {"turn": 3, "strokes": strokes}}
        assert not app.run().error


def test_a_drawing_outlives_a_restart_of_the_server_and_is_chosen_only_where_it_was(page):
    app = page()
    act(app, "draw", True)
    drawn(app, 1, LINE)
    key = bar(app)["chosen"]
    for address, name in (({"picture": key}, "drawing.png"), ({}, "bus.jpg")):
        UPLOADS.drop(key)
        again = page(state={"pad": {"drawing": {"id": "of before", "turn": 7, "strokes": [LINE]}}}, **address)
        assert not again.error and bar(again)["name"] == name
        act(again, "draw", True)
        assert paper(again)["strokes"] == [LINE]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
def test_a_model_of_drawings_has_its_paper_on_the_page_in_its_own_colours(page, tmp_path, own_models):
    from sightglass.models.families.keras.network import keras

    library = keras()
    with library.device("cpu"):
        layers = library.layers
        parts = [layers.Input((28, 28, 1)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
        library.Sequential(parts).save(tmp_path / "own.keras")
    weights = 'path = "own.keras", labels = ["cat", "sun", "star"], sketch = "white on black"'
    own_models(f'[model.light]\nloader = "keras"\narch = "keras"\nweights = {{ {weights} }}\n')
    app = page(model="light")
    assert paper(app)["ink"] == "#ffffff" and paper(app)["paper"] == "#000000"
    assert "White pen on black paper: as this model was trained." in texts(app)
    drawn(app, 1, LINE)
    assert session(app, Sidebar).picture.pixels[0, 0, 0] == 0 and len(shown(app).maps) == 3
