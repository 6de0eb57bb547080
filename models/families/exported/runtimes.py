"""Open ONNX and TorchScript files.

Each is a module from float32 (B, C, h, w) to the tensors that it answers with; its weights are the runtime's.
"""

import ast
import contextlib
import importlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, describe_error
from sightglass.models import isolated
from sightglass.models.adapter import tensors_of
from sightglass.models.checkpoints import weights
from sightglass.models.checkpoints.checkpoint import archive_names
from sightglass.models.families.exported import workers
from sightglass.models.preprocess import MAX_CHANNELS

_LOST = {True: "did not answer in time", False: "crashed onnxruntime"}
"""What a file did, by whether its process was late."""
ONNX = (".onnx",)
TORCHSCRIPT = (".torchscript", ".ts", ".pt", ".pth")


class Runtime(nn.Module):
    """Base of the kinds of files; each implements `answer`."""

    kind = ""
    """Name of the format, for sentences."""
    keys: tuple[str, ...] = ()
    """Names of the classes in the order of the last answer, where that names them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.nbytes = sum(part.stat().st_size for part in weights.parts_of(path))
        self.metadata: Mapping[str, Any] = {}
        """The exporter's notes, unchanged."""
        self.size: tuple[int, int] | None = None
        """(h, w) of the input where the file fixes it."""
        self.image_size = (0, 0)
        """(h, w) of the input in use."""
        self.batch: int | None = None
        """Pictures that one pass takes, where the file fixes it."""
        self.channels_last = False
        """Whether the file wants (B, h, w, 3), as those made from TensorFlow do."""
        self.dtype = torch.float32
        """The type of numbers that it takes."""
        self.outputs: tuple[str, ...] = ()
        """Names of the answers, where the file has them."""
        self.channels: int | None = None
        """Numbers of a pixel, where the file says it."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Do nothing: the runtime has its own weights, and follows the pictures to their device."""
        return self

    def forward(self, tensor: Tensor) -> dict[str | int, Tensor]:
        """Return the answers to (B, C, h, w) by their names or places."""
        parts = [*self.answer_all(tensor)]
        return dict(zip(self.outputs or range(len(parts[0])), map(torch.cat, zip(*parts, strict=True)), strict=True))

    def answers(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return the answers of one pass, floats as float32, on the tensor's own device.

        Raises ModelProblem where the runtime refuses the tensor.
        """
        inputs = tensor.to(self.dtype)
        inputs = inputs.permute(0, 2, 3, 1) if self.channels_last else inputs
        try:
            outputs = self.answer(inputs.contiguous())
        except (ModelProblem, torch.OutOfMemoryError):
            raise
        # Each runtime has errors of its own.
        except Exception as reason:
            message = next(iter(str(reason).strip().splitlines()[-1:]), type(reason).__name__)[:200].rstrip(".")
            shape = " x ".join(map(str, tensor.shape))
            raise ModelProblem(f"{self.path.name} does not take an input of {shape} ({message}).") from reason
        outputs = [out.to(tensor.device) for out in outputs]
        return tuple(out.float() if out.is_floating_point() else out for out in outputs)

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        """Return the runtime's outputs for an input in the file's own layout and type."""
        raise NotImplementedError

    def answer_all(self, tensor: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield the answers to (B, C, h, w); a batch that the file fixes is filled with the last picture."""
        for part in torch.split(tensor, self.batch or len(tensor)):
            short = (self.batch or len(part)) - len(part)
            full = torch.cat((part, part[-1:].expand(short, -1, -1, -1))) if short else part
            yield tuple(out[: len(part)] if short else out for out in self.answers(full))

    def _read_input(self, shape: Sequence[Any], dtype: str) -> None:
        """Set what the input `shape` fixes by its numbers; raise ModelProblem where it takes no pictures."""
        if len(shape) != 4:
            raise ModelProblem(f"{self.path.name} takes an input of {len(shape)} dimensions: it should take pictures.")
        sides = [side if isinstance(side, int) and side > 0 else None for side in shape]
        few = [side is not None and side <= MAX_CHANNELS for side in sides]
        self.channels_last = sides[1] != 3 and few[3] and (sides[3] == 3 or not few[1])
        batch, *rest = sides
        channels, height, width = (rest[2], *rest[:2]) if self.channels_last else rest
        if channels is not None and channels > MAX_CHANNELS:
            raise ModelProblem(f"{self.path.name} takes {channels} channels, and a picture here has {MAX_CHANNELS}.")
        self.channels = channels
        if dtype not in ("float", "float32", "f32", "float16", "f16"):
            raise ModelProblem(f"{self.path.name} takes {dtype} numbers: export it with a float input.")
        self.dtype = torch.float16 if dtype.endswith("16") else torch.float32
        self.size = (height, width) if height and width else None
        self.batch = batch


class OnnxRuntime(Runtime):
    """An ONNX file (https://onnx.ai) in onnxruntime, in a process with limits, with CUDA if available."""

    kind = "ONNX"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if find_spec("onnxruntime") is None:
            raise ModelProblem(f"{path.name} needs onnxruntime: pip install onnxruntime.")
        self._file = workers.File.at(path)
        self._usual: float | None = None
        """Seconds of all processors that a picture of noise took."""
        try:
            with workers.POOL.borrow(self._file, "cpu", torch.get_num_threads()) as worker:
                declared = worker.declared
        except (isolated.Refused, MemoryError) as reason:
            if (missing := re.search(r'External data path does not exist: "(.+)"', str(reason))) is not None:
                raise ModelProblem(
                    f"{path.name} keeps its weights in {Path(missing[1]).name}, which is missing: put it there."
                ) from reason
            why = re.sub(r"^.*failed: ?", "", describe_error(reason))
            raise ModelProblem(
                f"{path.name} is not a model that onnxruntime can open ({why}): export it anew, in float32."
            ) from reason
        except isolated.Lost as reason:
            raise ModelProblem(f"{path.name} {_LOST[reason.late]} when it was opened: export it again.") from reason
        if len(declared.inputs) != 1:
            raise ModelProblem(f"{path.name} takes {len(declared.inputs)} inputs: it should take pictures alone.")
        if not declared.outputs:
            raise ModelProblem(f"{path.name} answers with texts alone: export it with the scores of its classes.")
        ((_, shape, kind),) = declared.inputs
        self._read_input(shape, kind.removeprefix("tensor(").removesuffix(")"))
        self.outputs, self.metadata = tuple(declared.outputs), declared.metadata

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        if self._file.set_aside:
            raise ModelProblem(self._file.set_aside)
        array, count = tensor.cpu().numpy(), len(tensor)
        seconds = isolated.pass_seconds(self._usual, count)
        for again in (True, False):
            try:
                with workers.POOL.borrow(self._file, tensor.device.type, torch.get_num_threads()) as worker:
                    outputs, took = worker.run(array, seconds)
                break
            except MemoryError as reason:
                # As on a GPU: it may fit with fewer pictures.
                self._file.note(failed=count == 1)
                raise torch.OutOfMemoryError(str(reason)) from reason
            except isolated.Lost as reason:
                # It may not be the file that ended a process: a crash is tried once more.
                if reason.late or not again:
                    self._file.note(failed=True)
                    raise ModelProblem(
                        f"{self.path.name} {_LOST[reason.late]} for this picture: give another picture or model."
                    ) from reason
        self._file.note(failed=False)
        self._usual = took / count if self._usual is None else self._usual
        self.keys = worker.keys
        return [torch.from_numpy(out) for out in outputs]


class TorchScript(Runtime):
    """A TorchScript module, opened only from trusted places as it may run code."""

    kind = "TorchScript"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        module = self._open(torch.device("cpu"))
        # Not a submodule: scripted parts take no hooks.
        self._module = [module]
        self.dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
        # The file does not say how many channels it takes, but the first convolution has as many.
        first = next((p.shape[1] for p in module.parameters() if p.ndim == 4), 3)
        self.channels = first if first <= MAX_CHANNELS else None

    def _open(self, device: torch.device) -> Any:
        self._device = device
        # Detectors use its operations.
        importlib.import_module("torchvision")
        # Where Ultralytics' export writes what it knows.
        extra = {"config.txt": ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                module = torch.jit.load(str(self.path), map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as reason:
            why = f"is not a TorchScript file that opens here ({describe_error(reason)})"
            raise ModelProblem(f"{self.path.name} {why}: make it with torch.jit.trace.") from reason
        with contextlib.suppress(ValueError, RecursionError):
            self.metadata = json.loads(extra["config.txt"]) if extra["config.txt"] else {}
        return module.eval() if hasattr(module, "training") else module

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        # Reopened, as traced constants do not move with the module.
        if tensor.device != self._device:
            self._module[:] = [self._open(tensor.device)]
        with torch.no_grad():
            return tensors_of(self._module[0](tensor))


def open_file(path: Path) -> Runtime:
    """Open a file in its extension's runtime; raise ModelProblem without one."""
    suffix = path.suffix.lower()
    if suffix not in (*ONNX, *TORCHSCRIPT):
        known = ", ".join((*ONNX, *TORCHSCRIPT))
        raise ModelProblem(f"{path.name} is no exported model: its name should end in one of {known}.")
    archive_names(path)
    return OnnxRuntime(path) if suffix in ONNX else TorchScript(path)


def plain(value: Any) -> Any:
    """Parse a metadata value; ONNX stores Python literals as text."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return value


def read_labels(runtime: Runtime) -> tuple[str, ...]:
    """Return the names of classes in a file's answers or metadata, or none."""
    if runtime.keys:
        return runtime.keys
    names = plain(runtime.metadata.get("names"))
    if isinstance(names, dict):
        with contextlib.suppress(ValueError, TypeError):
            return tuple(str(names[key]) for key in sorted(names, key=int))
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()
