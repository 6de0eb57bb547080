"""Compute the first principal component without an SVD."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

FEW = 48
"""Rows up to which a full decomposition is faster than a search for the first vector."""
MAX_STEPS = 60
"""Steps of the search; ten are usual."""
NEAR = 1e-6
"""Tolerated error of the vector, as a share of the largest eigenvalue."""
_CUDA_LOCK = threading.Lock()
"""PyTorch loads its linear algebra for CUDA when first asked, and fails where two threads ask at once."""


def projection(x: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """Return the first principal component scores of (C, h', w') over `places` places, of which all others are 0.

    They are (h', w'), and the score () of the places that are 0. Many times faster than a singular value decomposition.
    The sign, which is arbitrary, is set so that the map rises where the channels' mean rises.
    """
    channels, height, width = x.shape
    rows = x.permute(1, 2, 0).reshape(-1, channels).float()  # (n, C)
    total = rows.sum(0)
    if not bool(total.isfinite().all()):
        rows = torch.nan_to_num(rows)
        total = rows.sum(0)
    count = len(rows)
    mean = total / places  # (C,)
    # Centred over all places, those that are 0 among them: the square root of I - 11'/places, times the rows.
    shift = (1 - max(0.0, 1 - count / places) ** 0.5) / count * total
    large = rows.device.type == "cpu" and min(rows.shape) > FEW
    vector = _search(rows, shift) if large else None
    if vector is None:
        vector = _decompose(rows - shift)
    offset = mean @ vector
    scores = rows @ vector - offset
    level = rows.mean(1) - mean.mean()
    agrees = scores @ level + (places - count) * offset * mean.mean()
    scores, elsewhere = (-scores, offset) if agrees < 0 else (scores, -offset)
    return scores.reshape(height, width).to(x.dtype), elsewhere.to(x.dtype)


def _search(rows: Tensor, shift: Tensor) -> Tensor | None:
    """Return the first right singular vector (C,) of rows - shift, (n, C), by Lanczos' method; None if it is slow.

    Starts at the channels' lengths, and so comes to the same bits every time. Beside the two products with all rows
    a step is of few numbers, where NumPy is done before PyTorch has started.
    """
    start = torch.linalg.vector_norm(rows, dim=0)
    if not bool(start.any()):
        return None
    found = rows.new_empty(MAX_STEPS, len(start))
    found[0] = start / start.norm()
    vectors, away, small = found.numpy(), shift.numpy(), np.zeros((MAX_STEPS, MAX_STEPS))
    for step in range(MAX_STEPS - 1):
        scores = (rows @ found[step]).numpy()
        scores -= away @ vectors[step]
        next_one = (torch.from_numpy(scores) @ rows).numpy()
        # Not from the rows beforehand: where they are next to nothing, that costs digits.
        next_one -= scores.sum() * away
        known = vectors[: step + 1]
        # Twice, or rounding brings back what was taken out.
        for _ in range(2):
            shares = known @ next_one
            next_one -= shares @ known
            small[step, step] += shares[-1]
        left = float(np.sqrt(next_one @ next_one))
        values, parts = np.linalg.eigh(small[: step + 1, : step + 1])
        if left * abs(parts[-1, -1]) <= NEAR * values[-1]:
            return torch.nn.functional.normalize(torch.from_numpy(parts[:, -1].astype(np.float32) @ known), dim=0)
        np.divide(next_one, left, out=vectors[step + 1])
        small[step, step + 1] = small[step + 1, step] = left
    return None


def _decompose(rows: Tensor) -> Tensor:
    """Return the first right singular vector (C,) of (n, C), from the first eigenvector of the smaller Gram matrix."""
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
