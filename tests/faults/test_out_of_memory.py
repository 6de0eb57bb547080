"""A GPU that runs out of memory at any operation of a pass: the answer is the same, or one sentence.

Without a GPU the error is raised by an operation that is chosen by chance: forward, backward, or in between.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import Residency
from sightglass.explain.explainer import EVIDENCE
from tests.clips import clip, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
SEED = 22
POINTS = 2
"""Operations that fail, of each case; spread over all of them."""
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
    return Explainer(model, residency=Residency())


def maps(made: Any) -> list[np.ndarray]:
    return [raw for heatmap in made.heatmaps for raw in heatmap.raw]


def points(name: str, count: int, times: int) -> Iterator[tuple[int, ...]]:
    chance = random.Random(f"{SEED} {name} {times}")
    for i in range(POINTS):
        first = 1 + int((i + chance.random()) / POINTS * count)
        yield (first,) if times == 1 else (first, first + 1 + chance.randrange(count))


@pytest.mark.parametrize("case", CASES)
def test_an_explanation_is_the_same_wherever_memory_ran_out(case: str) -> None:
    model, options = CASES[case]
    picture = scene(2)[0]
    expected = fresh(model)(picture, **options)
    explainer = fresh(model)
    with Full() as counted:
        explainer(picture, **options)
    for times in (1, 2):
        for full in points(case, counted.count, times):
            explainer = fresh(model)
            with Full(*full) as mode:
                made = explainer(picture, **options)
            where = f"{case}, seed {SEED}, operations {full} of {counted.count}"
            assert mode.count >= min(full), where
            assert [p.label for p in made.predictions] == [p.label for p in expected.predictions], where
            for one, other in zip(maps(made), maps(expected), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max(), err_msg=where)
            # The next picture is as if nothing had happened.
            again = explainer(picture, **options)
            np.testing.assert_allclose(maps(again)[0], maps(expected)[0], rtol=1e-4, atol=1e-5, err_msg=where)


@contextlib.contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, full: int) -> Iterator[list[Full]]:
    """Let the operations within a function fail, in whatever thread it is called: one of all of them."""
    call, modes = getattr(module, name), list[Full]()

    def within(*args: Any, **kwargs: Any) -> Any:
        modes.append(Full(full) if len(modes) == 1 else Full())
        with modes[-1]:
            return call(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, within)
        yield modes


@pytest.mark.parametrize("model", ["demo-cls-s", "demo-s"])
def test_a_clip_is_the_same_wherever_memory_ran_out(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightglass.video import Settings, run
    from sightglass.video.looking import Looking

    path, settings = clip(tmp_path / "clip.mp4", scene(6)), Settings(side=0)
    explainer = fresh(model)
    with failing(monkeypatch, Looking, "__call__", 0) as modes:
        run(path, explainer, tmp_path / "whole", settings=settings)
    expected = (tmp_path / "whole" / "timeline.csv").read_bytes()
    for i, (full,) in enumerate(points(f"clip {model}", modes[1].count, 1)):
        with failing(monkeypatch, Looking, "__call__", full):
            run(path, explainer, tmp_path / f"{i}", settings=settings)
        assert (tmp_path / f"{i}" / "timeline.csv").read_bytes() == expected, f"{model}, operation {full}"


def test_a_batch_is_the_same_wherever_memory_ran_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image as Pillow

    from sightglass.batch import run
    from sightglass.batch.worker import Work

    (tmp_path / "in").mkdir()
    for i, pixels in enumerate(scene(6)):
        Pillow.fromarray(pixels).save(tmp_path / "in" / f"{i}.png")
    explainer = fresh("demo-cls-s")

    def result(name: str, full: int) -> tuple[list[Full], bytes]:
        with failing(monkeypatch, Work, "_explain", full) as modes:
            summary = run(tmp_path / "in", explainer, tmp_path / name, batch_size=3, workers=1)
        assert (summary.done, summary.failed) == (6, ())
        return modes, (tmp_path / name / "results.csv").read_bytes()

    modes, expected = result("whole", 0)
    for i, (full,) in enumerate(points("batch", modes[1].count, 1)):
        _, made = result(f"{i}", full)
        assert [line.split(b",")[:3] for line in made.splitlines()] == [
            line.split(b",")[:3] for line in expected.splitlines()
        ], full


def test_a_picture_of_a_batch_that_there_is_no_memory_for_is_named_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image as Pillow

    from sightglass.batch import run
    from sightglass.models.adapters.classifier import Classifier

    for i, pixels in enumerate(scene(3)):
        (tmp_path / "in").mkdir(exist_ok=True)
        Pillow.fromarray(pixels[: 160 - 30 * i]).save(tmp_path / "in" / f"{i}.png")
    explainer, prepare = fresh("demo-cls-s"), Classifier.prepare

    def full(adapter: Any, pixels: Any, *given: Any) -> Any:
        if len(pixels) == 130:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return prepare(adapter, pixels, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "prepare", full)
        summary = run(tmp_path / "in", explainer, tmp_path / "out", batch_size=3)
    assert summary.done == 2
    assert (
        summary.failed == (("1.png", f"{summary.failed[0][1]}"),) and "does not fit in memory" in summary.failed[0][1]
    )
    again = run(tmp_path / "in", explainer, tmp_path / "out", batch_size=3)
    assert (again.done, again.resumed, again.failed) == (3, 2, ())


def test_no_memory_anywhere_is_one_sentence_at_every_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image as Pillow
    from starlette.testclient import TestClient

    from sightglass import cli
    from sightglass.api.app import create
    from sightglass.api.schemas import ApiRules
    from sightglass.explain.evidence.resident import Resident
    from tests.faults.outcome import is_one_sentence

    Pillow.fromarray(scene(2)[0]).save(tmp_path / "a.png")
    EVIDENCE.clear()

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Resident, "move_input", full)
    client = TestClient(create(ApiRules(model="demo-cls-s")))
    answer = client.post("/api/explain", files={"image": (tmp_path / "a.png").read_bytes()})
    assert answer.status_code == 413
    assert is_one_sentence(answer.json()["detail"])
    assert client.get("/api/health").status_code == 200
    assert cli.main(["image", str(tmp_path / "a.png"), "--model", "demo-cls-s", "--out", str(tmp_path / "out")]) == 1
    assert is_one_sentence(capsys.readouterr().err.strip())
