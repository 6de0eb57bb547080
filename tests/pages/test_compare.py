"""Side by side: each column is that model's own answer, and the verdict is made of the numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from tests.pages.conftest import shown, texts

SIZES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
LEAF = """
[model.leaf]
loader = "torchvision.classifiers"
arch = "mobilenet_v3_small"
weights = { random = 1, labels = ["blight", "healthy", "rust", "mosaic", "spot"] }
"""


def test_a_familys_sizes_are_compared_at_once(page, bus):
    app = page("compare")
    assert not app.exception and not app.error
    view, answers = shown(app), [Explainer(name)(bus).predictions for name in SIZES]
    for i, name in enumerate(SIZES):
        # All maps are of what the largest model answers first.
        result = Explainer(name)(bus, targets=[answers[2][0].label])
        np.testing.assert_allclose(view.maps[i], result.heatmaps[0].content, atol=1 / 65535)
        # The panel names what its map is of, whatever the model answers itself.
        assert view.head["panels"][i]["maps"][0]["note"].startswith(f"for {answers[2][0].label}")
    # The table speaks of that class too, and of each model's own answer in a column of that name.
    table = app.dataframe[0].value
    for i, name in enumerate(SIZES):
        every = {one.label: one.score for one in Explainer(name)(bus, top_k=1000, maps=False).predictions}
        own = answers[i][0].label
        assert table["Own answer"][i] == f"{own} {percent(every[own])}"
        assert table[f"Score of {answers[2][0].label}"][i] == pytest.approx(100 * every[answers[2][0].label])
    assert (table["One pass"] > 0).all()
    assert re.search(r"The maps of [a-z, ]+ highlight |Overlap of the strongest evidence: small and ", texts(app))
    # One name in the panels and in the table.
    assert view.titles == ["Small", "Medium", "Large", "Difference"] == [*table["Model"], "Difference"]


def test_a_link_chooses_the_models_and_what_all_maps_are_of_and_one_model_is_too_few(page, bus):
    names = (SIZES[0], SIZES[2])
    app = page("compare", models=",".join(names), target="1")
    assert not app.exception and not app.error
    second = Explainer(names[1])(bus).predictions[1].label
    for values, name in zip(shown(app).maps, names, strict=False):
        expected = Explainer(name)(bus, targets=[second])
        np.testing.assert_allclose(values, expected.heatmaps[0].content, atol=1 / 65535)
    assert [column for column in app.dataframe[0].value if column.startswith("Score")] == [f"Score of {second}"]
    app.multiselect(key="models").set_value([SIZES[0]]).run()
    assert not app.exception and "two models" in texts(app)


def test_detectors_that_find_nothing_have_no_overlap(page):
    app = page("compare", models="demo-s,demo-m", image="bus")
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## Neither finds anything."
    assert "prove-it" not in [button.key for button in app.button], "there is no map to test"
    assert "Overlap" not in texts(app) and shown(app).titles == ["Small", "Medium"]
    assert app.dataframe[0].value["Rank correlation"].isna().all()


def test_a_method_that_is_slow_or_not_every_model_has_is_replaced(page):
    assert "ScoreCAM is slow: this page uses GradCAM instead." in texts(page("compare", method="scorecam"))
    app = page("compare", model="demo-vit", method="attention", models="demo-vit,demo-cls-s", target="own")
    assert not app.exception and not app.error
    assert "demo-cls-s has no attention: this page uses GradCAM instead." in texts(app)


def test_models_of_ones_own_are_no_sizes_of_each_other_and_may_share_no_class(page, own_models, bus):
    own_models(LEAF)
    app = page("compare", model="leaf")
    beside = app.multiselect(key="models").value
    assert beside[0] == "leaf" and len(beside) == 2
    names = ("leaf", SIZES[0])
    app = page("compare", models=",".join(names))
    assert not app.exception and not app.error
    for values, name in zip(shown(app).maps, names, strict=False):
        np.testing.assert_allclose(values, Explainer(name)(bus).heatmaps[0].content, atol=1 / 65535)
    assert texts(app).count("These models share no class: each map is of its model's own first answer.") == 1
