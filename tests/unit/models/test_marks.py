"""Where a function's output lies in the picture: measured by marks, equal to the known geometry, or refused."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms as T

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.models.families.custom.in_memory import read_preprocess
from sightglass.models.picture_functions import PictureFunction, SizedFunction
from sightglass.models.preprocess import prepare

WIDE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (240, 360, 3), np.uint8), (0, 0), 3)
CUT = T.Compose([T.Resize(80), T.CenterCrop(64), T.ToTensor(), T.Lambda(lambda tensor: tensor - 1)])


def to_64_by_48(image: Image.Image) -> np.ndarray:
    return np.array(image.convert("L").resize((64, 48)))[None, :, :, None] / 255


def normalised(image: Image.Image) -> np.ndarray:
    array = np.array(image.resize((90, 60)), np.float32)
    return (array - array.mean()) / array.std()


def letterboxed(image: Image.Image) -> torch.Tensor:
    return T.functional.pad(T.functional.to_tensor(image.resize((96, 64))), [0, 16, 0, 16])


def half(image: Image.Image) -> np.ndarray:
    """The left half of a bright picture, the right half of a dark one."""
    array = np.array(image.convert("L"))
    return array[:, : array.shape[1] // 2] / 255 if array.mean() > 127 else array[:, array.shape[1] // 2 :] / 255


@pytest.mark.parametrize(
    ("function", "shape", "scale", "offset"),
    [
        (to_64_by_48, (1, 48, 64), (1 / 5, 8 / 45), (0, 0)),
        (lambda array: cv2.resize(array, (90, 60)).astype(np.float32), (3, 60, 90), (1 / 4, 1 / 4), (0, 0)),
        (normalised, (3, 60, 90), (1 / 4, 1 / 4), (0, 0)),
        (CUT, (3, 64, 64), (1 / 3, 1 / 3), (-8, -28)),
        (letterboxed, (3, 96, 96), (4 / 15, 4 / 15), (16, 0)),
    ],
)
def test_the_place_is_that_of_the_function(function: Any, shape: Any, scale: Any, offset: Any) -> None:
    prepared = PictureFunction(function).prepare(WIDE)
    assert tuple(prepared.tensor.shape[1:]) == shape
    np.testing.assert_allclose(prepared.geometry.scale, scale, rtol=0.01)
    np.testing.assert_allclose(prepared.geometry.offset, offset, atol=0.4)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda i: T.functional.to_tensor(i.resize((64, 64)).rotate(30)), "could not be measured: give the tensor"),
        (lambda i: T.functional.to_tensor(i.transpose(Image.FLIP_LEFT_RIGHT)), "mirrors pictures: mirror them in"),
        (T.Compose([T.RandomResizedCrop(64), T.ToTensor()]), "changes from call to call: leave random steps out"),
        (lambda i: 1 / 0, r"failed on a picture \(division by zero\)"),
        (lambda i: np.zeros(5), r"it returns ndarray \(5,\)"),
    ],
)
def test_what_has_no_place_is_one_sentence(function: Any, says: str) -> None:
    with pytest.raises(ModelProblem, match=says):
        PictureFunction(function).prepare(WIDE)


def composed(*steps: Any) -> T.Compose:
    return T.Compose([*steps, T.ToTensor()])


@pytest.mark.parametrize(
    ("transform", "text"),
    [
        (T.Compose([composed(T.Resize(80), T.CenterCrop(64)), T.Normalize(0.5, 0.2)]), "80 → 64, bilinear"),
        (composed(T.Resize((64, 48), T.InterpolationMode.LANCZOS)), "squeezed to 64 × 48, lanczos"),
        (composed(T.Grayscale(), T.Resize((64, 64), T.InterpolationMode.NEAREST)), "squeezed to 64, nearest"),
        (lambda i: composed(T.Resize((64, 64)))(i).flip(0) * 255 - 104, "squeezed to 64, bilinear"),
        (composed(T.Grayscale(3), T.Resize((64, 64))), ""),
        (composed(T.Resize(64), T.CenterCrop(96)), ""),
        (T.Compose([composed(T.Resize((64, 64))), T.Lambda(lambda t: t**0.9)]), ""),
    ],
)
def test_a_description_prepares_as_its_function_or_is_none(transform: Any, text: str) -> None:
    described = SizedFunction(transform).description
    assert ("" if described is None else str(described)) == text
    if described is not None:
        ours, theirs = prepare(WIDE, described, "trained").tensor[0], transform(Image.fromarray(WIDE))
        assert (ours - theirs).abs().max() <= 1.01 / 255 / described.std[0]


def test_content_dependent_crop_is_measured() -> None:
    function = PictureFunction(half)
    cuts = [function.prepare(np.full_like(WIDE, level)).geometry.offset[1] for level in (200, 50, 50, 200)]
    assert cuts == pytest.approx([0, -180, -180, 0], abs=0.01)


def trimmed(image: Image.Image) -> torch.Tensor:
    """Without white rows at the top."""
    rows = (np.array(image).min((1, 2)) < 255).argmax()
    return T.functional.to_tensor(image.crop((0, int(rows), *image.size)).resize((64, 64)))


def test_a_described_function_is_measured_on_each_picture() -> None:
    function = read_preprocess(trimmed).function
    assert str(function.description) == "squeezed to 64, bicubic"
    framed = WIDE.copy()
    framed[:80] = 255
    for picture, top in ((WIDE, 0), (framed, 80), (WIDE, 0)):
        geometry = function.prepare(picture).geometry
        np.testing.assert_allclose(
            (geometry.scale[0], -geometry.offset[0] / geometry.scale[0]), (64 / (240 - top), top), atol=2
        )


def test_grey_network_with_function() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

    def grey(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image.convert("L").resize((64, 64)), np.float32) / 255)[None]

    explainer = Explainer(network, preprocess=grey, labels=list("abcd"))
    result = explainer(WIDE, top_k=4)
    expected = network(grey(Image.fromarray(WIDE))[None]).softmax(1)[0]
    assert [p.score for p in result.predictions] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-6)
    assert result.heatmaps[0].seen == (0, 0, 360, 240)
    assert explainer.loaded.adapter.resizing == "squeezed to 64, bicubic"
    # What resizing, cropping and scaling describe can be done in other ways, too.
    assert explainer.loaded.adapter.preprocessings == ("trained", "crop", "letterbox", "ready")
    other = Explainer(network, preprocess=lambda image: grey(image) ** 2, labels=list("abcd"))
    assert any("marks planted" in note for note in other(WIDE).notes)
    assert other.loaded.adapter.preprocessings == ("trained", "ready")
