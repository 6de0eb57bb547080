"""Rollout and Chefer's relevance through windows of attention: Swin, MaxViT, MobileViT, PVT.

Notation: a layer l attends within windows of its grid (h, w); W_l are its weights, (windows, heads, queries, keys), and
G_l the gradient of the target's scalar with respect to them. The matrices over all cells that Chefer and Rollout
multiply are 0 outside of windows, so a row over the cells is carried through each window by itself, from the last
layer's grid, where every cell has the same, to the first one's:

- Chefer: r <- r + r A_l, with A_l = mean over heads of relu(G_l * W_l). Chefer et al. 2021,
  https://arxiv.org/abs/2103.15679, equations 5 and 6, read row by row.
- Rollout: r <- (r + r M_l) / 2, with M_l = mean over heads of W_l. Abnar & Zuidema 2020,
  https://arxiv.org/abs/2005.00928.

Neither paper has windows or merging. Here a cell of a coarser grid hands what it has to the cells of the finer one
below it in equal parts, so that the sum stays (a Swin's merging: its 2x2 parents). What convolutions mix is not
followed, and what is carried to padding is lost. Chefer's map is what attention carried, r without the equal shares
that the cells began with; a ViT's class token has none either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.attention import COMPUTED_OPENLY, differentiate
from sightglass.explain.methods.method import Method, RawMaps, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.evidence.survey import Size
    from sightglass.explain.evidence.windows import Windows
    from sightglass.models.adapter import Target

EVERY = "every attention"
"""The layer named by a map that is made of all layers."""
EVENLY = "Attention is followed within windows; where cells are merged, each hands on equal parts."
UNMEASURED = "How often this finds the cause was not measured for windows."
WINDOW_NOTES = (COMPUTED_OPENLY, EVENLY, UNMEASURED)


def join_windows(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run Rollout or Chefer on a model that attends within windows or at several scales; held with the Evidence.

    Raises ModelProblem where its windows cannot be followed, and for LeGrad.
    """
    windows = () if method.id == "legrad" else evidence.resident.find_windows(evidence.tensor)
    if not windows:
        raise ModelProblem(
            f"{evidence.resident.adapter.spec.id} does not attend to one grid throughout, so {method.name} cannot join "
            "its layers: choose a CAM, such as LayerCAM."
        )
    if missing := evidence.missing(method.id, targets):
        rollout = method.id == "rollout"
        # Rollout is the same for every class: it knows of none.
        asked = missing[:1] if rollout else missing
        paths = {one.path for one in windows}
        found = differentiate(evidence, asked, paths, progress=request.progress, cancel=request.cancel)
        for number, recorded in enumerate(found):
            if rollout:
                raw = follow_rollout(windows, [recorded[one.path][0].mean(1) for one in windows])
            else:
                raw = follow_relevance(windows, [mix(*recorded[one.path]) for one in windows])
            evidence.raws |= {(method.id, target): [raw] for target in (missing if rollout else missing[number:][:1])}
    return RawMaps(evidence.stacked(method.id, targets), (EVERY,), WINDOW_NOTES)


def mix(weights: Tensor, gradient: Tensor) -> Tensor:
    """Return the mean over heads of relu(gradient * W), (windows, queries, keys)."""
    return (gradient * weights).clamp_min(0).mean(1)


def follow_relevance(windows: Sequence[Windows], mixed: Sequence[Tensor]) -> Tensor:
    """Return Chefer's map (h, w) on the first layer's grid; `mixed`: A_l of each layer."""
    even, grid = _start(windows[-1], mixed[-1])
    # Apart from the equal shares: beside those it can be a rounding error.
    carried = torch.zeros_like(even)
    for one, matrix in zip(reversed(windows), reversed(mixed), strict=True):
        carried, even, grid = spread(carried, grid, one.grid), spread(even, grid, one.grid), one.grid
        carried = carried + carry(carried + even, one, matrix)
    return carried.view(grid)


def follow_rollout(windows: Sequence[Windows], mixed: Sequence[Tensor]) -> Tensor:
    """Return Rollout's map (h, w) on the first layer's grid; `mixed`: M_l of each layer."""
    row, grid = _start(windows[-1], mixed[-1])
    for one, matrix in zip(reversed(windows), reversed(mixed), strict=True):
        row, grid = spread(row, grid, one.grid), one.grid
        row = (row + carry(row, one, matrix)) / 2
    return row.view(grid)


def carry(row: Tensor, one: Windows, matrix: Tensor) -> Tensor:
    """Return a row (cells,) times a layer's matrix, of which `matrix` (windows, queries, keys) are the windows."""
    queries, keys = one.queries.to(row.device), one.keys.to(row.device)
    held = row[queries.clamp_min(0)] * (queries >= 0)
    handed = (held[:, None] @ matrix)[:, 0]  # (windows, keys)
    carried = row.new_zeros(one.key_grid[0] * one.key_grid[1])
    carried.index_add_(0, keys.clamp_min(0).flatten(), (handed * (keys >= 0)).flatten())
    return spread(carried, one.key_grid, one.grid)


def spread(row: Tensor, grid: Size, finer: Size) -> Tensor:
    """Return a row over a finer grid: each cell's share is split evenly among the cells below it."""
    if grid == finer:
        return row
    ups = [torch.arange(many, device=row.device) * few // many for few, many in zip(grid, finer, strict=True)]
    shares = [torch.bincount(up, minlength=few)[up] for up, few in zip(ups, grid, strict=True)]
    above = row.view(grid)[ups[0][:, None], ups[1]]
    return (above / (shares[0][:, None] * shares[1])).flatten()


def _start(last: Windows, matrix: Tensor) -> tuple[Tensor, Size]:
    """Return the row that a mean over the last grid reads, and that grid."""
    cells = last.grid[0] * last.grid[1]
    return matrix.new_full((cells,), 1 / cells), last.grid
