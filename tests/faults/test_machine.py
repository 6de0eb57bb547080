"""A machine that fails: a folder of models vanishes, memory runs out at any operation, the clock jumps."""

import os
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from starlette.testclient import TestClient
from torch.utils._python_dispatch import TorchDispatchMode

from sightglass.api.app import create
from sightglass.common.errors import WeightsProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.loaded_model import ModelCache
from sightglass.explain.explainer import EVIDENCE
from sightglass.history import History, encoding
from tests import corpus
from tests.clips import scene
from tests.faults.labelled import CLASSIFIERS
from tests.faults.outcome import is_one_sentence


@pytest.mark.slow
def test_vanished_model_folder(models: Path) -> None:
    used, unused = CLASSIFIERS
    client, data = TestClient(create()), corpus.saved(Pillow.fromarray(corpus.pixels()), "PNG")

    def explained(model: str) -> tuple[int, str]:
        answer = client.post("/api/explain", files={"image": data}, data={"model": model})
        return answer.status_code, answer.json().get("detail") or answer.json()["predictions"]

    before = explained(used)
    assert before[0] == 200
    kept = {name: shutil.move(models / f"{name}.pth", models / f"{name}.kept") for name in CLASSIFIERS}
    # It is in memory, and whoever works with it goes on.
    assert Explainer(used)(corpus.pixels()).predictions
    with pytest.raises(WeightsProblem, match=rf"{unused}\.pth, the weights of {unused}, .*\.$"):
        Explainer(unused)
    for model in CLASSIFIERS:
        status, problem = explained(model)
        assert status == 404 and is_one_sentence(problem)
    assert explained("demo-cls-s")[0] == 200
    # What is back is as before, and what is replaced is read anew.
    shutil.move(kept[used], models / f"{used}.pth")
    assert explained(used) == before
    shutil.move(kept[unused], models / f"{used}.pth")
    assert explained(used)[1] != before[1]


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


@pytest.mark.slow
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
            result = explainer(picture, **options)
        where = f"operations {full} of {counted.count}"
        assert mode.count >= min(full), where
        assert [p.label for p in result.predictions] == [p.label for p in expected.predictions], where
        for one, other in zip(maps(result), maps(expected), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max(), err_msg=where)
        # The next picture is as if nothing had happened.
        again = explainer(picture, **options)
        np.testing.assert_allclose(maps(again)[0], maps(expected)[0], rtol=1e-4, atol=1e-5, err_msg=where)


DAY = 86_400.0


@pytest.fixture(scope="module")
def explanation() -> Any:
    return Explainer("demo-cls-s")(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8), top_k=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds by which the clock is wrong."""
    wrong, now = [0.0], time.time

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(time.time(), tz)

    monkeypatch.setattr(time, "time", lambda: now() + wrong[0])
    monkeypatch.setattr(encoding, "datetime", Wrong)
    return wrong


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_newest_record_first_despite_clock(explanation, clock, jump, tmp_path):
    history, ids = History(tmp_path), []
    for wrong in (0.0, jump, 0.0):
        clock[0] = wrong
        ids.append(history.keep(explanation).id)
    assert [record.id for record in history.search().records] == ids[::-1]


def test_leftovers_removed_despite_clock(explanation, clock, tmp_path):
    clock[0] = 400 * DAY
    half = tmp_path / "records" / ("0" * 16)
    half.mkdir(parents=True)
    ahead = time.time()
    os.utime(half, (ahead, ahead))
    clock[0] = 0.0
    record = History(tmp_path).keep(explanation)
    assert [folder.name for folder in (tmp_path / "records").iterdir()] == [record.id]
