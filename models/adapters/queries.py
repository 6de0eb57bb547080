"""Adapter of DETR and its descendants: boxes are queries with cross-attention.

A decoder's queries read the picture by cross-attention. DETR's weighs every cell of the encoder's map; deformable
attention (RT-DETR, D-FINE, RF-DETR) samples a few places of it. Both are recorded in the pass that makes the boxes.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.models.adapters.attention import record_attention
from sightglass.models.adapters.detector import Detections, Detector, sigmoid_scores
from sightglass.models.geometry import Box, Geometry

CELLS = 20
"""Cells along the longer side that a query's box is measured in: those of stride 32 of a picture of 640 pixels."""
NEAR = 0.1
"""How far from a place a query's box may be to be asked about, as a share of the input's longer side."""


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """One decoder layer's attention for the first picture, detached."""

    path: str
    """The module that attends."""
    weights: Tensor
    """(heads, Q, keys), rows sum to 1; keys are all cells of a map or, where there are `samples`, the sampled places,
    level by level."""
    sizes: tuple[tuple[int, int], ...]
    """(h, w) of the map of each level; one of DETR."""
    samples: tuple[Tensor, ...] = ()
    """Places of deformable attention at each level, (heads, Q, P, 2) as xy in -1..1, as `grid_sample` takes."""

    @property
    def heads(self) -> int:
        return self.weights.shape[0]

    def levels(self, query: int) -> tuple[Tensor, ...]:
        """Return the weight of each cell of each level, (heads, h, w).

        A sampled place lies between four cells, among which its weight is divided as bilinear sampling divides it; what
        lies outside of the map has no value.
        """
        rows = self.weights[:, query]  # (heads, keys)
        if not self.samples:
            return (rows.reshape(self.heads, *self.sizes[0]),)
        grids, start = [], 0
        for (height, width), places in zip(self.sizes, self.samples, strict=True):
            count = places.shape[2]
            grids.append(_splat(places[:, query], rows[:, start : start + count], height, width))
            start += count
        return tuple(grids)

    def maps(self, query: int) -> Tensor:
        """Return one map per head, (heads, h, w), summed over levels.

        A coarser level's cell covers several of the finest, among which its weight is divided evenly.
        """
        levels = self.levels(query)
        height, width = max(self.sizes)
        total = levels[0].new_zeros(self.heads, height, width)
        for level in levels:
            spread = F.interpolate(level[None], size=(height, width), mode="nearest-exact")[0]
            total += spread * (level.shape[1] * level.shape[2] / (height * width))
        return total


def _splat(places: Tensor, weights: Tensor, height: int, width: int) -> Tensor:
    """Return (heads, height, width): weights spread as `grid_sample` reads."""
    with torch.enable_grad():
        values = places.new_zeros(len(places), 1, height, width, requires_grad=True)
        sampled = F.grid_sample(values, places[:, None].detach(), align_corners=False)[:, 0, 0]  # (heads, P)
        # What a cell's value is multiplied by is the slope of the sum.
        (slope,) = torch.autograd.grad(sampled, values, weights.detach())
    return slope[:, 0]


@dataclass(frozen=True, eq=False)
class QueryDetections(Detections):
    """A batch's queries: one scale of Q rows, one column, and their attention."""

    attended: CrossAttention | None = None
    """The cross-attention of the last decoder layer; None where it was not recorded."""
    others: Tensor | None = None
    """Logits (B, C, N) of the head's outputs that are no class here, such as "no object"."""


def make_detections(
    logits: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    *,
    proposals: Tensor | None = None,
    others: Tensor | None = None,
) -> QueryDetections:
    """Return queries as candidates on an input of `size` (h, w).

    `logits` (B, Q, K); `boxes` (B, Q, 4) as cx, cy, w, h, shares of the input; `proposals` (Q, 4) the cells that the
    first picture's queries came from, in the same form: without them a box is measured from its own centre. `others`
    (B, Q, C): the head's further logits, "no object" among them; scores are a softmax with these, else sigmoids.
    """
    # Written where they are needed: a copy to a GPU cannot be part of a recorded pass.
    sides = torch.stack([boxes.new_full((), side) for side in reversed(size)])

    def boxes_of(tensors: tuple[Tensor, ...]) -> Tensor:
        centre, extent = tensors[0].flatten(2).transpose(1, 2).chunk(2, 2)
        return torch.cat((centre - extent / 2, centre + extent / 2), 2) * sides.repeat(2)

    if proposals is None:
        centres = boxes[0, :, :2].detach() * sides
        units = centres.new_full((len(centres),), max(size) / CELLS)
    else:
        centres, cells = (proposals * sides.repeat(2)).chunk(2, 1)
        units = cells.amax(1)
    levels, regressions = (rows.transpose(1, 2)[..., None] for rows in (logits, boxes))
    other_logits = None if others is None else others.transpose(1, 2).detach().float()

    def scoring(class_logits: Tensor, objectness: Tensor | None) -> Tensor:
        if other_logits is None:
            return sigmoid_scores(class_logits, objectness)
        return torch.cat((class_logits, other_logits), 1).softmax(1)[:, : class_logits.shape[1]]

    return QueryDetections((levels,), (regressions,), boxes_of, centres, units, scoring=scoring, others=other_logits)


class QueryDetector(Detector):
    """A module from (B, 3, h, w) to queries without non-maximum suppression.

    Families implement `read_queries` and say where the last decoder layer attends.
    """

    nms = False
    cross_attention = ""
    """Path of the last decoder layer's cross-attention; empty where it cannot be recorded."""
    memory = ""
    """Path of the module that returns the map (B, C, h, w) whose cells are the keys, where they are a map's cells."""

    def read_queries(self, tensor: Tensor) -> QueryDetections:
        """Run one forward pass of (B, 3, h, w)."""
        raise NotImplementedError

    def forward(self, tensor: Tensor) -> QueryDetections:
        if not self.cross_attention:
            return self.read_queries(tensor)
        with record_queries(self.module, self.cross_attention, self.memory, len(tensor)) as recorded:
            outputs = self.read_queries(tensor)
        return replace(outputs, attended=recorded.attention(self.cross_attention))

    def candidate(
        self, outputs: Detections, geometry: Geometry, where: Box | None, index: int | None = None
    ) -> tuple[int, int] | None:
        """Return the strongest or nearest query at a place, and its class."""
        strongest = super().candidate(outputs, geometry, where, index)
        if strongest is not None or where is None:
            return strongest
        x0, y0, x1, y1 = geometry.box_to_input(where)
        boxes = outputs.boxes[0].detach().float()
        point = boxes.new_tensor([(x0 + x1) / 2, (y0 + y1) / 2])
        gap = torch.maximum(boxes[:, :2] - point, point - boxes[:, 2:]).clamp_min(0).norm(dim=1)
        anchor = int(gap.argmin())
        if float(gap[anchor]) > NEAR * max(geometry.input):
            return None
        return anchor, int(outputs.best(anchor)) if index is None else index


@contextmanager
def record_queries(module: nn.Module, path: str, memory: str, pictures: int) -> "Iterator[_Recorder]":
    """Record the cross-attention at `path` while the context lasts, and the size of the map that `memory` returns.

    `memory`: empty where none does; `pictures`: in the batch. Other threads' passes are not recorded.
    """
    recorder, caller = _Recorder(pictures), threading.get_ident()
    attention_module, contexts = module.get_submodule(path), ExitStack()

    def enter(*_: Any) -> None:
        if threading.get_ident() == caller:
            contexts.enter_context(record_attention(attention_module, recorder.record_weights, recorder.record_sample))

    def leave(*_: Any) -> None:
        if threading.get_ident() == caller:
            contexts.close()

    def record_map(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if threading.get_ident() == caller:
            recorder.memory = (output.shape[-2], output.shape[-1])

    with contexts, ExitStack() as hooks:
        hooks.enter_context(attention_module.register_forward_pre_hook(enter))
        hooks.enter_context(attention_module.register_forward_hook(leave, always_call=True))
        if memory:
            hooks.enter_context(module.get_submodule(memory).register_forward_hook(record_map))
        yield recorder


class _Recorder:
    """Recorder of the first picture's cross-attention."""

    def __init__(self, pictures: int) -> None:
        self._pictures = pictures
        self.memory: tuple[int, int] | None = None
        self._weights: Tensor | None = None
        self._samples: list[Tensor] = []
        self._sizes: list[tuple[int, int]] = []

    def record_weights(self, _path: str, weights: Tensor) -> Tensor:
        self._weights = weights.flatten(0, 1)[: weights.shape[0] * weights.shape[1] // self._pictures].detach().float()
        return weights

    def record_sample(self, values: Tensor, places: Tensor) -> None:
        self._samples.append(places.detach().float())
        self._sizes.append((values.shape[2], values.shape[3]))

    def attention(self, path: str) -> CrossAttention | None:
        """Return the recorded attention; None where it has no row per query over the map's cells or the samples."""
        weights = self._weights
        if weights is None or weights.ndim != 3:
            return None
        if self._samples:
            # Deformable attention gives weights (Q, heads, places), and samples (B * heads, Q, places, 2).
            by_head = weights.transpose(0, 1)
            samples = tuple(places[: len(by_head)] for places in self._samples)
            complete = sum(places.shape[2] for places in samples) == by_head.shape[2]
            return CrossAttention(path, by_head, tuple(self._sizes), samples) if complete else None
        if self.memory is None or weights.shape[2] != self.memory[0] * self.memory[1]:
            return None
        return CrossAttention(path, weights, (self.memory,))
