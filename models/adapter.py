"""What the engine and the model families both speak: geometry, predictions, targets, layers, and the adapter itself.

A family adapter does five things and nothing else: load, prepare (and its inverse), run, decode, and turn a
target into a scalar. The inverse is `Geometry`, the same for every family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

Box = tuple[float, float, float, float]
Part = Literal["class", "contrast", "box", "left", "top", "right", "bottom", "objectness", "mask", "all"]
"""What of a class or a box is explained. `contrast`: its logit against the other classes', "why this class"."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the original picture lies in the model's input: `input = scale * original + offset`.

    Coordinates are pixel edges (pixel i covers i..i+1), order (y, x). Every way of preparing a picture (resize,
    centre crop, letterbox) is such an axis-aligned map, so one inverse serves them all.
    """

    original: tuple[int, int]
    """(H, W) of the picture."""
    input: tuple[int, int]
    """(h, w) of the model's input."""
    scale: tuple[float, float]
    offset: tuple[float, float]

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """xyxy in whole original pixels of the part that the model saw; the rest was cropped away."""
        (top, bottom), (left, right) = (self._span(axis, inverse=True) for axis in (0, 1))
        return left, top, right, bottom

    @property
    def content(self) -> tuple[int, int, int, int]:
        """xyxy in whole input pixels of the part that is picture; the rest is the letterbox's bars."""
        (top, bottom), (left, right) = (self._span(axis, inverse=False) for axis in (0, 1))
        return left, top, right, bottom

    @property
    def extent(self) -> Box:
        """xyxy in original pixels, not rounded, of what `content` covers: where a map of the content belongs."""
        left, top, right, bottom = self.content
        (sy, sx), (oy, ox) = self.scale, self.offset
        return (left - ox) / sx, (top - oy) / sy, (right - ox) / sx, (bottom - oy) / sy

    def _span(self, axis: int, *, inverse: bool) -> tuple[int, int]:
        scale, offset = self.scale[axis], self.offset[axis]
        if inverse:
            low, high, size = -offset / scale, (self.input[axis] - offset) / scale, self.original[axis]
        else:
            low, high, size = offset, scale * self.original[axis] + offset, self.input[axis]
        # A sliver narrower than a pixel (a 1-px-wide picture) still is one pixel, never none.
        first = min(max(round(low), 0), size - 1)
        return first, max(min(round(high), size), first + 1)

    def box_to_original(self, box: Box) -> Box:
        """An xyxy box of the input in original pixels, clipped to the picture."""
        (height, width), (sy, sx), (oy, ox) = self.original, self.scale, self.offset
        x0, y0, x1, y1 = box
        return (
            float(np.clip((x0 - ox) / sx, 0, width)),
            float(np.clip((y0 - oy) / sy, 0, height)),
            float(np.clip((x1 - ox) / sx, 0, width)),
            float(np.clip((y1 - oy) / sy, 0, height)),
        )

    def points_to_original(self, points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
        """Points (x, y) of the input in original pixels, wherever they lie."""
        (sy, sx), (oy, ox) = self.scale, self.offset
        return tuple(((x - ox) / sx, (y - oy) / sy) for x, y in points)

    def to_original(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Grow an (h, w) map that covers the whole input to the picture's own grid.

        Returns float32 (H, W), bilinear; 0 where the model did not see (`seen` says where that is).
        """
        left, top, right, bottom = self.seen
        out = np.zeros(self.original, np.float32)
        rows = self._interpolation(0, values.shape[0], top, bottom)
        columns = self._interpolation(1, values.shape[1], left, right)
        out[top:bottom, left:right] = rows @ values @ columns.T
        return out

    def _interpolation(self, axis: int, cells: int, first: int, last: int) -> NDArray[np.float32]:
        """The (last - first, cells) matrix that reads a row of cells at the centres of the original's pixels."""
        centres = (np.arange(first, last) + 0.5) * self.scale[axis] + self.offset[axis]
        at = np.clip(centres * cells / self.input[axis] - 0.5, 0, cells - 1)
        low = np.minimum(at.astype(np.intp), cells - 1)
        high = np.minimum(low + 1, cells - 1)
        share = (at - low).astype(np.float32)
        matrix = np.zeros((len(at), cells), np.float32)
        index = np.arange(len(at))
        matrix[index, low] = 1 - share
        matrix[index, high] += share
        return matrix


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A picture as a model takes it: float32 (1, 3, h, w), and the way back."""

    tensor: Tensor
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a model."""

    label: str
    index: int
    score: float
    """0..1: softmax for a classifier, sigmoid for a detector."""
    box: Box | None = None
    """xyxy in original pixels; None for a classifier."""
    anchor: int | None = None
    """Which raw candidate of a detector this box came from."""
    corners: tuple[tuple[float, float], ...] | None = None
    """Of a turned box: its four corners (x, y) in original pixels; `box` is the upright rectangle around them."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is explained: a class, by its index in the model's labels; of a detector some of its raw candidates.

    `anchors` are the candidates: of one detection, of all boxes of a class, or the strongest of the whole picture;
    empty means the class's strongest one.
    """

    index: int | None
    """None: of each candidate its own best class."""
    label: str
    anchors: tuple[int, ...] = ()
    part: Part = "class"


@dataclass(frozen=True, slots=True)
class Layer:
    """A module by dotted path whose output is, or can be read as, a (C, h, w) map."""

    path: str
    shape: tuple[int, int, int]
    """(C, h, w) for the model's own input size."""
    layout: str = "nchw"
    """`nchw`, `nhwc` (Swin) or `tokens` (a ViT's (N, C) rows, its prefix tokens first)."""
    prefix: int = 0
    """Tokens before the grid's (CLS, registers)."""
    tail_bytes: int = field(default=0, compare=False)
    """What the modules after it return, for the model's own input size: about what a graph from here on keeps."""
    read_by: str = field(default="", compare=False)
    """Of tokens: the path of the attention that reads them as they are here; later each goes its own way."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One top-level step of a model, for a drawing of it."""

    path: str
    kind: str
    """Name of the module's type."""
    shape: tuple[int, int, int] | None
    """(C, h, w) of what it returns for the model's own input size; None where that is no single map."""
    stride: float | None
    """Pixels of the input that a cell of it is, along its height."""
    inputs: tuple[str, ...]
    """Paths of the stages that it reads; none for the first."""
    part: Literal["backbone", "neck", "head"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One row of the catalogue."""

    id: str
    family: str
    size: str
    """s, m, l, or the family's own word (18, 50, b0, n)."""
    loader: str
    """Name of the module in `models/` that loads it."""
    arch: str
    """What that module calls it (`resnet18`, `tf_efficientnet_lite0`, `yolo11n.pt`)."""
    task: str
    """`classify`, `detect`, or `embed`: it names nothing, its vectors of two pictures are compared."""
    licence: str
    weights: Mapping[str, Any] = field(default_factory=dict)
    """`package` or `url` and `sha256`; empty where the loader knows itself."""
    target_layers: tuple[str, ...] = ()
    """Empty: found by looking (the last layer with a spatial output)."""
    method: str = "gradcam"
    why: Mapping[str, Any] = field(default_factory=dict)
    """What answers "why this class and not another" where it is not the rule: `method`, `target_layers`."""
    channels_last: bool = False
    """Whether channels-last weights were measured to be faster on a CPU."""
    example: str = ""
    """Of a model that knows no photographs: the bundled example to show it."""
    source: str = ""
    """Where the architecture comes from: its paper or its repository."""


class Adapter(Protocol):
    """How the engine talks to a loaded model.

    One that only answers (an exported file, a service) says `gradients = False`; `batch` is how many pictures it takes
    in one pass, and `notes` are sentences that belong to each of its explanations. All three may be left out.

    One whose pictures can be compared has `embedding(outputs) -> Tensor`: (B, D), not normalised, in the graph; and
    `subject`, a word for what all its pictures show (`persons`), where that is not anything. Where its task is `embed`
    it has no labels and decodes to nothing; the scalar of a target without an index is the length of its vector.
    """

    spec: ModelSpec
    module: nn.Module
    """In eval mode, frozen."""
    labels: tuple[str, ...]
    preprocessings: tuple[str, ...]
    """Ways of preparing a picture that make sense here; the first is the one the model was trained with."""
    weights_sha256: str
    parts: tuple[Part, ...]
    """What a target can be made of."""

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        """uint8 (H, W, 3) RGB, of a model of other channels the picture's own numbers, to its input on the CPU."""

    def run(self, tensor: Tensor) -> Any:
        """One forward pass of (B, 3, h, w); the outputs' form is this family's own business."""

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        """Outputs of one picture as predictions, best first. Classifiers return the `top_k` classes."""

    def class_logits(self, outputs: Any) -> Tensor:
        """(B, classes) before softmax or sigmoid; of a detector the strongest candidate's of each class."""

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """The logit, shape (), that a target's gradient starts from (first picture of the batch)."""

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Target layers where the catalogue names none, chosen among those that can be explained."""

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Named choices of target layers, by the words of a menu."""

    def stages(self, layers: Sequence[Layer]) -> tuple[Stage, ...]:
        """The model's top-level steps in order, for a drawing of it."""

    def alias(self, name: str) -> str:
        """The dotted path that a layer's name in another tool stands for; the name itself where there is none."""
