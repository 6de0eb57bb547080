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
"""Channels up to which a full decomposition is quicker than a search for the first vector."""


def eigencam(a: Activation, g: Gradient) -> Tensor:
    """The activations' own first component, whatever the target."""
    return a.first_component


def eigengradcam(a: Activation, g: Gradient) -> Tensor:
    """The first component of gradient times activation."""
    inside, outside = projection(g.values * g.part(a.values), g.shape[0] * g.shape[1])
    return g.placed(inside, outside)


def projection(x: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """First principal component scores of (C, h', w') over `places` places, of which all others are 0.

    Returns them as (h', w'), and the score () of the places that are 0. By the first eigenvector of the channels'
    Gram matrix: the same as a singular value decomposition and many times faster. The sign, arbitrary in both, is set
    so that the map rises where the channels' mean rises.
    """
    channels, height, width = x.shape
    # The Gram matrix squares the condition number; MPS has no float64.
    rows = x.reshape(channels, -1).T.to(torch.float32 if x.device.type == "mps" else torch.float64)  # (n, C)
    rows = torch.nan_to_num(rows)
    mean = rows.sum(0) / places  # (C,)
    gram = rows.T @ rows - places * torch.outer(mean, mean)
    vector = _first_vector(gram)
    offset = mean @ vector
    scores = rows @ vector - offset
    level = rows.mean(1) - mean.mean()
    agrees = scores @ level + (places - len(rows)) * offset * mean.mean()
    scores, elsewhere = (-scores, offset) if agrees < 0 else (scores, -offset)
    return scores.reshape(height, width).to(x.dtype), elsewhere.to(x.dtype)


def _first_vector(gram: Tensor) -> Tensor:
    """The eigenvector (C,) of the largest eigenvalue of a symmetric (C, C)."""
    if gram.device.type != "cpu" or len(gram) <= FEW or not bool(gram.any()):
        vectors: Tensor = torch.linalg.eigh(gram).eigenvectors
        return vectors[:, -1]
    from scipy.sparse.linalg import eigsh

    # A start of its own choosing would be another at each call, and with it the last bits of the map.
    start = gram.diagonal().sqrt().numpy() + np.finfo(np.float64).tiny
    _, found = eigsh(gram.numpy(), k=1, which="LA", v0=start)
    return torch.from_numpy(found[:, 0].copy())
