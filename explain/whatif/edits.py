"""Apply brush and rectangle edits to pixels, and describe what they change.

Marks come from a browser and are untrusted: `parse` leaves out invalid ones, and limits their number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ImageProblem
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.maps.statistics import coarse
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.explain.trust import support
from sightglass.models.drawing import draw_line

if TYPE_CHECKING:
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.tasks.parts import Change

Kind = Literal["brush", "erase", "rectangle"]
Fill = Literal["blur", "grey", "mean"]
FILLS: dict[Fill, str] = {"blur": "a strong blur", "grey": "middle grey", "mean": "the picture's mean colour"}
"""The fills of hidden pixels, in words."""
GREY = 128
"""Middle grey, as a person sees it; the 114 of `models.preprocess` is what detectors' bars have."""
SIDE = 160
"""Longer side, in pixels, at which the blur is computed: it is smooth, and full size takes 20 times as long."""
MAX_MARKS, MAX_POINTS = 400, 6_000
"""Maximum number of an edit's marks, and of the points of all of them together."""
SIZES = (0.005, 0.25)
"""Diameters of the brush, as shares of the picture's longer side."""
_POINTS: dict[Kind, int] = {"brush": 1, "erase": 1, "rectangle": 2}
_blurs: ByteCache[NDArray[np.uint8]] = ByteCache(4 * MIB, lambda small: small.nbytes)
"""By the picture's SHA-256: a stroke must not wait for the same blur again."""


@dataclass(frozen=True, slots=True)
class EditMark:
    """One movement of a tool.

    `points` are (x, y) as shares of the picture's width and height: the path of a brush or an eraser; two corners of a
    rectangle. `size`: the brush's diameter as a share of the picture's longer side.
    """

    kind: Kind
    points: tuple[tuple[float, float], ...]
    size: float = 0.08


@dataclass(frozen=True, slots=True)
class Edit:
    """Marks in order; the covered part, or with `keep` the rest, is filled."""

    marks: tuple[EditMark, ...] = ()
    fill: Fill = "blur"
    keep: bool = False


@dataclass(frozen=True, eq=False)
class Edited:
    """An edited picture, and the mask of its filled pixels, bool (H, W)."""

    image: Image
    hidden: NDArray[np.bool_]


def parse(data: Any, max_marks: int = MAX_MARKS, max_points: int = MAX_POINTS) -> Edit:
    """Read an edit as a browser sends it: `{"marks": [{"kind", "points": [x, y, …], "size"}], "fill", "keep"}`.

    Invalid marks are left out, and so are those after `max_marks`, and after `max_points` of all marks together.
    """
    if not isinstance(data, dict):
        return Edit()
    marks: list[EditMark] = []
    count = 0
    listed = data.get("marks")
    for item in listed[:max_marks] if isinstance(listed, list) else ():
        mark = _mark(item)
        if mark is None:
            continue
        count += len(mark.points)
        if count > max_points:
            break
        marks.append(mark)
    fill: Fill = next((name for name in FILLS if name == data.get("fill")), "blur")
    return Edit(tuple(marks), fill, data.get("keep") is True)


def _mark(mark: Any) -> EditMark | None:
    """Read one mark; None for an invalid one."""
    if not isinstance(mark, dict):
        return None
    kind, flat = next((name for name in _POINTS if name == mark.get("kind")), None), mark.get("points")
    if kind is None or not isinstance(flat, list) or not all(map(_is_number, flat)):
        return None
    pairs = tuple((_clamp(x, -1, 2), _clamp(y, -1, 2)) for x, y in zip(flat[::2], flat[1::2], strict=False))
    least = _POINTS[kind]
    if len(pairs) < least or (kind == "rectangle" and len(pairs) != least):
        return None
    size: Any = mark.get("size")
    return EditMark(kind, pairs, _clamp(size, *SIZES)) if _is_number(size) else EditMark(kind, pairs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(float(value), low), high)


def edited(image: Image, edit: Edit) -> Edited:
    """Return a picture after an edit, reproducibly.

    The picture itself comes back where nothing changes. Raises ImageProblem for a picture that is not RGB,
    and for an unknown fill.

        edited(image, Edit((EditMark("rectangle", ((0.2, 0.2), (0.6, 0.5))),), fill="grey")).image
    """
    if image.planes is not None:
        raise ImageProblem(
            f"{image.name} is not an RGB picture, and only those can be painted over: choose another picture."
        )
    if edit.fill not in FILLS:
        raise ImageProblem(f"There is no fill called {edit.fill}: use one of {', '.join(FILLS)}.")
    painted = paint(image, edit)
    # With `keep` and no marks everything would be hidden.
    hidden = ~painted if edit.keep and painted.any() else painted
    if not hidden.any():
        return Edited(image, hidden)
    pixels = cover(image, hidden, edit.fill)
    name = re.sub(r"(\.\w{1,5})?$", "-edited.png", image.name, count=1)
    note = f"{percent(float(hidden.mean()))} of this picture is covered by {FILLS[edit.fill]}."
    changed = Image(pixels, name, (*image.notes, note))
    # The fill may equal the original pixels.
    return Edited(image if changed.sha256 == image.sha256 else changed, hidden)


def paint(image: Image, edit: Edit) -> NDArray[np.bool_]:
    """Return the mask of the painted pixels, bool (H, W)."""
    painted = np.zeros((image.height, image.width), np.uint8)
    for mark in edit.marks:
        if mark.kind in ("brush", "erase"):
            draw_line(painted, mark.points, mark.size, int(mark.kind == "brush"))
        else:
            x0, y0, x1, y1 = rectangle(mark.points, image.width, image.height)
            painted[y0:y1, x0:x1] = 1
    return painted.astype(bool)


def rectangle(points: Sequence[tuple[float, float]], width: int, height: int) -> tuple[int, int, int, int]:
    """Return the pixels between two corners, at least one."""
    (xa, ya), (xb, yb) = points[:2]
    x0, x1 = _span(xa, xb, width)
    y0, y1 = _span(ya, yb, height)
    return x0, y0, x1, y1


def _span(a: float, b: float, side: int) -> tuple[int, int]:
    low = min(max(math.floor(min(a, b) * side + 0.5), 0), side - 1)
    return low, max(min(math.floor(max(a, b) * side + 0.5), side), low + 1)


def cover(image: Image, hidden: NDArray[np.bool_], fill: Fill) -> NDArray[np.uint8]:
    """Return a picture's pixels, uint8 (H, W, 3), with the hidden ones, bool (H, W), filled."""
    pixels = image.pixels.copy()
    if fill == "blur":
        large = cv2.resize(blur(image), (image.width, image.height), interpolation=cv2.INTER_LINEAR)
        filling = np.asarray(large, np.uint8).reshape(pixels.shape)
    else:
        filling = np.full(pixels.shape, mean_color(image) if fill == "mean" else GREY, np.uint8)
    cv2.copyTo(filling, hidden.view(np.uint8), pixels)
    return pixels


def mean_color(image: Image) -> NDArray[np.uint8]:
    """Return the mean of all pixels, uint8 (3,)."""
    # 20 times as fast as numpy.
    return np.rint(cv2.mean(image.pixels)[:3]).astype(np.uint8)


def blur(image: Image) -> NDArray[np.uint8]:
    """Return a small blurred copy: uint8 (h, w, 3), sides up to `SIDE`."""
    return _blurs.get_or_make(image.sha256, lambda: _blur(image.pixels))


def _blur(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import torch

    small = coarse(pixels.astype(np.float32), SIDE)
    blurred = support.blur(torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None])
    return np.ascontiguousarray(np.rint(np.clip(blurred[0].numpy().transpose(1, 2, 0), 0, 255)).astype(np.uint8))


@own_modes()
def changes(before: Explanation, after: Explanation) -> tuple[Change, ...]:
    """Return an edit's changes of the best classes, or of all boxes.

    A model that compares pictures has neither: its one change is the cosine to the unedited picture, from 1.
    """
    return before.task.scorer.changes(before, after)


def sentence(before: Explanation, changes: Sequence[Change], edit: Edit) -> str:
    """Say what an edit changed, in numbers that were measured."""
    if not edit.marks:
        return before.task.wording.invite(before)
    condition = "With only what you kept" if edit.keep else "Without what you painted over"
    return f"{condition}, {before.task.wording.describe_changes(before.model, changes)}."
