"""Answers for pictures that are prepared in other ways and sizes."""

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image, load_bundled
from sightglass.explain.trust.preprocessing_check import SIDES, read_sizes, readings


def make_net(*, one_size: bool = False) -> nn.Module:
    torch.manual_seed(0)
    pooled = nn.AvgPool2d(56) if one_size else nn.AdaptiveMaxPool2d(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=4, padding=3), nn.ReLU(), pooled, nn.Flatten(), nn.Linear(8, 4)
    ).eval()


@pytest.fixture
def picture() -> Image:
    return load_bundled("scene 1")


def test_each_size_has_the_networks_own_answer(picture: Image) -> None:
    net = make_net()
    explainer = Explainer(net)
    own, *others = read_sizes(explainer.loaded, picture)
    assert own.preprocessing == explainer.loaded.adapter.preprocessing and "as it is now" in own.words
    assert [reading.preprocessing.size[0] for reading in others] == [
        side for side in SIDES if side != own.preprocessing.size[0]
    ]
    for reading in others:
        same = Explainer(net, preprocess=reading.preprocessing.table().stated())
        answer = same(picture, top_k=1).predictions[0]
        assert (reading.label, reading.score) == (answer.label, pytest.approx(answer.score, abs=1e-5))
        assert reading.picture.shape == (*reading.preprocessing.size, 3)


def test_a_network_of_one_size_has_no_other(picture: Image) -> None:
    explainer = Explainer(make_net(one_size=True))
    sides = [reading.preprocessing.size[0] for reading in read_sizes(explainer.loaded, picture)]
    assert sides[0] == 224 and min(sides) == 224


def test_the_ways_that_change_most_come_first(picture: Image) -> None:
    found = readings(Explainer(make_net()).loaded, picture)
    assert len(found) == 4 and found[0].words.startswith("as it is now")
    assert len({reading.words for reading in found}) == 4
    assert all(np.isfinite(reading.score) for reading in found)
