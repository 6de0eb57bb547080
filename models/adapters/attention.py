"""Record attention weights of any torch module.

Fused kernels (`scaled_dot_product_attention`, `nn.MultiheadAttention`) never store their weights. Inside
`record_attention` this thread's calls to them are computed step by step instead, and the callback gets the weights, in
the graph. Softmaxes that a module computes itself (Swin, Transformers' eager attention) are passed on as they are. The
module is not changed, and other threads' passes through it stay fused.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sightglass.models.adapter import Record

Sample = Callable[[Tensor, Tensor], None]
"""Called with the input (B, C, h, w) and the grid (B, H, W, 2) of a `grid_sample`."""


@contextmanager
def record_attention(module: nn.Module, record: Record, sample: Sample | None = None) -> Iterator[None]:
    """Pass each attention's weights through `record` while the context lasts, and places of samples to `sample`.

    The path is the innermost attention module's, relative to `module`. Swin's windows count as pictures: weights are
    then (B * windows, heads, queries, keys).
    """
    paths, caller = [""], threading.get_ident()

    def enter(path: str, *_: Any) -> None:
        if threading.get_ident() == caller:
            paths.append(path)

    def leave(*_: Any) -> None:
        if threading.get_ident() == caller:
            paths.pop()

    with ExitStack() as hooks:
        for path, part in module.named_modules():
            # A softmax module counts as the module around it; exported files show that by its name alone.
            if path and not isinstance(part, torch.nn.Softmax) and path.rpartition(".")[2] != "softmax":
                hooks.enter_context(part.register_forward_pre_hook(partial(enter, path)))
                hooks.enter_context(part.register_forward_hook(leave, always_call=True))
        hooks.enter_context(_ExplicitAttention(lambda weights: record(paths[-1], weights), sample))
        yield


class _ExplicitAttention(TorchFunctionMode):
    """Compute this thread's attention step by step."""

    def __init__(self, record: Callable[[Tensor], Tensor], sample: Sample | None = None) -> None:
        super().__init__()
        self._record, self._sample = record, sample

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        options: Mapping[str, Any] = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **options)
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **options)
        if func is F.grid_sample and self._sample is not None:
            self._sample(args[0], args[1])
        out = func(*args, **options)
        return self._softmax(args, options, out) if func in (torch.softmax, torch.Tensor.softmax, F.softmax) else out

    def _record_any(self, weights: Tensor) -> Tensor:
        """Record weights of any rank as (B, heads, queries, keys)."""
        if weights.ndim == 4:
            return self._record(weights)
        if weights.ndim == 3:
            return self._record(weights[None])[0]
        return self._record(weights.flatten(0, -4)).view_as(weights)

    def _softmax(self, args: Sequence[Any], options: Mapping[str, Any], out: Tensor) -> Tensor:
        """Record a module's own softmax where it is over the last axis of at least three, as that of keys is."""
        dim = args[1] if len(args) > 1 else options.get("dim")
        over_keys = out.ndim >= 3 and dim in (-1, out.ndim - 1) and out.shape[-1] > 1
        return self._record_any(out) if over_keys else out

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Compute attention as PyTorch documents it, without dropout."""
        if enable_gqa:
            key, value = (tensor.repeat_interleave(query.shape[-3] // tensor.shape[-3], -3) for tensor in (key, value))
        logits = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            future = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).triu(1)
            logits = logits.masked_fill(future, -math.inf)
        if attn_mask is not None:
            is_boolean = attn_mask.dtype == torch.bool
            logits = logits.masked_fill(~attn_mask, -math.inf) if is_boolean else logits + attn_mask
        return self._record_any(logits.softmax(-1)) @ value

    def _multi_head(self, *args: Any, **keywords: Any) -> tuple[Tensor, Tensor | None]:
        recorded: list[Tensor] = []

        def record_weights(weights: Tensor) -> Tensor:
            recorded.append(self._record(weights))
            return recorded[-1]

        def attend(*inner: Any, **options: Any) -> Tensor:
            return _ExplicitAttention(record_weights)._attend(*inner, **options)

        # PyTorch's own function with another attention in it; unchanged it would call this mode again, without end.
        patched = patch_callees(F.multi_head_attention_forward, scaled_dot_product_attention=attend)
        output, _ = patched(*args, **{**keywords, "need_weights": False})
        if not keywords.get("need_weights", True):
            return output, None
        weights = recorded[0].mean(1) if keywords.get("average_attn_weights", True) else recorded[0]
        return output, weights if args[0].ndim == 3 else weights[0]


def patch_callees(function: Any, **changed: Any) -> Any:
    """Return a copy of a PyTorch function with some callees replaced."""
    namespace = {**function.__globals__, "has_torch_function": lambda _: False, **changed}
    patched = FunctionType(function.__code__, namespace, argdefs=function.__defaults__)
    patched.__kwdefaults__ = function.__kwdefaults__
    return patched
