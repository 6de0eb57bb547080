"""Read boxes and scores from the outputs of exported detectors, which come in several layouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.models.adapters.detector import Detections, cell_grid

STRIDES = (8, 16, 32, 64)
"""Pixels of the input that a cell of each scale is; many heads lack the last."""
CLAMPED = 1e-6
"""Distance that scores keep from 0 and 1, where a logit would be infinite."""


class Candidates(NamedTuple):
    """Boxes and scores of B pictures, N candidates each, K classes."""

    boxes: Tensor
    """(B, 4, N) xyxy in pixels of the input."""
    classes: Tensor
    """(B, K, N) in 0..1."""
    objectness: Tensor | None = None
    """(B, 1, N) in 0..1, of models that have it."""
    choice: Tensor | None = None
    """(B, N) long: the one class of each candidate, where it has one."""


@dataclass(frozen=True)
class Layout:
    """A layout of outputs, and the default preparation of its models' pictures."""

    about: str
    """Description, for the end of a sentence."""
    read: Callable[[Sequence[Tensor], int, tuple[int, int]], Candidates]
    """From a pass's outputs, the number of classes and the input's (h, w)."""
    final: bool = False
    """Whether its boxes were suppressed already."""
    bgr: bool = False
    """Whether blue comes first in the input."""
    highest: int = 1
    """The value of white: 1 or 255."""
    place: str = "centre"
    """Position of the picture in a letterbox: `centre` or `corner`; `squash`: without bars."""
    outputs: tuple[str, ...] = ()
    """Names of its outputs in the order of `read`, where these tell it."""


def _ultralytics(outputs: Sequence[Tensor], count: int, size: tuple[int, int]) -> Candidates:
    rows = outputs[0]  # (B, 4 + K + more, N)
    return Candidates(_corners(rows[:, :4]), rows[:, 4 : 4 + count])


def _end2end(outputs: Sequence[Tensor], count: int, size: tuple[int, int]) -> Candidates:
    rows = outputs[0].transpose(1, 2)  # (B, 6 + more, N): xyxy, score, class
    return _listed(rows[:, :4], rows[:, 4], rows[:, 5], count)


def _custom_vision(outputs: Sequence[Tensor], count: int, size: tuple[int, int]) -> Candidates:
    boxes, classes, scores = outputs  # of one picture: (N, 4) xyxy from 0 to 1, (N,), (N,)
    sides = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return _listed((boxes * sides).T[None], scores[None], classes[None], count)


def _listed(boxes: Tensor, scores: Tensor, classes: Tensor, count: int) -> Candidates:
    """Return candidates by boxes (B, 4, N), scores and classes (B, N)."""
    if boxes.shape[2] == 0:
        # One box with a score of 0.
        boxes, scores, classes = (F.pad(rows, (0, 1)) for rows in (boxes, scores, classes))
    classes = classes.float().round().long()
    # Unused rows hold arbitrary numbers.
    if (highest := int(classes.masked_fill(scores <= 0, 0).max())) >= count:
        raise ModelProblem(f"The model answered with class {highest}, and only {count} are named: complete the labels.")
    classes = classes.clamp(0, count - 1)
    by_class = scores.new_zeros(len(scores), count, scores.shape[1]).scatter(1, classes[:, None], scores[:, None])
    return Candidates(boxes, by_class, choice=classes)


def _yolov5(outputs: Sequence[Tensor], count: int, size: tuple[int, int]) -> Candidates:
    rows = outputs[0].transpose(1, 2)  # (B, 5 + K, N): cxcywh, objectness, classes
    return Candidates(_corners(rows[:, :4]), rows[:, 5 : 5 + count], rows[:, 4:5])


def _yolox(outputs: Sequence[Tensor], count: int, size: tuple[int, int]) -> Candidates:
    rows = outputs[0]
    if (cells := grid(rows.shape[1], size)) is None:
        raise ModelProblem(f"{rows.shape[1]} candidates are no grid of YOLOX over {size[0]} x {size[1]} pixels.")
    centres, strides = (part.to(rows) for part in cells)
    # A cell counts from its own top left here, and not from its centre.
    middle = rows[..., :2] * strides[:, None] + centres - strides[:, None] / 2
    return _yolov5([torch.cat((middle, rows[..., 2:4].exp() * strides[:, None], rows[..., 4:]), -1)], count, size)


def _corners(boxes: Tensor) -> Tensor:
    """Convert (B, 4, N) centre and size to xyxy."""
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat((middle - half, middle + half), 1)


LAYOUTS = {
    "ultralytics": Layout("(1, 4 + classes, N): Ultralytics' centre, size and class scores", _ultralytics),
    "end2end": Layout("(1, N, 6): corners, score and class of each box", _end2end, final=True),
    "custom-vision": Layout(
        "(N, 4), (N,), (N,): Custom Vision's boxes from 0 to 1, classes and scores of one picture",
        _custom_vision,
        final=True,
        place="squash",
        outputs=("detected_boxes", "detected_classes", "detected_scores"),
    ),
    "yolov5": Layout("(1, N, 5 + classes): centre, size, objectness and classes, as YOLOv5's", _yolov5),
    "yolox": Layout("(1, N, 5 + classes): YOLOX's, not decoded", _yolox, bgr=True, highest=255, place="corner"),
    "yolox-decoded": Layout("(1, N, 5 + classes): YOLOX's, decoded", _yolov5, bgr=True, highest=255, place="corner"),
}


def grid(count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
    """Return centres (N, 2) and strides (N,) of N cells, in pixels, or None.

    Heads have one candidate for each cell, or three as YOLOv5's, on three or four scales.
    """
    for used in (STRIDES[:3], STRIDES):
        shapes = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in used]
        cells = sum(h * w for h, w in shapes)
        for each in (1, 3):
            if cells * each != count:
                continue
            return cell_grid([shape for shape in shapes for _ in range(each)], sorted(used * each))
    return None


def layout_of(names: Sequence[str]) -> str | None:
    """Return the layout that the names of outputs tell, or None."""
    told = (name for name, layout in LAYOUTS.items() if layout.outputs and {*layout.outputs} <= {*names})
    return next(told, None)


def infer(outputs: Sequence[Tensor], size: tuple[int, int], named: int | None, ultralytics: bool) -> tuple[str, int]:
    """Infer the layout and the number of classes from outputs' shapes.

    `named`: how many classes the file or the operator names; `ultralytics`: whether its metadata is Ultralytics' own.
    Raises ModelProblem, with the shapes, where they are none of those known.
    """
    if outputs[0].ndim == 3 and len(outputs) < 4:
        layout = _infer_of_rows(outputs[0], size, named, ultralytics)
        if layout is not None:
            return layout
    shapes = ", ".join(str(tuple(out.shape)) for out in outputs)
    if all(out.ndim > 3 for out in outputs):
        raise ModelProblem(f"Its outputs, {shapes}, are maps: for segmentation export a class's mean, for boxes rows.")
    if all(out.ndim != 3 for out in outputs):
        raise ModelProblem(f"Its outputs, {shapes}, fit no layout: export one output (1, N, numbers of a box).")
    classes = f" with {named} classes" if named else ""
    raise ModelProblem(f"Its outputs, {shapes}, fit no layout{classes}: say layout = one of {', '.join(LAYOUTS)}.")


def _infer_of_rows(
    output: Tensor, size: tuple[int, int], named: int | None, ultralytics: bool
) -> tuple[str, int] | None:
    """Do as `infer` for one output (1, rows, columns); None: it is unknown."""
    _, rows, columns = output.shape
    few = rows <= 1000 and rows > columns
    if (columns == 6 and grid(rows, size) is None) or (ultralytics and few and columns >= 6):
        return "end2end", named or 0
    # After the four sides and the objectness.
    classes = columns - 5
    if rows > columns and classes >= 1 and named in (None, classes):
        return _name_with_objectness(output, size, ultralytics), classes
    if columns > rows >= 5 and (named is None or rows >= 4 + named):
        # What follows the classes are mask coefficients or keypoints, which only Ultralytics' own files name.
        if named is not None and ultralytics:
            return "ultralytics", named
        return "ultralytics", rows - 4
    return None


def _name_with_objectness(output: Tensor, size: tuple[int, int], ultralytics: bool) -> str:
    """Return the layout of an output (1, N, 5 + classes) with an objectness."""
    rows = output.shape[1]
    cells = grid(rows, size)
    has_anchors = rows % 3 == 0 and grid(rows // 3, size) is not None
    if ultralytics or cells is None or has_anchors:
        return "yolov5"
    # Decoded centres reach over the whole input; offsets from a cell stay within a few cells.
    centres, _ = cells
    is_decoded = float(output[..., :2].max()) > float(centres.max()) / 2
    return "yolox-decoded" if is_decoded else "yolox"


def join_candidates(candidates: Sequence[Candidates], size: tuple[int, int] | None) -> Detections:
    """Join several passes' candidates into one padded batch.

    `size`: (h, w) of the input where candidates may be cells of a grid; None where they are not.
    """
    count = max(part.boxes.shape[-1] for part in candidates)
    joined = (
        None if parts[0] is None else torch.cat([F.pad(rows, (0, count - rows.shape[-1])) for rows in parts])
        for parts in zip(*candidates, strict=True)
    )
    boxes, classes, objectness, choice = Candidates(*joined)  # type: ignore[arg-type]
    cells = None if size is None else grid(count, size)
    if cells is None:
        # Boxes without cells have their own centres; any point within a box selects it.
        first = boxes[0]
        centres = torch.stack((first[0] + first[2], first[1] + first[3]), 1) / 2
        units = torch.maximum(first[2] - first[0], first[3] - first[1]).clamp_min(1) / 3
    else:
        centres, units = (part.to(boxes) for part in cells)
    return Detections(
        levels=(torch.logit(classes.float(), CLAMPED)[..., None],),
        regressions=(boxes[..., None],),
        boxes_of=lambda tensors: tensors[0][..., 0].transpose(1, 2),
        centres=centres,
        units=units,
        objectness=() if objectness is None else (torch.logit(objectness.float(), CLAMPED)[..., None],),
        choice=choice,
    )
