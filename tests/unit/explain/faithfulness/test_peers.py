"""Deletion, insertion and ROAD are those of torch-cam and pytorch-grad-cam for the same model, map and picture.

The maps and pixels that are hidden are the same, so what is left are rounding (a model's quick twin has its norms
folded in) and, for ROAD, the noise of the in-fill, which each draws for itself.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sightglass.explain import Explainer, Image
from sightglass.explain.proof import controls
from sightglass.explain.proof.controls import ranking
from sightglass.explain.proof.curves import Order, Perturber
from sightglass.explain.proof.filling import make_fill
from sightglass.explain.proof.scores import scorer
from tests.late import late

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sightglass.explain import Explanation
    from sightglass.explain.proof.curves import Curve

road = late("pytorch_grad_cam.metrics.road")
STEPS = 16
"""Of the areas: torch-cam rounds a step up to whole pixels, so they have to divide the picture."""
ROUNDING = 2e-5
NOISE = 0.02
"""Of ROAD's scores: the in-fill has a noise of its own on either side, and here it is solved by iteration."""
PERCENTILES = (10, 30, 50, 70, 90)


@pytest.fixture(scope="module")
def explained(scene: Path) -> Explanation:
    made = Explainer("demo-cls-m")(Image.open(scene), top_k=1, preprocessing="squash")
    height, width = made.heatmaps[0].content.shape
    assert made.evidence.tensor.shape[2:] == (height, width) and height * width % STEPS == 0
    return made


def curve(explanation: Explanation, values: np.ndarray, filling: Any, steps: int) -> Curve:
    places = ranking(values)
    assert places is not None
    evidence = explanation.evidence
    perturber = Perturber(evidence, scorer(evidence, explanation.heatmaps[0].target, explanation.options))
    (found,) = perturber.curves([Order("map", 0, places)], filling, steps)
    return found


class Given:
    """A map that is there already, as torch-cam's metrics take one."""

    def __init__(self, model: torch.nn.Module, values: np.ndarray) -> None:
        self.model, self._map = model, torch.from_numpy(values)[None]

    def __call__(self, *_: Any, **__: Any) -> list[torch.Tensor]:
        return [self._map]

    def fuse_cams(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return maps[0]

    @contextlib.contextmanager
    def _hooks_off(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize("filling", ["blur", "mean"])
@pytest.mark.parametrize("order", ["map", "random"])
def test_areas_are_those_of_torch_cam(explained: Explanation, filling: Any, order: str) -> None:
    content, target = explained.heatmaps[0].content, explained.heatmaps[0].target
    # torch-cam hides equal pixels row by row; here the nearest to the hot places come first. A random map has none.
    values = 1 - _places(explained) if order == "map" else controls.random_map(content.shape, (7, 7), 1)
    found = curve(explained, values, filling, STEPS)
    module = explained.evidence.resident.adapter.module
    given = Given(module, values), lambda logits: logits.softmax(-1)
    peer = late("torchcam.metrics").DeletionInsertionMetric(
        *given, steps=STEPS, baseline=lambda picture: make_fill(picture, filling)
    )
    peer.update(explained.evidence.tensor.detach(), target.index)
    expected = peer.summary()
    assert found.deletion.area == pytest.approx(expected["deletion_auc"], abs=ROUNDING)
    assert found.insertion.area == pytest.approx(expected["insertion_auc"], abs=ROUNDING)
    # Curves of nothing would agree as well.
    assert found.insertion.area - found.deletion.area > 0.05 or order == "random"
    assert np.ptp(found.deletion.score) > 0.2


# Of the library's call of NumPy with a tensor.
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning")
def test_scores_and_their_mean_are_those_of_road(explained: Explanation) -> None:
    # Of a good map the first step takes all of the score, and the others would say nothing.
    values, target = controls.random_map(explained.heatmaps[0].content.shape, (7, 7), 1), explained.heatmaps[0].target
    found = curve(explained, values, "linear", 10)
    module, tensor = explained.evidence.resident.adapter.module, explained.evidence.tensor.detach()
    asked = ([lambda logits: logits.softmax(-1)[target.index]], module)
    maps, start = values[None], found.deletion.score[0]
    hidden = [road.ROADMostRelevantFirst(100 - share)(tensor, maps, *asked)[0] for share in PERCENTILES]
    kept = [road.ROADLeastRelevantFirst(share)(tensor, maps, *asked)[0] for share in PERCENTILES]
    steps = [share // 10 for share in PERCENTILES]
    np.testing.assert_allclose(found.deletion.score[steps] - start, hidden, rtol=0, atol=NOISE)
    np.testing.assert_allclose(found.insertion.score[steps] - start, kept, rtol=0, atol=NOISE)
    assert np.ptp(hidden) > 0.2 and np.ptp(kept) > 0.2, (hidden, kept)
    combined = road.ROADCombined(list(PERCENTILES))(tensor, maps, *asked)[0]
    own = (found.insertion.score[steps] - found.deletion.score[steps]).mean() / 2
    assert own == pytest.approx(combined, abs=NOISE)


def _places(explanation: Explanation) -> np.ndarray:
    places = ranking(explanation.heatmaps[0].content)
    assert places is not None
    return places
