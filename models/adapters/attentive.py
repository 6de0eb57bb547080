"""Attention as it is weighed: what any torch module multiplies its values by, whichever way it computes attention.

Fused kernels (`scaled_dot_product_attention`, PyTorch's own `nn.MultiheadAttention`) never hold their weights. While
`revealed` lasts, this thread's calls to them are computed step by step instead, and whoever listens is handed the
weights, in the graph. Softmaxes that a module computes by itself (Swin, Transformers' eager attention) are handed over
as they are. Nothing of the module is changed, and another thread's passes through it stay fused.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from models.adapter import Layer

Record = Callable[[str, "Tensor"], "Tensor"]
"""Hears of (path, weights (B, heads, queries, keys)) and returns what is used in their place, as a rule the same."""


@contextmanager
def revealed(module: nn.Module, record: Record) -> Iterator[None]:
    """While it lasts each attention inside `module` is computed openly, and `record` is asked for its weights.

    The path is that of the innermost module that attends, below `module`. A window of Swin counts as one more picture:
    weights are (B * windows, heads, queries, keys) then.
    """
    here, caller = [""], threading.get_ident()

    def enter(path: str) -> Callable[..., None]:
        def entered(*_: Any) -> None:
            if threading.get_ident() == caller:
                here.append(path)

        return entered

    def leave(*_: Any) -> None:
        if threading.get_ident() == caller:
            here.pop()

    handles = []
    for path, part in module.named_modules():
        # A softmax that is a module speaks for the one around it; of an exported file only its name tells it.
        if path and not isinstance(part, torch.nn.Softmax) and path.rpartition(".")[2] != "softmax":
            handles.append(part.register_forward_pre_hook(enter(path)))
            handles.append(part.register_forward_hook(leave, always_call=True))
    try:
        with _Open(lambda weights: record(here[-1], weights)):
            yield
    finally:
        for handle in handles:
            handle.remove()


def found(module: nn.Module, run: Callable[[], Any]) -> dict[str, tuple[int, ...]]:
    """What attends in one `run`: the weights' (B, heads, queries, keys) by path, in the order of execution."""
    shapes: dict[str, tuple[int, ...]] = {}

    def look(path: str, weights: Tensor) -> Tensor:
        shapes.setdefault(path, tuple(weights.shape))
        return weights

    with torch.no_grad(), revealed(module, look):
        run()
    return shapes


def default_layers(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The last map; of a transformer what its last attention reads.

    Behind that a token no longer stands for its own place alone, and where one token is the answer (CLS) no other gets
    a gradient. docs/transformers.md has the figures.
    """
    read = [layer for layer in layers if layer.read_by]
    return ((read or layers)[-1].path,)


class _Open(TorchFunctionMode):
    """This thread's attention, step by step."""

    def __init__(self, told: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._told = told

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given: Mapping[str, Any] = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **given)
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **given)
        out = func(*args, **given)
        return self._weights(args, given, out) if func in _SOFTMAXES else out

    def _tell(self, weights: Tensor) -> Tensor:
        """The weights, whatever their leading sides, as four: (B, heads, queries, keys); back as they came."""
        if weights.ndim == 4:
            return self._told(weights)
        if weights.ndim == 3:
            return self._told(weights[:, None])[:, 0]
        return self._told(weights.flatten(0, -4)).view_as(weights)

    def _weights(self, args: Sequence[Any], given: Mapping[str, Any], out: Tensor) -> Tensor:
        side = args[1] if len(args) > 1 else given.get("dim")
        over_keys = out.ndim >= 3 and side in (-1, out.ndim - 1) and out.shape[-1] > 1
        return self._tell(out) if over_keys else out

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
        """PyTorch's documentation of `scaled_dot_product_attention`, line by line; nothing is dropped out here."""
        if enable_gqa:
            key, value = (one.repeat_interleave(query.shape[-3] // one.shape[-3], -3) for one in (key, value))
        logits = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            later = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).triu(1)
            logits = logits.masked_fill(later, -math.inf)
        if attn_mask is not None:
            masked = attn_mask.dtype == torch.bool
            logits = logits.masked_fill(~attn_mask, -math.inf) if masked else logits + attn_mask
        return self._tell(logits.softmax(-1)) @ value

    def _multi_head(self, *args: Any, **given: Any) -> tuple[Tensor, Tensor | None]:
        told: list[Tensor] = []

        def hear(weights: Tensor) -> Tensor:
            told.append(self._told(weights))
            return told[-1]

        def attend(*inner: Any, **options: Any) -> Tensor:
            return _Open(hear)._attend(*inner, **options)

        # PyTorch's own function but for the attention in it; it would ask this mode again and never come to it.
        around = {**F.multi_head_attention_forward.__globals__, "has_torch_function": lambda _: False}
        own = F.multi_head_attention_forward
        opened = FunctionType(own.__code__, around | {"scaled_dot_product_attention": attend}, argdefs=own.__defaults__)
        wanted, averaged = given.get("need_weights", True), given.get("average_attn_weights", True)
        output, _ = opened(*args, **{**given, "need_weights": False})
        if not wanted:
            return output, None
        weights = told[0].mean(1) if averaged else told[0]
        return output, weights if args[0].ndim == 3 else weights[0]


_SOFTMAXES = (torch.softmax, torch.Tensor.softmax, F.softmax)
