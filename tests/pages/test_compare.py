"""Compare: each column is that model's own answer, and the verdict is made of the numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from tests.conftest import PERSONS
from tests.pages.conftest import shown, texts


def test_a_familys_sizes_are_compared_at_once(page, bus):
    app = page("pages/compare.py")
    assert not app.exception and not app.error
    view = shown(app)
    names = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
    said = [Explainer(name)(bus).predictions[0].label for name in names]
    for i, name in enumerate(names):
        # All maps are of what the largest model answers first.
        result = Explainer(name)(bus, targets=[said[2]])
        np.testing.assert_allclose(view.maps[i], result.heatmaps[0].content, atol=1 / 65535)
        # The panel names what its map is of, whatever the model answers itself.
        assert view.head["panels"][i]["maps"][0]["note"].startswith(f"for {said[2]}")
    # The table speaks of that class too, and of each model's own answer in a column of that name.
    table = app.dataframe[0].value
    for i, name in enumerate(names):
        every = {p.label: p.score for p in Explainer(name)(bus, top_k=1000, maps=False).predictions}
        assert table["Own answer"][i] == f"{said[i]} {percent(every[said[i]])}"
        assert table[f"Score of {said[2]}"][i] == pytest.approx(100 * every[said[2]])
    assert (table["One pass"] > 0).all()
    assert ("; large says " in app.markdown[0].value) == (len(set(said)) > 1)
    assert re.search(r"The maps of [a-z, ]+ highlight |Overlap of the strongest evidence: small and ", texts(app))
    # One name in the panels and in the table.
    assert view.titles == ["Small", "Medium", "Large", "Difference"] == [*table["Model"], "Difference"]
    assert list(table["Network"]) == ["EfficientNet-Lite0", "EfficientNet-Lite1", "EfficientNet-Lite2"]


def test_each_percent_of_the_list_of_classes_names_its_model(page, bus):
    app = page("pages/compare.py")
    small, medium, large = (Explainer(f"efficientnet-lite{i}")(bus).predictions for i in range(3))
    expected = [f"{one.label} (Large {percent(one.score)})" for one in large]
    for name, best in (("Small", small[0]), ("Medium", medium[0])):
        if best.label not in {offered.split(" (")[0] for offered in expected}:
            expected.append(f"{best.label} ({name} {percent(best.score)})")
    (offered,) = (box for box in app.selectbox if box.label == "Explain in every model")
    assert offered.options == [*expected, "Each model's own answer"]


@pytest.mark.parametrize("target", ["1", "own"])
def test_what_all_maps_are_of_can_be_chosen(page, bus, target):
    names = ("efficientnet-lite0", "efficientnet-lite2")
    app = page("pages/compare.py", models=",".join(names), target=target)
    assert not app.exception and not app.error
    second = Explainer(names[1])(bus).predictions[1].label
    for values, name in zip(shown(app).maps, names, strict=False):
        expected = Explainer(name)(bus, targets=[second] if target == "1" else [])
        np.testing.assert_allclose(values, expected.heatmaps[0].content, atol=1 / 65535)
    # Maps of several classes have no one score.
    scored = [column for column in app.dataframe[0].value if column.startswith("Score")]
    assert scored == ([f"Score of {second}"] if target == "1" else [])


def test_detectors_that_find_nothing_have_no_overlap(page):
    app = page("pages/compare.py", models="demo-s,demo-m", image="bus")
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## Neither finds anything."
    assert "prove-it" not in [button.key for button in app.button], "there is no map to test"
    assert "Overlap" not in texts(app)
    assert shown(app).titles == ["Small", "Medium"]
    assert app.dataframe[0].value["Rank correlation"].isna().all()


def test_any_two_models_and_one_is_too_few(page):
    app = page("pages/compare.py")
    app.multiselect(key="models").set_value(["efficientnet-lite0", "efficientnet-lite2"]).run()
    assert not app.exception and not app.error
    assert shown(app).titles == ["Small", "Large", "Difference"]
    app.multiselect(key="models").set_value(["efficientnet-lite0"]).run()
    assert not app.exception
    assert any("two models" in m.value for m in app.markdown)


@pytest.fixture
def own(own_models):
    """Two untrained models: an OSNet, which compares pictures, and a vision transformer."""
    own_models(PERSONS + '[model."twin"]\nloader = "timm"\narch = "vit_tiny_patch16_224"\nweights = { random = 1 }\n')


def test_attention_is_compared_where_every_model_has_it(page, own, bus):
    app = page("pages/compare.py", model="demo-vit", method="attention", models="demo-vit,demo-cls-s", target="own")
    assert not app.exception and not app.error
    assert "demo-cls-s has no attention: this page uses GradCAM instead." in texts(app)
    app.multiselect(key="models").set_value(["demo-vit", "twin"]).run()
    assert not app.exception and not app.error
    assert "instead" not in texts(app)
    expected = Explainer("twin")(bus, method="attention")
    np.testing.assert_allclose(shown(app).maps[1], expected.heatmaps[0].content, atol=1 / 65535)


def test_a_slow_method_is_called_slow(page):
    app = page("pages/compare.py", method="scorecam")
    assert not app.exception and not app.error
    assert "ScoreCAM is slow: this page uses GradCAM instead." in texts(app)


def test_a_model_that_compares_pictures_names_nothing_and_is_unsure_of_nothing(page, own):
    app = page("pages/compare.py", models="persons,demo-cls-s")
    assert not app.exception and not app.error
    row = app.dataframe[0].value.iloc[0]
    assert row["Own answer"] == "predicts no class"
    (score,) = (column for column in row.index if column.startswith("Score of "))
    assert np.isnan(row[score])
    assert shown(app).head["panels"][0]["maps"][0]["note"] == "predicts no class"
    assert "persons predicts no class" in app.markdown[0].value


def test_models_of_ones_own_are_no_sizes_of_each_other(page, own_models):
    row = '[model.{0}]\nloader = "torchvision.classifiers"\narch = "resnet18"\nweights = {{ random = 1 }}\n'
    own_models("".join(map(row.format, ("plant", "street"))))
    app = page("pages/compare.py", model="plant")
    assert not app.exception and not app.error
    beside = app.multiselect(key="models").value
    assert beside[0] == "plant" and len(beside) == 2 and "street" not in beside
    assert not any("All sizes" in button.label for button in app.button)


LEAF = """
[model.leaf]
loader = "torchvision.classifiers"
arch = "mobilenet_v3_small"
weights = { random = 1, labels = ["blight", "healthy", "rust", "mosaic", "spot"] }
"""


def test_models_that_share_no_class_are_each_explained_for_their_own_answer(page, own_models, bus):
    own_models(LEAF)
    names = ("leaf", "efficientnet-lite0")
    app = page("pages/compare.py", models=",".join(names))
    assert not app.exception and not app.error
    for values, name in zip(shown(app).maps, names, strict=False):
        np.testing.assert_allclose(values, Explainer(name)(bus).heatmaps[0].content, atol=1 / 65535)
    assert texts(app).count("These models share no class: each map is of its model's own first answer.") == 1
    assert not [box for box in app.selectbox if box.label == "Explain in every model"]


def test_a_third_model_without_any_shared_class_keeps_its_own_answer(page, own_models, bus):
    own_models(LEAF)
    names = ("leaf", "efficientnet-lite0", "efficientnet-lite2")
    app = page("pages/compare.py", models=",".join(names))
    assert not app.exception and not app.error
    notes = [panel["maps"][0]["note"] for panel in shown(app).head["panels"][:3]]
    answer = Explainer(names[2])(bus).predictions[0].label
    assert notes[0].startswith(f"for {Explainer('leaf')(bus).predictions[0].label}")
    assert all(note.startswith(f"for {answer}") for note in notes[1:])
    assert "share no class" not in texts(app) and "maps of different classes" in texts(app)
