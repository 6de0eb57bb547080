"""Methods that project on the first principal component: `a` is one layer's, `g` one target's; (h, w) comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from explain.methods import Activation
    from explain.windows import Gradient

FEW = 96
"""Rows up to which a full decomposition is quicker than a search for the first vector."""


def eigencam(a: Activation, g: Gradient) -> Tensor:
    """The activations' own first component, whatever the target."""
    return a.first_component


def eigengradcam(a: Activation, g: Gradient) -> Tensor:
    """The first component of gradient times activation."""
    inside, outside = projection(g.values * g.part(a.values), g.shape[0] * g.shape[1])
    return g.placed(inside, outside)


def projection(x: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """First principal component scores of (C, h', w') over `places` places, of which all others are 0.

    Returns them as (h', w'), and the score () of the places that are 0. By the first eigenvector of the smaller Gram
    matrix: the same as a singular value decomposition and many times faster. The sign, arbitrary in both, is set
    so that the map rises where the channels' mean rises.
    """
    channels, height, width = x.shape
    rows = torch.nan_to_num(x.permute(1, 2, 0).reshape(-1, channels).float())  # (n, C)
    count, total = len(rows), rows.sum(0)
    mean = total / places  # (C,)
    # Centred over all places, those that are 0 among them: the square root of I - 11'/places, times the rows.
    shift = (1 - max(0.0, 1 - count / places) ** 0.5) / count
    centred = rows - shift * total
    if channels <= count:
        vector = _first_vector(centred.T @ centred)
    else:
        vector = torch.nn.functional.normalize(centred.T @ _first_vector(centred @ centred.T), dim=0)
    offset = mean @ vector
    scores = rows @ vector - offset
    level = rows.mean(1) - mean.mean()
    agrees = scores @ level + (places - count) * offset * mean.mean()
    scores, elsewhere = (-scores, offset) if agrees < 0 else (scores, -offset)
    return scores.reshape(height, width).to(x.dtype), elsewhere.to(x.dtype)


def _first_vector(gram: Tensor) -> Tensor:
    """The eigenvector (n,) of the largest eigenvalue of a symmetric (n, n)."""
    # It squares the condition number, so its own vectors want more digits than its rows; MPS has no more.
    precise = gram if gram.device.type == "mps" else gram.double()
    if gram.device.type != "cpu" or len(gram) <= FEW or not bool(gram.any()):
        vectors: Tensor = torch.linalg.eigh(precise).eigenvectors
        return vectors[:, -1].to(gram.dtype)
    from scipy.sparse.linalg import eigsh

    # A start of its own choosing would be another at each call, and with it the last bits of the map.
    start = precise.diagonal().sqrt().numpy() + np.finfo(np.float64).tiny
    _, found = eigsh(precise.numpy(), k=1, which="LA", v0=start)
    return torch.from_numpy(found[:, 0].astype(np.float32))
