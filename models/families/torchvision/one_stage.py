"""Adapt torchvision's one-stage detectors: RetinaNet, FCOS and SSD."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sightglass.models.adapter import Part
from sightglass.models.adapters.detector import SIDES, Detections
from sightglass.models.families.torchvision.detector import (
    TorchvisionDetections,
    TorchvisionDetector,
    root_of_sigmoids,
    softmax_beside,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec


class _Dense(TorchvisionDetector):
    """A head with an output for each anchor of each cell of each map: a scale here is one anchor shape of one map."""

    def __init__(self, spec: ModelSpec, module: Any, named: Mapping[int, str], weights_sha256: str) -> None:
        super().__init__(spec, module, named, weights_sha256)
        self._width = int(self._classes_in_all())
        # Runs of neighbouring columns that are known classes, and of columns between them.
        edges = [c for c in range(self._width + 1) if c in (0, self._width) or self._ours(c) != self._ours(c - 1)]
        self._runs = [(b - a, self._ours(a)) for a, b in itertools.pairwise(edges)]

    def _ours(self, column: int) -> bool:
        return column in self._columns

    def _classes_in_all(self) -> int:
        """Return the number of columns of the class head for one anchor, also of those that are no class."""
        return int(self.module.head.classification_head.num_classes)  # type: ignore[union-attr, arg-type]

    def _split(self, out: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Split (B, A * columns, h, w) into, for each of A anchors, (B, K, h, w) and the columns that are no class."""
        anchors = out.shape[1] // self._width
        pieces = iter(torch.split(out, [size for size, _ in self._runs] * anchors, 1))
        for _ in range(anchors):
            mine: list[Tensor] = []
            others: list[Tensor] = []
            for _, ours in self._runs:
                (mine if ours else others).append(next(pieces))
            yield mine[0] if len(mine) == 1 else torch.cat(mine, 1), torch.cat(others, 1) if others else None

    def _towers(self, features: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Yield the head's classes, boxes and centredness for each map, as the convolutions return them."""
        raise NotImplementedError

    def _decode(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """Decode (N, 4) numbers of the head and (N, 4) xyxy anchors to (N, 4) xyxy boxes."""
        out: Tensor = self.module.box_coder.decode_single(deltas, anchors)  # type: ignore[union-attr, operator]
        return out

    def _scoring(self, rest: Sequence[Tensor | None]) -> Callable[[Tensor, Tensor | None], Tensor] | None:
        """Return the scoring function; `rest` are the columns that are no class, (B, c, h, w), one entry a scale."""
        return None

    def run(self, tensor: Tensor) -> TorchvisionDetections:
        module: Any = self.module
        images = self._images(tensor)
        features = list(self._features(tensor).values())
        levels: list[Tensor] = []
        regressions: list[Tensor] = []
        objectness: list[Tensor] = []
        rest: list[Tensor | None] = []
        per_cell = []
        for logits, deltas, centredness in self._towers(features):
            shapes = list(self._split(logits))
            levels += [mine for mine, _ in shapes]
            rest += [others for _, others in shapes]
            regressions += torch.split(deltas, 4, 1)
            objectness += [] if centredness is None else [centredness]
            per_cell.append(len(shapes))
        grids = module.anchor_generator(images, features)[0]  # (N, 4), all anchors of a cell after one another
        sizes = [x.shape[2] * x.shape[3] * count for x, count in zip(features, per_cell, strict=True)]
        anchors = torch.cat(
            [
                one.unflatten(0, (-1, count)).transpose(0, 1).flatten(0, 1)
                for one, count in zip(grids.split(sizes), per_cell, strict=True)
            ]
        )
        groups = torch.cat([anchors.new_full((n,), i, dtype=torch.long) for i, n in enumerate(sizes)])
        height = tensor.shape[2]
        strides = torch.cat([anchors.new_full((n,), height / x.shape[2]) for x, n in zip(features, sizes, strict=True)])

        def boxes(given: tuple[Tensor, ...]) -> Tensor:
            rows = torch.cat([level.flatten(2) for level in given], 2).transpose(1, 2)  # (B, N, 4)
            return torch.stack([self._decode(row, anchors) for row in rows])

        found = TorchvisionDetections(
            tuple(levels),
            tuple(regressions),
            boxes,
            (anchors[:, :2] + anchors[:, 2:]) / 2,
            strides,
            tuple(objectness),
            inner=images.image_sizes[0],
            groups=groups,
        )
        scoring = self._scoring(rest)
        return dataclasses.replace(found, scoring=scoring) if scoring else found


class RetinaNetDetector(_Dense):
    """RetinaNet: sigmoids per anchor. A candidate is measured in cells of its own map."""

    def _towers(self, features: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        module: Any = self.module
        classes, boxes = module.head.classification_head, module.head.regression_head
        for x in features:
            yield classes.cls_logits(classes.conv(x)), boxes.bbox_reg(boxes.conv(x)), None


class FcosDetector(_Dense):
    """FCOS: the root of two sigmoids, its class's and how central the cell is, which is the objectness here."""

    parts: tuple[Part, ...] = ("class", "contrast", "objectness", "box", *SIDES, "all")

    def _towers(self, features: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        module: Any = self.module
        classes, boxes = module.head.classification_head, module.head.regression_head
        for x in features:
            towards_box = boxes.conv(x)
            sides = boxes.bbox_reg(towards_box).relu()
            yield classes.cls_logits(classes.conv(x)), sides, boxes.bbox_ctrness(towards_box)

    def _decode(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        out: Tensor = self.module.box_coder.decode(deltas, anchors)  # type: ignore[union-attr, operator]
        return out

    def _scoring(self, rest: Sequence[Tensor | None]) -> Callable[[Tensor, Tensor | None], Tensor]:
        return root_of_sigmoids


class SsdDetector(_Dense):
    """SSD300 and SSDLite: a softmax per anchor, in which the background takes part."""

    has_neck = False

    def _classes_in_all(self) -> int:
        return int(self.module.head.classification_head.num_columns)  # type: ignore[union-attr, arg-type]

    def _towers(self, features: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        module: Any = self.module
        classes, boxes = module.head.classification_head, module.head.regression_head
        for x, towards_class, towards_box in zip(features, classes.module_list, boxes.module_list, strict=True):
            yield towards_class(x), towards_box(x), None

    def _scoring(self, rest: Sequence[Tensor | None]) -> Callable[[Tensor, Tensor | None], Tensor]:
        rows = [others.detach().float().flatten(2) for others in rest if others is not None]
        return softmax_beside(torch.cat(rows, 2).logsumexp(1, keepdim=True))

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        # The suppression takes a limited number of each class, and not of each map.
        assert isinstance(outputs, TorchvisionDetections)
        return super().select_boxes(dataclasses.replace(outputs, groups=None), confidence, iou)

    def _neck(self) -> list[str]:
        """Return the backbone's own maps, which the head reads without a neck."""
        paths = [path for path, _ in self.module.named_modules() if path.count(".") == 2]
        extra = [path for path in paths if path.startswith("backbone.extra.")]
        return [*self._first(paths), *extra]

    def _first(self, paths: Sequence[str]) -> list[str]:
        """Return the first maps: MobileNet's two steps are read by the head, VGG's layers are not."""
        if hasattr(self.module.backbone, "scale_weight"):
            return ["backbone.features"]
        return [path for path in paths if path.startswith("backbone.features.")]

    def _body(self, known: Mapping[str, Layer]) -> list[str]:
        """Leave out the maps that were added for large objects; for VGG the first of those is its own."""
        return [path for path in self._neck()[:2] if path in known]
