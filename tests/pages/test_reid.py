"""A re-identification model on the screens: persons for classes, and the attention that asks no question."""

from __future__ import annotations

import numpy as np

from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.models.demo import person_scenes
from tests.pages.conftest import headline, settled, shown, texts


def test_explore_says_whom_it_takes_the_person_for(page):
    app = page(model="demo-reid", example=person_scenes.EXAMPLE)
    assert not app.exception and not app.error
    image = Image.open(person_scenes.draw(person_scenes.example()).pixels, name="person.png")
    result = Explainer("demo-reid")(image)
    assert result.predictions[0].label in headline(app)
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert "Trained on drawn people only" in texts(app)


def test_its_cross_attention_is_a_method_of_its_menu(page):
    app = settled(page(model="demo-reid", example=person_scenes.EXAMPLE, method="attention"))
    assert not app.exception and not app.error
    adapter = Explainer("demo-reid").resident.adapter
    weights = adapter.attention_map(person_scenes.draw(person_scenes.example()).pixels)
    hottest = np.unravel_index(weights.argmax(), weights.shape)
    height, width = shown(app).maps[0].shape
    row, column = np.unravel_index(shown(app).maps[0].argmax(), (height, width))
    assert (row * 12 // height, column * 6 // width) == hottest
