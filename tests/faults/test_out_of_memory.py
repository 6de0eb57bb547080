"""A GPU that runs out of memory at any operation of a pass, forward or backward: the answer is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils._python_dispatch import TorchDispatchMode

from sightglass.batch import run
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import ModelCache
from sightglass.explain.explainer import EVIDENCE
from sightglass.models.adapters.classifier import Classifier
from tests.clips import scene

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
SHARES = (0.2, 0.5, 0.8)
"""Where in all operations one of them fails; at the last one, a second one fails later."""
CASES = {
    "classifier": ("demo-cls-s", {"top_k": 2}),
    "contrast": ("demo-cls-s", {"top_k": 1, "part": "contrast"}),
    "masks": ("demo-cls-s", {"top_k": 1, "method": "drise", "masks": 40}),
    "scores": ("demo-cls-s", {"top_k": 1, "method": "scorecam"}),
    "detector": ("demo-s", {}),
    "boxes": ("demo-s", {"per": "detection"}),
    "words": ("demo-clip", {"vocabulary": "red star, blue circle"}),
    "persons": ("demo-reid", {}),
}


class Full(TorchDispatchMode):
    """Operations of this thread, some of which find no memory."""

    def __init__(self, *full: int) -> None:
        super().__init__()
        self.count, self._full = 0, full

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operation, and fail where it is one of those."""
        self.count += 1
        if self.count in self._full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return call(*args, **(kwargs or {}))


def fresh(model: str) -> Explainer:
    EVIDENCE.clear()
    return Explainer(model, model_cache=ModelCache())


def maps(made: Any) -> list[np.ndarray]:
    return [raw for heatmap in made.heatmaps for raw in heatmap.raw]


@pytest.mark.parametrize("case", CASES)
def test_an_explanation_is_the_same_wherever_memory_ran_out(case: str) -> None:
    model, options = CASES[case]
    picture = scene(2)[0]
    expected = fresh(model)(picture, **options)
    explainer = fresh(model)
    with Full() as counted:
        explainer(picture, **options)
    for share in SHARES:
        first = int(share * counted.count)
        full = (first,) if share < SHARES[-1] else (first, first + counted.count // 2)
        explainer = fresh(model)
        with Full(*full) as mode:
            made = explainer(picture, **options)
        where = f"operations {full} of {counted.count}"
        assert mode.count >= min(full), where
        assert [p.label for p in made.predictions] == [p.label for p in expected.predictions], where
        for one, other in zip(maps(made), maps(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max(), err_msg=where)
        # The next picture is as if nothing had happened.
        again = explainer(picture, **options)
        np.testing.assert_allclose(maps(again)[0], maps(expected)[0], rtol=1e-4, atol=1e-5, err_msg=where)


def test_a_picture_of_a_batch_that_there_is_no_memory_for_is_named_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for i, pixels in enumerate(scene(3)):
        Pillow.fromarray(pixels[: 160 - 30 * i]).save(tmp_path / "in" / f"{i}.png")
    explainer, prepare = fresh("demo-cls-s"), Classifier.prepare

    def full(adapter: Any, pixels: Any, *given: Any) -> Any:
        if len(pixels) == 130:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return prepare(adapter, pixels, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "prepare", full)
        summary = run(tmp_path / "in", explainer, tmp_path / "out", batch_size=3)
    ((name, sentence),) = summary.failed
    assert (summary.done, name) == (2, "1.png") and "does not fit in memory" in sentence
    again = run(tmp_path / "in", explainer, tmp_path / "out", batch_size=3)
    assert (again.done, again.resumed, again.failed) == (3, 2, ())
