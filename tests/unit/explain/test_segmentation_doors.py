"""A segmentation on other doors: its scores are shares of the picture there, and never how sure a model is."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from sightglass.components.views import exports
from sightglass.explain import Explainer
from sightglass.explain.comparison.models import Comparison
from sightglass.history.unsure import best_score
from sightglass.models.adapter import Prediction
from sightglass.models.demo.scenes import draw, sample

if TYPE_CHECKING:
    from sightglass.explain.explanation import Explanation


@cache
def explained() -> Explanation:
    return Explainer("demo-seg")(draw(sample(0, task="segment", held_out=True)).pixels)


def test_a_small_region_is_no_unsure_answer() -> None:
    assert best_score(explained()) is None


def test_a_share_of_the_picture_is_never_compared_with_how_sure_a_model_is() -> None:
    made = explained()
    classifier = Explainer("demo-cls-s")(made.image, top_k=1)

    def tell(score: float, first: str) -> str:
        sure = replace(classifier, predictions=(Prediction("gear", 0, score),))
        found = replace(made, predictions=(Prediction(first, 2, 0.06), Prediction("star", 1, 0.01)))
        return Comparison((sure, found), ("a", "b"), ()).verdict

    assert tell(0.9, "gear") == "a says gear; b says gear and star."
    assert tell(0.1, "gear") == "a says gear; b says gear and star."
    alone = replace(made, predictions=(Prediction("gear", 2, 0.06),))
    for score in (0.1, 0.9):
        sure = replace(classifier, predictions=(Prediction("gear", 0, score),))
        assert Comparison((sure, alone), ("a", "b"), ()).verdict == "Both say gear."


def test_export_has_the_class_of_each_pixel() -> None:
    made = explained()
    (files,) = [one for one in exports.of_map(made, 0, {}) if one.title == "Classes"]
    drawn, numbers = (np.asarray(Pillow.open(io.BytesIO(make()))) for _, _, make in files.files)
    assert drawn.shape == made.image.pixels.shape
    assert made.segmentation is not None
    assert np.array_equal(numbers, made.segmentation)
    assert [name for _, name, _ in files.files] == ["picture-demo-seg-segmentation.png", "picture-demo-seg-classes.png"]
