"""Find the answer in whatever a module returns."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sightglass.models.adapters.segmenter import as_pixels, is_map
from sightglass.models.spec import ModelSpec

USUAL = ("logits", "out", "output", "pred")
"""Names under which a module returns its answer beside other things."""
DEEPEST = 4
"""Levels of containers and objects in an output in which its tensors are looked for."""
Tensors = dict[str | int, Tensor]


def outputs_in(output: Any, depth: int = 0) -> Tensors:
    """Return a module output's tensors by name or place; a single one is 0."""
    if isinstance(output, torch.Tensor):
        return {0: output}
    if depth == DEEPEST:
        return {}
    # Deeper ones are named by the first tensor's place alone: (logits, (features, ...)).
    inner = {name: next(iter(outputs_in(part, depth + 1).values()), None) for name, part in _parts_of(output).items()}
    # One by several names is one.
    names = {id(tensor): name for name, tensor in reversed(inner.items())}
    return {name: tensor for name, tensor in inner.items() if tensor is not None and names[id(tensor)] == name}


def _parts_of(output: Any) -> dict[str | int, Any]:
    """Return what a container or an object holds, by name or place."""
    if hasattr(output, "items"):
        return dict(output.items())
    if isinstance(output, (list, tuple)):
        return dict(zip(getattr(output, "_fields", range(len(output))), output, strict=True))
    if isinstance(output, (type, nn.Module)):
        return {}
    names = dict.fromkeys((*getattr(output, "__dict__", ()), *_slots_of(type(output))))
    if hasattr(output, "logits"):
        # A property of some.
        names["logits"] = None
    return {name: getattr(output, name, None) for name in names if not name.startswith("_")}


def _slots_of(kind: type) -> Iterable[str]:
    slots: str | Iterable[str] = getattr(kind, "__slots__", ())
    return (slots,) if isinstance(slots, str) else slots


def answer_in(output: Any, chosen: str | int | None = None, pictures: int = 1) -> Tensor | None:
    """Return the (B, n) output of so many pictures, or None.

    It is the `chosen`, only, or usual one.
    """
    return _choose(_rows_in(output, pictures), chosen)


def map_in(output: Any, chosen: str | int | None = None, pictures: int = 1, *, numbers: bool = False) -> Tensor | None:
    """Return the (B, classes, h, w) output of so many pictures: the `chosen`, only, or usual one.

    `numbers`: one may be without classes, (B, h, w), as a depth's.
    """
    tensors = _batched(outputs_in(output), pictures)
    if numbers:
        tensors = {name: as_pixels(tensor) for name, tensor in tensors.items()}
    return _choose({name: tensor for name, tensor in tensors.items() if is_map(tensor)}, chosen)


def _choose(tensors: Tensors, chosen: str | int | None) -> Tensor | None:
    if chosen is None:
        usual = next((name for name in USUAL if name in tensors), None)
        chosen = next(iter(tensors)) if usual is None and len(tensors) == 1 else usual
    return None if chosen is None else tensors.get(chosen)


def is_row(tensor: Tensor) -> bool:
    """Return whether a map is of one pixel, (B, n, 1, 1)."""
    return tensor.ndim == 4 and tensor.shape[2:] == (1, 1)


def _rows_in(output: Any, pictures: int = 1) -> Tensors:
    """Return the outputs that are rows of numbers, (B, n)."""
    rows = {}
    for name, tensor in _batched(outputs_in(output), pictures).items():
        flat = tensor.flatten(1) if is_row(tensor) else tensor
        if flat.ndim in (1, 2):
            rows[name] = flat[:, None] if flat.ndim == 1 else flat
    return rows


def _batched(tensors: Tensors, pictures: int) -> Tensors:
    """Return outputs with an axis of pictures, where a module left that of one picture out."""
    if pictures > 1:
        return tensors
    alone = len(tensors) == 1
    return {name: tensor[None] if _lacks_axis(tensor, alone) else tensor for name, tensor in tensors.items()}


def _lacks_axis(tensor: Tensor, alone: bool) -> bool:
    """Return whether one picture's output has no axis of pictures; beside others only a row shows it."""
    if tensor.ndim == 0:
        return alone
    return len(tensor) != 1 and (tensor.ndim == 1 or (alone and tensor.ndim < 4))


def describe_output(spec: ModelSpec, output: Any) -> str:
    """Describe an unsupported output and the remedy."""
    tensors, rows = outputs_in(output), _rows_in(output)
    if (chosen := spec.weights.output) is not None and chosen not in tensors:
        return f"{spec.id} has no output {chosen!r}: it returns {', '.join(map(str, tensors)) or 'no tensor'}."
    if len(rows) > 1 and chosen is None:
        listed = ", ".join(f"{name} ({row.shape[1]})" for name, row in rows.items())
        first = next(iter(rows))
        example = f'"{first}"' if isinstance(first, str) else str(first)
        argument = "output" if spec.in_memory else "weights.output"
        return f"{spec.id} returns {len(rows)} outputs, {listed}: choose one with {argument}={example}."
    if _has_boxes(output):
        return (
            f"{spec.id} returns boxes: give a detector by its name in the catalogue, or as an ONNX file, or wrap it in "
            "a module that returns one row, such as the highest score of each class."
        )
    shapes = ", ".join("x".join(map(str, tensor.shape)) for tensor in tensors.values()) or type(output).__name__
    return (
        f"{spec.id} returns {shapes}: wrap it in a module that returns one row of numbers for a picture, or a map of "
        "each class."
    )


def _has_boxes(output: Any) -> bool:
    """Return whether an output, or that of the first picture, has a part named after boxes."""
    parts = {} if isinstance(output, Tensor) else _parts_of(output)
    first = next(iter(parts.values()), None)
    inner = {} if isinstance(first, Tensor) else _parts_of(first)
    return any("box" in str(name).lower() for name in (*parts, *inner))
