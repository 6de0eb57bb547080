"""Maps, places and numbers equal an independent reference, of random models, pictures, layers and classes."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from ultralytics.nn.tasks import DetectionModel

from sightglass.evaluation.intervals import estimate_share
from sightglass.explain import Explainer
from sightglass.explain.maps.statistics import hottest_mask, iou, rank_correlation
from tests.oracle import reference
from tests.oracle.budget import budget
from tests.oracle.networks import CLASSES, MEAN, STD, Design, designs, explain, make_grey, pictures
from training.demo.scenes import draw, sample

MAPS = tuple(reference.CAMS)


@budget
@given(designs, pictures, st.integers(0, CLASSES - 1), st.sampled_from(MAPS), st.sampled_from(("squash", "crop")))
def test_raw_maps_and_answers_are_those_of_plain_autograd(
    design: Design, picture: Image.Image, target: int, method: str, mode: str
) -> None:
    module, side = design.build(), 64
    path = design.last_layer
    resize = transforms.Resize((side, side)) if mode == "squash" else transforms.Resize(72)
    steps = [resize, *([] if mode == "squash" else [transforms.CenterCrop(side)])]
    preprocess = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    if mode == "squash":
        placed = reference.squash(picture, side, MEAN, STD)
    else:
        placed = reference.centre_crop(picture, side, 72, MEAN, STD)
    of = reference.record(module, path, placed.tensor, target)
    explainer = Explainer(module, preprocess=preprocess, task="classify", layers=[path])
    result = explainer(picture, targets=target, method=method)
    expected = reference.CAMS[method](of).numpy()
    raw = result.heatmaps[0].raw[0]
    assert np.allclose(raw, expected, rtol=1e-4, atol=1e-6 * max(1.0, np.abs(expected).max()))
    scores = {each.index: each.score for each in explainer(picture, maps=False, top_k=CLASSES).predictions}
    assert np.allclose([scores[index] for index in range(CLASSES)], of.logits.softmax(0).numpy(), atol=1e-5)
    # The input's corners lie where the reference puts them in the picture.
    extent = result.heatmaps[0].geometry.extent
    corners = (*placed.to_picture(0, 0), *placed.to_picture(side, side))
    assert np.allclose(extent, corners, atol=max(1 / scale for scale in placed.scale))


@budget
@given(st.integers(1, 40).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_an_interval_of_a_share_is_exact(counts: tuple[int, int]) -> None:
    right, count = counts
    estimate = estimate_share(right, count)
    assert (estimate.low, estimate.high) == pytest.approx(reference.exact_interval(right, count), abs=1e-9)


@budget
@given(st.integers(0, 10_000), st.integers(3, 30), st.integers(3, 30))
def test_statistics_of_two_maps_are_those_by_hand(seed: int, high: int, wide: int) -> None:
    first, second = np.random.default_rng(seed).random((2, high, wide), np.float32)
    assert rank_correlation(first, second) == pytest.approx(reference.rank_correlation(first, second), abs=1e-6)
    shared = iou(hottest_mask(first, 0.2), hottest_mask(second, 0.2))
    assert shared == pytest.approx(reference.shared_strongest(first, second), abs=1e-9)


@budget
@given(designs, pictures, st.integers(0, CLASSES - 1), st.sampled_from(tuple(reference.AT_PIXELS)))
def test_maps_at_the_pixels_are_those_of_plain_autograd(
    design: Design, picture: Image.Image, target: int, method: str
) -> None:
    module, side = design.build(), 48
    result = explain(module, "0", side)(picture, targets=target, method=method)
    tensor = reference.squash(picture, side, MEAN, STD).tensor
    expected = reference.AT_PIXELS[method](module, tensor, make_grey(side), target).numpy()
    # A place next to a ReLU's bend may fall to either side of it by rounding.
    assert np.linalg.norm(result.heatmaps[0].raw[0] - expected) <= 1e-3 * np.linalg.norm(expected)


@budget
@given(st.integers(0, 10_000), st.integers(60, 300), st.integers(60, 300), st.sampled_from((0.1, 0.25, 0.6)))
def test_boxes_are_those_of_the_untouched_detector(seed: int, wide: int, high: int, confidence: float) -> None:
    explainer = Explainer("demo-s")
    picture = Image.fromarray(draw(sample(seed, task="detect", held_out=True)).pixels).resize((wide, high))
    module = explainer.loaded.adapter.module
    untouched = DetectionModel(deepcopy(module.yaml), ch=3, verbose=False).eval()
    untouched.fuse(verbose=False).load_state_dict(module.state_dict())
    placed = reference.letterbox(picture, 192, 32)
    with torch.no_grad():
        raw = untouched(placed.tensor)[0][0]
    expected = reference.find_boxes(raw, placed, confidence, 0.7)
    found = explainer(picture, maps=False, confidence=confidence, iou=0.7, top_k=100).predictions
    assert [each.index for each in found] == [index for index, _, _ in expected]
    assert np.allclose([each.score for each in found], [score for _, score, _ in expected], atol=1e-5)
    assert np.allclose([each.box for each in found], [box for _, _, box in expected], atol=1e-3)
