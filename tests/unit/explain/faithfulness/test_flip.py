"""The region that flips the answer: it does, nothing of it can be left out, and the budget holds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.faithfulness.flip import flip, superpixels
from sightglass.explain.proof.filling import blur
from sightglass.models.adapters.classifier import Classifier

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.explanation import Explanation


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=1)


def answer(explained: Explanation, picture: torch.Tensor) -> str:
    adapter = explained.evidence.resident.adapter
    with torch.no_grad():
        return adapter.labels[int(adapter.class_logits(adapter.run(picture))[0].argmax())]


def test_superpixels_cover_the_picture_and_keep_to_its_edges() -> None:
    picture = torch.zeros(1, 3, 60, 80)
    picture[..., 33:] = 1
    found = superpixels(picture, 20)
    assert found.shape == (60, 80) and found.min() >= 1 and 15 <= len(np.unique(found)) <= 25
    across = [number for number in np.unique(found) if len(np.unique(picture[0, 0].numpy()[found == number])) > 1]
    mixed = sum(min((found[:, :33] == n).sum(), (found[:, 33:] == n).sum()) for n in across)
    assert mixed < 2 * 60, "at most a line of pixels on the wrong side"
    assert superpixels(torch.zeros(1, 1, 5, 4)).shape == (5, 4)


def test_the_region_flips_the_answer_to_what_is_said_and_none_of_it_can_be_left_out(explained: Explanation) -> None:
    found = flip(explained)
    assert found.region is not None and found.share is not None and 0 < found.share < 0.3
    picture = explained.evidence.tensor
    fill, gone = blur(picture), torch.from_numpy(found.region)
    assert answer(explained, torch.where(gone, fill, picture)) == found.to != found.label
    assert found.left < found.score == pytest.approx(explained.predictions[0].score, abs=1e-4)
    segments = superpixels(picture)
    for number in np.unique(segments[found.region]):
        less = gone & torch.from_numpy(segments != number)
        assert answer(explained, torch.where(less, fill, picture)) == found.label
    assert found.sentence.endswith(f"and makes it {found.to}.") and found.passes <= 200
    assert flip(explained).summary() == found.summary()


def test_the_budget_is_kept_and_too_small_a_one_finds_nothing(
    explained: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    run = Classifier.run

    def counted(self: Any, tensor: torch.Tensor) -> Any:
        asked.append(len(tensor))
        return run(self, tensor)

    monkeypatch.setattr(Classifier, "run", counted)
    for budget in (3, 12, 60):
        asked.clear()
        found = flip(explained, budget=budget)
        assert sum(asked) == found.passes <= budget
        assert (found.region is None) == (budget < 60)
    assert flip(explained, budget=3).sentence == "No blurred region that was tried changes minibus."


def test_a_box_goes_or_becomes_another(scene: Path) -> None:
    found = flip(Explainer("demo-s")(scene, per="detection", top_k=1))
    assert found.region is not None and found.to != found.label and found.passes <= 200
    assert found.sentence.endswith((f"makes it {found.to}.", "makes it go."))


def test_it_stops_and_what_cannot_flip_is_a_sentence(explained: Explanation) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        flip(explained, progress=lambda *_: cancel.set(), cancel=cancel)
    with pytest.raises(ModelProblem, match="goldfish is not the model's answer"):
        flip(explained.with_targets("goldfish"))
