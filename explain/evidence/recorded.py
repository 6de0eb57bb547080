"""Work on a GPU recorded as CUDA graphs.

A GPU waits for a small network's launches; a recorded pass is one launch. It is used only where it gave the same bits
as the pass itself; recorded functions of tensors are not compared.
"""

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sightglass.common import settings
from sightglass.common.errors import Problem
from sightglass.explain.evidence.cache import ByteCache
from sightglass.models.adapter import Adapter, tensors_of
from sightglass.models.adapters.classifier import Logits
from sightglass.models.adapters.detector import Detections

LOGGER = logging.getLogger(__name__)
T = TypeVar("T")
Outputs = tuple[dict[tuple[str, int], Tensor], Any]
"""What the layers returned, by `Layer.key`, and what the adapter did."""
Seed = tuple[Tensor, tuple[int | slice, ...]]
"""A gradient at a part of an output, and the index of that part; it is 0 elsewhere."""
MAX_SEEN = 256
"""Keys that are remembered: pictures of a folder may all differ in shape."""


def records(device: torch.device) -> bool:
    """Return whether work on a device is recorded: on a GPU, unless the setting is off."""
    return device.type == "cuda" and settings.settings().cuda_graphs


def new_stream(device: torch.device) -> Any:
    """Return a stream to record on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


_RECORDING = threading.Lock()
"""A process records one graph at a time."""


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collect the tensors from outside that operations read: a graph keeps their addresses and not them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensors: dict[int, Tensor] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor) and (place := tensor.untyped_storage().data_ptr()) not in self._made:
                self.tensors.setdefault(place, tensor)
        result = func(*args, **(kwargs or {}))
        # Tensors of the CPU have addresses of their own, and a copy of one may be part of the graph.
        outputs = (tensor for tensor in tree_leaves(result) if isinstance(tensor, Tensor) and tensor.is_cuda)
        self._made.update(tensor.untyped_storage().data_ptr() for tensor in outputs)
        return result


class Recorded(Generic[T]):
    """What a function launches on a GPU, as a CUDA graph; each replay overwrites the tensors of `result`."""

    def __init__(self, call: Callable[[], T], stream: Any, pool: Any = None, sources: Sequence[Tensor] = ()) -> None:
        """Record `call`, on a stream of its own; raises RuntimeError where it reads a value on the way.

        `pool`: the memory of a graph on the same stream, to share what it leaves free. `sources`: the tensors that
        `call` reads, which the caller fills before a replay.
        """
        self.sources = sources
        with _RECORDING:
            self._record(call, stream, pool)

    def _record(self, call: Callable[[], T], stream: Any, pool: Any) -> None:
        current = torch.cuda.current_stream(stream.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            # The libraries' handles and workspaces cannot be made while a graph is recorded.
            call()
        current.wait_stream(stream)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved(stream.device)
        self.graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        with (
            torch.cuda.graph(self.graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
            _Reads() as reads,
        ):
            self.result = call()
        self._reads = reads.tensors
        self.nbytes = max(0, torch.cuda.memory_reserved(stream.device) - before)
        """Bytes of the GPU that its tensors and workspaces take."""

    @property
    def pool(self) -> Any:
        return self.graph.pool()

    def replay(self) -> None:
        self.graph.replay()


class _Product(NamedTuple):
    """Seeds at some outputs, what computes the layers' gradients of them, and its recording, if there is one."""

    seeds: list[Tensor]
    compute: Callable[[], Sequence[Tensor | None]]
    recorded: Recorded[Sequence[Tensor | None]] | None


class Recording:
    """A pass for one input shape, with its products of gradients; its results are copies."""

    def __init__(self, run: Callable[[Tensor], Outputs], tensor: Tensor, constants: Iterable[Tensor]) -> None:
        """Record `run`, which was called before with an input of the shape of `tensor`.

        `constants`: tensors that no pass changes, which are not copied.
        """
        self._stream = new_stream(tensor.device)
        self._input = tensor.clone()
        self._loaded: Tensor | None = None
        self._constants = {constant.untyped_storage().data_ptr() for constant in constants}
        self._pass = Recorded(lambda: run(self._input), self._stream)
        self._layers, self._outputs = [*self._pass.result[0].values()], self._pass.result[1]
        self._roots = [output for output in tensors_of(self._outputs) if output.requires_grad]
        self._products: dict[tuple[bool, ...], _Product] = {}
        self.calls: Mapping[str, int] = {}
        """How often each layer ran in the pass, by path."""
        self.averages = False
        """Whether the features that the logits are made of are the mean over the only layer's places."""

    @property
    def nbytes(self) -> int:
        products = (product.recorded for product in self._products.values())
        return self._pass.nbytes + sum(recorded.nbytes for recorded in products if recorded is not None)

    @property
    def differentiable(self) -> bool:
        """Whether an output depends on a layer, as far as the kinds of outputs are known."""
        detections = self._outputs if isinstance(self._outputs, Detections) else None
        leaves = self._roots if detections is None else [leaf for leaf in detections.leaves if leaf.requires_grad]
        return len(leaves) == len(self._roots) > 0

    def run(self, tensor: Tensor) -> Outputs:
        """Return what the pass gives for an input, out of the graph."""
        self._load(tensor)
        layers = {path: output.detach().clone() for path, output in self._pass.result[0].items()}
        return layers, _copied(self._outputs, self._constants)

    def _load(self, tensor: Tensor) -> None:
        """Replay the pass unless `tensor` was its last input."""
        if self._loaded is not tensor:
            self._input.copy_(tensor)
            self._pass.replay()
            self._loaded = tensor

    def product(self, tensor: Tensor, seeds: Sequence[Seed | None]) -> list[Tensor | None]:
        """Return a scalar's gradient at each layer's output in the pass of `tensor`; None where none arrives.

        `seeds`: its gradient at each output of the pass that depends on a layer, in order, or None.
        """
        self._load(tensor)
        used = tuple(seed is not None for seed in seeds)
        if used not in self._products:
            self._products[used] = self._record_product(used)
        product = self._products[used]
        parts = [(buffer[seed[1]], seed[0]) for buffer, seed in zip(product.seeds, filter(None, seeds), strict=True)]
        for part, values in parts:
            part.copy_(values)
        if product.recorded is None:
            slopes = product.compute()
        else:
            product.recorded.replay()
            slopes = product.recorded.result
        copies = [None if slope is None else slope.clone() for slope in slopes]
        for part, _ in parts:
            part.zero_()
        return copies

    def _record_product(self, used: Sequence[bool]) -> _Product:
        roots = [root for root, is_used in zip(self._roots, used, strict=True) if is_used]
        buffers = [torch.zeros_like(root) for root in roots]

        def compute() -> Sequence[Tensor | None]:
            return torch.autograd.grad(roots, self._layers, buffers, retain_graph=True, allow_unused=True)

        try:
            return _Product(buffers, compute, Recorded(compute, self._stream, self._pass.pool))
        except RuntimeError as error:
            LOGGER.info("a gradient is not recorded as a CUDA graph: %s", str(error).partition("\n")[0])
            return _Product(buffers, compute, None)

    def measure_mean(self, *tensors: Tensor) -> None:
        """Set `averages` by the gradients of the features in the passes of some inputs."""
        outputs = self._outputs
        if not isinstance(outputs, Logits) or outputs.weight is None or outputs.features is None:
            return
        layer, features = self._layers[0], outputs.features
        if len(self._layers) > 1 or layer.ndim != 4 or features.shape != layer.shape[:2]:
            return
        seed = torch.linspace(-1, 1, features.numel(), device=features.device).view_as(features)
        evenly = (seed / layer[0, 0].numel())[:, :, None, None].expand_as(layer)
        seeds: list[Seed | None] = [(seed, ()) if root is features else None for root in self._roots]
        slopes = [self.product(tensor, seeds)[0] for tensor in tensors]
        self.averages = all(slope is not None and torch.equal(slope, evenly) for slope in slopes)


def _copied(answer: Any, constants: Iterable[int] = ()) -> Any:
    """Copy an answer's tensors but those whose memory is constant."""
    if isinstance(answer, Tensor):
        if answer.untyped_storage().data_ptr() in constants:
            return answer
        return answer.detach().clone().requires_grad_(answer.requires_grad)
    if is_dataclass(answer) and not isinstance(answer, type):
        return replace(answer, **{item.name: _copied(getattr(answer, item.name), constants) for item in fields(answer)})
    if isinstance(answer, (list, tuple)):
        return type(answer)([_copied(part, constants) for part in answer])
    return {key: _copied(part, constants) for key, part in answer.items()} if isinstance(answer, dict) else answer


Replayed = TypeVar("Replayed", Recorded[Any], Recording)


class _RecordingCache(ByteCache[Replayed]):
    """Recordings by what they are of, the latest used within some bytes of a GPU: only what comes again is recorded."""

    def __init__(self, limit: int | Callable[[], int]) -> None:
        super().__init__(limit, lambda recording: recording.nbytes)
        self._recordable: dict[Hashable, bool] = {}

    def record(self, key: Hashable, name: str, make: Callable[[], Replayed | None]) -> None:
        """Keep what `make` gives where the key comes again; one line in the log where it gives None or fails."""
        if key not in self._recordable:
            if len(self._recordable) >= MAX_SEEN:
                self._recordable.clear()
            self._recordable[key] = True
        elif self._recordable[key]:
            # Not again: what was dropped for lack of memory would push out others each time.
            self._recordable[key] = False
            try:
                recording, reason = make(), "it gives other numbers"
            except (Problem, RuntimeError) as error:
                recording, reason = None, str(error.__cause__ or error).partition("\n")[0]
            if recording is not None:
                self.put(key, recording)
            else:
                LOGGER.info("%s is not recorded as a CUDA graph: %s", name, reason)


class Recordings(_RecordingCache[Recording]):
    """A model's recorded passes, within a half of the memory for models."""

    def __init__(self) -> None:
        super().__init__(lambda: settings.models_bytes() // 2)

    def add(
        self, key: Hashable, tensor: Tensor, outputs: Outputs, make: Callable[[Tensor], Recording], adapter: Adapter
    ) -> None:
        """Record a pass that comes a second time, if it then gives the same bits.

        `tensor`, `outputs`: an input, and what the pass has given for it.
        """

        def record() -> Recording | None:
            # Another input, for a uniform picture as well.
            recording, other = make(tensor), tensor.flip(-1) / 2 + 0.1
            repeated = recording.run(tensor)
            # A function that reads the recording's own tensors would see those of the next input.
            recording.run(other)
            recording.measure_mean(tensor, other)
            return recording if recording.differentiable and _equal(repeated, outputs, adapter) else None

        self.record(key, f"a pass of {adapter.spec.id}", record)


def _equal(first: Outputs, second: Outputs, adapter: Adapter) -> bool:
    """Return whether two passes gave the same bits."""
    rows = [[*layers.values(), *tensors_of(answer), adapter.answer_row(answer)] for layers, answer in (first, second)]
    for row, (_, answer) in zip(rows, (first, second), strict=True):
        if isinstance(answer, Detections):
            row += [answer.boxes, answer.scores]
    return len(rows[0]) == len(rows[1]) and all(map(torch.equal, *rows))


class _Functions(_RecordingCache[Recorded[Any]]):
    """Functions of tensors without gradients, recorded when they come a second time with the same shapes."""

    _calling = threading.Lock()

    def __call__(self, key: Hashable, call: Callable[[Sequence[Tensor]], T], tensors: Sequence[Tensor]) -> T:
        """Return `call(tensors)`; `key` names the function and all that it reads besides."""
        device = tensors[0].device
        if not records(device):
            return call(tensors)
        precision = torch.get_float32_matmul_precision()
        key = (key, device, precision, *((tensor.shape, tensor.dtype, tensor.stride()) for tensor in tensors))
        with self._calling, torch.no_grad():
            if (function := self.get(key)) is None:
                result = call(tensors)
                self.record(key, "a function", lambda: self._record(call, tensors))
                return result
            for source, tensor in zip(function.sources, tensors, strict=True):
                source.copy_(tensor)
            function.replay()
            copied: T = _copied(function.result)
            return copied

    def _record(self, call: Callable[[Sequence[Tensor]], T], tensors: Sequence[Tensor]) -> Recorded[T]:
        sources = [tensor.clone() for tensor in tensors]
        return Recorded(lambda: call(sources), new_stream(tensors[0].device), sources=sources)


replayed = _Functions(256 * 2**20)
"""Calls a function of tensors, or replays it; its recordings take at most 256 MiB of a GPU."""
