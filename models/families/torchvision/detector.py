"""What torchvision's detectors share."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms, clip_boxes_to_image

from sightglass.models.adapters.detector import Detections, Detector
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import ModelStage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec


@dataclass(frozen=True, eq=False)
class TorchvisionDetections(Detections):
    """Candidates, and what torchvision's suppression needs besides."""

    inner: tuple[int, int] = (0, 0)
    """(h, w) of the picture in the input, its padding left out: where boxes are cut off."""
    groups: Tensor | None = None
    """(N,) long: the scale of each candidate, where the suppression takes a limited number of each."""
    proposed: bool = True
    """Whether any candidate may be shown at all."""


def root_of_sigmoids(logits: Tensor, objectness: Tensor | None) -> Tensor:
    assert objectness is not None
    return (logits.sigmoid() * objectness.sigmoid()).sqrt()


def softmax_beside(rest: Tensor) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return a softmax with further classes, above all the background: `rest`, (B, 1, N), is their logsumexp."""
    return lambda logits, _objectness: (logits - torch.logaddexp(logits.logsumexp(1, keepdim=True), rest)).exp()


class TorchvisionDetector(Detector):
    """A module from float32 (B, 3, h, w), normalised and padded with zeros, to `TorchvisionDetections`."""

    multi_label = True
    has_neck = True
    small = 0.0
    """Minimum side of a box that is shown, in pixels of the input."""

    def __init__(self, spec: ModelSpec, module: Any, named: Mapping[int, str], weights_sha256: str) -> None:
        super().__init__(spec, module, tuple(named.values()), weights_sha256)
        self._columns = tuple(named)
        transform = module.transform
        self._fixed: tuple[int, int] | None = transform.fixed_size
        if self._fixed:
            self.preprocessings = ("trained", "letterbox")
        self._divisor = int(transform.size_divisible)
        # The input size of a square picture, with which layers are found.
        self._size = -(-min(transform.min_size[-1], transform.max_size) // self._divisor) * self._divisor

    @property
    def resizing(self) -> str:
        way = f"squeezed to {self._fixed[0]}" if self._fixed else f"short side → {self.module.transform.min_size[-1]}"  # type: ignore[union-attr, index]
        return f"{way}, bilinear, no antialias"

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        """Prepare by torchvision's own transform; `letterbox` and `squash` fill a square of its short side.

        Bars are the mean colour, which is zero after normalising; those of `trained` are at the bottom and the right.
        """
        self.check_preprocessing(preprocessing)
        transform: Any = self.module.transform
        (height, width), short = pixels.shape[:2], transform.min_size[-1]
        side = self._fixed[0] if self._fixed else short
        trained = preprocessing == "trained"
        if preprocessing == "letterbox":
            ratio = min(side / height, side / width)
            h, w = max(round(height * ratio), 1), max(round(width * ratio), 1)
        elif self._fixed or not trained:
            h, w = side, side
        else:
            ratio = min(short / min(height, width), transform.max_size / max(height, width))
            # As torch's interpolate does with a factor.
            h, w = max(int(height * ratio), 1), max(int(width * ratio), 1)
        outer = [-(-n // self._divisor) * self._divisor for n in (h, w)] if trained else [side, side]
        top, left = (0, 0) if trained else ((outer[0] - h) // 2, (outer[1] - w) // 2)
        tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float().div_(255)
        mean, std = (torch.tensor(given).view(3, 1, 1) for given in (transform.image_mean, transform.image_std))
        # Normalised before it is resized, and not after: the same numbers as torchvision's to the last bit.
        resized = nn.functional.interpolate(tensor.sub_(mean).div_(std)[None], size=(h, w), mode="bilinear")
        canvas = resized.new_zeros(1, 3, *outer)
        canvas[:, :, top : top + h, left : left + w] = resized
        geometry = Geometry((height, width), (outer[0], outer[1]), (h / height, w / width), (float(top), float(left)))
        return ModelInput(canvas, geometry)

    def _images(self, tensor: Tensor) -> Any:
        """Return torchvision's list of images, with the size of each without its padding."""
        used = tensor.detach().abs().amax((0, 1))  # (h, w)
        sizes = []
        for axis, full in enumerate(tensor.shape[2:]):
            filled = (used.amax(1 - axis) > 0).nonzero()
            # Padding is less than a whole step: a larger area of zeros is part of the picture.
            sizes.append(max(int(filled[-1]) + 1 if len(filled) else full, full - self._divisor + 1))
        return ImageList(tensor, [(sizes[0], sizes[1])] * len(tensor))

    def _features(self, tensor: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.module.backbone(tensor)  # type: ignore[operator]
        return found

    def _limits(self) -> tuple[int, int | None]:
        """Return the maximum number of boxes, and of candidates of a group in the suppression."""
        return self.module.detections_per_img, self.module.topk_candidates  # type: ignore[return-value]

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        assert isinstance(outputs, TorchvisionDetections)
        most, most_before = self._limits()
        scores = outputs.scores[0]  # (K, N)
        classes, anchors = (scores > (confidence if outputs.proposed else 1)).nonzero(as_tuple=True)
        sure = scores[classes, anchors]
        if most_before is not None:
            group = classes if outputs.groups is None else outputs.groups[anchors]
            through = _best_of_each(group, sure, most_before)
            classes, anchors, sure = classes[through], anchors[through], sure[through]
        boxes = clip_boxes_to_image(outputs.boxes[0, anchors].detach().float(), outputs.inner)
        large = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= self.small
        classes, anchors, sure, boxes = classes[large], anchors[large], sure[large], boxes[large]
        chosen = batched_nms(boxes, sure, classes, iou)[:most]
        return anchors[chosen], classes[chosen]

    def _neck(self) -> list[str]:
        """Return the paths of the maps that the head reads, finest first."""
        paths = [path for path, _ in self.module.named_modules()]
        levels = [path for path in paths if path.startswith("backbone.fpn.layer_blocks.") and path.count(".") == 3]
        return levels + [path for path in paths if path.startswith("backbone.fpn.extra_blocks.p")]

    def _body(self, known: Mapping[str, Layer]) -> list[str]:
        """Return the paths of the backbone's steps in order."""
        return [path for path in known if path.startswith("backbone.body.") and path.count(".") == 2]

    def _scale(self, layer: Layer) -> str:
        """Return the name of a layer's scale, P3 for a stride of 8."""
        return f"P{round(math.log2(self._size / layer.shape[1]))}"

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        known = {layer.path: layer for layer in layers}
        neck: dict[tuple[int, ...], str] = {}
        for path in self._neck():
            if path in known:
                # Of MobileNet's two maps of one size no proposal is ever read from the second.
                neck.setdefault(known[path].shape[1:], path)
        body = self._body(known)
        found = {"all neck outputs": tuple(neck.values()), "backbone end": tuple(body[-1:])}
        if self.has_neck:
            found |= {f"neck {self._scale(known[path])}": (path,) for path in neck.values()}
        found["backbone P3"] = tuple([path for path in body if self._scale(known[path]) == "P3"][-1:])
        return {name: paths for name, paths in found.items() if paths} or super().presets(layers)

    def stages(self, layers: Sequence[Layer]) -> tuple[ModelStage, ...]:
        """Return the backbone's steps and the neck's maps with their inputs; the head has no map of one scale."""
        known = {layer.path: layer for layer in layers}
        body, neck = self._body(known), [path for path in self._neck() if path in known]
        read: dict[str, tuple[str, ...]] = {path: tuple(body[max(i - 1, 0) : i]) for i, path in enumerate(body)}
        if self.has_neck:
            # A level is its stage of the backbone, projected, plus the next coarser level, upsampled.
            levels = [path for path in neck if ".layer_blocks." in path]
            taken = [f"backbone.body.{name}" for name in self.module.backbone.body.return_layers]  # type: ignore[union-attr]
            for i in reversed(range(len(levels))):
                read[levels[i]] = (taken[i], *levels[i + 1 : i + 2])
            coarsest = neck[len(levels) - 1 :]
            read |= {path: (before,) for before, path in itertools.pairwise(coarsest)}
        else:
            read |= {path: (before,) for before, path in itertools.pairwise(neck)}
        found = []
        for path, inputs in read.items():
            shape, kind = known[path].shape, type(self.module.get_submodule(path)).__name__
            part: Literal["backbone", "neck"] = "neck" if ".fpn." in path else "backbone"
            found.append(ModelStage(path, kind, shape, self._size / shape[1], inputs, part))
        return tuple(found)


def _best_of_each(group: Tensor, sure: Tensor, most: int) -> Tensor:
    """Return the rows (n,) among the `most` surest of their group, best first."""
    order = sure.argsort(descending=True, stable=True)
    size = torch.bincount(group)
    if not len(size) or int(size.max()) <= most:
        return order
    rows = [order[group[order] == one][:most] for one in size.nonzero()]
    through = torch.cat(rows)
    return through[sure[through].argsort(descending=True, stable=True)]
