"""Fold batch norms into convolutions for a faster copy.

In eval mode a batch norm only scales and shifts a convolution's output, as other weights would. The folded copy gives
the same maps up to float32's rounding, in 0.4 to 0.95 of the time on a CPU. It lacks the outputs of convolutions before
their norms: those layers are explained in the model itself.
"""

import copy
import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache, partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from sightglass.models.adapter import Adapter, is_changed, tensors_of
from sightglass.models.adapters.tasks import same_answer

LOGGER = logging.getLogger(__name__)
WITHIN = 1e-4
"""Largest difference of the folded copy's answer from the model's, relative to the largest number in it."""
SHAPES = 2
"""Input shapes for which a convolution's packed weights are cached: those of one picture and of a batch, say."""
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}
"""oneDNN's names of activations, with their parameters."""
_NORMS = {
    ("sightglass", "Norm"),
    ("timm", "BatchNormAct2d"),
    ("timm", "FrozenBatchNormAct2d"),
    ("torchvision", "FrozenBatchNorm2d"),
}
"""Library and type of batch norms besides `nn.BatchNorm2d`; some hold their activation."""
_LIBRARIES = ("sightglass", "timm", "torch", "torchvision", "ultralytics")
"""Libraries whose convolutions compute with the weights that they hold; other subclasses may not."""


def conv_act(conv: nn.Conv2d, act: nn.Module, tensor: Tensor) -> Tensor:
    """Compute `act(conv(tensor))`, fused on a CPU without gradients.

    A module with hooks is called as usual. The weights are frozen.
    """
    if not _fusible(conv, act, tensor) or is_changed(conv) or is_changed(act):
        out: Tensor = act(conv(tensor))
        return out
    if (packed := _PACKED.get(conv.weight)) is None:
        packed = _PACKED[conv.weight] = _Packed()
    return _conv_and_act(conv, act, tensor, packed.weight(tensor, _state(conv.weight), lambda: conv), conv.bias)


def join_act(part: Any) -> None:
    """Have a module compute its own `conv` and `act` by `conv_act`."""
    part.forward = MethodType(lambda part, tensor: conv_act(part.conv, part.act, tensor), part)


def folds() -> bool:
    """Return whether folding is allowed: not in tracing or compiling."""
    return not (torch._C._get_tracing_state() or torch.compiler.is_compiling())


def nbytes(module: nn.Module) -> int:
    """Return the bytes of packed and folded weights besides a module's own."""
    packed = sum(_PACKED[weight].nbytes for weight in module.parameters() if weight in _PACKED)
    return packed + sum(part.nbytes for _, part in module.named_modules() if isinstance(part, _FoldedConv))


class _Packed:
    """A convolution's weights in oneDNN's layout: one for another shape or number of threads is up to 500x slower."""

    def __init__(self) -> None:
        self._by_state: dict[object, Tensor] = {}
        self.nbytes = 0

    def weight(self, tensor: Tensor, state: object, dense: Callable[[], nn.Conv2d]) -> Tensor:
        """Return `dense`'s packed weights, repacked for a new shape or `state`."""
        key = (tensor.shape, torch.get_num_threads(), state)
        if (packed := self._by_state.get(key)) is None:
            conv = dense()
            packed = self._by_state[key] = _pack(conv, tensor.shape)
            for stale in [*self._by_state][:-SHAPES]:
                self._by_state.pop(stale, None)
            self.nbytes = len(self._by_state) * conv.weight.nbytes
        return packed


_PACKED: MutableMapping[Tensor, _Packed] = WeakTensorKeyDictionary()
"""Packed weights of `conv_act`, by the weights themselves."""


def _state(*weights: Tensor | None) -> tuple[tuple[int, int], ...]:
    """Return a key that changes whenever one of the weights does."""
    return tuple(
        (weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in weights if weight is not None
    )


def _fusible(conv: nn.Conv2d, act: nn.Module, tensor: Tensor) -> bool:
    """Return whether oneDNN can fuse both, without a gradient."""
    plain_conv = type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    fits = tensor.ndim == 4 and tensor.device.type == "cpu" and tensor.dtype == torch.float32
    differentiated = tensor.requires_grad and torch.is_grad_enabled()
    allowed = not differentiated and not torch.is_autocast_enabled("cpu") and folds()
    return plain_conv and type(act) in _ACTIVATIONS and fits and allowed and _fused()


def _options(conv: nn.Conv2d) -> tuple[list[int], list[int], list[int], int]:
    return list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups  # type: ignore[arg-type]


def _pack(conv: nn.Conv2d, shape: Sequence[int]) -> Tensor:
    weight: Tensor = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *_options(conv), [*shape])
    return weight


def _conv_and_act(conv: nn.Conv2d, act: nn.Module, tensor: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    name, numbers = _ACTIVATIONS[type(act)]
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(tensor, packed, bias, *_options(conv), name, numbers, "")
    return out


@cache
def _fused() -> bool:
    """Return whether PyTorch's fused operations exist and are correct.

    The answer holds for the whole process: no default device, autocast or hooks of the first call have a part in it.
    """
    kind: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
    with suppress(RuntimeError, AttributeError, TypeError), torch.no_grad(), torch.autocast("cpu", enabled=False):
        conv = nn.utils.skip_init(nn.Conv2d, 2, 3, 3, padding=1, **kind)  # type: ignore[no-untyped-call]
        conv.weight.copy_(torch.linspace(-1, 1, conv.weight.numel(), **kind).view_as(conv.weight))
        bias = torch.linspace(-1, 1, 3, **kind)
        values = torch.linspace(-2, 2, 50, **kind).reshape(1, 2, 5, 5)
        expected = nn.functional.silu(nn.functional.conv2d(values, conv.weight, bias, padding=1))
        result = _conv_and_act(conv, nn.SiLU(), values, _pack(conv, values.shape), bias)
        return torch.allclose(result, expected, atol=1e-5)
    return False


@dataclass(frozen=True)
class FoldedCopy:
    """A module with the same answers as another one, computed faster."""

    module: nn.Module
    """Shares the other's weights; those with a norm folded in are made when they are first used."""
    missing: frozenset[str]
    """Paths of modules whose outputs it does not compute."""


def fold_copy(adapter: Adapter, tensor: Tensor) -> FoldedCopy | None:
    """Return the folded copy of an adapter's module, or None.

    `tensor` is an input (1, C, h, w): it is passed through both, and there is no copy if the modules are called in
    another order, or the answer differs.
    """
    if not any(_is_norm(part) for _, part in adapter.module.named_modules()):
        return None
    try:
        return _fold_copy(adapter, tensor)
    except Exception:
        # It only saves time: everything works without it.
        LOGGER.info("a %s has no folded copy", type(adapter.module).__name__, exc_info=True)
        return None


def _fold_copy(adapter: Adapter, tensor: Tensor) -> FoldedCopy | None:
    module = adapter.module
    record = _PassRecord(adapter, tensor, [path for path, _ in module.named_modules() if path])
    pairs = {conv: readers[0] for conv, readers in record.readers.items() if _can_fold(module, record, conv, readers)}
    if not pairs:
        return None
    folded = copy_adapter(adapter)
    for conv, norm in pairs.items():
        conv_module, norm_module = folded.module.get_submodule(conv), folded.module.get_submodule(norm)
        folded.module.set_submodule(conv, _FoldedConv(conv_module, norm_module))  # type: ignore[arg-type]
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            (name, nn.Identity()) for name, _ in norm_module.named_children()
        )
        folded.module.set_submodule(norm, nn.Sequential(parts))
    folded_record = _PassRecord(folded, tensor, record.paths)
    if folded_record.called != record.called or not _same_answers(folded_record.answer, record.answer):
        return None
    # A norm's drop comes before its activation, which is in the convolution now.
    drops = {f"{norm}.drop" for norm in pairs.values()}.intersection(record.paths)
    return FoldedCopy(folded.module, frozenset(path for conv in pairs for path in record.returned_by[conv]) | drops)


def _is_norm(module: nn.Module) -> bool:
    # By name, as importing the library takes half a second.
    library = type(module).__module__.partition(".")[0]
    return type(module) is nn.BatchNorm2d or (library, type(module).__name__) in _NORMS


def copy_module(module: nn.Module) -> nn.Module:
    """Copy a module's parts, over the same weights."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())})


def copy_adapter(adapter: Adapter) -> Adapter:
    """Return an adapter of copied modules over the same weights."""
    copied = copy.copy(adapter)
    copied.module = copy_module(adapter.module)
    return copied


def _can_fold(module: nn.Module, record: "_PassRecord", conv: str, readers: list[str]) -> bool:
    """Return whether a norm that can be folded is a convolution's only reader."""
    layer, norm = module.get_submodule(conv), module.get_submodule(readers[0])
    # Weights recomputed in every pass cannot be folded.
    plain_conv = next(layer.children(), None) is None and "weight" in layer._parameters
    plain_conv &= type(layer).__module__.partition(".")[0] in _LIBRARIES
    unchanged = not is_changed(layer) and not is_changed(norm)
    once = len(readers) == 1 and record.called.count(conv) == record.called.count(readers[0]) == 1
    parts = dict(norm.named_children())
    drops_nothing = isinstance(parts.pop("drop", nn.Identity()), (nn.Identity, nn.Dropout))
    is_fixed = _is_norm(norm) and not norm.training and norm.running_mean is not None
    return plain_conv and unchanged and once and is_fixed and drops_nothing and parts.keys() <= {"act"}


def _same_answers(tensors: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Return whether two passes' answers are the same but for rounding."""
    if len(tensors) != len(expected) or not any(tensor.is_floating_point() and tensor.numel() for tensor in expected):
        return False
    return all(map(partial(same_answer, within=WITHIN), tensors, expected))


class _FoldedConv(nn.Module):
    """Replacement of a convolution, its norm, and the norm's activation."""

    def __init__(self, conv: nn.Conv2d, norm: Any) -> None:
        super().__init__()
        self.conv, self.act = conv, getattr(norm, "act", nn.Identity())
        self._norm = [norm]  # not a submodule: it is never called
        self._packed = _Packed()
        self._bias: Tensor | None = None
        self._dense: tuple[object, nn.Conv2d] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "_FoldedConv":
        # What oneDNN has laid out cannot be copied.
        return _FoldedConv(copy.deepcopy(self.conv, memo), copy.deepcopy(self._norm[0], memo))

    @property
    def nbytes(self) -> int:
        """Bytes of the weights with the norm folded in."""
        return self._packed.nbytes + (self.conv.weight.nbytes if self._dense else 0)

    def forward(self, tensor: Tensor) -> Tensor:
        (norm,) = self._norm
        state = _state(self.conv.weight, self.conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        if _fusible(self.conv, self.act, tensor):
            weight = self._packed.weight(tensor, state, self._fold)
            return _conv_and_act(self.conv, self.act, tensor, weight, self._bias)
        if self._dense is None or self._dense[0] != state:
            self._dense = state, self._fold()
        out: Tensor = self.act(self._dense[1](tensor))
        return out

    # Inference tensors could not be reused for a gradient later.
    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _fold(self) -> nn.Conv2d:
        (norm,), weight, bias = self._norm, self.conv.weight, self.conv.bias
        scale = torch.rsqrt(norm.running_var + norm.eps) * (1 if norm.weight is None else norm.weight)
        shift = (0 if norm.bias is None else norm.bias) - norm.running_mean * scale
        layout = torch.channels_last if weight.is_contiguous(memory_format=torch.channels_last) else None
        scaled = (weight * scale[:, None, None, None]).contiguous(memory_format=layout or torch.contiguous_format)
        # Its own way of padding comes along with its class.
        folded = copy.copy(self.conv)
        folded._parameters = dict(self.conv._parameters)
        folded.weight = nn.Parameter(scaled, requires_grad=False)
        self._bias = shift if bias is None else shift + bias * scale
        folded.bias = nn.Parameter(self._bias, requires_grad=False)
        return folded


class _PassRecord:
    """Record of one pass: module calls in order, and convolutions' readers."""

    def __init__(self, adapter: Adapter, tensor: Tensor, paths: Sequence[str]) -> None:
        self.paths = paths
        self.called: list[str] = []
        self._caller = threading.get_ident()
        self.readers: dict[str, list[str]] = {}
        """By a convolution's path: the norms and innermost modules that were given its output."""
        self.returned_by: dict[str, list[str]] = {}
        """By a convolution's path: it, and the modules around it that returned its output as it is."""
        self._producers: dict[int, tuple[weakref.ref[Tensor], str]] = {}
        with torch.no_grad(), ExitStack() as hooks:
            for path in paths:
                module = adapter.module.get_submodule(path)
                hooks.enter_context(module.register_forward_pre_hook(partial(self._enter, path)))
                hooks.enter_context(module.register_forward_hook(partial(self._leave, path)))
            self.answer = tensors_of(adapter.run(tensor))

    def _enter(self, path: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if threading.get_ident() != self._caller:
            return  # another thread's pass through the same module
        self.called.append(path)
        inner = _is_norm(module) or next(module.children(), None) is None
        if inner and inputs and (conv := self._find_conv(inputs[0])):
            self.readers.setdefault(conv, []).append(path)

    def _leave(self, path: str, module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or threading.get_ident() != self._caller:
            return
        if isinstance(module, nn.Conv2d):
            # Weak references: all outputs of a large model would not fit.
            self._producers[id(output)] = weakref.ref(output), path
        if conv := self._find_conv(output):
            self.returned_by.setdefault(conv, []).append(path)

    def _find_conv(self, tensor: Any) -> str:
        """Return the path of a tensor's convolution, or an empty string."""
        reference, path = self._producers.get(id(tensor), (None, ""))
        # An id is reused by later tensors.
        return path if reference is not None and reference() is tensor else ""
