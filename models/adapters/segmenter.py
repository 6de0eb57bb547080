"""Adapters of segmentation networks: a class for each pixel, or a number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import AreaTarget, Part, PlaceTarget, Prediction, Span, Target
from sightglass.models.adapters.classifier import PreparedAdapter
from sightglass.models.geometry import Geometry, ModelInput, picture_cells
from sightglass.models.layers import Layer
from sightglass.models.preprocess import prepare
from sightglass.models.spec import AREA_METHOD, METHOD, ModelSpec

BACKGROUND = ("background", "__background__")
"""Names of the class of what is nothing else: it comes last, however large it is."""
BODY = ("backbone.", "encoder.", "segformer.", "dpt.", "model.pixel_level_module.encoder.")
"""Beginnings of the paths of a network's body; what comes after it is its head, where a map is its answer again."""
LONGEST = 4
"""Longer side of an input, in short sides: of a longer picture both sides are made smaller."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Logits of each pixel, and the class that each is given."""

    logits: Tensor
    """(B, classes, h, w)"""

    def part(self, index: int) -> "Segmentation":
        """Return one picture's output, (1, classes, h, w)."""
        return Segmentation(self.logits[index : index + 1])

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the answer."""
        return self.logits.shape[2], self.logits.shape[3]

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """The class of each pixel of the first picture, (h, w)."""
        return self.logits[0].detach().argmax(0).cpu().numpy()

    @cached_property
    def regions(self) -> NDArray[np.int32]:
        """The 4-connected region of each pixel within its class, (h, w), numbered from 0, class by class."""
        import cv2

        regions, count = np.zeros(self.size, np.int32), 0
        for index in np.unique(self.classes):
            of_class = self.classes == index
            labels, labelled = cv2.connectedComponents(of_class.view(np.uint8), connectivity=4)
            regions[of_class] = labelled[of_class] - 1 + count
            # OpenCV's label 0 is what is not of the class.
            count += labels - 1
        return regions


class Segmenter(PreparedAdapter):
    """A module from (B, 3, h, w) to pixel logits (B, classes, h', w').

    As torchvision prepares pictures for its segmentation networks, the whole picture is resized to a short side, unless
    the preprocessing says otherwise.
    """

    parts: tuple[Part, ...] = ("class", "contrast")
    has_embedding = False
    has_row = False
    step = 1
    """Sides of an input are multiples of it: a network that halves a map and doubles it again needs that."""

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        how = self.preprocessing
        square = how.size == (how.short_side, how.short_side)
        if preprocessing != "trained" or self.function or how.crop != "centre" or not square:
            return super().prepare(pixels, preprocessing)
        height, width = pixels.shape[:2]
        ratio = how.short_side / min(height, width) * min(1.0, LONGEST * min(height, width) / max(height, width))
        size = (self._side(height * ratio), self._side(width * ratio))
        return prepare(pixels, replace(how, size=size, crop="squash"), "trained")

    def _side(self, side: float) -> int:
        # int() and not round(): as torchvision's Resize.
        return max(int(side + 1e-6) if self.step == 1 else round(side / self.step) * self.step, self.step)

    def forward(self, tensor: Tensor) -> Segmentation:
        return Segmentation(self._answer(tensor))

    def _answer(self, tensor: Tensor) -> Tensor:
        """Return each pixel's logits; override it for other outputs."""
        output = self.module(tensor)
        logits: Tensor = output["out"] if hasattr(output, "keys") else output
        return logits

    def decode(self, outputs: Any, geometry: Geometry, *, top_k: int, **_: Any) -> list[Prediction]:
        """Return the picture's classes by share; a background comes last."""
        counts = np.bincount(outputs.classes[self._content(outputs, geometry)].ravel(), minlength=1)
        self._check_labels(len(counts))
        shares = (counts / counts.sum()).tolist()
        predictions = [Prediction(self.labels[i], i, share) for i, share in enumerate(shares) if share]
        return sorted(predictions, key=lambda p: (self.is_background(p.index), -p.score))[:top_k]

    def is_background(self, index: int) -> bool:
        """Return whether a class is that of what is nothing else."""
        return self.labels[index].removesuffix(" (untrained)") in BACKGROUND

    def _content(self, outputs: Segmentation, geometry: Geometry) -> tuple[slice, slice]:
        """Return the answer's rows and columns with picture content."""
        top, bottom, left, right = picture_cells(geometry, *outputs.size)
        return slice(top, bottom), slice(left, right)

    def find_pixel(self, outputs: Segmentation, geometry: Geometry, x: float, y: float) -> tuple[int, int]:
        """Return the answer's nearest pixel (x, y) to a point of the picture."""
        rows, columns = self._content(outputs, geometry)
        column, row = map(int, self.place_corners(outputs, geometry, np.array([[x, y]]))[0])
        return min(max(column, columns.start), columns.stop - 1), min(max(row, rows.start), rows.stop - 1)

    def find_point(self, outputs: Segmentation, geometry: Geometry, pixel: int) -> tuple[float, float]:
        """Return the picture's point (x, y) at the middle of the answer's pixel y * w + x."""
        (h, w), (height, width) = outputs.size, geometry.input
        y, x = divmod(pixel, w)
        return geometry.points_to_original([((x + 0.5) * width / w, (y + 0.5) * height / h)])[0]

    def place_corners(
        self, outputs: Segmentation, geometry: Geometry, corners: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Map points (n, 2) as (x, y) of the picture to pixels of the answer."""
        (h, w), (height, width) = outputs.size, geometry.input
        (sy, sx), (oy, ox) = geometry.scale, geometry.offset
        return (corners * (sx, sy) + (ox, oy)) * (w, h) / (width, height)

    def covers(self, outputs: Segmentation, geometry: Geometry) -> NDArray[np.bool_]:
        """Return the answer's pixels with picture content, bool (h, w)."""
        mask = np.zeros(outputs.size, bool)
        mask[self._content(outputs, geometry)] = True
        return mask

    def on_picture(self, values: NDArray[Any], geometry: Geometry, outside: Any) -> NDArray[Any]:
        """Return the answer's values (h, w) on the original picture, (H, W); `outside`: those of what is unseen."""
        left, top, right, bottom = geometry.seen
        (sy, sx), (oy, ox), (height, width) = geometry.scale, geometry.offset, geometry.input
        h, w = values.shape
        rows = (((np.arange(top, bottom) + 0.5) * sy + oy) * h / height).astype(int).clip(0, h - 1)
        columns = (((np.arange(left, right) + 0.5) * sx + ox) * w / width).astype(int).clip(0, w - 1)
        resampled = np.full(geometry.original, outside, values.dtype)
        resampled[top:bottom, left:right] = values[rows[:, None], columns]
        return resampled

    def pixels_of(self, outputs: Segmentation, target: Target) -> NDArray[np.bool_]:
        """Return the pixels that a target is about, bool (h, w) of the answer."""
        if isinstance(target, AreaTarget) and target.size == outputs.size:
            return target.pixels
        return np.asarray(outputs.classes == target.index)

    def around(self, outputs: Segmentation, pixel: int, span: Span) -> NDArray[np.bool_]:
        """Return the pixel y * w + x alone, or for the span `region` its connected region, bool (h, w)."""
        y, x = divmod(pixel, outputs.size[1])
        if span == "region":
            return np.asarray(outputs.regions == outputs.regions[y, x])
        mask = np.zeros(outputs.size, bool)
        mask[y, x] = True
        return mask

    def certainty(self, outputs: Any, target: Target, pixels: NDArray[np.bool_]) -> tuple[Tensor, Tensor, Tensor]:
        """Return probability, margin and share of a target's class in some pixels of B pictures, (B,) float64 each.

        The probability and the margin are means over the pixels: the margin is the class's logit less that of
        `target.against`, or without one less the best of all others. The share is of the pixels given the class.
        """
        assert target.index is not None
        logits = outputs.logits.detach()[:, :, pixels].double()  # (B, classes, n)
        others = logits.clone()
        others[:, target.index] = float("-inf")
        against = target.against if isinstance(target, AreaTarget) else None
        rival = others.amax(1) if against is None else logits[:, against]
        margin = (logits[:, target.index] - rival).mean(1)
        return logits.softmax(1)[:, target.index].mean(1), margin, (logits.argmax(1) == target.index).double().mean(1)

    def check_answer(self, outputs: Any) -> None:
        # The scores of all pixels take longer than many a network.
        self.require_finite(outputs.logits[0].amax(0))

    def class_logits(self, outputs: Segmentation) -> Tensor:
        """Return (B, classes): the mean over all pixels."""
        return outputs.logits.mean((2, 3))

    def class_scores(self, outputs: Segmentation) -> Tensor:
        """Return (B, classes): each class's mean probability over the picture."""
        return outputs.logits.float().softmax(1).mean((2, 3))

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """Return the sum of the class's logits over the target's pixels, shape ().

        For `contrast` less the logits of the other class in the same pixels, or the logsumexp of all the others.
        """
        self.check_part(target.part)
        if target.index is None:
            raise ModelProblem(f"{self.spec.id} explains classes: name one, or leave targets out.")
        mask = torch.from_numpy(self.pixels_of(outputs, target)).to(outputs.logits.device)
        logits: Tensor = outputs.logits[0]
        if target.part == "class":
            # By a product, as pytorch-grad-cam sums it: the same bits.
            return (logits[target.index] * mask).sum()
        if isinstance(target, AreaTarget) and target.against is not None:
            return ((logits[target.index] - logits[target.against]) * mask).sum()
        others = torch.arange(len(logits), device=logits.device) != target.index
        return (logits[target.index][mask] - logits[others][:, mask].logsumexp(0)).sum()

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the backbone's last layer, or the last before the class map."""
        features = [layer for layer in layers if layer.shape[0] != len(self.labels)]
        body = [layer for layer in features if layer.path.startswith(BODY)]
        return super().default_layers(body or features or layers)


def is_map(tensor: Any) -> bool:
    """Return whether an output may hold a class for each pixel: (B, classes, h, w)."""
    return isinstance(tensor, torch.Tensor) and tensor.ndim == 4 and min(tensor.shape[2:]) > 1


class PixelNumbers(Segmenter):
    """A module from (B, 3, h, w) to pixel numbers (B, 1, h', w').

    Its outputs are a `Segmentation` whose logits are the numbers themselves, and whose pixels all have class 0.
    """

    parts: tuple[Part, ...] = ("signed", "class", "lowers")
    measures_pixels = True

    def __init__(self, spec: ModelSpec, *args: Any, **options: Any) -> None:
        # GradCAM weighs channels by their mean gradient, which is 0 for the difference of two places.
        super().__init__(replace(spec, method=AREA_METHOD if spec.method == METHOD else spec.method), *args, **options)

    def decode(self, outputs: Any, geometry: Geometry, **_: Any) -> list[Prediction]:
        """Return the mean number of the whole picture."""
        covered = torch.from_numpy(self.covers(outputs, geometry)).to(outputs.logits.device)
        return [Prediction(self.labels[0], 0, float(outputs.logits[0, 0].detach()[covered].double().mean()))]

    def class_scores(self, outputs: Any) -> Tensor:
        return self.class_logits(outputs).float()

    def numbers_at(self, outputs: Segmentation, geometry: Geometry) -> NDArray[np.float32]:
        """Return the number of each original pixel, (H, W); NaN if unseen."""
        return self.on_picture(outputs.logits[0, 0].detach().float().cpu().numpy(), geometry, np.nan)

    def number(self, outputs: Segmentation, target: Target) -> Tensor:
        """Return a target's mean number, less any reference's mean; shape ()."""
        numbers: Tensor = outputs.logits[0, 0]
        mean = _mean(numbers, self.pixels_of(outputs, target))
        if isinstance(target, PlaceTarget) and target.than:
            return mean - _mean(numbers, target.reference)
        return mean

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """Return `number`, for `lowers` with the other sign, shape ()."""
        self.check_part(target.part)
        number = self.number(outputs, target)
        return -number if target.part == "lowers" else number


def _mean(numbers: Tensor, pixels: NDArray[np.bool_]) -> Tensor:
    """Return the mean over some pixels, bool (h, w), of numbers (h, w)."""
    return numbers[torch.from_numpy(pixels).to(numbers.device)].mean()


def as_pixels(tensor: Tensor) -> Tensor:
    """Add the channel axis to pixel numbers (B, h, w)."""
    return tensor[:, None] if tensor.ndim == 3 else tensor
