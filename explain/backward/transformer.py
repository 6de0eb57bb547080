"""Compute gradients of transformers without multiplying rows of zeros.

After a ViT's last attention only the class token's row reaches the logits, so a plain backward pass carries one or two
rows of numbers and 196 rows of zeros through the last MLP, norm and projection, and the gradient of one query through
the attention. While `sparse` is active, this thread's linear layers, layer norms, GELUs and fused attention skip the
rows of zeros in the backward pass. The forward pass is PyTorch's own, bit for bit, and so is the backward pass where no
row is zero.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sightglass.models.adapters.attention import patch_callees

FEW = 0.25
"""Maximum share of nonzero rows at which selecting them is faster than the full backward pass."""
_NONZERO_ROWS = "_rows_that_are_not_0"
_SOURCE = "_made_of"
"""Attribute of a linear layer's output: its input and its weights."""


def _rows(gradient: Tensor) -> Tensor | None:
    """Return the indices of nonzero rows (..., C), or None for many."""
    if (rows := getattr(gradient, _NONZERO_ROWS, None)) is not None:
        return rows  # type: ignore[no-any-return]
    # Faster than `any`, and a row with a NaN counts as not 0.
    rows = gradient.detach().flatten(0, -2).abs().amax(-1).nonzero()[:, 0]
    return rows if len(rows) <= FEW * (gradient.numel() // gradient.shape[-1]) else None


def _apply_to_rows(function: Callable[..., Tensor], gradient: Tensor, *others: Tensor) -> Tensor:
    """Return `function(gradient, *others)`, computed only for nonzero rows."""
    if (rows := _rows(gradient)) is None:
        return function(gradient, *others)
    part = function(*(tensor.flatten(0, -2)[rows] for tensor in (gradient, *others)))
    lead, width = gradient.shape[:-1], part.shape[-1]
    spread = part.new_zeros(math.prod(lead), width).index_copy_(0, rows, part).view(*lead, width)
    # Saves the next operation the search.
    setattr(spread, _NONZERO_ROWS, rows)
    return spread


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weight)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        (gradient,), (weight,) = gradients, ctx.saved_tensors
        if gradient is None:
            # `_Projected` has bypassed it.
            return None, None, None
        return _apply_to_rows(lambda part: part @ weight, gradient), None, None


class _LayerNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        out, mean, spread = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
        ctx.save_for_backward(x, mean, spread, weight)
        ctx.eps = eps
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,), (x, mean, spread, weight) = gradients, ctx.saved_tensors
        if torch.is_grad_enabled():
            # For second derivatives they depend on the input too.
            mean = x.mean(-1, keepdim=True)
            spread = (x.var(-1, correction=0, keepdim=True) + ctx.eps).rsqrt()

        def backward_rows(gradient: Tensor, x: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
            scaled = gradient if weight is None else gradient * weight
            unit = (x - mean) * spread
            inner = (scaled * unit).mean(-1, keepdim=True)
            return (scaled - scaled.mean(-1, keepdim=True) - unit * inner) * spread

        return _apply_to_rows(backward_rows, gradient, x, mean, spread), None, None, None


class _Gelu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, approximate: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.approximate = approximate
        return F.gelu(x, approximate=approximate)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,), (x,) = gradients, ctx.saved_tensors
        return _apply_to_rows(partial(torch.ops.aten.gelu_backward, approximate=ctx.approximate), gradient, x), None


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.scale = scale
        return F.scaled_dot_product_attention(query, key, value, scale=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,), (query, key, value) = gradients, ctx.saved_tensors
        indices, selected, incoming, weights, by_logit = _attend(gradient, query, key, value, ctx.scale)
        by_query = by_logit @ key
        if indices is not None:
            by_query = torch.zeros_like(query).index_copy_(-2, indices, by_query)
        return by_query, by_logit.transpose(-2, -1) @ selected, weights.transpose(-2, -1) @ incoming, None


def _attend(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor]:
    """Return indices of queries with a gradient (None: too many), these, and the gradients and weights of attention."""
    # Over all pictures and heads.
    rows = gradient.detach().abs().amax(-1).flatten(0, -2).amax(0).nonzero()[:, 0]
    indices = rows if len(rows) <= FEW * query.shape[-2] else None
    selected, incoming = (query, gradient) if indices is None else (query[..., indices, :], gradient[..., indices, :])
    weights = (selected @ key.transpose(-2, -1) * scale).softmax(-1)
    by_weight = incoming @ value.transpose(-2, -1)
    by_logit = weights * (by_weight - (by_weight * weights).sum(-1, keepdim=True)) * scale
    return indices, selected, incoming, weights, by_logit


class _Projected(Function):
    """Attention among projections of one x, whose gradient for x is a product of two thin matrices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Any, scale: float) -> Tensor:
        """Attend; `weights`: those of the three projections, (heads, D, C) each."""
        ctx.save_for_backward(query, key, value, *weights)
        ctx.scale = scale
        return F.scaled_dot_product_attention(query, key, value, scale=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,), (query, key, value, of_query, of_key, of_value) = gradients, ctx.saved_tensors
        indices, selected, incoming, weights, by_logit = _attend(gradient, query, key, value, ctx.scale)
        by_query = by_logit @ key
        if indices is None:
            parts = (by_query, by_logit.transpose(-2, -1) @ selected, weights.transpose(-2, -1) @ incoming)
            joined = torch.cat([part.transpose(1, 2).flatten(2) for part in parts], -1)  # (B, N, heads * 3D)
            return joined @ torch.cat((of_query, of_key, of_value)).flatten(0, 1), *[None] * 5
        left = torch.cat((by_logit, weights), -2).flatten(1, 2)  # (B, heads * 2n, N)
        right = torch.cat((selected @ of_key, incoming @ of_value), -2).flatten(1, 2)  # (B, heads * 2n, C)
        product = left.transpose(1, 2) @ right
        return product.index_add_(1, indices, (by_query @ of_query).sum(1)), *[None] * 5


def _projection(part: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the input (B, N, C) and weights (heads, D, C) of a projected query, key or value, or None."""
    base = part._base
    if base is None or (source := getattr(base, _SOURCE, None)) is None or part.ndim != 4 or base.ndim != 3:
        return None
    x, weight = source
    _, heads, _, width = part.shape
    first = part.storage_offset() - base.storage_offset()
    strides = (base.stride(0), width, base.stride(1), 1)
    if part.stride() != strides or first < 0 or first + heads * width > len(weight):
        return None
    return x, weight[first : first + heads * width].unflatten(0, (heads, width))


class sparse(TorchFunctionMode):
    """While active, backward passes of this thread's graphs skip rows of zeros."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        options: Mapping[str, Any] = kwargs or {}
        if func in _REPLACEMENTS:
            return _REPLACEMENTS[func](*args, **options)
        if func is F.multi_head_attention_forward:
            return _MULTI_HEAD(*args, **options)
        return func(*args, **options)


def _frozen(x: Tensor, *others: Tensor | None) -> bool:
    """Return whether rows may be skipped: only the input needs a gradient."""
    differentiable = x.requires_grad and x.ndim >= 3 and torch.is_grad_enabled()
    return differentiable and not any(other is not None and other.requires_grad for other in others)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if _frozen(input, weight, bias):
        out: Tensor = _Linear.apply(input, weight, bias)
        setattr(out, _SOURCE, (input, weight))
        return out
    return F.linear(input, weight, bias)


def _layer_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    if len(normalized_shape) == 1 and _frozen(input, weight, bias):
        return _LayerNorm.apply(input, weight, bias, eps)  # type: ignore[no-any-return]
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


def _gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    return _Gelu.apply(input, approximate) if _frozen(input) else F.gelu(input, approximate=approximate)


def _attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **keywords: Any) -> Tensor:
    names = ("attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
    options = {**dict(zip(names, args, strict=False)), **keywords}
    plain = all(not options.get(name) for name in ("dropout_p", "is_causal", "enable_gqa"))
    if plain and options.get("attn_mask") is None and _frozen(query) and key.requires_grad and value.requires_grad:
        scale = options.get("scale") or 1 / math.sqrt(query.shape[-1])
        sources = [source for part in (query, key, value) if (source := _projection(part)) is not None]
        if len(sources) == 3 and all(x is sources[0][0] for x, _ in sources):
            weights = [weight for _, weight in sources]
            return _Projected.apply(sources[0][0], query, key, value, weights, scale)  # type: ignore[no-any-return]
        return _Attention.apply(query, key, value, scale)  # type: ignore[no-any-return]
    return F.scaled_dot_product_attention(query, key, value, **options)


_REPLACEMENTS: dict[Any, Callable[..., Any]] = {
    F.linear: _linear,
    F.layer_norm: _layer_norm,
    F.gelu: _gelu,
    F.scaled_dot_product_attention: _attention,
}


_MULTI_HEAD = patch_callees(
    F.multi_head_attention_forward,
    linear=_linear,
    scaled_dot_product_attention=_attention,
    _in_projection_packed=patch_callees(vars(F)["_in_projection_packed"], linear=_linear),
)
