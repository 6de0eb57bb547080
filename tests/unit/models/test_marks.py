"""Where a function's output lies in the picture: measured by marks, equal to the known geometry, or refused."""

import re
from pathlib import Path
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
from sightglass.models.families.custom.loader import read_transform
from sightglass.models.picture_functions import PictureFunction, SizedFunction
from sightglass.models.preprocess import Preprocessing, prepare

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
        (lambda i: 1 / 0, r"failed on a picture of 360 x 240 pixels \(division by zero\)"),
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


class Named:
    """Steps with albumentations' way of calling: by the name `image`, from a dict to a dict."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps

    def __call__(self, *args: Any, force_apply: bool = False, **data: Any) -> dict[str, Any]:
        if args:
            raise KeyError("You have to pass data to augmentations as named arguments, for example: aug(image=image)")
        image = data["image"]
        for step in self.steps:
            image = step(image)
        return {"applied": [], **data, "image": image}


MEAN, STD = np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.3, 0.4])


def resized(array: np.ndarray) -> np.ndarray:
    return cv2.resize(array, (64, 64), interpolation=cv2.INTER_LINEAR)


def cut(array: np.ndarray) -> np.ndarray:
    """The short side to 80, and the middle."""
    wide = cv2.resize(array, (120, 80), interpolation=cv2.INTER_AREA)
    return wide[8:72, 28:92]


def scaled(array: np.ndarray) -> np.ndarray:
    return (array.astype(np.float32) - MEAN * 255) / (STD * 255)


def to_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.transpose(2, 0, 1))


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    ).eval()


@pytest.mark.parametrize(
    ("steps", "scale", "offset"),
    [
        ((resized, scaled, to_tensor), (64 / 240, 64 / 360), (0, 0)),
        ((resized, scaled), (64 / 240, 64 / 360), (0, 0)),
        ((cut, scaled, to_tensor), (1 / 3, 1 / 3), (-8, -28)),
        (
            (lambda array: np.divide(array, 2, out=array, casting="unsafe"), resized, scaled),
            (64 / 240, 64 / 360),
            (0, 0),
        ),
    ],
    ids=["tensor", "array", "cut", "in place"],
)
def test_a_function_of_a_named_picture_is_called_so(steps: Any, scale: Any, offset: Any) -> None:
    network = small_network()
    pixels = WIDE.copy()
    explainer = Explainer(network, preprocess=Named(*steps), labels=list("abcd"))
    scores = {p.index: p.score for p in explainer(pixels, top_k=4).predictions}
    assert np.array_equal(pixels, WIDE)
    given = Named(*steps)(image=pixels)["image"]
    given = given if isinstance(given, torch.Tensor) else to_tensor(given)
    with torch.no_grad():
        right = network(given[None].float()).softmax(1)[0].tolist()
    assert scores == pytest.approx(dict(enumerate(right)), abs=1e-5)
    geometry = explainer.loaded.adapter.prepare(WIDE, "trained").geometry
    np.testing.assert_allclose(geometry.scale, scale, rtol=0.01)
    np.testing.assert_allclose(geometry.offset, offset, atol=0.5)


def window(array: np.ndarray) -> np.ndarray:
    """210 x 240 pixels of a picture that has to be large enough."""
    assert array.shape[0] >= 200 and array.shape[1] >= 300, array.shape
    return array[20:230, 10:250]


def middle(array: np.ndarray) -> np.ndarray:
    """The middle 512 x 512 of a large picture."""
    height, width = array.shape[:2]
    assert min(height, width) >= 512, array.shape
    top, left = (height - 512) // 2, (width - 512) // 2
    return array[top : top + 512, left : left + 512]


def fixed(array: np.ndarray) -> np.ndarray:
    assert array.shape == (480, 640, 3), array.shape
    return array[::4, ::4]


LARGE = cv2.resize(WIDE, (640, 560))


def check_answers(explainer: Explainer, picture: Any, network: torch.nn.Module, prepared: np.ndarray) -> None:
    """Check that all four answers are those of the network to a picture as its function prepares it."""
    scores = {p.index: p.score for p in explainer(picture, top_k=4).predictions}
    with torch.no_grad():
        right = network(to_tensor(prepared)[None]).softmax(1)[0].tolist()
    assert scores == pytest.approx(dict(enumerate(right)), abs=1e-5)


@pytest.mark.parametrize(
    ("step", "picture", "scale", "offset"),
    [
        (window, WIDE, (1, 1), (-20, -10)),
        (middle, LARGE, (1, 1), (-24, -64)),
        (fixed, LARGE[:480], (1 / 4, 1 / 4), (0, 0)),
    ],
)
def test_a_function_of_certain_sizes_is_tried_on_those(step: Any, picture: Any, scale: Any, offset: Any) -> None:
    network = small_network()
    explainer = Explainer(network, preprocess=Named(step, scaled), labels=list("abcd"))
    check_answers(explainer, picture, network, scaled(step(picture)))
    geometry = explainer.loaded.adapter.prepare(picture, "trained").geometry
    np.testing.assert_allclose(geometry.scale, scale, rtol=0.01)
    np.testing.assert_allclose(geometry.offset, offset, atol=0.6)
    if step is middle:
        # A part of 512 x 512 in 1500 x 2000, in which few marks are.
        geometry = explainer.loaded.adapter.prepare(cv2.resize(picture, (2000, 1500)), "trained").geometry
        np.testing.assert_allclose((*geometry.scale, *geometry.offset), (1, 1, -494, -744), atol=1)
    with pytest.raises(ModelProblem, match=r"Named failed on a picture of 90 x 60 pixels \(\(60, 90, 3\)\): give a"):
        explainer(WIDE[:60, :90])


def test_a_function_that_takes_no_trial_size_is_one_sentence() -> None:
    with pytest.raises(ModelProblem, match=r"failed on pictures of 28 x 28 to 2048 x 2048 pixels \(division by zero\)"):
        Explainer(small_network(), preprocess=lambda picture: 1 / 0)


TRAINING = """
import cv2
import numpy as np


class Compose:
    def __call__(self, *args, force_apply=False, **data):
        if args:
            raise KeyError("You have to pass data to augmentations as named arguments, for example: aug(image=image)")
        small = cv2.resize(data["image"], (64, 64))
        return {"image": (small.astype(np.float32) - [127.5, 102, 76.5]) / [51, 76.5, 102]}


class Letterbox:
    tone, top_share = 0, 0.5

    def __call__(self, *args, force_apply=False, **data):
        array = data["image"]
        ratio = 64 / max(array.shape[:2])
        height, width = (round(side * ratio) for side in array.shape[:2])
        top, left = int((64 - height) * self.top_share), int((64 - width) * self.top_share)
        canvas = np.full((64, 64, 3), self.tone, np.uint8)
        canvas[top : top + height, left : left + width] = cv2.resize(array, (width, height))
        return {"image": (canvas.astype(np.float32) - [127.5, 102, 76.5]) / [51, 76.5, 102]}


transform = Compose()
black, grey, mean, white, corner = (Letterbox() for _ in range(5))
grey.tone, mean.tone, white.tone, corner.top_share = 114, (128, 102, 76), 255, 0


def make():
    return Compose()
"""


@pytest.mark.parametrize("name", ["transform", "make"])
def test_a_named_function_is_described_for_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINING)
    table, notes = read_transform(f"{tmp_path / 'train.py'}:{name}")
    described = Preprocessing((1, 1), 1, (0.0,) * 3, (1.0,) * 3).changed(table)
    assert str(described) == "squeezed to 64, bilinear, no antialias"
    assert described.mean == pytest.approx(MEAN.tolist(), abs=1e-3)
    assert described.std == pytest.approx(STD.tolist(), abs=1e-3)
    # OpenCV rounds to whole tones, a mean of 1/4 of one beside floats; only fewer are rounded at the borders.
    (note,) = notes
    assert re.search(
        rf" train.py:{name} was measured to do, which interpolates or rounds otherwise: .* by 0.2\d* of 255", note
    )


@pytest.mark.parametrize("bars", ["black", "grey", "mean"])
def test_a_letterbox_in_a_file_is_described(bars: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINING)
    table, _ = read_transform(f"{tmp_path / 'train.py'}:{bars}")
    described = Preprocessing((1, 1), 1, (0.0,) * 3, (1.0,) * 3).changed(table)
    assert (str(described), described.bars) == ("64 with bars, bilinear, no antialias", bars)
    tone = {"black": 0, "grey": 114, "mean": np.float32([128, 102, 76])}[bars]
    small = cv2.resize(WIDE, (64, 43)).astype(np.float32)
    canvas = np.concatenate([np.full((10, 64, 3), tone), small, np.full((11, 64, 3), tone)])
    right = to_tensor(scaled(canvas))
    prepared = prepare(WIDE, described, "trained")
    assert ((prepared.tensor[0] - right).abs() * torch.tensor(STD)[:, None, None]).max() <= 1.01 / 255
    assert prepared.geometry.offset == (10, 0)


@pytest.mark.parametrize("bars", ["white", "corner"])
def test_other_bars_in_a_file_are_refused(bars: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINING)
    with pytest.raises(ModelProblem, match="does more than resize, crop, add even bars and scale colours: state size"):
        read_transform(f"{tmp_path / 'train.py'}:{bars}")


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((resized, lambda array: 1 / 0), r"Named failed on a picture of 360 x 240 pixels \(division by zero\)"),
        ((lambda array: np.float32(np.random.rand(64, 64, 3)),), "changes from call to call: leave random steps out"),
        ((lambda array: array[::, ::-1], resized, scaled), "mirrors pictures"),
    ],
)
def test_a_named_function_without_a_place_is_one_sentence(steps: Any, says: str) -> None:
    with pytest.raises(ModelProblem, match=says):
        PictureFunction(Named(*steps)).prepare(WIDE)


def sometimes(change: Any) -> Any:
    """A step of every other call, by its own dice."""
    dice = np.random.default_rng(1)
    return lambda array: np.ascontiguousarray(change(array)) if dice.random() < 0.5 else array


@pytest.mark.parametrize("change", [lambda array: array[:, ::-1], lambda array: array // 2])
def test_a_step_of_some_calls_is_said_to_be_random(change: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match="preprocess Named changes from call to call: leave random steps out"):
        Explainer(small_network(), preprocess=Named(resized, sometimes(change), scaled))
    (tmp_path / "train.py").write_text(
        "from torchvision import transforms as T\n"
        "transform = T.Compose([T.Resize((64, 64)), T.RandomHorizontalFlip(), T.ToTensor()])\n"
    )
    with pytest.raises(ModelProblem, match="preprocess Compose changes from call to call: leave random steps out"):
        read_transform(f"{tmp_path / 'train.py'}:transform")


@pytest.mark.parametrize("picture", [WIDE, WIDE // 4 + 90, np.full_like(WIDE, 128)], ids=["full", "faint", "flat"])
def test_tones_stretched_to_the_whole_range_are_measured(picture: Any) -> None:
    def stretched(array: np.ndarray) -> np.ndarray:
        low, high = float(array.min()), float(array.max())
        return (array.astype(np.float32) - low) / (high - low + 1e-4)

    network = small_network()
    explainer = Explainer(network, preprocess=Named(resized, stretched), labels=list("abcd"))
    check_answers(explainer, picture, network, stretched(resized(picture)))
    geometry = explainer.loaded.adapter.prepare(picture, "trained").geometry
    np.testing.assert_allclose((*geometry.scale, *geometry.offset), (64 / 240, 64 / 360, 0, 0), atol=0.01)


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
