"""Laws that maps of any network obey: of order, classes, doors of a picture, mirrors, copies, threads and sums."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from sightglass.explain import Explainer
from sightglass.explain.methods import METHODS
from tests.oracle import reference
from tests.oracle.budget import budget
from tests.oracle.networks import CLASSES, MEAN, STD, Design, designs, explain, make_grey, pictures
from training.demo.scenes import draw, sample

QUICK = tuple(name for name, method in METHODS.items() if method.family in ("gradient", "eigen"))
PIXEL = tuple(name for name, method in METHODS.items() if method.family == "pixel" and name != "guidedbackprop")
OF_A_CLASS = tuple(name for name in QUICK if METHODS[name].gradients)
classes = st.integers(0, CLASSES - 1)


def map_of(explainer: Explainer, picture: Any, target: int, method: str, **options: Any) -> NDArray[np.float32]:
    """Return the raw map of a class."""
    raw: NDArray[np.float32] = explainer(picture, targets=target, method=method, **options).heatmaps[0].raw[0]
    return raw


def assert_near(found: NDArray[np.float32], expected: NDArray[np.float32], distance: float = 1e-4) -> None:
    """Check that two maps differ by at most a share of the expected one's size."""
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= distance * np.linalg.norm(expected) + 1e-9


@budget
@given(designs, pictures, classes, st.sampled_from(OF_A_CLASS), st.permutations(range(CLASSES)))
def test_permuted_classes_permute_maps(
    design: Design, picture: Image.Image, target: int, method: str, order: list[int]
) -> None:
    module = design.build()
    permuted = deepcopy(module)
    permuted[-1].weight.data = module[-1].weight.data[order]
    permuted[-1].bias.data = module[-1].bias.data[order]
    plain, other = (explain(each, design.last_layer) for each in (module, permuted))
    assert_near(map_of(other, picture, order.index(target), method), map_of(plain, picture, target, method))
    scores = {each.index: each.score for each in plain(picture, maps=False, top_k=CLASSES).predictions}
    for each in other(picture, maps=False, top_k=CLASSES).predictions:
        assert each.score == pytest.approx(scores[order[each.index]], abs=1e-6)


@budget
@given(designs, pictures, classes, st.sampled_from((*OF_A_CLASS, *PIXEL)), st.floats(-5, 5))
def test_a_constant_on_all_logits_changes_no_contrast(
    design: Design, picture: Image.Image, target: int, method: str, constant: float
) -> None:
    module = design.build()
    raised = deepcopy(module)
    raised[-1].bias.data += constant
    plain, other = (explain(each, design.last_layer) for each in (module, raised))
    expected = map_of(plain, picture, target, method, part="contrast")
    assert_near(map_of(other, picture, target, method, part="contrast"), expected, 1e-3)


@budget
@given(designs, st.lists(pictures, min_size=2, max_size=4), classes, st.sampled_from(QUICK))
def test_a_list_is_explained_as_each_of_it(
    design: Design, several: list[Image.Image], target: int, method: str
) -> None:
    explainer = explain(design.build(), design.last_layer)
    together = explainer(several, targets=target, method=method)
    turned = explainer(several[::-1], targets=target, method=method)[::-1]
    for picture, first, second in zip(several, together, turned, strict=True):
        alone = map_of(explainer, picture, target, method)
        assert_near(first.heatmaps[0].raw[0], alone)
        assert_near(second.heatmaps[0].raw[0], alone)


@budget
@given(designs, pictures, st.sampled_from(OF_A_CLASS))
def test_the_order_of_targets_changes_no_map(design: Design, picture: Image.Image, method: str) -> None:
    explainer = explain(design.build(), design.last_layer)
    targets = list(range(CLASSES))
    maps = [heatmap.raw[0] for heatmap in explainer(picture, targets=targets, method=method).heatmaps]
    turned = [heatmap.raw[0] for heatmap in explainer(picture, targets=targets[::-1], method=method).heatmaps]
    for first, second in zip(maps, turned[::-1], strict=True):
        assert_near(second, first)


@budget
@given(design=designs, picture=pictures, target=classes, method=st.sampled_from((*QUICK, *PIXEL)))
def test_a_picture_is_the_same_however_it_comes(
    design: Design, picture: Image.Image, target: int, method: str, tmp_path: Path
) -> None:
    explainer = explain(design.build(), design.last_layer)
    pixels = np.asarray(picture)
    file = tmp_path / "picture.png"
    picture.save(file)
    read_only = pixels.copy()
    read_only.setflags(write=False)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    forms = {
        "path": file,
        "text": str(file),
        "bytes": file.read_bytes(),
        "bytearray": bytearray(file.read_bytes()),
        "view of bytes": memoryview(file.read_bytes()),
        "file": BytesIO(file.read_bytes()),
        "array": pixels.copy(),
        "read-only": read_only,
        "strided": np.repeat(pixels, 2, axis=1)[:, ::2],
        "turned twice": np.ascontiguousarray(pixels[::-1])[::-1],
        "Fortran": np.asfortranarray(pixels),
        "big-endian": pixels.astype(">u2").astype(np.uint8),
        "numbers": pixels / 255,
        "half numbers": (pixels / 255).astype(np.float16),
        "sixteen bits": pixels * np.uint16(257),
        "tensor": tensor,
        "batch": tensor[None],
        "tensor of numbers": tensor / 255,
        "tensor with gradients": (tensor / 255)[None].requires_grad_(),
    }
    expected = map_of(explainer, picture, target, method)
    for name, form in forms.items():
        assert np.array_equal(map_of(explainer, form, target, method), expected), name


@budget
@given(designs, pictures, classes, st.sampled_from((*OF_A_CLASS, *PIXEL)))
def test_memory_formats_change_no_map(design: Design, picture: Image.Image, target: int, method: str) -> None:
    module = design.build()
    last = deepcopy(module).to(memory_format=torch.channels_last)
    expected = map_of(explain(module, design.last_layer), picture, target, method)
    assert_near(map_of(explain(last, design.last_layer), picture, target, method), expected, 1e-3)


@budget
@given(designs, pictures, classes, st.sampled_from(OF_A_CLASS))
def test_a_mirrored_network_sees_a_mirrored_picture_mirrored(
    design: Design, picture: Image.Image, target: int, method: str
) -> None:
    # With strides of one no place of a layer lies to one side of its input's.
    design = Design(design.seed, design.widths, (1,) * len(design.widths), pooled=True)
    module = design.build()
    mirrored = deepcopy(module)
    for layer in mirrored:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.flip(3)
    turned = picture.resize((64, 64)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    expected = map_of(explain(module, design.last_layer), picture.resize((64, 64)), target, method)
    found = map_of(explain(mirrored, design.last_layer), turned, target, method)
    assert_near(found[:, ::-1], expected, 1e-3)


@budget
@given(designs, pictures, classes, st.sampled_from(OF_A_CLASS), st.sampled_from((2, 3)))
def test_an_enlarged_copy_has_the_same_map_at_the_same_place(
    design: Design, picture: Image.Image, target: int, method: str, factor: int
) -> None:
    """Each pixel becomes a square of pixels; the network takes both at the size of the smaller one."""
    side = 48
    small = picture.resize((side, side))
    large = small.resize((factor * side, factor * side), Image.Resampling.NEAREST)
    steps_of = explain(design.build(), design.last_layer, side)
    first, second = (steps_of(each, targets=target, method=method).heatmaps[0] for each in (small, large))
    assert np.allclose(np.array(first.geometry.extent) * factor, second.geometry.extent)
    box = large.resize((side, side), Image.Resampling.BILINEAR)
    assert_near(second.raw[0], map_of(steps_of, box, target, method), 1e-3)


@budget
@given(designs, st.lists(pictures, min_size=3, max_size=6), classes, st.sampled_from(OF_A_CLASS))
def test_threads_change_no_map(design: Design, several: list[Image.Image], target: int, method: str) -> None:
    explainer = explain(design.build(), design.last_layer)
    expected = [map_of(explainer, picture, target, method) for picture in several]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda picture: map_of(explainer, picture, target, method), several))
    for first, second in zip(found, expected, strict=True):
        assert_near(first, second)


@budget
@given(designs, pictures, classes, st.sampled_from(("integratedgradients", "deeplift")))
def test_values_sum_to_the_difference_from_grey(design: Design, picture: Image.Image, target: int, method: str) -> None:
    module = design.build()
    raw = map_of(explain(module, design.last_layer), picture, target, method)
    tensor = reference.squash(picture, 64, MEAN, STD).tensor
    with torch.no_grad():
        difference = float(module(tensor)[0, target] - module(make_grey(64))[0, target])
    assert float(raw.sum()) == pytest.approx(difference, abs=0.05 * float(np.abs(raw).sum()) + 1e-6)


@budget
@given(designs, pictures, classes)
def test_gradcam_is_cam_where_the_head_is_pooled_and_linear(design: Design, picture: Image.Image, target: int) -> None:
    """Zhou et al. 2016: the weights of the class times the activations."""
    design = Design(design.seed, design.widths, design.strides, pooled=True)
    module = design.build()
    recorded = reference.record(module, design.last_layer, reference.squash(picture, 64, MEAN, STD).tensor, target)
    cam = torch.einsum("c,chw->hw", module[-1].weight[target].detach(), recorded.activation).numpy()
    for method in ("gradcam", "hirescam"):
        raw = map_of(explain(module, design.last_layer), picture, target, method)
        assert_near(raw * raw.size, cam)


@pytest.mark.parametrize("model", ["demo-cls-s", "demo-vit", "demo-s", "demo-seg", "demo-regress", "demo-detr"])
def test_packaged_models_obey_order_and_batch(model: str) -> None:
    explainer = Explainer(model)
    several = [Image.fromarray(draw(sample(seed, held_out=True)).pixels) for seed in range(3)]
    together = explainer(several, top_k=2)
    for picture, explained in zip(several, together, strict=True):
        alone = explainer(picture, top_k=2)
        assert [each.label for each in alone.predictions] == [each.label for each in explained.predictions]
        for first, second in zip(explained.heatmaps, alone.heatmaps, strict=True):
            assert_near(first.raw[0], second.raw[0], 1e-3)
