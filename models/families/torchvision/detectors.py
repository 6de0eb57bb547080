"""Load torchvision's detectors by their names there (https://github.com/pytorch/vision, BSD-3-Clause).

Each runs by its own modules, up to the logits and the numbers that boxes are decoded from; torchvision's postprocessing
is repeated here, so that each box keeps its candidate.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import batched_nms, clip_boxes_to_image

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import Part, Progress
from sightglass.models.adapters.detector import SIDES, Detections, Detector, sigmoid_scores
from sightglass.models.checkpoints import checkpoint, state_dicts
from sightglass.models.checkpoints.architectures import build_dense, default_weights, load_published
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer, Section, name_presets
from sightglass.models.load import TableDraft
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
    """Return FCOS's scores: the geometric mean of class and centredness."""
    assert objectness is not None
    return (logits.sigmoid() * objectness.sigmoid()).sqrt()


def softmax_beside(rest: Tensor) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return a softmax with further classes, above all the background: `rest`, (B, 1, N), is their logsumexp."""
    return lambda logits, _objectness: (logits - torch.logaddexp(logits.logsumexp(1, keepdim=True), rest)).exp()


class TorchvisionDetector(Detector):
    """A module from float32 (B, 3, h, w), normalised and padded with zeros, to `TorchvisionDetections`."""

    preprocessings = ("trained",)
    multi_label = True
    has_neck = True
    """Whether the head reads maps of a neck (FPN), and not the backbone's own."""
    small = 0.0
    """Minimum side of a box that is shown, in pixels of the input."""

    def __init__(self, spec: ModelSpec, module: Any, named: Mapping[int, str], weights_sha256: str) -> None:
        super().__init__(spec, module, tuple(named.values()), weights_sha256)
        self._columns = tuple(named)
        transform = module.transform
        self._fixed: tuple[int, int] | None = transform.fixed_size
        self._divisor = int(transform.size_divisible)
        # Pixels of a side of the input in which layers are found.
        self._size = -(-min(transform.min_size[-1], transform.max_size) // self._divisor) * self._divisor

    @property
    def resizing(self) -> str:
        way = f"squeezed to {self._fixed[0]}" if self._fixed else f"short side → {self.module.transform.min_size[-1]}"  # type: ignore[union-attr, index]
        return f"{way}, bilinear, no antialias"

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        """Prepare by torchvision's own transform, whose bars are zeros at the bottom and the right."""
        # In training it draws a size.
        own: Any = self.module.transform
        transform: Any = copy.copy(own).eval()
        (height, width), short = pixels.shape[:2], int(np.argmin(pixels.shape[:2]))
        # Torch cannot resize to no width at all.
        if not self._fixed and (thin := max(height, width) // (transform.max_size * min(height, width))):
            pixels = pixels.repeat(thin + 1, short)
        images, _ = transform([torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float().div_(255)])
        (h, w), size = images.image_sizes[0], images.tensors.shape[2:]
        geometry = Geometry((height, width), (size[0], size[1]), (h / height, w / width), (0.0, 0.0))
        return ModelInput(images.tensors, geometry)

    def _images(self, tensor: Tensor) -> Any:
        """Return torchvision's list of images, with the size of each without its padding."""
        used = tensor.detach().abs().amax((0, 1))  # (h, w)
        sizes = []
        for axis, full in enumerate(tensor.shape[2:]):
            filled = (used.amax(1 - axis) > 0).nonzero()
            # Padding is less than a whole step: a larger area of zeros is part of the picture.
            sizes.append(max(int(filled[-1]) + 1 if len(filled) else full, full - self._divisor + 1))
        return ImageList(tensor, [(sizes[0], sizes[1])] * len(tensor))

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        assert isinstance(outputs, TorchvisionDetections)
        # Maximum numbers of boxes, and of candidates of a group in the suppression.
        limits: Any = getattr(self.module, "roi_heads", self.module)
        most, most_before = limits.detections_per_img, getattr(limits, "topk_candidates", None)
        scores = outputs.scores[0]  # (K, N)
        classes, anchors = (scores > (confidence if outputs.proposed else 1)).nonzero(as_tuple=True)
        confident = scores[classes, anchors]
        if most_before is not None:
            # Without a neck a limited number of each class is taken, and not of each map.
            group = classes if outputs.groups is None or not self.has_neck else outputs.groups[anchors]
            best = _best_of_each(group, confident, most_before)
            classes, anchors, confident = classes[best], anchors[best], confident[best]
        boxes = clip_boxes_to_image(outputs.boxes[0, anchors].detach().float(), outputs.inner)
        large = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= self.small
        classes, anchors, confident, boxes = classes[large], anchors[large], confident[large], boxes[large]
        chosen = batched_nms(boxes, confident, classes, iou)[:most]
        return anchors[chosen], classes[chosen]

    def _neck(self) -> list[str]:
        """Return the paths of the maps that the head reads, finest first."""
        paths = [path for path, _ in self.module.named_modules()]
        levels = [path for path in paths if path.startswith("backbone.fpn.layer_blocks.") and path.count(".") == 3]
        return levels + [path for path in paths if path.startswith("backbone.fpn.extra_blocks.p")]

    def _body(self, known: Mapping[str, Layer]) -> list[str]:
        """Return the paths of the backbone's steps in order."""
        return [path for path in known if path.startswith("backbone.body.") and path.count(".") == 2]

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        known = {layer.path: layer for layer in layers}
        neck: dict[tuple[int, ...], str] = {}
        for path in self._neck():
            if path in known:
                # Of MobileNet's two maps of one size no proposal is ever read from the second.
                neck.setdefault(known[path].shape[1:], path)
        presets = name_presets(layers, neck.values(), self._body(known), self._size, scales=self.has_neck)
        return presets or super().presets(layers)

    def sections(self, layers: Sequence[Layer]) -> dict[str, Section]:
        """Return the backbone's steps, the levels of the neck, coarsest first, and the maps after them."""
        known = {layer.path: layer for layer in layers}
        neck = [path for path in self._neck() if path in known]
        levels = [path for path in neck if ".layer_blocks." in path]
        steps = (*self._body(known), *reversed(levels), *neck[max(len(levels), 1) :])
        return {path: "neck" if ".fpn." in path else "backbone" for path in steps}


def _best_of_each(group: Tensor, scores: Tensor, most: int) -> Tensor:
    """Return the rows (n,) with the `most` highest scores of their group, best first."""
    order = scores.argsort(descending=True, stable=True)
    among_best = torch.zeros_like(order, dtype=torch.bool)
    for number in torch.bincount(group).nonzero():
        among_best[(group[order] == number).nonzero()[:most, 0]] = True
    return order[among_best]


class DenseDetector(TorchvisionDetector):
    """RetinaNet, with sigmoids per anchor, and base of other dense heads; each anchor shape of each map is a scale."""

    def __init__(self, spec: ModelSpec, module: Any, named: Mapping[int, str], weights_sha256: str) -> None:
        super().__init__(spec, module, named, weights_sha256)
        # Columns of the class head for each anchor, with those that are no classes.
        head = module.head.classification_head
        self._width = int(head.num_columns if hasattr(head, "num_columns") else head.num_classes)
        self._others = [column for column in range(self._width) if column not in self._columns]

    def _split(self, out: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield for each anchor the classes (B, K, h, w) of (B, A * columns, h, w), and any other columns."""
        ours, others = (torch.tensor(columns, device=out.device) for columns in (self._columns, self._others))
        for anchor in torch.split(out, self._width, 1):
            yield anchor.index_select(1, ours), anchor.index_select(1, others) if len(others) else None

    def _towers(self, features: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Yield the head's classes, boxes and any centredness for each map, as the convolutions return them."""
        module: Any = self.module
        classes, boxes = module.head.classification_head, module.head.regression_head
        for x in features:
            logits, towards_box = classes.cls_logits(classes.conv(x)), boxes.conv(x)
            sides = boxes.bbox_reg(towards_box)
            # FCOS has it, and its numbers are distances.
            centredness = getattr(boxes, "bbox_ctrness", None)
            yield (logits, sides.relu(), centredness(towards_box)) if centredness else (logits, sides, None)

    def _scoring(self, rest: Sequence[Tensor | None]) -> Callable[[Tensor, Tensor | None], Tensor]:
        """Return the scoring function; `rest`: non-class columns (B, c, h, w) per scale."""
        return sigmoid_scores

    def forward(self, tensor: Tensor) -> TorchvisionDetections:
        module: Any = self.module
        images, features = self._images(tensor), list(module.backbone(tensor).values())
        # From (N, 4) numbers of the head and (N, 4) xyxy anchors to boxes.
        decode = getattr(module.box_coder, "decode_single", module.box_coder.decode)
        levels, regressions, objectness, rest = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor | None]()
        counts = []
        for logits, deltas, centredness in self._towers(features):
            by_anchor = list(self._split(logits))
            levels += [classes for classes, _ in by_anchor]
            rest += [others for _, others in by_anchor]
            regressions += torch.split(deltas, 4, 1)
            objectness += [] if centredness is None else [centredness]
            counts.append(len(by_anchor))
        anchors, groups = self._anchors(images, features, counts)
        strides = anchors.new_tensor([tensor.shape[2] / x.shape[2] for x in features])

        def boxes(deltas_of_levels: tuple[Tensor, ...]) -> Tensor:
            rows = torch.cat([level.flatten(2) for level in deltas_of_levels], 2).transpose(1, 2)  # (B, N, 4)
            return torch.stack([decode(row, anchors) for row in rows])

        return TorchvisionDetections(
            tuple(levels),
            tuple(regressions),
            boxes,
            (anchors[:, :2] + anchors[:, 2:]) / 2,
            strides[groups],
            tuple(objectness),
            scoring=self._scoring(rest),
            inner=images.image_sizes[0],
            groups=groups,
        )

    def _anchors(self, images: Any, features: list[Tensor], counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return anchors (N, 4) xyxy and the number of each one's map (N,); `counts`: of a cell of each map."""
        module: Any = self.module
        # Torchvision lists them cell by cell; here all cells of the first anchor come first.
        sizes = [x.shape[2] * x.shape[3] * count for x, count in zip(features, counts, strict=True)]
        pairs = zip(module.anchor_generator(images, features)[0].split(sizes), counts, strict=True)
        anchors = [boxes.unflatten(0, (-1, count)).transpose(0, 1).flatten(0, 1) for boxes, count in pairs]
        groups = [boxes.new_full((len(boxes),), number, dtype=torch.long) for number, boxes in enumerate(anchors)]
        return torch.cat(anchors), torch.cat(groups)


class FcosDetector(DenseDetector):
    """FCOS, with centredness as objectness."""

    parts: tuple[Part, ...] = ("class", "contrast", "objectness", "box", *SIDES, "all")

    def _scoring(self, rest: Sequence[Tensor | None]) -> Callable[[Tensor, Tensor | None], Tensor]:
        return root_of_sigmoids


class SsdDetector(DenseDetector):
    """SSD300 and SSDLite: a softmax per anchor, in which the background takes part."""

    has_neck = False

    def _towers(self, features: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        module: Any = self.module
        classes, boxes = module.head.classification_head, module.head.regression_head
        for x, towards_class, towards_box in zip(features, classes.module_list, boxes.module_list, strict=True):
            yield towards_class(x), towards_box(x), None

    def _scoring(self, rest: Sequence[Tensor | None]) -> Callable[[Tensor, Tensor | None], Tensor]:
        rows = [others.detach().float().flatten(2) for others in rest if others is not None]
        return softmax_beside(torch.cat(rows, 2).logsumexp(1, keepdim=True))

    def _neck(self) -> list[str]:
        """Return the backbone's own maps, which the head reads without a neck."""
        paths = [path for path, _ in self.module.named_modules() if path.count(".") == 2]
        extra = [path for path in paths if path.startswith("backbone.extra.")]
        # MobileNet's two steps are read by the head, VGG's layers are not.
        if hasattr(self.module.backbone, "scale_weight"):
            return ["backbone.features", *extra]
        return [*(path for path in paths if path.startswith("backbone.features.")), *extra]

    def _body(self, known: Mapping[str, Layer]) -> list[str]:
        """Leave out the extra maps for large objects, except VGG's first."""
        return [path for path in self._neck()[:2] if path in known]


CELLS = 7
"""Cells to a side of the grid that a proposal's features are pooled to."""


class _Candidates(NamedTuple):
    """The candidates of one picture: N pairs of a proposal and a class."""

    logits: Tensor  # (N, K)
    rest: Tensor  # (N,) logsumexp of the background's logit and other columns, out of the graph
    deltas: Tensor  # (N, 4) what boxes are decoded from
    classes: Tensor  # (N,) long
    proposals: Tensor  # (N, 4) xyxy in pixels of the input

    def padded(self, count: int) -> "_Candidates":
        """Return `count` candidates, the first one repeated where there are fewer."""
        index = torch.arange(count, device=self.classes.device)
        index = index.where(index < len(self.classes), 0)
        return _Candidates(*(tensor[index] for tensor in self))


class TwoStage(TorchvisionDetector):
    """Faster R-CNN: a candidate is a proposal with one class and its box.

    Classes are the best one and those above torchvision's threshold (0.05). A candidate's centre is its proposal's, and
    its unit a pooled cell: the root of the area over seven. Proposals are detached, as in torchvision.
    """

    small = 1e-2

    def forward(self, tensor: Tensor) -> TorchvisionDetections:
        module: Any = self.module
        images = self._images(tensor)
        features = module.backbone(tensor)
        proposals, _ = module.rpn(images, features)
        proposed = len(proposals[0]) > 0
        height, width = images.image_sizes[0]
        # Without proposals the whole picture is an explainable, but hidden, candidate.
        whole = tensor.new_tensor([[0, 0, width, height]])
        proposals = [part.detach() if len(part) else whole for part in proposals]
        heads = module.roi_heads
        pooled = heads.box_roi_pool(features, proposals, images.image_sizes)
        rows, counts = heads.box_predictor(heads.box_head(pooled)), [len(part) for part in proposals]
        pictures = [*map(self._candidates, *(part.split(counts) for part in rows), proposals)]
        most = max(len(picture.classes) for picture in pictures)
        pictures = [picture.padded(most) for picture in pictures]

        def boxes(tensors: tuple[Tensor, ...]) -> Tensor:
            pairs = zip(tensors[0][..., 0].transpose(1, 2), pictures, strict=True)
            return torch.stack([heads.box_coder.decode_single(row, picture.proposals) for row, picture in pairs])

        first = pictures[0].proposals
        sides = (first[:, 2:] - first[:, :2]).clamp(min=1)
        return TorchvisionDetections(
            (torch.stack([picture.logits.T[..., None] for picture in pictures]),),
            (torch.stack([picture.deltas.T[..., None] for picture in pictures]),),
            boxes,
            (first[:, :2] + first[:, 2:]) / 2,
            sides.prod(1).sqrt() / CELLS,
            scoring=softmax_beside(torch.stack([picture.rest[None] for picture in pictures])),
            choice=torch.stack([picture.classes for picture in pictures]),
            inner=(height, width),
            proposed=proposed,
        )

    def _candidates(self, logits: Tensor, deltas: Tensor, proposals: Tensor) -> _Candidates:
        """Return a picture's candidates from the head's rows (P, columns) and (P, 4 * columns) of its proposals."""
        columns = torch.tensor(self._columns, device=logits.device)
        is_other = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
        is_other[columns] = False
        scores = logits.detach().softmax(1)[:, columns]  # (P, K)
        above = scores > self.module.roi_heads.score_thresh  # type: ignore[union-attr, operator]
        above[torch.arange(len(logits), device=logits.device), scores.argmax(1)] = True
        rows, classes = above.nonzero(as_tuple=True)
        return _Candidates(
            logits[rows][:, columns],
            logits.detach().float()[rows][:, is_other].logsumexp(1),
            deltas.reshape(len(deltas), -1, 4)[rows, columns[classes]],
            classes,
            proposals[rows],
        )


HEADS = re.compile(r"(roi_heads.*cls_score|head\.classification_head\.(cls_logits|module_list\.0(\.1)?))\.bias")
"""Names of the biases of class heads."""
KINDS = {FasterRCNN: TwoStage, RetinaNet: DenseDetector, FCOS: FcosDetector, SSD: SsdDetector}


def load(spec: ModelSpec, progress: Progress | None = None) -> TorchvisionDetector:
    """Build the model on the CPU with torchvision's COCO weights, or an operator's own state dict and labels.

    Raises ModelProblem for an architecture that torchvision has not, WeightsProblem where the file does not fit it.
    """
    default = default_weights(spec.arch, "detector")
    usual = len(default.meta["categories"])
    count = len(labels.stated_names(spec)) + 1
    count = usual if count == 1 else count

    def read(path: Path) -> nn.Module:
        tensors = checkpoint.read(path)
        with torch.device("meta"):
            blank = build_dense(spec.arch, classes=usual).state_dict()
        head = next((key for key in blank if HEADS.fullmatch(key) and key in tensors), None)
        # An anchor has a row for each class.
        stored = count if head is None else len(tensors[head]) * usual // len(blank[head])
        module = build_dense(spec.arch, classes=stored)
        # Frozen norms count no batches; torch fills that in here.
        frozen = not any(name.endswith(".num_batches_tracked") for name in tensors)
        state_dicts.load_into(path, tensors, module, spec.arch)
        if frozen and spec.arch in ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn"):
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eps = 0.0
        return module

    row = load_published(spec, default)
    module, sha256 = checkpoint.module_of(row, progress, lambda: build_dense(spec.arch, classes=count), read)
    return adapt(spec, module, sha256)


def draft(path: Path, arch: str) -> TableDraft:
    """Draft the table of a detector's checkpoint, whose architecture the operator named."""
    table = {"task": "detect", "method": "hirescam", "weights": {"path": str(path)}}
    return TableDraft("torchvision.detectors", arch.removeprefix("torchvision/"), table)


def adapt(spec: ModelSpec, module: Any, weights_sha256: str) -> TorchvisionDetector:
    """Adapt a torchvision detector.

    Without names its 91 classes are COCO's, which have gaps between their numbers.
    """
    if spec.preprocessing.stated():
        raise ModelProblem(f"{spec.id} prepares pictures its own way: leave preprocess out.")
    for part in module.modules():
        if getattr(part, "inplace", None) is True:
            part.inplace = False
    count = _count_scores(module)
    stated = labels.stated_names(spec, count)
    named = stated if len(stated) == count else ()
    first = _first_class(module, count, named)
    if count == first:
        raise ModelProblem(f"{spec.id} has no class beside the background: build it with one more (num_classes).")
    if named:
        stated = named[first:]
    coco = labels.coco()
    is_coco = count == max(coco) + 1 and not stated
    numbers = [*coco] if is_coco else range(first, count)
    row = replace(spec.with_weights(labels=stated or None), task="detect")
    names, notes = labels.for_classes(row, len(numbers), (), tuple(coco.values()))
    kind = next(KINDS[kind] for kind in KINDS if isinstance(module, kind))
    adapter = kind(row, module, dict(zip(numbers, names, strict=True)), weights_sha256)
    adapter.notes = notes if spec.in_memory or spec.weights.path else ()
    return adapter


def _count_scores(module: Any) -> int:
    """Return how many scores a detector gives a box, one of a background included."""
    if isinstance(module, FasterRCNN):
        return int(module.roi_heads.box_predictor.cls_score.out_features)
    head = module.head.classification_head
    return int(head.num_columns if isinstance(module, SSD) else head.num_classes)


def _first_class(module: Any, count: int, names: Sequence[str]) -> int:
    """Return the number of the first class that is no background."""
    if not isinstance(module, (RetinaNet, FCOS)):
        return 1
    # Of sigmoids class 0 may be a class; the background may be named, too.
    is_class = count == 1 or (names and "background" not in names[0].lower())
    return 0 if is_class else 1
