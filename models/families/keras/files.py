"""Inspect Keras files (`.keras`, `.h5`) without Keras: their inputs, outputs and requirements.

Both kinds hold the model's configuration as JSON. Layers that could run the file's code are refused by their names
there, before Keras opens the file.
"""

from __future__ import annotations

import importlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.common.files import Json
from sightglass.common.legible import legible
from sightglass.models.checkpoints.checkpoint import check_names
from sightglass.models.preprocess import IMAGENET
from sightglass.models.spec import PreprocessingTable

TENSORFLOW = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
"""Layers that call a function of TensorFlow by its name."""

CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers that run code which their file carries."""

LARGEST_CONFIG = 64 * 2**20
"""Bytes of a configuration that is read: an archive may claim any size."""

INSTALL = "install what Keras models need: pip install keras h5py"
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_WEIGHED = ("Conv", "Dense", "DepthwiseConv", "SeparableConv", "EinsumDense", "PatchEmbedding")
_SCALED = ("Rescaling", "Normalization", "TrueDivide", "Divide", "Subtract", "Multiply")
_CAFFE = tuple(value / 255 for value in (123.68, 116.779, 103.939))
# Preparation of pictures for the nets of keras.applications, by prefixes of names and by a layer that only they have.
_NETS: tuple[tuple[str, str, str], ...] = (
    ("resnet50v2 resnet101v2 resnet152v2", "post_bn", "tf"),
    ("resnet50 resnet101 resnet152", "conv5_block3_out", "caffe"),
    ("vgg16 vgg19", "block5_conv3", "caffe"),
    ("mobilenetv3 efficientnet convnext regnet", "", "raw"),
    ("mobilenet mobilenetv2", "block_16_project", "tf"),
    ("inception_v3 inception_resnet_v2 xception nasnet", "block14_sepconv2_act", "tf"),
    ("densenet", "conv5_block16_concat", "torch"),
)
WAYS = {
    "raw": (PreprocessingTable(range=255), "colours from 0 to 255"),
    "caffe": (
        PreprocessingTable(range=255, mean=_CAFFE, channels="bgr"),
        "blue first, 0 to 255, ImageNet's mean taken off",
    ),
    "tf": (PreprocessingTable(mean=(0.5,), std=(0.5,)), "colours from -1 to 1"),
    "torch": (PreprocessingTable(mean=IMAGENET[0], std=IMAGENET[1]), "ImageNet's mean and deviation"),
    "unit": (PreprocessingTable(range=1), "colours from 0 to 1"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a model in its file."""

    shape: tuple[int | None, int | None, int] | None
    """(height, width, channels) of a picture; None where the model takes none."""
    classes: int | None
    """Numbers of an answer, where its last layer says so."""
    final: str
    """The final activation: `softmax`, `sigmoid`, `linear`, or the name of another."""
    needs: tuple[str, ...]
    """Classes and functions that are not Keras's own, so that they must come from a file of the operator."""
    taken: str
    """The likeliest of `WAYS` to scale a picture's numbers."""
    because: str
    """Source of that inference, for the end of a sentence."""


def config(path: Path) -> Json:
    """Read a model's configuration; raise WeightsProblem without one."""
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] == _ZIP and path.suffix.lower() == ".keras":
        text = _zip_files(path)
    elif start == _HDF5 and path.suffix.lower() != ".keras":
        text = _attribute(path)
    else:
        other = "a zip archive" if start[:4] == _ZIP else "an HDF5 file" if start == _HDF5 else "something else"
        right = {"a zip archive": ".keras", "an HDF5 file": ".h5"}.get(other)
        mend = f"rename it to {path.stem}{right}" if right else "save the model again with model.save"
        raise WeightsProblem(f"{path.name} is {other} inside, not what its name says: {mend}.")
    try:
        model = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise WeightsProblem(
            f"The configuration in {path.name} is damaged: save the model again with model.save."
        ) from reason
    if not isinstance(model, dict) or "class_name" not in model:
        raise WeightsProblem(f"{path.name} holds no model: save the whole model with model.save.")
    return model


def _zip_files(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            check_names(path, archive.namelist())
            if archive.getinfo("config.json").file_size > LARGEST_CONFIG:
                raise WeightsProblem(f"The configuration in {path.name} is larger than any model's: it is damaged.")
            for name in archive.namelist():
                if name.endswith(".h5"):
                    with archive.open(name) as weights, _h5py(path).File(weights, "r") as stored:
                        _check_links(path, stored)
            return archive.read("config.json")
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as reason:
        raise WeightsProblem(f"{path.name} is damaged or cut off: copy it again, or save it anew.") from reason


def _attribute(path: Path) -> bytes:
    try:
        with _h5py(path).File(path, "r") as file:
            _check_links(path, file)
            stored = file.attrs.get("model_config")
    except (OSError, RuntimeError) as reason:
        raise WeightsProblem(f"{path.name} is damaged or cut off: copy it again, or save it anew.") from reason
    if stored is None:
        raise WeightsProblem(
            f"{path.name} holds weights alone and not the model around them: save the whole model with "
            f'model.save("{path.stem.removesuffix(".weights")}.keras").'
        )
    return stored.encode() if isinstance(stored, str) else bytes(stored)


def _h5py(path: Path) -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as reason:
        raise ModelProblem(f"{path.name} needs h5py: {INSTALL}.") from reason


def _check_links(path: Path, stored: Any) -> None:
    """Raise WeightsProblem where an HDF5 file takes numbers from another file."""
    h5py = _h5py(path)
    links = stored.visititems_links(lambda name, link: name if isinstance(link, h5py.ExternalLink) else None)
    name = links or stored.visititems(
        lambda name, node: name if isinstance(node, h5py.Dataset) and (node.external or node.is_virtual) else None
    )
    if name is not None:
        raise WeightsProblem(
            f"{path.name} takes {legible(name, 80)} from another file, which is not read: save the whole model with "
            "model.save."
        )


def facts(path: Path) -> Facts:
    """Read a file's facts; raise WeightsProblem for custom code."""
    model = config(path)
    layers = [layer for layer in _layers(model) if layer["class_name"] not in ("Functional", "Sequential", "Model")]
    for layer in _nodes(model):
        if (kind := layer.get("class_name")) in CODE:
            raise WeightsProblem(
                f"The {kind} layer {_name(layer)} of {path.name} holds code, which is not run: make it a class, or "
                "export to ONNX."
            )
    for layer in layers:
        kind, name = layer["class_name"], _name(layer)
        if kind in TENSORFLOW:
            raise WeightsProblem(
                f"{path.name} does TensorFlow's {name} between its layers, which Keras 3 cannot rebuild: export it to "
                "ONNX (python -m tf2onnx.convert --keras)."
            )
    needs = tuple(dict.fromkeys(name for name in _foreign(model) if name))
    shape = _input(model, layers)
    units, final = _answer(model, layers)
    taken, because = _taken(model, layers, shape)
    return Facts(shape, units, final, needs, taken, because)


def _layers(node: Mapping[str, Any]) -> Iterator[Json]:
    """Yield every layer and model in a configuration, models before their layers."""
    yield dict(node)
    inner = node.get("config")
    listed = inner.get("layers", ()) if isinstance(inner, dict) else inner if isinstance(inner, list) else ()
    for layer in listed:
        if isinstance(layer, dict) and isinstance(layer.get("class_name"), str):
            yield from _layers(layer)
    # A wrapper, such as TimeDistributed, holds its one layer here.
    wrapped = inner.get("layer") if isinstance(inner, dict) else None
    if isinstance(wrapped, dict) and isinstance(wrapped.get("class_name"), str):
        yield from _layers(wrapped)


def _nodes(model: Json) -> Iterator[Json]:
    """Yield every object in a configuration; any key may hold a layer."""
    # How it was compiled is not read: nothing is trained here.
    waiting: list[Any] = [model]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += [value for key, value in reversed(node.items()) if key != "compile_config"]
        elif isinstance(node, list):
            waiting += reversed(node)


def _foreign(model: Json) -> Iterator[str]:
    """Yield the names of classes and functions that are not part of Keras."""
    for node in _nodes(model):
        module, registered = node.get("module"), node.get("registered_name")
        if "class_name" not in node:
            continue
        if isinstance(registered, str) and ">" in registered:
            yield registered
        elif isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins"):
            yield f"{module}.{node['class_name']}"
        elif node["class_name"] == "function" and module == "builtins":
            yield str(node.get("config"))


def _name(layer: Mapping[str, Any]) -> str:
    return str(_inner(layer).get("name", layer.get("name", "")))


def _inner(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = layer.get("config")
    return inner if isinstance(inner, dict) else {}


def _input(model: Mapping[str, Any], layers: list[Json]) -> tuple[Any, Any, int] | None:
    """Return the input's (h, w, c) or None."""
    inner = (_inner(layer) for layer in layers)
    stated = (config.get("batch_shape") or config.get("batch_input_shape") for config in inner)
    shape: Any = next(filter(None, stated), None)
    shape = shape or _inner(model).get("build_input_shape") or model.get("build_config", {}).get("input_shape")
    if isinstance(shape, dict):
        shape = next(iter(shape.values()), None)
    sides = list(shape or ())[1:]
    if len(sides) == 2:
        return (*sides, 1)
    if len(sides) == 3 and any(_inner(layer).get("data_format") == "channels_first" for layer in layers):
        sides = [*sides[1:], sides[0]]
    return (sides[0], sides[1], sides[2]) if len(sides) == 3 and isinstance(sides[2], int) else None


def _answer(model: Mapping[str, Any], layers: list[Json]) -> tuple[int | None, str]:
    """Return the number of outputs and the final activation, as far as the last layers tell."""
    named = _inner(model).get("output_layers") or ()
    last = named[0] if named and isinstance(named[0], list) else named
    names = [_name(layer) for layer in layers]
    at = names.index(last[0]) if last and last[0] in names else len(layers) - 1
    final = "linear"
    for layer in reversed(layers[: at + 1]):
        kind, inner = layer["class_name"], _inner(layer)
        activation = inner.get("activation")
        if isinstance(activation, dict):
            activation = activation.get("config") or activation.get("class_name")
        if kind == "Softmax":
            activation = "softmax"
        if final == "linear" and isinstance(activation, str):
            final = activation.lower()
        if isinstance(units := inner.get("units", inner.get("filters")), int):
            return units, final
    return None, final


def _taken(model: Mapping[str, Any], layers: list[Json], shape: Any) -> tuple[str, str]:
    for layer in layers:
        kind = layer["class_name"]
        if kind in _SCALED:
            return "raw", f"it scales the colours by itself ({_name(layer)})"
        if kind.startswith(_WEIGHED):
            break
    names = {_name(layer) for layer in _layers(model)}
    for starts, telltale, scaling in _NETS:
        begins = tuple(starts.split())
        if (
            shape is not None
            and shape[2] == 3
            and (telltale in names or any(n.lower().startswith(begins) for n in names))
        ):
            return scaling, f"it holds a net of keras.applications ({starts.split()[0]} or like it)"
    return "unit", "nothing in the file says otherwise"
