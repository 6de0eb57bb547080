"""Layer activations, and gradients in the window where they are not 0."""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem

FEW = 48
"""Rows, or channels, up to which a full decomposition is faster than Lanczos' iteration for the first vector."""
MAX_STEPS = 60
"""Steps of Lanczos' iteration; ten are usual."""
NEAR = 1e-6
"""Tolerated norm of the residual, as a share of the largest eigenvalue."""
_CUDA_LOCK = threading.Lock()
"""PyTorch loads its linear algebra for CUDA when first asked, and fails where two threads ask at once."""


def projection(x: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """Return the scores of the first principal component of a window (C, h', w') of a map that is 0 elsewhere.

    `places`: of the whole map. Returns the window's scores (h', w'), and that () of all other places, NaN where `x` is
    not finite. The arbitrary sign is set by the correlation with the channels' mean.
    """
    channels, height, width = x.shape
    rows = x.permute(1, 2, 0).reshape(-1, channels).float()  # (n, C)
    total = rows.sum(0)
    if not bool(total.isfinite().all()):
        return x.new_full((height, width), torch.nan), x.new_full((), torch.nan)
    count = len(rows)
    mean = total / places  # (C,)
    # Centred over all places, zeros included: the square root of I - 11'/places, times the rows.
    shift = (1 - max(0.0, 1 - count / places) ** 0.5) / count * total
    vector = _iterate(rows, shift) if rows.device.type == "cpu" and min(rows.shape) > FEW else None
    if vector is None:
        vector = _decompose(rows - shift)
    offset = mean @ vector
    scores = rows @ vector - offset
    agrees = scores @ (rows.mean(1) - mean.mean()) + (places - count) * offset * mean.mean()
    scores, elsewhere = (-scores, offset) if agrees < 0 else (scores, -offset)
    return scores.reshape(height, width).to(x.dtype), elsewhere.to(x.dtype)


def _iterate(rows: Tensor, shift: Tensor) -> Tensor | None:
    """Return the first right singular vector of rows - shift by Lanczos' iteration; None where it does not converge."""
    start = torch.linalg.vector_norm(rows, dim=0)
    if not bool(start.any()):
        return None
    basis = rows.new_empty(MAX_STEPS, len(start))
    basis[0] = start / start.norm()
    vectors, offsets, small = basis.numpy(), shift.numpy(), np.zeros((MAX_STEPS, MAX_STEPS))
    for step in range(MAX_STEPS - 1):
        scores = (rows @ basis[step]).numpy()
        scores -= offsets @ vectors[step]
        candidate = (torch.from_numpy(scores) @ rows).numpy()
        # Subtracting before the product would lose digits of small rows.
        candidate -= scores.sum() * offsets
        previous = vectors[: step + 1]
        # Twice, as rounding reintroduces removed components.
        for _ in range(2):
            shares = previous @ candidate
            candidate -= shares @ previous
            small[step, step] += shares[-1]
        norm = float(np.sqrt(candidate @ candidate))
        values, parts = np.linalg.eigh(small[: step + 1, : step + 1])
        if norm * abs(parts[-1, -1]) <= NEAR * values[-1]:
            return torch.nn.functional.normalize(torch.from_numpy(parts[:, -1].astype(np.float32) @ previous), dim=0)
        np.divide(candidate, norm, out=vectors[step + 1])
        small[step, step + 1] = small[step + 1, step] = norm
    return None


def _decompose(rows: Tensor) -> Tensor:
    """Return the first right singular vector (C,) by the smaller Gram matrix."""
    count, channels = rows.shape
    gram = rows.T @ rows if channels <= count else rows @ rows.T
    # It squares the condition number, so its own vectors want more digits than its rows; MPS has no more.
    precise = gram if gram.device.type == "mps" else gram.double()
    with nullcontext() if gram.device.type == "cpu" else _CUDA_LOCK:
        vector: Tensor = torch.linalg.eigh(precise).eigenvectors[:, -1].to(rows.dtype)
    if channels <= count:
        return vector
    across: Tensor = rows.T @ vector
    # As small as they come: an untrained model's gradients are.
    across /= across.norm().clamp_min(torch.finfo(across.dtype).tiny)
    return across


def gradients(scalar: Tensor, recorded: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Return a scalar's gradient at each recorded output, or None where none arrives; the graph stays.

    Raises ModelProblem for a model that has overwritten what its gradient needs.
    """
    # A target independent of all layers has no graph.
    if not scalar.requires_grad:
        return [None] * len(recorded)
    try:
        return torch.autograd.grad(scalar, recorded, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise
        raise ModelProblem("This model overwrites what its gradient needs: choose a later layer.") from error


def require_any(
    slopes: Sequence[Tensor | None], recorded: Sequence[Tensor], describe: Callable[[], str] | None
) -> list[Tensor]:
    """Return the gradients (`slopes`) at the `recorded` outputs, with zeros for None.

    Raises ModelProblem where all are None, with the sentence that `describe` returns; without one they may be.
    """
    if describe is not None and all(slope is None for slope in slopes):
        raise ModelProblem(describe())
    return [torch.zeros_like(out) if slope is None else slope for slope, out in zip(slopes, recorded, strict=True)]


@dataclass(frozen=True, eq=False)
class Activation:
    """One layer's output, with the values that several targets' maps share."""

    values: Tensor
    """(C, h, w)"""

    @cached_property
    def total(self) -> Tensor:
        """(C,) the sum over all places."""
        return self.values.sum((1, 2))

    @cached_property
    def first_component(self) -> Tensor:
        """(h, w) scores of the first principal component."""
        return projection(self.values, self.values.shape[1] * self.values.shape[2])[0]


@dataclass(frozen=True, slots=True)
class Gradient:
    """One target's gradient at one layer: a window, 0 elsewhere."""

    values: Tensor
    """(C, h', w')"""
    top: int
    left: int
    shape: tuple[int, int]
    """(h, w) of the layer's whole map."""

    @classmethod
    def from_values(cls, values: Tensor, top: int = 0, left: int = 0, shape: tuple[int, int] | None = None) -> Self:
        """Build it from (C, h', w'), by default of the whole map."""
        return cls(values, top, left, shape or (values.shape[1], values.shape[2]))

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """The index of `values` in the whole map (C, h, w)."""
        height, width = self.values.shape[1:]
        return slice(None), slice(self.top, self.top + height), slice(self.left, self.left + width)

    def part(self, activations: Tensor) -> Tensor:
        """Return the window's part of a (C, h, w)."""
        return activations[self.window]

    def placed(self, part: Tensor, elsewhere: float | Tensor = 0.0) -> Tensor:
        """Return a window's map (h', w') on the whole grid (h, w)."""
        if part.shape == self.shape:
            return part
        out = part.new_zeros(self.shape)
        out += elsewhere
        out[self.window[1:]] = part
        return out

    def dense(self) -> Tensor:
        """(C, h, w)."""
        return torch.stack([self.placed(channel) for channel in self.values])
