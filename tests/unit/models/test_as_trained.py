"""Ten photographs are prepared as each library's own pipeline prepares them, and answered with the same scores."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn
from torchvision import transforms as v1

from sightglass.common.files.packing import photographs
from sightglass.models.families.custom import own_code
from sightglass.models.load import load
from sightglass.models.preprocess import Preprocessing, prepare
from tests.unit import own_nets
from tests.unit.models.specs import own_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WINDOWS = {"bus": (3, 400, 810, 947), "zidane": (700, 0, 1279, 719), "china": (0, 100, 640, 243)}
CLOSE = 1e-4
NUMBERS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@cache
def pictures() -> tuple[Pillow.Image, ...]:
    """The packaged photographs, and windows of them: landscape, upright, square, odd sides, small."""
    whole = {name: Pillow.open(path).convert("RGB") for name, path in photographs().items()}
    cut = [whole[name].crop(window) for name, window in WINDOWS.items()]
    small = [whole["flower"].resize(size) for size in ((225, 225), (97, 211), (640, 427))]
    return (*whole.values(), *cut, *small)


def same(adapter: Any, tensor: Callable[[Pillow.Image], torch.Tensor], scores: Callable[[torch.Tensor], Any]) -> float:
    """The largest difference of a probability over the ten pictures."""
    assert len(pictures()) == 10
    worst = 0.0
    with torch.no_grad():
        for picture in pictures():
            ours, theirs = adapter.prepare(np.asarray(picture), "trained").tensor, tensor(picture)
            assert ours.shape == theirs.shape
            mine = adapter.run(ours).logits.double().softmax(1)
            worst = max(worst, float((mine - scores(theirs).double().softmax(1)).abs().max()))
    return worst


def own(loader: str, arch: str, **weights: Any) -> Any:
    """Load a model that no catalogue names."""
    return load(own_spec("mine", loader, arch, **weights))


def sure(net: Any) -> Any:
    """Spread the logits of an untrained network, so that its probabilities depend on the picture."""
    last = [part for part in net.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        spread = net.eval()(torch.randn(8, 3, 224, 224)).std(0).mean()
        last.weight *= 2 / spread
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
def test_a_transform_in_a_file_is_read_and_not_run_on_pictures(name: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRANSFORMS, "utf-8")
    keys = own_code.read_transform(f"{tmp_path / 'train.py'}:{name}")
    preprocessing = Preprocessing((8, 8), 8, (0.0,) * 3, (1.0,) * 3).changed(keys)
    theirs = own_code.load_name(tmp_path / "train.py", name)
    theirs = theirs() if name == "square" else theirs
    for picture in pictures():
        ours = prepare(np.asarray(picture), preprocessing, "trained").tensor[0]
        assert (ours - theirs(picture)).abs().max() <= (1e-3 if name == "tensors" else 1.01 / 255 / 0.2)
    assert preprocessing.crop == {"tensors": "centre"}.get(name, name)
    assert preprocessing.antialias is (name != "tensors")


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
                found = ours.run(ours.prepare(np.asarray(picture), "trained").tensor).logits.softmax(1)
            assert (found - expected).abs().max() < CLOSE
