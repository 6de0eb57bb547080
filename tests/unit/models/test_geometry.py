"""A map lands on the pixels that it speaks of: a dot there and back, through every way of preparing a picture."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn
from torchvision import transforms as v1

from sightglass.common.packaged import photographs
from sightglass.models.families.custom import loader as custom
from sightglass.models.geometry import Geometry
from sightglass.models.load import load
from sightglass.models.preprocess import CLASSIFIER_WAYS, Preprocessing, fit_picture, prepare
from tests.unit import own_nets
from tests.unit.models.specs import own_spec

PREPROCESSINGS = {
    "square": Preprocessing((224, 224), 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "odd": Preprocessing((225, 193), 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
SHAPES = {
    "portrait": (400, 300),
    "landscape": (211, 337),
    "small": (40, 31),
    "large": (700, 901),
    "1 px wide": (90, 1),
    "1 px high": (1, 90),
}

ways = pytest.mark.parametrize("way", CLASSIFIER_WAYS)
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
kinds = pytest.mark.parametrize("preprocessing", PREPROCESSINGS.values(), ids=PREPROCESSINGS)


def geometry_of(shape: tuple[int, int], preprocessing: Preprocessing, way: str) -> Geometry:
    return fit_picture(np.zeros((*shape, 3), np.uint8), preprocessing, way)[1]


def points(geometry: Geometry) -> list[tuple[int, int]]:
    """Original pixels near the corners of what the model saw."""
    left, top, right, bottom = geometry.seen
    ys, xs = ({low + (high - low) * part // 10 for part in (1, 7)} for low, high in ((top, bottom), (left, right)))
    return [(y, x) for y in ys for x in xs]


@ways
@shapes
@kinds
def test_a_dot_in_the_input_maps_back_to_its_pixel(way, shape, preprocessing):
    geometry = geometry_of(shape, preprocessing, way)
    rows, columns = (np.arange(size) + 0.5 for size in geometry.input)
    for y, x in points(geometry):
        at_y, at_x = ((p + 0.5) * geometry.scale[i] + geometry.offset[i] for i, p in enumerate((y, x)))
        # A pixel of the picture may be many of the input or a part of one; the blob is as wide as it is there.
        wide_y, wide_x = (max(scale, 1.0) for scale in geometry.scale)
        blob = np.exp(-(((rows[:, None] - at_y) / wide_y) ** 2) - ((columns - at_x) / wide_x) ** 2).astype(np.float32)
        peak = np.unravel_index(geometry.to_original(blob).argmax(), shape)
        slack = [1 + 0.5 / scale if scale < 1 else 0 for scale in geometry.scale]
        assert abs(peak[0] - y) <= slack[0] and abs(peak[1] - x) <= slack[1]


@ways
@shapes
@kinds
def test_a_block_in_the_picture_is_where_the_geometry_says(way, shape, preprocessing):
    geometry = geometry_of(shape, preprocessing, way)
    left, top, right, bottom = geometry.seen
    y0, y1 = top + (bottom - top) * 3 // 10, max(top + (bottom - top) * 6 // 10, top + 1)
    x0, x1 = left + (right - left) * 4 // 10, max(left + (right - left) * 7 // 10, left + 1)
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    model_input = prepare(pixels, preprocessing, way)
    assert model_input.tensor.shape == (1, 3, *preprocessing.size)
    assert model_input.tensor.dtype == torch.float32 and model_input.geometry == geometry
    mean, std = preprocessing.mean[0], preprocessing.std[0]
    bright = (model_input.tensor[0, 0].numpy() * std + mean) > 0.5
    for axis, (low, high) in enumerate(((y0, y1), (x0, x1))):
        hit = np.flatnonzero(bright.any(1 - axis))
        scale, offset, size = geometry.scale[axis], geometry.offset[axis], geometry.input[axis]
        # Half-way up an edge is less than a pixel from it; enlarged, a bicubic row of its own is a tenth wider.
        slack = max(1, 0.1 * scale)
        assert abs(hit[0] - np.clip(low * scale + offset, 0, size - 1)) <= slack
        assert abs(hit[-1] + 1 - np.clip(high * scale + offset, 1, size)) <= slack


@ways
@shapes
@kinds
def test_unseen_is_zero_seen_is_covered(way, shape, preprocessing):
    geometry = geometry_of(shape, preprocessing, way)
    left, top, right, bottom = geometry.seen
    back = geometry.to_original(np.ones((7, 7), np.float32))
    assert back.shape == shape and back.dtype == np.float32
    inside = back[top:bottom, left:right]
    assert inside.size and np.allclose(inside, 1, atol=1e-6)
    assert np.isclose(back.sum(), inside.sum())
    if way in ("squash", "letterbox"):
        assert (left, top, right, bottom) == (0, 0, shape[1], shape[0])
    x0, y0, x1, y1 = geometry.content
    assert geometry.box_to_original((x0, y0, x1, y1)) == pytest.approx((left, top, right, bottom), abs=1)
    assert geometry.box_to_original((-1e6, -1e6, 1e6, 1e6)) == (0, 0, shape[1], shape[0])


WINDOWS = {"bus": (3, 400, 810, 947), "zidane": (700, 0, 1279, 719), "china": (0, 100, 640, 243)}
CLOSE = 1e-4
NUMBERS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@cache
def pictures() -> tuple[Pillow.Image, ...]:
    """The packaged photographs, and windows of them: landscape, upright, square, odd sides, small."""
    photos = {name: Pillow.open(path).convert("RGB") for name, path in photographs().items()}
    cut = [photos[name].crop(window) for name, window in WINDOWS.items()]
    return (*photos.values(), *cut, *[photos["flower"].resize(size) for size in ((225, 225), (97, 211), (640, 427))])


def same(adapter: Any, tensor: Callable[[Pillow.Image], torch.Tensor], scores: Callable[[torch.Tensor], Any]) -> float:
    """The largest difference of a probability over the ten pictures."""
    assert len(pictures()) == 10
    worst = 0.0
    with torch.no_grad():
        for picture in pictures():
            ours, theirs = adapter.prepare(np.asarray(picture), "trained").tensor, tensor(picture)
            assert ours.shape == theirs.shape
            probabilities = adapter.run(ours).logits.double().softmax(1)
            worst = max(worst, float((probabilities - scores(theirs).double().softmax(1)).abs().max()))
    return worst


def own(loader: str, arch: str, **weights: Any) -> Any:
    """Load a model that no catalogue names."""
    return load(own_spec("mine", loader, arch, **weights))


def sure(net: Any) -> Any:
    """Spread the logits of an untrained network, so that its probabilities depend on the picture."""
    last = [part for part in net.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= 2 / net.eval()(torch.randn(8, 3, 224, 224)).std(0).mean()
        last.bias -= net(torch.randn(8, 3, 224, 224)).mean(0)
    return net


CUSTOM = f"{own_nets.__file__}:BlocksCNN"
STEPS = v1.Compose([v1.Resize(224), v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(**NUMBERS)])


@pytest.mark.parametrize(
    ("loader", "arch"),
    [
        ("torchvision.classifiers", "mobilenet_v3_small"),
        ("timm", "mobilenetv3_small_050"),
        ("custom", CUSTOM),
        pytest.param("torchvision.classifiers", "efficientnet_b0", marks=pytest.mark.slow),
        pytest.param("timm", "deit_tiny_patch16_224", marks=pytest.mark.slow),
    ],
)
def test_a_network_is_fed_by_the_transform_of_its_library(loader: str, arch: str, tmp_path: Path) -> None:
    import timm
    import torchvision

    torch.manual_seed(0)
    if loader == "timm":
        net: Any = timm.create_model(arch, num_classes=7)
        transform = timm.data.create_transform(**timm.data.resolve_data_config(model=net))
    elif loader == "custom":
        net, transform = own_nets.BlocksCNN(num_classes=7), STEPS
    else:
        net = torchvision.models.get_model(arch, num_classes=7)
        transform = torchvision.models.get_model_weights(arch).DEFAULT.transforms()
    torch.save(sure(net).state_dict(), tmp_path / "net.pth")
    adapter = own(loader, arch, path=str(tmp_path / "net.pth"))
    assert same(adapter, lambda picture: transform(picture)[None], net) < CLOSE


TRANSFORMS = """
from torchvision.transforms import v2 as T
import torch

NUMBERS = dict(mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])
squash = T.Compose([T.Resize((96, 128), interpolation=T.InterpolationMode.BICUBIC), T.ToImage(),
                    T.ToDtype(torch.float32, scale=True), T.Normalize(**NUMBERS)])


def square():
    return T.Compose([T.Resize([110, 110]), T.CenterCrop(96), T.ToImage(), T.ToDtype(torch.float32, scale=True),
                      T.Normalize(**NUMBERS)])


tensors = T.Compose([T.ToImage(), T.ToDtype(torch.float32, scale=True), T.Resize(96, antialias=False), T.CenterCrop(96),
                     T.Normalize(**NUMBERS)])
random = T.Compose([T.RandomResizedCrop(96), T.ToImage()])
"""


@pytest.mark.parametrize("name", ["squash", "square", "tensors"])
def test_a_transform_in_a_file_is_measured(name: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRANSFORMS, "utf-8")
    keys, notes = custom.read_transform(f"{tmp_path / 'train.py'}:{name}")
    preprocessing = Preprocessing((8, 8), 8, (0.0,) * 3, (1.0,) * 3).changed(keys)
    theirs = custom.load_name(tmp_path / "train.py", name)
    theirs = theirs() if name == "square" else theirs
    for picture in pictures():
        ours = prepare(np.asarray(picture), preprocessing, "trained").tensor[0]
        assert (ours - theirs(picture)).abs().max() <= (1e-3 if name == "tensors" else 1.01 / 255 / 0.2)
    assert preprocessing.crop == {"tensors": "centre"}.get(name, name)
    assert preprocessing.antialias is (name != "tensors")
    assert notes == ()


@pytest.mark.slow
def test_keras_is_fed_as_its_own_datasets_are(tmp_path: Path) -> None:
    from sightglass.models.families.keras.network import keras

    library = keras()
    library.utils.set_random_seed(0)
    layers = library.layers
    net = library.Sequential(
        [
            library.Input((96, 64, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    net.save(tmp_path / "net.keras")
    path = str(tmp_path / "net.keras")
    adapter = own("keras", "keras", path=path)
    cut = own("keras", "keras", path=path, preprocessing={"crop": "aspect"})
    assert adapter.resizing == "squeezed to 96 × 64, bilinear, no antialias"
    assert cut.resizing == "cut to shape → 96 × 64, bilinear, no antialias"
    for place, picture in enumerate(pictures()):
        file = tmp_path / f"{place}.png"
        picture.save(file)
        array = library.utils.img_to_array(library.utils.load_img(file))
        # As image_dataset_from_directory does, and as with its crop_to_aspect_ratio.
        squeezed = np.asarray(library.ops.convert_to_numpy(library.ops.image.resize(array, (96, 64))))
        windowed = np.asarray(library.preprocessing.image.smart_resize(array, (96, 64)))
        for ours, theirs in ((adapter, squeezed), (cut, windowed)):
            with torch.no_grad():
                expected = torch.as_tensor(net(theirs[None], training=False))
                model_input = ours.run(ours.prepare(np.asarray(picture), "trained").tensor).logits.softmax(1)
            assert (model_input - expected).abs().max() < CLOSE
