"""Choose the layer whose map is shown unless another one is named, by the gradients of a model's answer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sightglass.explain.evidence.layers import as_map
from sightglass.explain.evidence.survey import Survey
from sightglass.models.adapter import Adapter
from sightglass.models.layers import Layer

SAME = 1e-3
"""Cosine distance below which two classes have the same map."""
ROLLED = "Its forward rolls the picture around its edges, which maps of its layers do not undo."


class AnswerGraph:
    """The graph of autograd of an answer (n,), with layers' outputs in it."""

    def __init__(self, row: Tensor, outputs: Mapping[str, Tensor], size: Sequence[int]) -> None:
        """Take the answer, the outputs of layers by path, and the input's shape."""
        self._best = row.topk(min(2, len(row))).values
        self._outputs = outputs
        self._size = sorted(size)
        self.read = ancestors(row.grad_fn)
        """All nodes that the answer is computed from."""
        self.nodes = {path: output.grad_fn for path, output in outputs.items()}
        """The node that computed each layer's output, by path."""

    def rolls(self) -> bool:
        """Return whether a step puts one end of the input beside the other."""
        return any(_rolls(node) and sorted(node._input_metadata[0].shape) == self._size for node in self.read)

    def telling(self, layers: Sequence[Layer]) -> list[Layer]:
        """Return the layers whose cells get a gradient, another one for each class."""
        if not layers:
            return []
        first, *second = [self._products(layers, number) for number in self._best]
        if not second:
            return [layer for layer, product in zip(layers, first, strict=True) if product.norm() > 0]
        pairs = zip(first, second[0], strict=True)
        return [layer for layer, pair in zip(layers, pairs, strict=True) if _differ(*pair)]

    def _products(self, layers: Sequence[Layer], number: Tensor) -> list[Tensor]:
        """Return each layer's output times the gradient of a number there, (h * w,)."""
        outputs = [self._outputs[layer.path] for layer in layers]
        slopes = torch.autograd.grad(number, outputs, retain_graph=True, materialize_grads=True)
        products: list[Tensor] = []
        for layer, output, slope in zip(layers, outputs, slopes, strict=True):
            product = as_map(slope, layer) * as_map(output.detach(), layer)
            products.append(product.sum(1).flatten().double())
        return products


def choose_default(measured: Survey, adapter: Adapter, graph: AnswerGraph) -> Survey:
    """Return the survey with its default layer, and a note on layers beside it.

    It is the adapter's usual one, or the last with several channels, whose cells get a gradient of the answer, and
    one that differs between the two best classes.
    """
    notes = dict(measured.notes)
    if graph.rolls():
        notes[""] = ROLLED
    attentions = tuple(f"{attention.path}." for attention in measured.attentions)
    layers = [layer for layer in measured.short if layer.shape[0] > 1 and graph.nodes[layer.path] in graph.read]
    outside = [layer for layer in layers if not layer.path.startswith(attentions)]
    chosen = _usual(layers, adapter, graph) or graph.telling(outside)[-1:]
    if not chosen:
        return replace(measured, notes=notes)
    default = chosen[-1]
    beside = _beside(default, outside, graph) if adapter.has_row else []
    if beside:
        paths = ", ".join(layer.path for layer in beside)
        notes[default.path] = f"Its answer is also read from {paths}, beside {default.path}: layers can name these."
    return replace(measured, default=tuple(layer.path for layer in chosen), notes=notes)


def _usual(layers: Sequence[Layer], adapter: Adapter, graph: AnswerGraph) -> list[Layer]:
    if not layers:
        return []
    names = adapter.default_layers(layers)
    usual = [layer for layer in layers if layer.path in names]
    if not usual or len(graph.telling(usual)) < len(usual):
        return []
    return usual


def _beside(default: Layer, layers: Sequence[Layer], graph: AnswerGraph) -> list[Layer]:
    """Return the last layers of branches that reach the answer beside the default layer."""
    last = graph.nodes[default.path]
    seen = ancestors(last)
    beside: list[Layer] = []
    for layer in reversed(layers):
        node = graph.nodes[layer.path]
        if node in seen:
            continue
        before = ancestors(node)
        if last not in before and graph.telling([layer]):
            beside.insert(0, layer)
            seen |= before
    return beside


def _differ(first: Tensor, second: Tensor) -> bool:
    """Return whether two maps (n,) differ by more than a factor."""
    lengths = float(first.norm()), float(second.norm())
    # The second of two classes may be a constant.
    return max(lengths) > 0 and float(first @ second) <= (1 - SAME) * math.prod(lengths)


def _rolls(node: Any) -> bool:
    """Return whether a node moves its input around the edges of rows or columns."""
    if node.name() == "RollBackward0":
        return bool(node._saved_dims != (1,))
    if node.name() != "CatBackward0" or node._saved_dim == 1:
        return False
    parts = [parent for parent, _ in node.next_functions]
    if not all(part and part.name() == "SliceBackward0" for part in parts):
        return False
    starts = [part._saved_start % node._input_metadata[0].shape[part._saved_dim] for part in parts]
    return starts != sorted(starts)


def ancestors(node: Any) -> set[Any]:
    """Return a node of autograd's graph and all that it is computed from."""
    nodes = {node}
    waiting = [node]
    while waiting:
        parents = {parent for parent, _ in waiting.pop().next_functions if parent is not None}
        new = parents - nodes
        nodes |= new
        waiting += new
    return nodes
