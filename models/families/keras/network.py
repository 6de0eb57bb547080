"""Keras 3 models on torch without running their code."""

import importlib
import logging
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
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
    _check(path)
    try:
        # On the CPU from the start, as Keras moves parameters by replacing them.
        with library.device("cpu"):
            return library.saving.load_model(str(path), compile=False, safe_mode=True)
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


def _check(path: Path) -> None:
    """Raise WeightsProblem for a file without a whole model."""
    h5py: Any = importlib.import_module("h5py")
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                check_names(path, archive.namelist())
            return
        with h5py.File(path, "r") as file:
            whole = "model_config" in file.attrs
    except (OSError, zipfile.BadZipFile) as reason:
        damaged = WeightsProblem(f"{path.name} is damaged or cut off: copy it again, or save it anew.")
        raise from_machine(reason) or damaged from reason
    if not whole:
        raise WeightsProblem(
            f"{path.name} holds weights alone and not the model around them: save the whole model with "
            f'model.save("{path.stem.removesuffix(".weights")}.keras").'
        )


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
