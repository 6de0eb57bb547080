"""A file that carries its recipe, given to a screen, opens the view that it was made from."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.components.session.pictures.image_source import Pictures
from sightglass.components.session.state import ChosenBox, Navigation, Sidebar
from sightglass.components.session.url_state import Memory
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image, to_jpeg, to_png
from sightglass.export import embedded_recipe, figure
from tests.pages.conftest import bar, session, shown, texts

pytest.importorskip("ultralytics")


@pytest.fixture(scope="module")
def bus() -> Path:
    import ultralytics

    return Path(ultralytics.__file__).parent / "assets/bus.jpg"


def initial(app) -> dict[str, str]:
    found = dict(shown(app).head["initial"])
    assert found.pop("passing") == "1"
    found.pop("id")
    return found


def test_model_method_layers_class_and_colours_come_back(page, bus):
    explanation = Explainer("efficientnet-lite1")(bus, method="layercam", layers=("blocks.4",), top_k=3)
    settings = {"mode": "overlay", "colormap": "viridis", "alpha": 0.35, "even": True}
    view = embedded_recipe.view_of(explanation, 2, **settings)
    data = embedded_recipe.write(to_png(explanation.overlay(2)), explanation.recipe, view)
    app = page()
    app.file_uploader[0].upload("any name.png", data, "image/png").run()
    assert not app.exception and not app.error
    assert session(app, Sidebar).choices.model.id == "efficientnet-lite1"
    assert session(app, Sidebar).choices.method == "layercam"
    assert app.multiselect(key="layers-efficientnet-lite1").value == ["blocks.4"]
    assert app.query_params["class"] == explanation.heatmaps[2].target.label
    assert initial(app) == {"mode": "overlay", "colormap": "viridis", "alpha": "0.35", "even": "1"}
    titles = [item["title"] for item in shown(app).head["panels"][-1]["maps"]]
    chosen = titles.index(explanation.heatmaps[2].target.label)
    np.testing.assert_allclose(shown(app).maps[chosen], explanation.heatmaps[2].content, atol=2e-5)
    # The example itself, not a copy of it under another name.
    assert session(app, Pictures).chosen == "bus"


def test_a_figure_of_a_picture_of_ones_own_brings_it_along(page, bus):
    own = Image(Image.open(bus).pixels[:600, 100:700], "my own.png")
    explanation = Explainer("efficientnet-lite0")(own, question="why")
    app = page()
    data = figure.figure(explanation, format="jpg", colormap="magma", alpha=0.6)
    app.file_uploader[0].upload("figure.jpg", data, "image/jpeg").run()
    assert not app.exception and not app.error
    assert shown(app).head["picture"] == own.sha256 and shown(app).head["size"] == [600, 600]
    assert session(app, Sidebar).choices.question == "why"
    assert initial(app)["colormap"] == "magma"
    np.testing.assert_allclose(shown(app).maps[0], explanation.heatmaps[0].content, atol=2e-5)


def test_the_colours_of_a_figure_end_with_its_map(page, bus):
    explanation = Explainer("efficientnet-lite0")(bus)
    look = {"mode": "overlay", "colormap": "jet", "alpha": 0.9, "even": False, "threshold": 0.2}
    app = page()
    app.file_uploader[0].upload("f.png", figure.figure(explanation, look=look), "image/png").run()
    assert not app.exception and not app.error
    assert initial(app) == {"mode": "overlay", "colormap": "jet", "alpha": "0.9", "even": "0", "threshold": "0.2"}
    app.switch_page("pages/compare.py").run()
    assert shown(app).head["initial"] is None
    app.switch_page("pages/explore.py").run()
    assert initial(app)["colormap"] == "jet"
    small = io.BytesIO()
    Pillow.new("RGB", (64, 48), "red").save(small, "PNG")
    app.file_uploader[0].upload("other.png", small.getvalue(), "image/png").run()
    assert shown(app).head["size"] == [64, 48] and shown(app).head["initial"] is None


def test_the_question_where_leaves_the_layers_to_the_model(page, bus):
    explanation = Explainer("efficientnet-lite0")(bus)
    data = embedded_recipe.write(
        to_jpeg(explanation.overlay()), explanation.recipe, embedded_recipe.view_of(explanation, 0)
    )
    app = page()
    app.selectbox(key="method-classify").select("hirescam").run()
    app.file_uploader[0].upload("x.jpg", data, "image/jpeg").run()
    assert session(app, Sidebar).choices.question == "where"
    assert app.multiselect(key="layers-efficientnet-lite0").value == []


def test_a_box_is_opened_on_its_own_screen(page, scene):
    explanation = Explainer("demo-s")(scene, per="detection", confidence=0.4, within="inside")
    data = figure.figure(explanation, 2)
    app = page()
    app.file_uploader[0].upload("box.png", data, "image/png").run()
    assert not app.exception and not app.error
    assert session(app, Navigation).page == "detect"
    assert session(app, ChosenBox).pair == explanation.recipe.targets[2]
    assert app.slider(key="confidence").value == 40
    assert session(app, Memory).values["within"] == "inside"


def test_what_cannot_be_opened_is_one_sentence(page, bus):
    explanation = Explainer("efficientnet-lite0")(Image(Image.open(bus).pixels[:300], "gone.png"))
    png = to_png(explanation.overlay())
    app = page()
    app.file_uploader[0].upload("a.png", embedded_recipe.write(png, explanation.recipe), "image/png").run()
    problem = bar(app)["problem"]
    assert "gone.png" in problem and "does not carry" in problem
    recipe = Explainer("efficientnet-lite0")(bus).recipe
    for model, words in (("no-such", "no-such"), ("timm/vit_base_patch16_224", "not on this machine")):
        data = embedded_recipe.write(png, recipe.model_copy(update={"model": model}))
        app.file_uploader[0].upload("b.png", data, "image/png").run()
        assert not app.exception and words in bar(app)["problem"]
    app.file_uploader[0].upload("plain.png", png, "image/png").run()
    assert not bar(app)["problem"] and shown(app).head["size"] == [810, 300]


def test_other_weights_are_told(page, bus):
    explanation = Explainer("efficientnet-lite0")(bus)
    recipe = explanation.recipe.model_copy(update={"weights_sha256": "0" * 64})
    app = page()
    app.file_uploader[0].upload(
        "o.png", embedded_recipe.write(to_png(explanation.overlay()), recipe), "image/png"
    ).run()
    assert "not those that the file was made with" in texts(app)


def test_pixels_of_a_tagged_file_are_untouched(bus):
    explanation = Explainer("efficientnet-lite0")(bus)
    png = to_png(explanation.overlay())
    tagged = embedded_recipe.write(png, explanation.recipe, picture=embedded_recipe.encode(explanation.image))
    first, second = (np.array(Pillow.open(io.BytesIO(data))) for data in (png, tagged))
    assert (first == second).all()
