"""demo-reid: persons it never saw, and the garment by which two of them differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightglass.explain import Explainer
from training import reid, reid_evaluation, train
from training.demo import person_scenes

PERSONS = 24


@pytest.fixture(scope="module")
def net():
    torch.set_num_threads(1)
    return reid_evaluation.trained()


@pytest.fixture(scope="module")
def explainer():
    return Explainer("demo-reid")


def test_the_map_is_on_the_garment_that_differs(net):
    maps = reid_evaluation.map_metrics(net, persons=PERSONS)
    blind = [maps[name] for name in ("centre", "edges", "worn")]
    assert maps["mim"]["energy"] > max(one["energy"] for one in blind) + 0.15
    assert maps["mim"]["hit"] > max(one["hit"] for one in blind)
    assert maps["flips"] > 0.7
    # It asks no question: on clothes, and on the one that differs no more than on the others.
    assert maps["attention"]["clothes"] > max(one["clothes"] for one in blind[:2])


def test_a_training_of_seconds_learns_and_writes_a_card(tmp_path):
    recipe = reid.Recipe(persons=6, pictures=2, pairs=2, each=2, steps=3)
    pool = torch.from_numpy(reid_evaluation.pictures(range(6), range(2)))
    net, steps = reid.fit(pool, recipe, 0)
    assert steps == 3
    train.save(net, tmp_path / "demo-reid.safetensors")
    again = reid_evaluation.trained(tmp_path)
    x = torch.zeros(1, 3, *person_scenes.SIZE)
    assert torch.allclose(again(x).embedding, net(x).embedding, atol=0.05)


def test_a_picture_of_anything_else_than_a_person_is_told_of(explainer):
    person = person_scenes.draw(person_scenes.sample(3, 0)).pixels
    for pixels, other in ((person, False), (np.zeros((60, 90, 3), np.uint8), True)):
        kinds = {finding.kind for finding in explainer(pixels, top_k=1).diagnosis}
        assert ("other subject" in kinds) == other
