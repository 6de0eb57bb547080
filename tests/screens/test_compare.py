"""Compare: each column is that model's own answer, and the verdict is made of the numbers."""

from __future__ import annotations

import numpy as np

from explain import Explainer
from tests.screens.conftest import shown, texts


def test_a_familys_sizes_are_compared_at_once(page, bus):
    app = page("screens/compare.py")
    assert not app.exception and not app.error
    view = shown(app)
    assert view.titles == ["s", "m", "l", "Difference"]
    said = []
    for i, name in enumerate(("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")):
        result = Explainer(name)(bus)
        said.append(result.predictions[0].label)
        np.testing.assert_allclose(view.maps[i], result.heatmaps[0].content, atol=1 / 65535)
        assert result.predictions[0].label in view.head["panels"][i]["maps"][0]["note"]
    table = app.dataframe[0].value
    assert list(table["Says"]) == said
    assert (table["One pass"] > 0).all()
    assert ("disagree" in app.markdown[0].value) == (len(set(said)) > 1)
    assert "Overlap of the hottest fifths" in texts(app)


def test_any_two_models_and_one_is_too_few(page):
    app = page("screens/compare.py")
    app.multiselect(key="models").set_value(["efficientnet-lite0", "efficientnet-lite2"]).run()
    assert not app.exception and not app.error
    assert shown(app).titles == ["s", "l", "Difference"]
    app.multiselect(key="models").set_value(["efficientnet-lite0"]).run()
    assert not app.exception
    assert any("two models" in m.value for m in app.markdown)
