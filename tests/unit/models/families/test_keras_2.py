"""Files that Keras 2 saved, as Teachable Machine still does: their settings differ from those of Keras 3."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from sightglass.cli import main
from sightglass.common import access
from sightglass.explain import Explainer
from sightglass.models.families.keras.network import keras
from sightglass.models.own import store

if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras is not installed: pip install -r requirements-keras.txt", allow_module_level=True)
h5py = pytest.importorskip("h5py")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")]
NAMES = ("5 Galoon", "cat", "dog")
SIDE = 64


def teachable() -> Any:
    """Return an untrained network with the layers, nesting and names of Teachable Machine's."""
    library, kinds = keras(), keras().layers
    library.utils.set_random_seed(0)
    with library.device("cpu"):
        start = library.Input((SIDE, SIDE, 3), name="input_1")
        x = kinds.ZeroPadding2D(((0, 1), (0, 1)), name="Conv1_pad")(start)
        x = kinds.Conv2D(8, 3, strides=2, use_bias=False, name="Conv1")(x)
        x = kinds.BatchNormalization(name="bn_Conv1")(x)
        x = kinds.ReLU(6.0, name="Conv1_relu")(x)
        x = kinds.DepthwiseConv2D(3, padding="same", use_bias=False, name="block_16_depthwise")(x)
        x = kinds.Conv2D(6, 1, name="block_16_project")(x)
        body = library.Model(start, kinds.ReLU(6.0, name="out_relu")(x), name="model1")
        pooling = kinds.GlobalAveragePooling2D(name="global_average_pooling2d_GlobalAveragePooling2D1")
        inner = library.Sequential([library.Input((SIDE, SIDE, 3)), body, pooling], name="sequential_1")
        dense = [
            kinds.Dense(5, activation="relu", name="dense_Dense1", kernel_initializer="ones"),
            kinds.Dense(3, activation="softmax", use_bias=False, name="dense_Dense2"),
        ]
        head = library.Sequential([library.Input((6,)), *dense], name="sequential_3")
        return library.Sequential([library.Input((SIDE, SIDE, 3)), inner, head], name="sequential_4")


def to_keras_2(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's or model's settings as Keras 2 wrote them."""
    kind, config = settings["class_name"], copy.deepcopy(settings["config"])
    if "layers" in config:
        made = [to_keras_2(layer) for layer in config["layers"]]
        config = {"name": config["name"], "layers": made}
        if kind == "Functional":
            for before, layer in zip([None, *made], made, strict=False):
                inbound = [[[before["name"], 0, 0, {}]]] if before else []
                layer |= {"name": layer["config"]["name"], "inbound_nodes": inbound}
            config |= {"input_layers": [[made[0]["name"], 0, 0]], "output_layers": [[made[-1]["name"], 0, 0]]}
        return {"class_name": kind, "config": config}
    config["dtype"] = "float32"
    if kind == "InputLayer":
        shape = config.pop("batch_shape")
        config = {
            "name": config["name"],
            "batch_input_shape": shape,
            "dtype": "float32",
            "sparse": False,
            "ragged": False,
        }
    elif kind in ("DepthwiseConv2D", "Conv2DTranspose", "SeparableConv2D"):
        config["groups"] = 1
    if kind == "SeparableConv2D":
        config |= {"kernel_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": None}
    if kind == "BatchNormalization":
        config = {key: value for key, value in config.items() if key not in ("synchronized",)}
        config["axis"] = [3]
    for key, value in config.items():
        if isinstance(value, dict) and "registered_name" in value:
            config[key] = {"class_name": value["class_name"], "config": value["config"]}
    return {"class_name": kind, "config": {key: value for key, value in config.items() if key != "quantization_config"}}


def save(model: Any, path: Path) -> Path:
    """Write a model into an `.h5` as Keras 2.4 did."""
    path.parent.mkdir(exist_ok=True)
    model.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(to_keras_2(json.loads(file.attrs["model_config"])))
        file.attrs["keras_version"] = "2.4.0"
    return path


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    return np.asarray(Pillow.fromarray(noise).resize((200, 120), Pillow.Resampling.NEAREST))


def answer(model: Any, inputs: NDArray[np.float32]) -> list[float]:
    with torch.no_grad():
        return model(inputs[None], training=False)[0].tolist()  # type: ignore[no-any-return]


def expected(model: Any, pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Return the answer to a picture prepared as Teachable Machine's example says."""
    cut = ImageOps.fit(Pillow.fromarray(pixels), (SIDE, SIDE), Pillow.Resampling.LANCZOS)
    return dict(zip(NAMES, answer(model, np.asarray(cut).astype(np.float32) / 127.5 - 1), strict=True))


def scores(explainer: Explainer, pixels: NDArray[np.uint8]) -> dict[str, float]:
    explained = explainer(pixels, top_k=3)
    return {prediction.label: prediction.score for prediction in explained.predictions}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Teachable Machine's download, unpacked."""
    save(teachable(), tmp_path / "converted" / "keras_model.h5")
    (tmp_path / "converted" / "labels.txt").write_text("\n".join(f"{i} {name}" for i, name in enumerate(NAMES)))
    return tmp_path / "converted"


def test_the_download_answers_as_the_example_says(folder: Path, pixels: NDArray[np.uint8]) -> None:
    right = expected(teachable(), pixels)
    assert max(right.values()) - min(right.values()) > 0.01
    for path in (folder, folder / "keras_model.h5"):
        # At the border Pillow sees the pixels outside of the square.
        assert scores(Explainer(str(path)), pixels) == pytest.approx(right, abs=1e-3)


def test_the_command_line_and_the_drop_zone_take_it(
    folder: Path, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("SIGHTGLASS_MODELS", raising=False)
    right = expected(teachable(), pixels)
    assert main(["models", "add", "converted"]) == 0
    assert "The names of its 3 classes are in labels.txt beside it." in capsys.readouterr().out
    assert scores(Explainer("converted"), pixels) == pytest.approx(right, abs=1e-3)
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(folder.parent / "store"))
    access.install(access.Access("open"))
    try:
        into = store.receive([(file.name, file.read_bytes()) for file in sorted(folder.iterdir())])
        id_ = store.register(into, store.draft(into), {})
        assert scores(Explainer(id_), pixels) == pytest.approx(right, abs=1e-3)
    finally:
        access.install(access.Access())


def test_a_model_in_memory_is_prepared_alike(pixels: NDArray[np.uint8]) -> None:
    model = teachable()
    explainer = Explainer(model, labels=NAMES)
    assert scores(explainer, pixels) == pytest.approx(expected(model, pixels), abs=1e-3)
    assert any("as by Teachable Machine's example" in note for note in explainer.loaded.adapter.notes)


@pytest.mark.parametrize("kind", ["DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"])
def test_layers_with_settings_of_keras_2_are_read(kind: str, tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    library, kinds = keras(), keras().layers
    library.utils.set_random_seed(1)
    with library.device("cpu"):
        sizes = (3,) if kind == "DepthwiseConv2D" else (4, 3)
        steps = [getattr(kinds, kind)(*sizes, padding="same"), kinds.GlobalAveragePooling2D(), kinds.Dense(3)]
        model = library.Sequential([library.Input((SIDE, SIDE, 3)), kinds.Rescaling(1 / 255), *steps])
    path = save(model, tmp_path / "net" / "net.h5")
    square = pixels[:SIDE, :SIDE]
    logits = answer(model, square.astype(np.float32))
    adapter = Explainer(str(path)).loaded.adapter
    assert adapter.run(adapter.prepare(square, "trained").tensor).logits[0].tolist() == pytest.approx(logits, abs=1e-5)


def test_a_network_within_a_sequence_is_read(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    library, kinds = keras(), keras().layers
    library.utils.set_random_seed(2)
    with library.device("cpu"):
        start = library.Input((SIDE, SIDE, 3), name="start")
        backbone = library.Model(start, kinds.Conv2D(4, 3, activation="relu", name="conv")(start), name="backbone")
        end = [kinds.GlobalAveragePooling2D(), kinds.Dense(2, activation="softmax")]
        model = library.Sequential([library.Input((SIDE, SIDE, 3)), backbone, *end])
    square = pixels[:SIDE, :SIDE]
    shares = answer(model, square.astype(np.float32) / 255)
    explained = Explainer(str(save(model, tmp_path / "net" / "net.h5")))(square, layers="backbone.conv")
    assert {p.index: p.score for p in explained.predictions} == pytest.approx(dict(enumerate(shares)), abs=1e-5)
