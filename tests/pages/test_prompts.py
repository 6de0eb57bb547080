"""Explore with a model that is asked in words: prompts are the bars, and without any it asks for them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.models.demo import captioned_scenes
from sightglass.models.demo.showcase import SIDE
from tests.pages.conftest import headline, shown, texts


def test_prompts_are_the_rows_and_their_contrast_is_what_is_shown(page):
    app = page(model="demo-clip", example=captioned_scenes.EXAMPLE, words="red star, blue star, red ball")
    assert not app.exception and not app.error
    view = shown(app)
    titles = [item["title"] for item in view.head["panels"][0]["maps"]]
    assert sorted(titles) == ["blue star", "red ball", "red star"]
    image = Image.open(captioned_scenes.draw(captioned_scenes.example(), SIDE).pixels, name="red star.png")
    result = Explainer("demo-clip")(image, vocabulary=("red star", "blue star", "red ball"), part="contrast")
    assert titles == [heatmap.target.label for heatmap in result.heatmaps]
    np.testing.assert_allclose(view.maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert result.predictions[0].label in headline(app)
    assert app.selectbox(key="part-contrast").value == "contrast"
    app.selectbox(key="part-contrast").select("class").run()
    assert not app.exception
    assert app.query_params["part"] == ["class"] or app.query_params["part"] == "class"
    assert not np.allclose(shown(app).maps[0], view.maps[0])


def test_a_lone_prompt_says_what_it_is_set_against(page):
    app = page(model="demo-clip", example=captioned_scenes.EXAMPLE, words="red star")
    assert not app.exception and not app.error
    assert "set against a photo, a picture, something" in texts(app)


def test_a_word_that_it_does_not_know_is_a_sentence(page):
    app = page(model="demo-clip", example=captioned_scenes.EXAMPLE, words="zebra")
    assert not app.exception
    assert "does not know the word 'zebra'" in texts(app)
    app.text_input(key="words").set_value("red star, green bar, blue star").run()
    assert not app.exception and not app.error
    assert len(shown(app).maps) == 2
    assert "'green bar' is left out. demo-clip does not know the word 'bar'" in texts(app)


def test_without_words_it_asks_for_them(page, tmp_path, own_models):
    transformers = pytest.importorskip("transformers")
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    seen = {**text, "image_size": 32, "patch_size": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=seen, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(tmp_path / "clip")
    table = f'[model."mine"]\nloader = "clip"\nweights = {{ path = {json.dumps(str(tmp_path / "clip"))} }}\n'
    own_models(table)
    app = page(model="mine")
    assert not app.exception and not app.error
    assert "What should it look for?" in texts(app)
    app.text_input(key="words").set_value("a bus, a dog").run()
    assert not app.exception and not app.error
    assert len(shown(app).maps) == 2
