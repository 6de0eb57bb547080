"""Keras models: a sketch classifier with random weights, what is refused, and what is inferred."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.loaded_model import ModelCache
from sightglass.explain.trust.scramble import copy_loaded
from sightglass.models import catalog
from sightglass.models.load import inspect_model, load

if importlib.util.find_spec("keras") is None or importlib.util.find_spec("h5py") is None:
    pytest.skip("Keras is not installed: pip install -r requirements-keras.txt", allow_module_level=True)

from sightglass.models.families.keras.network import keras

pytestmark = pytest.mark.slow
SHAPES = ("circle", "cross", "ladder", "triangle")
RANGE = {"range": 1}
PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def drawing(side: int = 64) -> np.ndarray:
    """A ladder of white lines on black."""
    lines, width = np.zeros((side, side, 3), np.uint8), side // 20
    for column in (0.35, 0.65):
        lines[side // 8 : -side // 8, int(column * side) :][:, :width] = 255
    for row in (0.3, 0.5, 0.7):
        lines[int(row * side) :, int(0.35 * side) : int(0.65 * side)][:width] = 255
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A 64x64 grey sketch classifier of values 0..1, untrained: .keras, .h5 and a label_mapping.json."""
    folder, library = tmp_path_factory.mktemp("keras"), keras()
    library.utils.set_random_seed(0)
    layers = library.layers
    sizes = [(12, 5, 2), (24, 3, 2), (32, 3, 1), (32, 3, 1)]
    names = ["conv2d", *(f"conv2d_{number}" for number in (1, 2, 3))]
    body = [layers.Conv2D(*size, activation="relu", name=name) for size, name in zip(sizes, names, strict=True)]
    body.insert(3, layers.MaxPooling2D(name="max_pooling2d"))
    end = [layers.GlobalAveragePooling2D(), layers.Dense(len(SHAPES), activation="softmax", name="dense")]
    model = small(*body, *end, shape=(64, 64, 1))
    model.save(folder / "sketch.keras")
    model.save(folder / "sketch.h5")
    (folder / "label_mapping.json").write_text(json.dumps({str(i): name for i, name in enumerate(SHAPES)}))
    return folder


def explainer(path: Path, labels: tuple[str, ...] | None = SHAPES, preprocess: Any = RANGE) -> Explainer:
    return Explainer(path, labels=labels, preprocess=preprocess, model_cache=ModelCache())


def test_keras_layer_names_and_shapes(folder):
    model = explainer(folder / "sketch.keras")
    shapes = {layer.path: (layer.shape, layer.layout) for layer in model.layers}
    assert shapes["conv2d"] == ((12, 30, 30), "nchw")
    assert shapes["conv2d_2"] == ((32, 12, 12), "nchw")
    assert model.default_layers == explainer(folder / "sketch.h5").default_layers == ("conv2d_3",)
    assert model(drawing(), layers=("conv2d_2",)).heatmaps[0].raw[0].shape == (12, 12)


def test_keras_map_equals_plain_gradient(folder):
    model = explainer(folder / "sketch.keras")
    picture = drawing()
    result = model(picture, layers=("conv2d_2",), top_k=4)
    library = keras()
    with library.device("cpu"):
        network = library.saving.load_model(folder / "sketch.keras", compile=False)
        inner = library.Model(network.inputs, network.get_layer("conv2d_2").output)
        inputs = torch.from_numpy(picture[None, :, :, :1].astype("float32") / 255)
        activations = inner(inputs).detach().requires_grad_()
        features = activations
        for layer in network.layers[network.layers.index(network.get_layer("conv2d_2")) + 1 : -1]:
            features = layer(features)
        kernel, bias = network.layers[-1].weights
        logits = features @ kernel.value + bias.value
        for heatmap in result.heatmaps:
            (gradient,) = torch.autograd.grad(logits[0, heatmap.target.index], activations, retain_graph=True)
            expected = (gradient.mean((1, 2), keepdim=True) * activations).sum(3)[0].detach().numpy()
            np.testing.assert_allclose(heatmap.raw[0], expected, atol=1e-4)
        scores = network(inputs).detach().numpy()[0]
    by_index = {p.index: p.score for p in result.predictions}
    np.testing.assert_allclose([by_index[index] for index in range(4)], scores, atol=1e-5)


def test_a_look_at_the_file_writes_its_table(folder):
    draft = inspect_model(folder / "sketch.keras")
    assert draft.loader == "keras"
    assert draft.table["weights"]["labels"].endswith("label_mapping.json")
    assert "preprocessing" not in draft.table["weights"] and draft.unknown == ()
    assert any(note.startswith("It is given") and "0 to 1" in note for note in draft.notes)
    # What the table leaves open is said of each explanation, as without a table.
    added = catalog.of_table("sketch", {"loader": draft.loader, "arch": draft.arch, **draft.table}, folder / "m.toml")
    for spec in (catalog.of_file(folder / "sketch.keras"), added):
        assert any("inferred: colours from 0 to 1" in note for note in load(spec).notes)


def test_inverted_drawing_is_noted(folder):
    model = explainer(folder / "sketch.keras")
    picture = drawing(128)
    assert model.loaded.adapter.paper == "white on black"
    right, wrong = model(picture), model(255 - picture)
    assert "paper" not in {finding.kind for finding in right.diagnosis}
    (finding_text,) = [finding.text for finding in wrong.diagnosis if finding.kind == "paper"]
    assert "Set the preprocessing to negative" in finding_text
    swapped = model(255 - picture, preprocessing="negative")
    np.testing.assert_allclose(swapped.heatmaps[0].raw[0], right.heatmaps[0].raw[0], atol=1e-6)
    assert "paper" not in {finding.kind for finding in swapped.diagnosis}
    photograph = np.tile(np.linspace(0, 255, 128, dtype=np.uint8)[:, None, None], (1, 128, 3))
    assert "no drawing" in {finding.kind for finding in model(photograph).diagnosis}


def test_keras_grey_resize_is_pillows(folder, tmp_path):
    alone = tmp_path / "sketch.keras"
    alone.write_bytes((folder / "sketch.keras").read_bytes())
    picture = Image.fromarray(drawing(300))
    guide = np.array(picture.convert("L").resize((64, 64))) / 255.0
    for labels in (SHAPES, ("north", "south", "east", "west"), None):
        model = explainer(alone, labels)
        np.testing.assert_allclose(model.loaded.adapter.prepare(drawing(300), "trained").tensor[0, 0], guide, atol=1e-6)
        assert any("does not say how pictures are resized: squeezed to 64, bicubic" in n for n in model(picture).notes)
    stated = Explainer(alone, preprocess={"range": 1, "antialias": False}, model_cache=ModelCache())(picture)
    assert not any("resized" in note for note in stated.notes)


def small(*layers: Any, shape: tuple[int | None, ...] = (32, 32, 3), seed: int = 1) -> Any:
    library = keras()
    library.utils.set_random_seed(seed)
    with library.device("cpu"):
        return library.Sequential([library.layers.Input(shape), *layers])


def test_nested_model_and_single_logit(tmp_path):
    layers = keras().layers
    backbone = small(layers.Rescaling(1 / 255), layers.Conv2D(7, 3, padding="same", name="last"))
    backbone.name = "backbone"
    model = small(backbone, layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid"))
    model.save(tmp_path / "two.keras")
    sketch = explainer(tmp_path / "two.keras", ("cat", "dog"), None)
    # Seven channels on thirty-two pixels could be read as a picture seven wide.
    assert {layer.path: layer.shape for layer in sketch.layers}["backbone.last"] == (7, 32, 32)
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result = sketch(picture)
    with keras().device("cpu"):
        score = model(sketch.loaded.adapter.prepare(picture, "trained").tensor.permute(0, 2, 3, 1))[0, 0].item()
    assert {p.label: p.score for p in result.predictions}["dog"] == pytest.approx(score, abs=1e-5)
    # What speaks for the one speaks against the other.
    first, second = (sketch(picture, targets=(name,), part="contrast").heatmaps[0].raw[0] for name in ("cat", "dog"))
    np.testing.assert_allclose(first, -second, atol=1e-5)


def test_other_ends_and_inputs(tmp_path):
    layers = keras().layers
    shared = layers.Dense(3, activation="softmax")
    ends = {
        "softmax": [layers.Dense(3), layers.Softmax()],
        "logits": [layers.Dense(3)],
        "odd": [layers.Dense(3, activation="softmax"), layers.Identity()],
        "apart": [layers.Dense(3), layers.Activation("sigmoid")],
        "sigmoids": [layers.Dense(3, activation="sigmoid"), layers.Identity()],
        "pair": [layers.Dense(2, activation="sigmoid")],
        "shared": [keras().Model(inputs := layers.Input((4,)), shared(layers.Dense(4)(shared(inputs))))],
    }
    for name, end in ends.items():
        model = small(layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), *end)
        with keras().device("cpu"):
            inputs = torch.from_numpy(PICTURE[None].astype("float32") / 255)
            scores = model(inputs).detach().numpy()[0]
        scores = np.exp(scores) / np.exp(scores).sum() if name == "logits" else scores
        model.save(tmp_path / f"{name}.keras")
        sketch = explainer(tmp_path / f"{name}.keras", ("a1", "b2", "c3")[: len(scores)])
        result = sketch(PICTURE, top_k=3)
        again = copy_loaded(sketch.loaded).adapter.run(result.evidence.tensor).logits
        torch.testing.assert_close(again, result.evidence.outputs.logits)
        np.testing.assert_allclose([p.score for p in result.predictions], sorted(scores, reverse=True), atol=1e-5)
        assert result.heatmaps[0].raw[0].any()
    flat = small(layers.Reshape((28, 28, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3), shape=(28, 28))
    flat.save(tmp_path / "flat.keras")
    assert explainer(tmp_path / "flat.keras", ("a1", "b2", "c3"))(PICTURE)


def test_code_in_file_never_runs(tmp_path):
    layers = keras().layers
    trap = tmp_path / "was-here"
    code = eval(f"lambda x: (__import__('pathlib').Path({str(trap)!r}).touch(), x)[1]")
    for ending in (".keras", ".h5"):
        model = small(layers.Lambda(code, output_shape=(32, 32, 3)), layers.Flatten(), layers.Dense(2))
        model.save(tmp_path / f"trap{ending}")
        trap.unlink(missing_ok=True)
        with pytest.raises(WeightsProblem, match=r"Keras cannot rebuild trap.*Lambda.*: give the model itself"):
            explainer(tmp_path / f"trap{ending}", ("a1", "b2"))
        with pytest.raises(WeightsProblem, match="Lambda"):
            inspect_model(tmp_path / f"trap{ending}")
    assert not trap.exists()


def test_layers_of_ones_own_come_with_the_model_in_memory():
    library, layers = keras(), keras().layers

    @library.saving.register_keras_serializable(package="mine")
    class Doubled(layers.Layer):
        def call(self, inputs):
            return inputs * 2

    model = small(layers.Conv2D(4, 3), Doubled(), layers.GlobalAveragePooling2D(), layers.Dense(2))
    # Keras numbers layers of one name, whichever model they are in.
    explainer = Explainer(model)
    assert any(layer.path.startswith("doubled") for layer in explainer.layers)
    model.layers[-1].activation = library.activations.relu
    with library.device("cpu"):
        expected = model(explainer(PICTURE, maps=False).evidence.tensor.permute(0, 2, 3, 1)).detach()
    torch.testing.assert_close(explainer(PICTURE, maps=False).evidence.outputs.logits, expected)


def test_broken_files_are_one_sentence(folder, tmp_path):
    layers, whole = keras().layers, (folder / "sketch.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "named.h5").write_bytes(whole)
    small(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)).save_weights(tmp_path / "only.weights.h5")
    small(layers.Conv2D(4, 3), layers.Softmax()).save(tmp_path / "map.keras")
    small(layers.Dense(2), shape=(10,)).save(tmp_path / "rows.keras")
    words = {"half.keras": "damaged or cut off", "named.h5": "damaged or cut off"}
    words |= {
        "only.weights.h5": "holds weights alone.*model.save",
        "map.keras": "answers with 30 x 30 x 4: end it with",
    }
    for name, expected in {**words, "rows.keras": "does not take pictures"}.items():
        with pytest.raises(WeightsProblem, match=expected):
            explainer(tmp_path / name)


@pytest.mark.parametrize(
    ("telltale", "mode"), [("block5_conv3", "caffe"), ("block_16_project", "tf"), ("conv5_block16_concat", "torch")]
)
def test_keras_applications_preprocessing(tmp_path, telltale, mode):
    layers = keras().layers
    bare = small(layers.Conv2D(4, 3, name=telltale), layers.Flatten(), layers.Dense(3))
    bare.save(tmp_path / "net.keras")
    prepare = keras().applications.imagenet_utils.preprocess_input
    # A net that prepares its input by itself is given the colours as they are.
    with keras().device("cpu"):
        whole = keras().Model(inputs := layers.Input((32, 32, 3)), bare(prepare(inputs, mode=mode)))
    whole.save(tmp_path / "all.keras")
    for name, expected in {"net": prepare(PICTURE.astype("float32"), mode=mode), "all": PICTURE}.items():
        adapter = explainer(tmp_path / f"{name}.keras", None, None).loaded.adapter
        np.testing.assert_allclose(adapter.prepare(PICTURE, "trained").tensor[0].permute(1, 2, 0), expected, atol=1e-4)


def test_keras_backend_is_torch():
    code = (
        "import os; from sightglass.models.families.keras.network import keras;"
        " print(keras().config.backend(), os.environ['KERAS_BACKEND'], 'KERAS_HOME' in os.environ)"
    )
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["torch", "jax", "False"]


def test_a_keras_model_measures_and_has_several_outputs():
    layers, library = keras().layers, keras()
    with library.device("cpu"):
        inputs = layers.Input((32, 32, 3))
        pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
        model = library.Model(inputs, [layers.Dense(1, name="age")(pooled), layers.Dense(2, name="sex")(pooled)])
        other = layers.Input((3,))
        two = library.Model([inputs, other], layers.Dense(2)(layers.Concatenate()([pooled, other])))
    with pytest.raises(WeightsProblem, match=r"returns 2 outputs \(age, sex\): choose one with `output`"):
        Explainer(model)
    aged = Explainer(model, output="age", task="regress", preprocess={"range": 1})(PICTURE)
    with library.device("cpu"):
        expected = model(torch.from_numpy(PICTURE[None].astype("float32") / 255))[0].item()
    assert aged.predictions[0].score == pytest.approx(expected, abs=1e-5)
    with pytest.raises(WeightsProblem, match="takes 2 inputs: keep the picture's alone"):
        Explainer(two)


@pytest.mark.parametrize("preprocess", [None, RANGE])
def test_a_ready_tensor_goes_straight_into_a_keras_model(preprocess):
    layers = keras().layers
    model = small(layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3))
    explainer = Explainer(model, preprocess=preprocess, task="regress")
    ready = torch.randn(1, 32, 32, 3, generator=torch.Generator().manual_seed(0)) * 3
    tones = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    for tensor, options in ((ready, {}), (ready, {"preprocessing": "ready"}), (tones, {"preprocessing": "ready"})):
        with keras().device("cpu"):
            expected = model(tensor)[0].tolist()
        first = tensor.permute(0, 3, 1, 2)
        for given in (tensor, tensor[0], first, first[0]):
            result = explainer(given, **options)
            assert result.evidence.outputs.logits[0].tolist() == pytest.approx(expected, abs=1e-5)
            assert not any("inferred" in note or "resized" in note for note in result.notes)


def test_fullgrad_reads_the_biases_of_channels_that_come_last():
    """Keras adds a convolution's bias, and a norm's mean, by arithmetic on (B, h, w, C)."""
    layers, channels = keras().layers, (8, 6)
    first, second = (layers.Conv2D(count, 3, bias_initializer="random_normal") for count in channels)
    dense = layers.Dense(4, bias_initializer="random_normal")
    model = small(first, layers.ReLU(), second, layers.ReLU(), layers.GlobalAveragePooling2D(), dense)
    convs = [nn.Conv2d(before, count, 3) for before, count in zip((3, channels[0]), channels, strict=True)]
    head = nn.Linear(channels[1], 4)
    same = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    with torch.no_grad():
        for module, layer, axes in zip(
            (*convs, head), (first, second, dense), (*[(3, 2, 0, 1)] * 2, (1, 0)), strict=True
        ):
            module.weight.copy_(layer.kernel.value.permute(axes))
            module.bias.copy_(layer.bias.value)
    plain = {"size": 32, "mean": [0.0] * 3, "std": [1.0] * 3}
    of_keras, of_torch = (
        Explainer(net, preprocess=preprocess)(PICTURE, method="fullgrad", targets=2)
        for net, preprocess in ((model, RANGE), (same, plain))
    )
    assert of_keras.predictions[0].score == pytest.approx(of_torch.predictions[0].score, abs=1e-5)
    np.testing.assert_allclose(of_keras.heatmaps[0].raw[0], of_torch.heatmaps[0].raw[0], atol=1e-4)


def test_fullgrad_counts_all_of_a_norm_of_keras():
    layers = keras().layers
    norm = layers.BatchNormalization()
    model = small(layers.Conv2D(4, 3), norm, layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(3))
    generator = np.random.default_rng(0)
    for values, low in ((norm.gamma, 0.5), (norm.beta, -1), (norm.moving_mean, -1), (norm.moving_variance, 0.5)):
        values.assign(generator.uniform(low, 1, 4))
    # Of a piecewise linear network all parts have to be there.
    (heatmap,) = Explainer(model, preprocess=RANGE)(PICTURE, method="fullgrad", targets=2).heatmaps
    assert heatmap.state == "ok"


def test_fullgrad_refuses_keras_norms_in_one_sentence():
    layers = keras().layers
    model = small(layers.Conv2D(4, 3), layers.LayerNormalization(), layers.GlobalAveragePooling2D(), layers.Dense(3))
    with pytest.raises(ModelProblem, match=r"^FullGrad is defined for batch norms, and Sequential has layer norms: "):
        Explainer(model, preprocess=RANGE)(PICTURE, method="fullgrad")


def test_keras_random_and_nested_layers():
    layers, library = keras().layers, keras()
    with library.device("cpu"):
        shaken = library.Sequential([layers.Input((32, 32, 3)), layers.RandomRotation(0.5), layers.RandomContrast(0.9)])
        inner = library.Sequential([layers.Input((32, 32, 3)), layers.Conv2D(4, 3, name="seen")], name="body")
        ends = [layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Dense(3, activation="softmax")]
        model = library.Sequential([layers.Input((32, 32, 3)), shaken, layers.GaussianNoise(1.0), inner, *ends])
    explainer = Explainer(model, preprocess={"range": 1}, layers=[inner.layers[-1]])
    with library.device("cpu"):
        expected = model(torch.from_numpy(PICTURE[None].astype("float32") / 255), training=False)[0].detach().numpy()
    for _ in range(2):
        result = explainer(PICTURE, top_k=3)
        scores = {prediction.index: prediction.score for prediction in result.predictions}
        np.testing.assert_allclose([scores[index] for index in range(3)], expected, atol=1e-5)
    assert result.heatmaps[0].layers == ("body.seen",)
    assert not any("differ from pass to pass" in note for note in result.notes)
