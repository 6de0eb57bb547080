"""Trace the cells of each attention window.

Swin, MaxViT, MobileViT and relatives cut a map into windows, or patches into sets, before attention. In a pass of a
noise picture all cells differ, so that an attention's input rows can be matched to the cells of an earlier map. Modules
with as many output rows as input rows (norms, linear layers, blocks) keep their order; rows of zeros are padding. A
model is supported if each attention has every cell of its map exactly once.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from sightglass.explain.evidence.survey import Size, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    from sightglass.models.adapter import Adapter

KEPT = 32
"""Latest maps that windows may have been cut from."""


@dataclass(frozen=True, eq=False)
class Windows:
    """The token places of one attention module, for one input size."""

    path: str
    queries: Tensor
    """int64 (windows, queries): cells of `grid`, row by row; -1 for padding."""
    grid: Size
    keys: Tensor
    """int64 (windows, keys): cells of `key_grid`; -1 for padding."""
    key_grid: Size


def trace_windows(adapter: Adapter, tensor: Tensor, paths: Sequence[str]) -> tuple[Windows, ...]:
    """Return the attention modules' windows in execution order, from one pass.

    `tensor`: any (1, C, h, w) of the right size and device. Empty for unsupported windows, or an order other than from
    fine to coarse.
    """
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)).to(tensor.device)
    tracer = _Tracer(adapter.module, (tensor.shape[-2], tensor.shape[-1]))
    try:
        with torch.no_grad(), tracer, adapter.record_attention(tracer.record):
            adapter.run(noise)
    finally:
        tracer.close()
    candidates = [tracer.found.get(path) for path in paths]
    windows = tuple(window for window in candidates if window is not None)
    if len(windows) < len(candidates) or set(tracer.found) != set(paths):
        return ()
    sides = [window.grid for window in windows]
    steps = [*pairwise(sides), *((window.grid, window.key_grid) for window in windows)]
    return () if any(b[0] > a[0] or b[1] > a[1] for a, b in steps) else windows


class _Tracer(TorchFunctionMode):
    """Record one thread's maps, linear inputs, and origins of rows."""

    def __init__(self, module: nn.Module, size: Size) -> None:
        super().__init__()
        self.found: dict[str, Windows | None] = {}
        self._size, self._caller = size, threading.get_ident()
        self._maps: deque[tuple[Tensor, Size]] = deque(maxlen=KEPT)
        """Rows (cells, C) and their grid, the latest last."""
        self._grids: dict[Size, None] = {}
        self._before: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        """What a module was given, by what it returned in the same shape."""
        self._read: list[tuple[Tensor, bool]] = []
        """What linear layers read since the innermost modules were entered, and whether its channels come first."""
        self._entered: dict[str, int] = {}
        self._handles = [
            handle
            for path, part in module.named_modules()
            for handle in (
                part.register_forward_pre_hook(self._enter(path)),
                part.register_forward_hook(self._leave),
            )
        ]

    def close(self) -> None:
        """Take the hooks off the module."""
        for handle in self._handles:
            handle.remove()
        self._read.clear()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        options: dict[str, Any] = kwargs or {}
        if func is F.linear or func is F.conv2d:
            values = options["input"] if "input" in options else args[0]
            weight = options["weight"] if "weight" in options else args[1]
            if func is F.linear or weight.shape[-2:] == (1, 1):
                self._read.append((values, func is F.conv2d))
        return func(*args, **options)

    def record(self, path: str, weights: Tensor) -> Tensor:
        """Record the tokens of one attention's windows; return it unchanged."""
        windows, _, queries, keys = weights.shape
        read = self._read[self._entered.get(path, len(self._read)) :]
        q_cells = self._find_cells(read, windows, queries)
        k_cells = q_cells if keys == queries else self._find_cells(read, windows, keys)
        twice = path in self.found
        self.found[path] = None if twice or q_cells is None or k_cells is None else Windows(path, *q_cells, *k_cells)
        return weights

    def _enter(self, path: str) -> Callable[..., None]:
        def entered(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            if threading.get_ident() == self._caller:
                self._entered[path] = len(self._read)
                self._note(inputs)

        return entered

    def _leave(self, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() != self._caller:
            return
        outputs = output if isinstance(output, tuple) else (output,)
        for out in outputs:
            for value in inputs:
                alike = isinstance(out, torch.Tensor) and isinstance(value, torch.Tensor) and out.shape == value.shape
                if alike and out is not value and out.ndim > 2:
                    self._before[out] = value
                    break
        self._note(outputs)

    def _note(self, tensors: tuple[Any, ...]) -> None:
        """Keep what can be a map of one picture."""
        for tensor in tensors:
            if not isinstance(tensor, torch.Tensor) or tensor.ndim not in (3, 4) or len(tensor) != 1:
                continue
            layer = describe("", tensor, self._size, self._grids)
            if tensor.ndim == 4:
                # Either side may be the channels; only the right one has these rows.
                self._maps.append((tensor[0].flatten(1).T, (tensor.shape[2], tensor.shape[3])))
                self._maps.append((tensor[0].flatten(0, 1), (tensor.shape[1], tensor.shape[2])))
                if layer is not None and layer.layout == "nchw":
                    self._grids.pop(layer.shape[1:], None)
                    self._grids[layer.shape[1:]] = None
            elif layer is not None and not layer.prefix:
                self._maps.append((tensor[0], layer.shape[1:]))

    def _find_cells(self, read: Sequence[tuple[Tensor, bool]], windows: int, tokens: int) -> tuple[Tensor, Size] | None:
        """Return the cells (windows, tokens) of the first matching read, and grid."""
        for tensor, first in read:
            if (tensor.numel() // tensor.shape[1 if first else -1]) == windows * tokens:
                for origin in self._origins(tensor):
                    rows = (origin.movedim(1, -1) if first else origin).flatten(0, -2)
                    if (cells := self._match(rows)) is not None:
                        return cells[0].view(windows, tokens), cells[1]
                return None
        return None

    def _origins(self, tensor: Tensor | None) -> Iterator[Tensor]:
        """Yield a tensor and its row-wise origins, the latest first."""
        while tensor is not None:
            yield tensor
            tensor = self._before.get(tensor)  # type: ignore[no-untyped-call]

    def _match(self, rows: Tensor) -> tuple[Tensor, Size] | None:
        """Return the grid cell of each of (rows, C), and the grid, or None."""
        keys = [row.tobytes() for row in rows.cpu().numpy()]
        padding = bytes(len(keys[0]))
        first = rows[next((place for place, row in enumerate(keys) if row != padding), 0)]
        for cells, grid in reversed(self._maps):
            other = cells.shape[1] != rows.shape[1] or len(cells) > len(rows)
            if other or not bool((cells == first).all(1).any()):
                continue
            known = {row.tobytes(): place for place, row in enumerate(cells.cpu().numpy())}
            places = [known.get(row, -1 if row == padding else None) for row in keys]
            inside = [place for place in places if place is not None and place >= 0]
            if None not in places and len(inside) == len(set(inside)) == len(cells):
                return torch.tensor(places), grid
        return None
