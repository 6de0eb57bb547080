"""Open ONNX, TorchScript, OpenVINO and torch.export files.

Each is a module from float32 (B, C, h, w) to the tensors that it answers with; its weights are the runtime's. Where the
same model can be rebuilt as modules of torch, with layers and gradients, `inside` does that.
"""

from __future__ import annotations

import ast
import importlib
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.common.files import yaml_file
from sightglass.models.checkpoints.checkpoint import archive_names
from sightglass.models.families.exported.graphs import Program
from sightglass.models.families.exported.runtime import Runtime, tensors
from sightglass.models.preprocess import MAX_CHANNELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.spec import ModelSpec

ADVICE = "install what exported models need: pip install onnxruntime openvino"
ONNX, OPENVINO = (".onnx",), (".xml",)
TORCHSCRIPT = (".torchscript", ".ts", ".pt", ".pth")
PROGRAM = (".pt2",)
CHANNELS = ("rgb", "bgr")


def _library(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as reason:
        raise ModelProblem(f"{path.name} needs {name}: {ADVICE}.") from reason


class OnnxRuntime(Runtime):
    """An ONNX file (https://onnx.ai) in onnxruntime, on the GPU where its build for CUDA is installed."""

    kind = "ONNX"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._library = _library("onnxruntime", path)
        self._session = self._open("cpu")
        if len(inputs := self._session.get_inputs()) != 1:
            raise ModelProblem(f"{path.name} takes {len(inputs)} inputs: it should take pictures and nothing else.")
        self._input = inputs[0].name
        self._takes(inputs[0].shape, inputs[0].type.removeprefix("tensor(").removesuffix(")"))
        self.outputs = tuple(output.name for output in self._session.get_outputs())
        self.metadata = self._session.get_modelmeta().custom_metadata_map

    def _open(self, device: str) -> Any:
        self._device = device
        options = self._library.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Between two passes torch masks the pictures: threads of this runtime that wait by spinning take its cores. On
        # two of them 1000 masks of a network of three layers at 224 px took 63 s with spinning, and 5 s without.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
        there = self._library.get_available_providers()
        try:
            return self._library.InferenceSession(
                str(self.path), options, providers=[name for name in wanted if name in there]
            )
        # The library's errors have no common base.
        except Exception as reason:
            raise ModelProblem(f"{self.path.name} is not a model that onnxruntime can open.") from reason

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        if tensor.device.type != self._device:
            self._session = self._open(tensor.device.type)
        found = self._session.run(None, {self._input: tensor.cpu().numpy()})
        return [torch.from_numpy(out) for out in found]


class TorchScript(Runtime):
    """A traced or scripted module. Opening one can run its code: only files in the operator's places are opened."""

    kind = "TorchScript"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._module = self._open(torch.device("cpu"))
        self.halved = next((p.dtype == torch.float16 for p in self._module.parameters()), False)
        arguments = self._module.forward.schema.arguments
        # The file does not say how many channels it takes, but the first convolution has as many.
        first = next((p.shape[1] for p in self._module.parameters() if p.ndim == 4), 3)
        self.channels = first if first <= MAX_CHANNELS else None
        self._in_a_list = len(arguments) > 1 and str(arguments[1].type).startswith("List")

    def _open(self, device: torch.device) -> Any:
        self._device = device
        # Where Ultralytics' export writes what it knows.
        extra = {"config.txt": ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                module = torch.jit.load(str(self.path), map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as reason:
            raise ModelProblem(f"{self.path.name} is not a TorchScript file: make it with torch.jit.trace.") from reason
        self.metadata = json.loads(extra["config.txt"]) if extra["config.txt"] else {}
        return module.eval() if hasattr(module, "training") else module

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        # Opened anew: what was traced as a constant does not move with the module.
        if tensor.device != self._device:
            self._module = self._open(tensor.device)
        with torch.no_grad():
            return list(tensors(self._module(list(tensor) if self._in_a_list else tensor)))

    def inside(self) -> nn.Module:
        from sightglass.models.families.exported.script import rebuild

        if self._in_a_list:
            raise ModelProblem("it takes its pictures in a list")
        return rebuild(self.path)


class OpenVino(Runtime):
    """An OpenVINO model, its `.xml` and the `.bin` beside it, on the CPU."""

    kind = "OpenVINO"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        openvino = _library("openvino", path)
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelProblem(f"{path.name} needs {weights.name} beside it.")
        self.nbytes += weights.stat().st_size
        try:
            core = openvino.Core()
            model = core.read_model(path)
            # Half precision is the default where the processor has it, and the boxes would be others.
            precise = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
            self._compiled = core.compile_model(model, "CPU", precise)
        # Every fault of the library is a RuntimeError of its own kind.
        except Exception as reason:
            raise ModelProblem(f"{path.name} is not a model that OpenVINO can open.") from reason
        if len(inputs := self._compiled.inputs) != 1:
            raise ModelProblem(f"{path.name} takes {len(inputs)} inputs: it should take pictures and nothing else.")
        shape = [side.get_length() if side.is_static else None for side in inputs[0].partial_shape]
        self._takes(shape, inputs[0].element_type.get_type_name())
        beside = path.with_name("metadata.yaml")
        if beside.is_file():
            try:
                found = yaml_file.read_yaml(beside)
            except (OSError, ValueError) as problem:
                raise ModelProblem(f"{beside.name} cannot be read: {problem}.") from problem
            self.metadata = found if isinstance(found, dict) else {}

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        found = self._compiled(tensor.cpu().numpy())
        # Its arrays are the runtime's own memory, which the next pass writes over.
        return [torch.from_numpy(found[out].copy()) for out in self._compiled.outputs]


def open_file(path: Path) -> Runtime:
    """Open a file in the runtime for its extension; raise ModelProblem where there is none."""
    kinds: dict[tuple[str, ...], type[Runtime]] = {
        ONNX: OnnxRuntime, TORCHSCRIPT: TorchScript, OPENVINO: OpenVino, PROGRAM: Program
    }  # fmt: skip
    for suffixes, kind in kinds.items():
        if path.suffix.lower() in suffixes:
            archive_names(path)
            return kind(path)
    known = ", ".join(suffix for suffixes in kinds for suffix in suffixes)
    raise ModelProblem(f"{path.name} is no exported model: its name should end in one of {known}.")


def plain(value: Any) -> Any:
    """Parse a value of a file's metadata, which ONNX stores as the text of a Python literal."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def taken(spec: ModelSpec, runtime: Runtime) -> int:
    """Return the channels of a file's input, by the file or the table, else 3; raise ModelProblem where they differ."""
    mean = spec.preprocessing.mean
    stated = spec.preprocessing.channels_in or (len(mean) if mean else None)
    if stated is not None and runtime.channels not in (stated, None):
        raise ModelProblem(
            f"{runtime.path.name} takes {runtime.channels} channels, and its preprocessing says {stated}: leave "
            "channels_in out, or give a mean and std for each."
        )
    return stated or runtime.channels or 3


def read_labels(runtime: Runtime) -> tuple[str, ...]:
    """Return the names of classes in a file's metadata, or none."""
    names = plain(runtime.metadata.get("names"))
    if isinstance(names, dict):
        return tuple(str(names[key]) for key in sorted(names, key=int))
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def choice(spec: ModelSpec, key: str, allowed: Sequence[Any], default: Any) -> Any:
    """Return a key of the operator's preprocessing, or its default; raise ModelProblem unless it is allowed."""
    value = getattr(spec.preprocessing, key)
    if value is None:
        return default
    if value not in allowed:
        raise ModelProblem(f"{key} of {spec.id} is {value!r}: use one of {', '.join(map(str, allowed))}.")
    return value
