"""Evidence for and against a class in one signed map, by each method that has a sign."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.methods import METHODS
from sightglass.explain.options import Options
from sightglass.models.demo import scenes

SIGNED = [one.id for one in METHODS.values() if one.signed and one.quick]


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return scenes.draw(scenes.sample(600_003, task="classify", held_out=True)).pixels


@pytest.mark.parametrize("method", SIGNED)
def test_the_map_keeps_what_lowers_the_score(method: str, scene: np.ndarray) -> None:
    one = Explainer("demo-cls-s")(scene, top_k=1, method=method)
    both = one.with_options(evidence="both")
    (alone,), (heatmap,) = one.heatmaps, both.heatmaps
    assert not alone.signed and alone.at_input.min() >= 0
    assert heatmap.signed and heatmap.kind == "signed"
    assert heatmap.at_input.min() < 0 < heatmap.at_input.max()
    assert np.abs(heatmap.at_input).max() == pytest.approx(1, abs=1e-4)
    if METHODS[method].linear:
        assert np.array_equal(heatmap.raw[0], alone.raw[0])


def test_a_method_without_a_sign_says_so(scene: np.ndarray) -> None:
    made = Explainer("demo-cls-s")(scene, top_k=1, method="eigencam", evidence="both")
    assert not made.heatmaps[0].signed
    assert "evidence=both has no effect with this method." in made.notes
    with pytest.raises(ModelProblem, match="use for or both"):
        Options(evidence="against")  # type: ignore[arg-type]
