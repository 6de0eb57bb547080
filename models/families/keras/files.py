"""Check Keras files (`.keras`, `.h5`) before Keras opens them.

Both kinds hold the model's configuration as JSON. Layers that could run the file's code, and names that are no part of
Keras, are refused there.
"""

from __future__ import annotations

import importlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.common.files import Json
from sightglass.common.legible import legible
from sightglass.models.checkpoints.checkpoint import check_names

CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers that run code which their file carries."""

LARGEST_CONFIG = 64 * 2**20
"""Bytes of a configuration that is read: an archive may claim any size."""

INSTALL = "install what Keras models need: pip install keras h5py"
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"


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


def check(path: Path, registered: Callable[[str], bool] = lambda _: False) -> None:
    """Raise a Problem for a file that Keras must not open; `registered`: whether Keras knows a foreign name."""
    for node in _nodes(config(path)):
        kind, inner = node.get("class_name"), node.get("config")
        if kind in CODE:
            name = inner.get("name", "") if isinstance(inner, dict) else ""
            raise WeightsProblem(
                f"The {kind} layer {name} of {path.name} holds code, which is not run: make it a class, or export to "
                "ONNX."
            )
        if kind is not None and (foreign := _foreign(node)) and not registered(foreign):
            raise WeightsProblem(
                f"{path.name} needs {foreign}, which is no part of Keras: give the model itself to Explainer, its "
                "class decorated with keras.saving.register_keras_serializable()."
            )


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


def _foreign(node: Json) -> str:
    """Return the name of a class or function that is not part of Keras, else nothing."""
    module, registered = node.get("module"), node.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        return registered
    if isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins"):
        return f"{module}.{node['class_name']}"
    return str(node.get("config")) if node["class_name"] == "function" and module == "builtins" else ""
