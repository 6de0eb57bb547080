"""Deletion and insertion: areas by hand, the filling by its equations, controls, and verdicts on a known cause."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.faithfulness.prove import prove
from sightglass.explain.maps.statistics import Agreement
from sightglass.explain.proof import controls
from sightglass.explain.proof.controls import ranking
from sightglass.explain.proof.curves import BATCH_CPU, Curve, Order, Perturber, Trace
from sightglass.explain.proof.filling import blur, impute
from sightglass.explain.proof.proof import Proof
from sightglass.explain.proof.scores import MATCH, match_boxes, scorer

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.explanation import Explanation


def trace(*values: float, stays: tuple[bool, ...] | None = None) -> Trace:
    array = np.array(values)
    return Trace(array, array, np.array(stays or array > 0.25))


def curve(name: str, deletion: Trace, insertion: Trace, number: int = 0, filling: Any = "blur") -> Curve:
    return Curve(name, number, filling, deletion, insertion)


def proof(*curves: Curve, fillings: tuple[Any, ...] = ("blur",)) -> Proof:
    return Proof("dog", "class", curves, fillings, float(curves[0].deletion.score[0]), Agreement(0.4, 0.3, 0.2), "cat")


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=2)


# Numbers by hand.


def test_areas_are_those_of_trapezoids_and_their_difference_is_the_advantage():
    made = curve("map", trace(0.8, 0.4, 0.0), trace(0.0, 0.6, 0.8))
    assert made.deletion.area == pytest.approx((0.8 / 2 + 0.4 + 0) / 2)
    assert made.insertion.area == pytest.approx((0 + 0.6 + 0.8 / 2) / 2)
    assert made.advantage == pytest.approx(0.5 - 0.4)
    assert made.shares.tolist() == [0, 0.5, 1]


def test_sufficiency_and_necessity_are_the_first_steps_that_hold():
    kept = trace(0.0, 0.1, 0.7, 0.73, 0.8)
    hidden = trace(0.8, 0.5, 0.3, 0.2, 0.0, stays=(True, True, True, False, False))
    found = proof(curve("map", hidden, kept))
    # 90 % of .8 is .72.
    assert (found.sufficiency, found.necessity) == (0.75, 0.75)
    # It was another answer from the start, or it never goes away, or there is nothing to keep.
    lost = trace(0.2, 0.1, 0.0, stays=(False, False, False))
    assert proof(curve("map", lost, trace(0.0, 0.1, 0.2))).necessity is None
    assert proof(curve("map", trace(0.8, 0.7, 0.6), trace(-0.2, -0.1, -0.1))).necessity is None
    assert proof(curve("map", trace(0.8, 0.7, 0.6), trace(-0.2, -0.1, -0.1))).sufficiency is None


def test_a_difference_is_the_mean_over_seeds_and_fillings_and_its_interval_is_theirs():
    def made(filling: str, *areas: float) -> list[Curve]:
        return [curve("random", trace(0.5, 0.5), trace(one, one), i, filling) for i, one in enumerate(areas)]

    own = [curve("map", trace(0.1, 0.1), trace(0.9, 0.9), 0, filling) for filling in ("blur", "mean")]
    found = proof(*own, *made("blur", 0.3, 0.4, 0.5), *made("mean", 0.5, 0.6, 0.7), fillings=("blur", "mean"))
    difference = found.difference("random")
    # .8 less -.2, -.1, 0 and 0, .1, .2
    assert difference.mean == pytest.approx(0.8)
    assert 0.6 <= difference.low < 0.8 < difference.high <= 1.0 and difference.clear
    assert found.difference("random", "mean").mean == pytest.approx(0.7)
    with pytest.raises(KeyError):
        found.difference("centre")


def test_a_proof_that_is_not_whole_yet_is_read_as_far_as_it_goes():
    own = [curve("map", trace(0.1, 0.1), trace(0.9, 0.9), 0, filling) for filling in ("blur", "mean")]
    random = [curve("random", trace(0.5, 0.5), trace(0.3, 0.3), number) for number in range(3)]
    late = curve("random", trace(0.5, 0.5), trace(0.5, 0.5), 0, "mean")
    found = proof(*own, *random, late, fillings=("blur", "mean")).difference("random")
    assert found.mean == pytest.approx((1.0 + 0.8) / 2)


def test_a_control_in_fewer_steps_is_compared_at_those_and_other_steps_are_an_error():
    # Between the steps of the control the map does what it likes: that is no part of the difference.
    own = curve("map", trace(0.8, 0.0, 0.4, 0.0, 0.0), trace(0.0, 1.0, 0.4, 1.0, 0.8))
    coarse = [curve("random", trace(0.8, 0.4, 0.0), trace(0.0, one, 0.8), i) for i, one in enumerate((0.0, 0.2))]
    found = proof(own, *coarse).difference("random")
    # In two steps the map's areas are .4 and .4, those of random maps .4, and .2 and .3.
    assert found.mean == pytest.approx(0.15)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.2))
    assert proof(own, *coarse).at(0.5, "random") == (pytest.approx(0.4), pytest.approx(0.1))
    with pytest.raises(ValueError, match="3 steps are not among 4"):
        own.thinned(3)


def test_the_interval_of_a_second_filling_in_fewer_steps_spans_both_fillings():
    def made(name: str, filling: str, steps: int, kept: float, number: int = 0) -> Curve:
        return curve(name, trace(*[0.5] * (steps + 1)), trace(*[kept] * (steps + 1)), number, filling)

    own = [made("map", "blur", 20, 0.9), made("map", "mean", 10, 0.7)]
    random = [made("random", "blur", 20, 0.3, i) for i in range(3)] + [
        made("random", "mean", 10, 0.6, i) for i in range(3)
    ]
    found = proof(*own, *random, fillings=("blur", "mean")).difference("random")
    # .6 with one filling and .1 with the other: whichever is drawn, and both.
    assert (found.low, found.mean, found.high) == (pytest.approx(0.1), pytest.approx(0.35), pytest.approx(0.6))
    # And a filling with which random places do better takes the whole interval below zero at its low end.
    worse = [made("random", "mean", 10, 0.8, i) for i in range(3)]
    assert found.clear
    assert not proof(*own, *random[:3], *worse, fillings=("blur", "mean")).difference("random").clear


# The order of a map.


def test_the_hottest_pixels_come_first_and_equal_ones_from_the_nearest():
    values = np.zeros((5, 5), np.float32)
    values[2, 2], values[2, 3] = 2, 1
    places = ranking(values)
    assert places is not None
    assert places[2, 2] == 0 and places[2, 3] == pytest.approx(1 / 25)
    assert sorted((places * 25).round().astype(int).ravel()) == list(range(25))
    # The cold ones beside the hot ones before those in the corners.
    assert places[2, 1] < places[0, 0] and places[1, 3] < places[4, 0]
    assert ranking(np.full((4, 4), 0.3, np.float32)) is None


def test_blobs_stay_in_their_region_and_random_maps_are_as_smooth_as_their_grid():
    inside = np.zeros((60, 60), bool)
    inside[10:30, 20:50] = True
    places = ranking(controls.blobs(inside, (7, 7), 3))
    assert places is not None
    assert (places[inside] < inside.mean()).all()
    rough, smooth = (controls.random_map((60, 60), (grid, grid), 0) for grid in (30, 5))
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()
    assert np.array_equal(smooth, controls.random_map((60, 60), (5, 5), 0))
    assert not np.array_equal(smooth, controls.random_map((60, 60), (5, 5), 1))
    assert controls.seed_of("abc", 0) == controls.seed_of("abc", 0) != controls.seed_of("abc", 1)


def test_edges_and_the_centre_are_where_they_are():
    pixels = np.zeros((64, 64, 3), np.float32)
    pixels[:, 40:, 1] = 1
    assert 37 <= int(controls.edges(pixels).sum(0).argmax()) <= 42
    assert np.unravel_index(controls.centre((9, 5)).argmax(), (9, 5)) == (4, 2)


# The filling.


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
        found = impute(picture, mask[None, None])[0]
        spread = float(picture.max() - picture.min())
        assert float((found - expected).abs().max()) < 0.05 * spread
        assert torch.equal(found[:, mask], picture[0][:, mask])


# Real models.


def test_every_step_is_the_models_answer_to_that_picture(explained):
    heatmap, evidence = explained.heatmaps[0], explained.evidence
    places = ranking(heatmap.content)
    assert places is not None
    perturber = Perturber(evidence, scorer(evidence, heatmap.target, explained.options))
    (found,) = perturber.curves([Order("map", 0, places)], "mean", steps=10)
    adapter, picture = evidence.resident.adapter, perturber.picture
    order = torch.from_numpy(places)
    for step in (0, 3, 10):
        for result, shown in ((found.deletion, order >= step / 10), (found.insertion, order < step / 10)):
            with torch.no_grad():
                outputs = adapter.run(torch.where(shown, picture, picture.mean((2, 3), keepdim=True)))
            expected = adapter.class_logits(outputs).softmax(1)[0, heatmap.target.index]
            assert result.score[step] == pytest.approx(float(expected), abs=2e-4)
    assert found.deletion.score[0] == pytest.approx(explained.predictions[0].score, abs=1e-4)


def test_steps_that_are_known_are_not_run_again(explained, monkeypatch):
    heatmap, evidence = explained.heatmaps[0], explained.evidence
    perturber = Perturber(evidence, scorer(evidence, heatmap.target, explained.options))
    order = Order("map", 0, ranking(heatmap.content))
    adapter = type(evidence.resident.adapter)
    run, passes = adapter.run, []

    def counted(self: Any, tensor: torch.Tensor) -> Any:
        passes.append(len(tensor))
        return run(self, tensor)

    monkeypatch.setattr(adapter, "run", counted)
    (rough,) = perturber.curves([order], "blur", 4)
    assert sum(passes) == 2 * 3 + 2
    (fine,) = perturber.curves([order], "blur", 20, known=rough)
    assert sum(passes) == 2 * 19 + 2
    (alone,) = perturber.curves([order], "blur", 20)
    for way in ("deletion", "insertion"):
        one, whole = getattr(fine, way), getattr(alone, way)
        assert np.array_equal(one.thinned(4).score, getattr(rough, way).score)
        assert one.score == pytest.approx(whole.score, abs=1e-5) and np.array_equal(one.stays, whole.stays)


def test_the_maps_own_curve_comes_before_any_control_is_made(scene, monkeypatch):
    explained = Explainer("demo-cls-honest")(scene, top_k=1)
    seen: list[tuple[str, int]] = []
    for name in ("random_map", "blobs", "centre", "edges"):
        made = getattr(controls, name)
        monkeypatch.setattr(controls, name, lambda *given, made=made: (seen.append(("made", 0)), made(*given))[1])
    found = explained.prove(partial=lambda one: seen.append((one.curves[-1].name, one.curves[-1].steps)))
    assert seen[:2] == [("map", 4), ("map", 20)] and ("made", 0) in seen
    assert {(one.name, one.filling): one.steps for one in found.curves} == {
        ("map", "blur"): 20,
        ("random", "blur"): 20,
        ("blobs", "blur"): 10,
        ("centre", "blur"): 20,
        ("edges", "blur"): 20,
        ("runner-up", "blur"): 20,
        ("map", "mean"): 10,
        ("random", "mean"): 10,
        ("blobs", "mean"): 10,
    }
    assert found.pictures == 450 + found.support.pictures
    # Steps of which 10 are no part are the same everywhere.
    assert {one.steps for one in explained.prove(steps=3).curves} == {3}


def test_a_map_that_shows_something_else_is_told_from_one_that_shows_the_cause(explained):
    # The answer to a picture of nothing that is there: its map turned upside down.
    wrong = explained.heatmaps[0]
    turned = replace(explained, heatmaps=(replace(wrong, at_input=1 - wrong.at_input),))
    made = prove(turned, steps=10)
    assert not made.difference("random").clear and made.support.verdict == "not supported"


def test_it_is_the_same_again_comes_map_by_map_and_stops_within_a_batch(explained, monkeypatch):
    seen: list[int] = []
    first = explained.prove(steps=5, fillings=("blur",), partial=lambda one: seen.append(len(one.curves)))
    # (Four is no part of five, so that there are no few steps before.)
    again = explained.prove(steps=5, fillings=("blur",))
    # After the map's own curve the verdict.
    assert seen == [1, *range(1, len(first.curves) + 1)]
    for one, other in zip(first.curves, again.curves, strict=True):
        assert np.array_equal(one.deletion.value, other.deletion.value)
        assert np.array_equal(one.insertion.value, other.insertion.value)
    cancel, passes = threading.Event(), []
    run = type(explained.evidence.resident.adapter).run

    def counted(self: Any, tensor: torch.Tensor) -> Any:
        passes.append(len(tensor))
        if len(passes) == 3:
            cancel.set()
        return run(self, tensor)

    monkeypatch.setattr(type(explained.evidence.resident.adapter), "run", counted)
    with pytest.raises(Cancelled):
        explained.prove(cancel=cancel)
    assert len(passes) == 3 and max(passes) <= BATCH_CPU


@pytest.mark.parametrize("name", ["efficientnet-lite0", "demo-s"])
def test_a_proof_neither_waits_for_the_models_lock_nor_runs_through_others_hooks(name, scene):
    per = "detection" if name == "demo-s" else "class"
    made = Explainer(name, device="cpu")(scene, per=per, top_k=1)
    resident, found, hooked = made.evidence.resident, [], []
    resident.aside()
    handles = [part.register_forward_hook(lambda *_: hooked.append(1)) for part in resident.adapter.module.modules()]
    with resident.lock:
        perturber = Perturber(made.evidence, scorer(made.evidence, made.heatmaps[0].target, made.options))
        shown = torch.ones(1, *perturber.picture.shape[2:], dtype=torch.bool)
        whole = (shown, perturber.picture)
        thread = threading.Thread(target=lambda: found.append(perturber.predict_masked(*whole)))
        thread.start()
        # Another session is at its map all the while.
        thread.join(60)
        assert found
    for handle in handles:
        handle.remove()
    assert not hooked and resident.aside()[0].module is not resident.fastest_adapter(()).module
    with torch.no_grad():
        same = scorer(made.evidence, made.heatmaps[0].target, made.options)(
            resident.fastest_adapter(()).run(resident.move_input(perturber.picture))
        )
    assert torch.equal(found[0].score, same.score)


def test_the_contrast_is_followed_by_its_margin(bus: Path):
    made = Explainer()(bus, top_k=1, part="contrast").prove(steps=4, fillings=("mean",)).map
    assert not np.allclose(made.deletion.value, made.deletion.score)
    # Whole, the answer leads; hidden, another does.
    assert made.deletion.value[0] > 0 and bool(made.deletion.stays[0]) == (made.deletion.value[0] > 0)
    assert (made.deletion.stays == (made.deletion.value > 0)).all()


def test_a_box_that_is_gone_scores_0(scene: Path):
    made = Explainer("demo-s")(scene, per="detection", top_k=1)
    found = made.prove(steps=5, fillings=("mean",))
    assert found.start == pytest.approx(made.predictions[0].score, abs=1e-4)
    assert found.map.deletion.score[-1] < 0.05 and found.necessity is not None
    assert "blobs" in found.controls and found.difference("random").mean > 0
    # Passes of detectors are slow.
    steps = {(one.name, one.filling): one.steps for one in made.prove().curves}
    assert (steps["map", "blur"], steps["random", "blur"], steps["centre", "blur"]) == (20, 10, 4)
    assert {steps[name, "mean"] for name in ("map", "random", "blobs")} == {4}


def test_boxes_are_at_the_same_place_as_torchvision_says():
    box_iou = pytest.importorskip("torchvision.ops").box_iou
    corners = torch.rand(200, 2, 2, generator=torch.Generator().manual_seed(0)).sort(1).values.flatten(1)
    found = match_boxes(corners[:20], corners)
    assert torch.equal(found, box_iou(corners[:20], corners) >= MATCH)
    assert 20 < int(found.sum()) < 1000 and not match_boxes(corners[:1], torch.zeros(1, 4)).any()


def test_what_cannot_be_proved_is_one_sentence(explained, scene):
    with pytest.raises(ModelProblem, match="no filling called grey"):
        explained.prove(fillings=("grey",))
    with pytest.raises(ModelProblem, match="2 to 100 steps"):
        explained.prove(steps=1)
    whole = Explainer("demo-s")(scene, per="picture")
    with pytest.raises(ModelProblem, match="no single answer"):
        whole.prove()
    flat = replace(explained, heatmaps=(replace(explained.heatmaps[0], state="flat"),))
    with pytest.raises(ModelProblem, match="is empty"):
        prove(flat)
