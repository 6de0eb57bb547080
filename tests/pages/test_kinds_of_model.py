"""Explore and What if with models of other kinds: numbers, depth, words, persons, two pictures, exported files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sightglass.explain import Explainer
from sightglass.explain.phrases import quantity
from sightglass.explain.picture.image import Image, load_bundled, to_png
from sightglass.models.demo.pictures import CAPTIONED, PERSON
from sightglass.report import embedded_recipe
from sightglass.ui.session.state import ChosenArea
from sightglass.ui.session.url_state import Unused
from tests.pages.conftest import headline, received, session, shown, texts
from tests.unit.explain.picture import test_image
from tests.unit.explain.picture.test_image import Bands
from training.demo import captioned_scenes, person_scenes
from training.demo.showcase import SIDE

OwnModels = Callable[[str], None]


# ---- numbers


def test_explore_says_a_number_with_its_unit_and_scale(page):
    app = page(model="demo-regress", example="a rod")
    angle = quantity(Explainer("demo-regress")(load_bundled("a rod")).predictions[0].score, "°")
    assert headline(app).startswith(f"Angle {angle}. Red raises angle.")
    assert shown(app).head["panels"][0]["maps"][0]["note"] == angle and "%" not in angle
    first = app.metric[0]
    assert (first.label, first.value, first.delta) == ("angle", angle, "on a scale from −60° to 60°")


# ---- depth


def test_a_depth_stands_beside_its_map_and_an_address_names_a_place(page, depth: str):
    app = page(model=depth, example="scene 1", at="100,120")
    assert app.selectbox(key="method-regress").value == "hirescam"
    app.button(key="explore-whole").click().run()
    assert "At the place" not in headline(app) and "at" not in app.query_params
    assert len(received(app, "viewer")) == 2 and "on average" in headline(app)


# ---- words


def test_prompts_are_the_rows_and_their_contrast_is_what_is_shown(page):
    words = ("red star", "blue star", "red ball")
    app = page(model="demo-clip", example=CAPTIONED, words=", ".join(words))
    view = shown(app)
    image = Image.open(captioned_scenes.draw(captioned_scenes.example(), SIDE).pixels, name="red star.png")
    result = Explainer("demo-clip")(image, vocabulary=words, part="contrast")
    titles = [item["title"] for item in view.head["panels"][0]["maps"]]
    assert titles == [heatmap.target.label for heatmap in result.heatmaps]
    np.testing.assert_allclose(view.maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert result.predictions[0].label in headline(app).lower()
    app.selectbox(key="part-contrast").select("class").run()
    assert app.query_params["part"] in ("class", ["class"])
    assert not np.allclose(shown(app).maps[0], view.maps[0])
    app.text_input(key="words").set_value("red star, green bar, blue star").run()
    assert len(shown(app).maps) == 2
    assert "'green bar' is left out. demo-clip does not know the word 'bar'" in texts(app)


@pytest.mark.slow
def test_without_words_it_asks_for_them(page, tmp_path: Path, own_models: OwnModels):
    transformers = pytest.importorskip("transformers")
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    seen = {**text, "image_size": 32, "patch_size": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=seen, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(tmp_path / "clip")
    own_models(f'[model."mine"]\nloader = "clip"\nweights = {{ path = {json.dumps(str(tmp_path / "clip"))} }}\n')
    app = page(model="mine")
    assert "What should it look for?" in texts(app)
    app.text_input(key="words").set_value("a bus, a dog").run()
    assert len(shown(app).maps) == 2


# ---- persons


def test_of_a_person_explore_says_whom_it_takes_it_for(page):
    app = page(model="demo-reid", example=PERSON)
    pixels = person_scenes.draw(person_scenes.example()).pixels
    result = Explainer("demo-reid")(Image.open(pixels, name="person.png"))
    assert result.predictions[0].label in headline(app).lower()
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)


# ---- exported files


NETS = Path(test_image.__file__)


def exported(name: str, file: Path) -> str:
    more = 'labels = ["first", "last"], preprocessing = { size = 32 }'
    return f'[model."{name}"]\nloader = "exported"\nweights = {{ path = "{file}", {more} }}\n'


def test_a_field_of_five_bands_is_given_and_explained(page, tmp_path: Path, own_models: OwnModels):
    torch.save(Bands(5).state_dict(), tmp_path / "bands.pth")
    table = exported("bands", tmp_path / "bands.pth").replace('"exported"', f'"custom"\narch = "{NETS}:Bands"')
    own_models(table.replace("weights = {", "weights = { args = { channels = 5 },"))
    out = io.BytesIO()
    np.save(out, np.full((48, 48, 5), 0.1, np.float32))
    app = page(model="bands", fails=True)
    # A photograph does not fit: one sentence, and everything else stays in place.
    assert "bus.jpg is an RGB picture, and bands takes 5 channels: give a .npy or a .tif with 5" in texts(app)
    app.file_uploader[0].upload("field.npy", out.getvalue(), "application/octet-stream").run()
    assert not app.error and shown(app).maps
    assert "5 channels of float32; the first three are shown" in texts(app)


@pytest.fixture(scope="module")
def segmented(bus):
    return Explainer("demo-seg")(bus)


def place_of(segmented, class_: int) -> tuple[float, float]:
    """The middle of the first pixel of a class, x and y."""
    y, x = np.argwhere(segmented.segmentation == segmented.predictions[class_].index)[0]
    return x + 0.5, y + 0.5


def test_classes_are_a_layer_beside_the_map_and_a_link_opens_a_region(page, segmented):
    app = page(model="demo-seg")
    assert len(received(app, "viewer")) == 2
    assert segmented.predictions[0].label in headline(app).lower()
    x, y = place_of(segmented, 0)
    app = page(model="demo-seg", at=f"{x},{y}")
    assert session(app, ChosenArea).at == (x, y)
    assert "of what speaks for this region lies outside it" in texts(app)
    app.button(key="explore-whole").click().run()
    assert not app.error and "this region" not in texts(app) and "at" not in app.query_params


def test_a_link_names_a_pixel_or_an_area(page, segmented):
    x, y = place_of(segmented, 0)
    app = page(model="demo-seg", at=f"{x},{y}", span="pixel")
    assert app.segmented_control(key="explore-span").value == "pixel"
    assert app.query_params["at"] == f"{x:g},{y:g}" and not session(app, Unused).said
    app = page(model="demo-seg", at="100,100,300,100,200,300")
    assert session(app, ChosenArea).at == (100, 100, 300, 100, 200, 300)
    assert "in this area lies outside it" in texts(app)


def test_a_map_of_a_region_opens_again_as_that_region(page, segmented):
    # Why not another class there?
    region = segmented.with_options(
        per="region", top_k=2, at=place_of(segmented, 1), targets=(segmented.predictions[0].label,)
    )
    index = len(region.heatmaps) - 1
    view = embedded_recipe.view_of(region, index)
    assert view.screen == "explore"
    data = embedded_recipe.write(to_png(region.overlay(index)), region.recipe, view)
    app = page()
    app.file_uploader[0].upload("a region.png", data, "image/png").run()
    assert not app.error
    assert "this region lies outside it" in texts(app) and app.query_params["at"]
    np.testing.assert_allclose(shown(app, -1).maps[0], region.heatmaps[index].content, atol=2e-5)
