"""Deletion and insertion: by hand, by torch-cam and pytorch-grad-cam, and verdicts on a known cause."""

import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.explain import Explainer, Image
from sightglass.explain.explanation import Explanation
from sightglass.explain.trust import controls
from sightglass.explain.trust.controls import ranking
from sightglass.explain.trust.proof import Curve, Effect, Proof, Support, Trace, lines
from sightglass.explain.trust.support import BATCH_CPU, BATCH_GPU, Perturber, blur, impute, make_fill
from tests.waits import patience


def trace(*values: float, stays: tuple[bool, ...] | None = None) -> Trace:
    array = np.array(values)
    return Trace(array, array, np.array(stays or array > 0.25))


def curve(name: str, deletion: Trace, insertion: Trace, number: int = 0, filling: Any = "blur") -> Curve:
    return Curve(name, number, filling, deletion, insertion)


def proof(*curves: Curve, fillings: tuple[Any, ...] = ("blur",)) -> Proof:
    effect = Effect("this map", (0.2,), (0.6,))
    support = Support("dog", False, 0.8, 0.0, effect, (effect,))
    return Proof("dog", "class", curves, fillings, float(curves[0].deletion.score[0]), support)


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=2)


def test_sufficiency_and_necessity_steps():
    kept = trace(0.0, 0.1, 0.7, 0.73, 0.8)
    hidden = trace(0.8, 0.5, 0.3, 0.2, 0.0, stays=(True, True, True, False, False))
    result = proof(curve("map", hidden, kept))
    # 90 % of .8 is .72.
    assert (result.sufficiency, result.necessity) == (0.75, 0.75)
    assert lines(result)[0].endswith(" of the score.")
    assert lines(replace(result, part="contrast"))[0].endswith(" of the contrast's margin.")
    # It was another answer from the start, or it never goes away, or there is nothing to keep.
    other = proof(curve("map", trace(0.2, 0.1, 0.0, stays=(False, False, False)), trace(0.0, 0.1, 0.2)))
    empty = proof(curve("map", trace(0.8, 0.7, 0.6), trace(-0.2, -0.1, -0.1)))
    assert other.necessity is empty.necessity is empty.sufficiency is None
    assert [lines(other)[1], lines(empty)[0][:17]] == ["The answer is not dog to begin with.", "There is no score"]
    assert lines(proof(curve("map", hidden, trace(0.8, 0.8))))[0].startswith("Even with nothing kept, 90")


def test_ranking_of_pixels():
    values = np.zeros((5, 5), np.float32)
    values[2, 2], values[2, 3] = 2, 1
    places = ranking(values)
    assert places[2, 2] == 0 and places[2, 3] == pytest.approx(1 / 25)
    assert sorted((places * 25).round().astype(int).ravel()) == list(range(25))
    # The cold ones beside the hot ones before those in the corners.
    assert places[2, 1] < places[0, 0] and places[1, 3] < places[4, 0]
    assert ranking(np.full((4, 4), 0.3, np.float32)) is None


def test_random_maps_are_as_smooth_as_their_grid():
    rough, smooth = (controls.random_map((60, 60), (grid, grid), 0) for grid in (30, 5))
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()
    assert np.array_equal(smooth, controls.random_map((60, 60), (5, 5), 0))
    assert not np.array_equal(smooth, controls.random_map((60, 60), (5, 5), 1))
    assert controls.seed_of("abc", 0) == controls.seed_of("abc", 0) != controls.seed_of("abc", 1)


def test_the_linear_filling_solves_the_equations_of_road():
    road = pytest.importorskip("pytorch_grad_cam.metrics.road")
    generator = torch.Generator().manual_seed(0)
    picture = blur(torch.rand(1, 3, 48, 40, generator=generator)) * 6
    for mask in (
        torch.rand(48, 40, generator=generator) > 0.5,
        torch.from_numpy(controls.random_map((48, 40), (6, 6), 1) > 0.45),
    ):
        # It indexes a NumPy array with tensors in a way that NumPy will drop.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            expected = road.NoisyLinearImputer(noise=0)(picture[0], mask)
        filled = impute(picture, mask[None, None])[0]
        assert float((filled - expected).abs().max()) < 0.05 * float(picture.max() - picture.min())
        assert torch.equal(filled[:, mask], picture[0][:, mask])


def test_it_stops_within_a_batch(explained, monkeypatch):
    cancel, passes = threading.Event(), []
    run = type(explained.evidence.loaded.adapter).run

    def counted(self: Any, tensor: torch.Tensor) -> Any:
        passes.append(len(tensor))
        if len(passes) == 3:
            cancel.set()
        return run(self, tensor)

    monkeypatch.setattr(type(explained.evidence.loaded.adapter), "run", counted)
    with pytest.raises(Cancelled):
        explained.prove(cancel=cancel)
    on_cpu = explained.evidence.loaded.device.type == "cpu"
    assert len(passes) == 3 and max(passes) <= (BATCH_CPU if on_cpu else BATCH_GPU)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "demo-s"])
def test_proof_runs_beside_lock_and_hooks(name, scene):
    result = Explainer(name, device="cpu")(scene, per="detection" if name == "demo-s" else "class", top_k=1)
    loaded, threads, hooked, stop = result.evidence.loaded, [], [], threading.Event()
    loaded.fastest_adapter(())
    stop.set()
    # Work that is stopped here does not cost the model its copy.
    with stopped_by(stop), pytest.raises(Cancelled):
        loaded.__dict__.pop("_aside", None)
        loaded.aside()
    loaded.aside()
    handles = [part.register_forward_hook(lambda *_: hooked.append(1)) for part in loaded.adapter.module.modules()]
    with loaded.lock:
        perturber = Perturber(result, result.heatmaps[0].target)
        whole = (torch.ones(1, *perturber.picture.shape[2:], dtype=torch.bool), perturber.picture)
        thread = threading.Thread(target=lambda: threads.append(perturber.predict_masked(*whole)))
        thread.start()
        # Another session is at its map all the while.
        thread.join(patience(60))
        assert threads
    for handle in handles:
        handle.remove()
    assert not hooked and loaded.aside()[0].module is not loaded.fastest_adapter(()).module
    with torch.no_grad():
        same = perturber.score(loaded.fastest_adapter(()).run(loaded.move_input(perturber.picture)))
    assert torch.equal(threads[0].score, same.score)


def test_a_box_that_is_gone_scores_0(scene: Path):
    result = Explainer("demo-s")(scene, per="detection", top_k=1)
    proof = result.prove(steps=5, fillings=("mean",))
    assert proof.start == pytest.approx(result.predictions[0].score, abs=1e-4)
    assert proof.map.deletion.score[-1] < 0.05 and proof.necessity is not None
    assert proof.controls == ("random",) and proof.at(0.4)[0] < proof.at(0.4, "random")[0]


@pytest.mark.parametrize(
    ("options", "words"), [({"fillings": ("grey",)}, "no filling called grey"), ({"steps": 1}, "2 to 100 steps")]
)
def test_what_cannot_be_proved_is_one_sentence(explained, options: dict[str, Any], words: str):
    with pytest.raises(ModelProblem, match=words):
        explained.prove(**options)


STEPS = 16
"""Of the areas: torch-cam rounds a step up to whole pixels, so they have to divide the picture."""
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def squeezed(scene: Path) -> Explanation:
    result = Explainer("demo-cls-m")(Image.open(scene), top_k=1, preprocessing="squash")
    height, width = result.heatmaps[0].content.shape
    assert result.evidence.tensor.shape[2:] == (height, width) and height * width % STEPS == 0
    return result


@pytest.mark.parametrize("filling", ["blur", "mean"])
@pytest.mark.parametrize("order", ["map", "random"])
def test_areas_are_those_of_torch_cam(squeezed: Explanation, filling: Any, order: str) -> None:
    content, target = squeezed.heatmaps[0].content, squeezed.heatmaps[0].target
    # torch-cam hides equal pixels row by row; here the nearest to the hot places come first. A random map has none.
    places = ranking(content if order == "map" else controls.random_map(content.shape, (7, 7), 1))
    (curve,) = Perturber(squeezed, target).curves("map", [places], filling, STEPS)
    # torch-cam's metric takes what makes maps; here the map is there already.
    module, known = squeezed.evidence.loaded.adapter.module, torch.from_numpy(1 - places)[None]
    extractor = MagicMock(model=module, return_value=[known], fuse_cams=lambda maps: maps[0])
    peer = pytest.importorskip("torchcam.metrics").DeletionInsertionMetric(
        extractor, lambda logits: logits.softmax(-1), steps=STEPS, baseline=lambda picture: make_fill(picture, filling)
    )
    peer.update(squeezed.evidence.tensor.detach(), target.index)
    expected = peer.summary()
    assert curve.deletion.area == pytest.approx(expected["deletion_auc"], abs=ROUNDING)
    assert curve.insertion.area == pytest.approx(expected["insertion_auc"], abs=ROUNDING)
    # Curves of nothing would agree as well.
    assert curve.insertion.area - curve.deletion.area > 0.05 or order == "random"
    assert np.ptp(curve.deletion.score) > 0.2
