"""Keras 3 models on torch without running their code."""

import importlib
import logging
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, WeightsProblem, describe_missing, from_machine
from sightglass.models.checkpoints.checkpoint import check_names
from sightglass.models.checkpoints.weights import cache

LOGGER = logging.getLogger(__name__)
_importing = threading.Lock()


def keras() -> Any:
    """Import Keras with torch as backend, without changing the environment."""
    with _importing:
        module: Any = sys.modules.get("keras") or _import_keras()
    backend = module.config.backend() if hasattr(module, "config") else "TensorFlow"
    if backend != "torch":
        raise ModelProblem(
            f"Keras already runs on {backend} in this process: start it with KERAS_BACKEND=torch in the environment."
        )
    return module


def _import_keras() -> Any:
    variables = {"KERAS_BACKEND": "torch", "KERAS_HOME": str(cache() / "keras")}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        return importlib.import_module("keras")
    except ImportError as reason:
        raise ModelProblem(
            f"A model of Keras needs {describe_missing(reason)}: pip install keras h5py installs what such models need."
        ) from reason
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class KerasLayerModule(nn.Module):
    """A Keras layer as a torch module with channels-first output.

    It can be hooked, copied and replaced without touching Keras's own layer, which is shared.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer = [layer]
        self.weights = layer.torch_params

    def forward(self, *args: Any, **more: Any) -> Any:
        layer = self._layer[0]
        if getattr(layer, "_call_has_training_arg", False):
            # Keras activates random layers by default.
            more["training"] = False
        return _to_front(layer(*args, **more))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self._layer[0])


class Net(nn.Module):
    """A Keras model, (B, C, h, w) to (B, n), with its layers as submodules; a nested model is a `Net` too."""

    config = ""
    """The settings of the layers that a caller's model had, as text."""

    def __init__(self, model: Any, *, inner: bool = False) -> None:
        super().__init__()
        self._model, self._inner = [model], inner
        # The graph of layers, also of a Sequential.
        self._graph = [getattr(model, "_functional", None) or model]
        self._names: dict[int, str] = {}
        for layer in model.layers:
            name = layer.name.replace(".", "_")
            # A layer's name may collide with an attribute of torch's modules: type, half, forward.
            name += "_" if hasattr(self, name) else ""
            self._names[id(layer)] = name
            self.add_module(name, _part(layer))

    def forward(self, tensor: Any, *_: Any, **__: Any) -> Any:
        if self._inner:
            return _to_front(self._run(tensor))
        inputs = tensor.permute(0, 2, 3, 1)
        # An input of (h, w) alone has no channel axis.
        inputs = inputs[..., 0] if len(self._model[0].input_shape) == 3 else inputs
        with keras().device(str(tensor.device)):
            return self._run(inputs).flatten(1)

    def _run(self, inputs: Any) -> Any:
        graph = self._graph[0]
        outputs = graph._run_through_graph(graph._standardize_inputs(inputs), operation_fn=self._step)
        return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs

    def _step(self, operation: Any) -> Any:
        """Run a step of the graph by its module, which may have been replaced."""
        module = self._modules.get(self._names.get(id(operation), ""))
        if module is None:
            return operation

        def step(*args: Any, **more: Any) -> Any:
            output = module(*args, **more)
            return output.permute(0, 2, 3, 1) if isinstance(output, Tensor) and output.ndim == 4 else output

        return step

    def __deepcopy__(self, memo: dict[int, Any]) -> "Net":
        """Copy the modules over the same weights, without saving the model."""
        return Net(self._model[0], inner=self._inner)

    def apart(self) -> "Net":
        """Return the model with independent weights; raise ModelProblem if impossible."""
        copied = copy_model(self._model[0], str(next(self.parameters()).device))
        if "call" in vars(_last(self._model[0])):
            # A softmax layer was taken off, which the settings do not say.
            without_activation(copied)
        return Net(copied, inner=self._inner)


def _part(layer: Any) -> nn.Module:
    """Return a layer as a module whose class is named like the layer's, for lists of the model's parts."""
    if getattr(layer, "_functional", None) or hasattr(layer, "_run_through_graph"):
        return Net(layer, inner=True)
    module: nn.Module = type(type(layer).__name__, (KerasLayerModule,), {})(layer)
    return module


def _to_front(output: Any) -> Any:
    return output.permute(0, 3, 1, 2) if isinstance(output, Tensor) and output.ndim == 4 else output


def copy_model(model: Any, device: str = "cpu") -> Any:
    """Return a model with weights of its own; raise ModelProblem if it cannot be built again."""
    try:
        with keras().device(device):
            clone = keras().models.clone_model(model)
            clone.set_weights(model.get_weights())
    # Classes of the operator may not say how they are built.
    except Exception as problem:
        raise ModelProblem(
            f"Keras cannot build this model again ({str(problem)[:160].rstrip('.')}): make it of layers, by "
            "keras.Sequential or keras.Model(inputs, outputs)."
        ) from problem
    return clone


def is_same(model: Any, net: Net) -> bool:
    """Return whether layers and weights of a model are those that its copy was made of."""
    if repr(model.get_config()) != net.config:
        return False
    pairs = zip(model.weights, net._model[0].weights, strict=False)
    return len(model.weights) == len(net._model[0].weights) and all(
        bool((first.value.detach() == second.value.detach().to(first.value.device)).all()) for first, second in pairs
    )


def open_model(path: Path) -> Any:
    """Open a file's model; raise WeightsProblem if Keras cannot rebuild it, or must not.

    Keras itself refuses code, classes that are not its own, and numbers of other files.
    """
    library = keras()
    version = _check(path)
    readers = _list_readers(library) if version.startswith(("1.", "2.")) else None
    try:
        # On the CPU from the start, as Keras moves parameters by replacing them.
        with library.device("cpu"):
            return library.saving.load_model(str(path), custom_objects=readers, compile=False, safe_mode=True)
    except MemoryError:
        raise
    # Every fault of a file is an error of its own kind here.
    except Exception as reason:
        LOGGER.warning("Keras cannot open %s", path, exc_info=True)
        message = next((line.strip() for line in str(reason).splitlines() if line.strip()), type(reason).__name__)
        raise from_machine(reason) or WeightsProblem(
            f"Keras cannot rebuild {path.name} ({message[:160].rstrip('.:')}): give the model itself to Explainer, or "
            "export it to ONNX."
        ) from reason


DROPPED = {
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
"""Settings that Keras 2 saved of layers, and that Keras 3 refuses: they have no effect."""


class _LayerReader:
    """Reads a layer's settings as Keras 2 saved them."""

    def __init__(self, kind: Any, dropped: tuple[str, ...]) -> None:
        self._kind, self._dropped = kind, dropped

    def from_config(self, config: Mapping[str, Any]) -> Any:
        return self._kind.from_config({key: value for key, value in config.items() if key not in self._dropped})


class _ModelReader:
    """Reads a nested model's settings as Keras 2 saved them."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def from_config(self, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        # Its only output is in a list, which Keras 3 would give to the next layer.
        ends = {key: config[key][0] for key in ("input_layers", "output_layers") if _has_one(config.get(key))}
        return self._kind.from_config({**config, **ends}, custom_objects=custom_objects)


def _has_one(tensors: Any) -> bool:
    return isinstance(tensors, list) and len(tensors) == 1 and isinstance(tensors[0], list)


def _list_readers(library: Any) -> dict[str, Any]:
    """Return what reads settings of Keras 2, by the names of their classes."""
    layers = {name: _LayerReader(getattr(library.layers, name), dropped) for name, dropped in DROPPED.items()}
    return {**layers, **dict.fromkeys(("Functional", "Model"), _ModelReader(library.Model))}


def _check(path: Path) -> str:
    """Return the version of Keras in an `.h5`; raise WeightsProblem for weights alone."""
    h5py: Any = importlib.import_module("h5py")
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                check_names(path, archive.namelist())
            return ""
        with h5py.File(path, "r") as file:
            whole = "model_config" in file.attrs
            version = file.attrs.get("keras_version", "")
    except (OSError, zipfile.BadZipFile) as reason:
        damaged = WeightsProblem(f"{path.name} is damaged or cut off: copy it again, or save it anew.")
        raise from_machine(reason) or damaged from reason
    if not whole:
        raise WeightsProblem(
            f"{path.name} holds weights alone and not the model around them: save the whole model with "
            f'model.save("{path.stem.removesuffix(".weights")}.keras").'
        )
    return version.decode() if isinstance(version, bytes) else str(version)


def walk(model: Any) -> Iterator[Any]:
    """Yield the steps of a model's graph in their order, those of nested models too."""
    for step in (getattr(model, "_functional", None) or model).operations:
        if hasattr(step, "operations") or getattr(step, "_functional", None):
            yield from walk(step)
        else:
            yield from step._flatten_layers() if hasattr(step, "_flatten_layers") else (step,)


def _last(model: Any) -> Any:
    """Return the innermost layer whose output is the model's."""
    while hasattr(model, "layers"):
        outputs = getattr(getattr(model, "_functional", None) or model, "outputs", None)
        model = outputs[0]._keras_history.operation if outputs else model.layers[-1]
    return model


def final_activation(model: Any) -> str:
    """Return a model's final activation: `softmax`, `sigmoid`, `linear`, the name of another, or `unknown`."""
    last = _last(model)
    if type(last).__name__ == "Softmax":
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", "unknown")


def without_activation(model: Any) -> Callable[[], None]:
    """Remove a model's final softmax or sigmoid; return what puts it back."""
    last, name, plain = _last(model), "activation", keras().activations.linear
    if type(last).__name__ == "Softmax":
        name, plain = "call", lambda inputs, mask=None: inputs
    former = getattr(last, name)
    setattr(last, name, plain)
    return lambda: setattr(last, name, former)
