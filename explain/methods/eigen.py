"""Methods that project on the first principal component. `a` is (1, C, h, w), `g` (k, C, h, w), out comes (k, h, w)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def eigencam(a: Tensor, g: Tensor) -> Tensor:
    """The activations' own first component; `g` only says how many maps are wanted."""
    return _projection(a).expand(len(g), -1, -1)


def eigengradcam(a: Tensor, g: Tensor) -> Tensor:
    """The first component of gradient times activation, for each target."""
    return _projection(g * a)


def _projection(x: Tensor) -> Tensor:
    """First principal component scores of (k, C, h, w) over its h*w places, as (k, h, w).

    By the eigenvectors of the smaller Gram matrix: the same as a singular value decomposition and many times faster.
    The sign, arbitrary in both, is set so that the map rises where the channels' mean rises.
    """
    k, channels, height, width = x.shape
    # The Gram matrix squares the condition number; MPS has no float64.
    rows = x.reshape(k, channels, -1).transpose(1, 2).to(torch.float32 if x.device.type == "mps" else torch.float64)
    rows = torch.nan_to_num(rows)
    centred = rows - rows.mean(1, keepdim=True)  # (k, n, C)
    if channels <= height * width:
        vectors = torch.linalg.eigh(centred.transpose(1, 2) @ centred).eigenvectors
        scores = (centred @ vectors[..., -1:]).squeeze(-1)
    else:
        values, vectors = torch.linalg.eigh(centred @ centred.transpose(1, 2))
        scores = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    agrees = (scores * centred.mean(2)).sum(1, keepdim=True)
    scores = torch.where(agrees < 0, -scores, scores)
    return scores.reshape(k, height, width).to(x.dtype)
