"""Adapt Ultralytics' detectors; their heads return all candidates.

The library's own forwards of heads cache anchors (after a call in inference mode later gradients fail), write the
vocabulary into the head, and drop all but the strongest candidates of an end-to-end head.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MethodType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.common.legible import legible
from sightglass.models.adapter import Joint, JointTarget, Prediction, Target
from sightglass.models.adapters.detector import MAX_BOXES, SIDES, Decoding, Detections, Detector, cell_grid
from sightglass.models.adapters.queries import QueryDetections, QueryDetector, make_detections
from sightglass.models.families.custom.classifier import channels_of
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer, Section, name_presets
from sightglass.models.preprocess import letterbox, match_channels, to_tones
from sightglass.models.spec import ModelSpec

_PAIRED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BODY = ("nose", *(f"{side} {part}" for part in _PAIRED for side in ("left", "right")))
"""COCO's joints of a person, in their order."""
LIMBS = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""COCO's lines between them."""


def add_joints(head: Any, branch: Mapping[str, Any], maps: Sequence[Tensor], detections: Detections) -> Detections:
    """Return a pose head's candidates with their joints; `maps`: the head's inputs."""
    from ultralytics.nn.modules.head import Pose26

    poses = [tower(x) for tower, x in zip(branch["pose_head"], maps, strict=True)]
    if "kpts_head" in branch:
        poses = [last(x) for last, x in zip(branch["kpts_head"], poses, strict=True)]
    count, numbers = head.kpt_shape
    step, shift = (1.0, 0.0) if isinstance(head, Pose26) else (2.0, -0.5)
    strides = detections.units[:, None, None]
    cells = detections.centres[:, None] / strides

    def joints_of(levels: tuple[Tensor, ...]) -> Tensor:
        rows = torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)
        rows = rows.reshape(*rows.shape[:2], count, numbers)
        return torch.cat(((rows[..., :2] * step + cells + shift) * strides, rows[..., 2:]), 3)

    return replace(detections, poses=tuple(poses), joints_of=joints_of)


def reader(head: Any) -> MethodType | None:
    """Return a head's forward to `Detections` or `queries`; None if unknown."""
    from ultralytics.nn.modules.head import Detect, RTDETRDecoder

    if isinstance(head, RTDETRDecoder):
        return MethodType(queries, head)
    if not isinstance(head, Detect):
        return None
    # Numbers, as reading those of a tensor would wait for a GPU.
    head.cell_sides = tuple(head.stride.tolist())
    return MethodType(prompt_free if hasattr(head, "lrpc") else grid, head)


def grid(head: Any, feats: Sequence[Tensor], text: Tensor | None = None) -> Detections:
    """Return a candidate per cell. `feats`: a map per scale, and of YOLOE its vocabulary last; `text`: YOLO-World's."""
    branch = head.one2one if head.end2end else head.one2many
    maps = list(feats[: head.nl])
    logits = [tower(x) for tower, x in zip(branch["cls_head"], maps, strict=True)]
    if text is not None:
        logits = [tower(x, text) for tower, x in zip(head.cv4, logits, strict=True)]
    elif "contrastive_head" in branch:
        logits = [tower(x, feats[-1]) for tower, x in zip(branch["contrastive_head"], logits, strict=True)]
    regressions = [tower(x) for tower, x in zip(branch["box_head"], maps, strict=True)]
    if "angle_head" in branch:
        angles = [tower(x) for tower, x in zip(branch["angle_head"], maps, strict=True)]
        regressions = [torch.cat(both, 1) for both in zip(regressions, angles, strict=True)]
    coefficients = [tower(x) for tower, x in zip(branch.get("mask_head", ()), maps, strict=False)]
    detections = _detections(head, maps, logits, regressions, coefficients)
    return add_joints(head, branch, maps, detections) if "pose_head" in branch else detections


def prompt_free(head: Any, feats: Sequence[Tensor]) -> Detections:
    """Run a YOLOE with a built-in vocabulary, on cells passing its filter.

    Each scale has n rows and one column. In a batch cells pass for any picture; for the others their logit is -inf.
    """
    maps = list(feats[: head.nl])
    box_head, class_head = (head.one2one_cv2, head.one2one_cv3) if head.end2end else (head.cv2, head.cv3)
    filters = head.one2one_lrpc if head.end2end and hasattr(head, "one2one_lrpc") else head.lrpc
    mask_head = getattr(head, "one2one_cv5" if head.end2end else "cv5", None)
    logits, regressions, coefficients, through = [], [], [], []
    for i, (x, last) in enumerate(zip(maps, filters, strict=True)):
        features = class_head[i](x)
        if last.enabled:
            passed = last.pf(features)[:, 0].flatten(1).sigmoid() > getattr(head, "conf", 0.001)  # (B, N)
            chosen = passed.any(0)
            rows = last.vocab(features.flatten(2).transpose(1, 2)[:, chosen])  # (B, n, K)
            level = rows.masked_fill(~passed[:, chosen, None], float("-inf")).transpose(1, 2)
        else:
            level = last.vocab(features).flatten(2)
            chosen = torch.ones(level.shape[2], dtype=torch.bool, device=level.device)
        logits.append(level[..., None])
        regressions.append(last.loc(box_head[i](x)).flatten(2)[..., chosen, None])
        if mask_head is not None:
            coefficients.append(mask_head[i](x).flatten(2)[..., chosen, None])
        through.append(chosen)
    return _detections(head, maps, logits, regressions, coefficients, chosen=torch.cat(through))


def _detections(head: Any, maps: list[Tensor], *towers: list[Tensor], chosen: Tensor | None = None) -> Detections:
    """Build `Detections` from the towers' logits, boxes and mask coefficients; `chosen`: of which cells they are."""
    from ultralytics.nn.modules.block import Proto26

    logits, regressions, coefficients = towers
    centres, sides = cell_grid([(level.shape[2], level.shape[3]) for level in maps], head.cell_sides, maps[0])
    if chosen is not None:
        centres, sides = centres[chosen], sides[chosen]
    boxes_of, corners_of = _decoding(head, centres / sides[:, None], sides[:, None])
    proto, prototypes, unit = getattr(head, "proto", None), None, 1.0
    if proto is not None:
        prototypes = proto(maps if isinstance(proto, Proto26) else maps[0])
        unit = head.cell_sides[0] * maps[0].shape[3] / prototypes.shape[3]
    return Detections(
        tuple(logits),
        tuple(regressions),
        boxes_of,
        centres,
        sides,
        coefficients=tuple(coefficients),
        prototypes=prototypes,
        mask_unit=unit,
        corners_of=corners_of,
    )


def _decoding(head: Any, centres: Tensor, strides: Tensor) -> tuple[Decoding, Decoding | None]:
    """Return functions from regressions to boxes and, for rotated ones, to corners.

    `centres` (N, 2) are in cells of their own scale, `strides` (N, 1) in pixels.
    """
    from ultralytics.nn.modules.head import OBB, OBB26
    from ultralytics.utils.ops import xywhr2xyxyxyxy
    from ultralytics.utils.tal import dist2bbox, dist2rbox

    def distances(levels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return (B, N, 4) in cells, and the rest (B, N, R)."""
        rows = torch.cat([level.flatten(2) for level in levels], 2)
        width = 4 * head.reg_max
        return head.dfl(rows[:, :width]).transpose(1, 2), rows[:, width:].transpose(1, 2)

    def upright(levels: tuple[Tensor, ...]) -> Tensor:
        boxes: Tensor = dist2bbox(distances(levels)[0], centres, xywh=False) * strides
        return boxes

    def corners(levels: tuple[Tensor, ...]) -> Tensor:
        sides, raw = distances(levels)
        angle = raw if isinstance(head, OBB26) else (raw.sigmoid() - 0.25) * torch.pi
        points: Tensor = xywhr2xyxyxyxy(torch.cat((dist2rbox(sides, angle, centres) * strides, angle), 2))
        return points

    def hull(levels: tuple[Tensor, ...]) -> Tensor:
        points = corners(levels)  # (B, N, 4, 2)
        return torch.cat((points.amin(2), points.amax(2)), 2)

    return (hull, corners) if isinstance(head, OBB) else (upright, None)


def queries(head: Any, feats: Sequence[Tensor], batch: object = None) -> tuple[Tensor, Tensor, Tensor]:
    """Run RT-DETR's decoder in eval mode; `batch` is for its training.

    Returns logits (B, Q, K), and as shares boxes (B, Q, 4) as cx, cy, w, h and the first picture's proposals (Q, 4):
    the cells that its queries came from.
    """
    tokens, shapes = head._get_encoder_input(list(feats))
    cells = torch.cat([_proposals(h, w, tokens) for h, w in shapes])  # (N, 4)
    sizes = torch.cat([tokens.new_full((h * w, 1), 0.05 * 2.0**i) for i, (h, w) in enumerate(shapes)])
    anchors = torch.cat((cells[:, :2], sizes, sizes), 1)
    valid = ((anchors > 0.01) & (anchors < 0.99)).all(1, keepdim=True)
    features = head.enc_output(valid * tokens)  # (B, N, C)
    scores = head.enc_score_head(features).amax(2)
    best = scores.topk(min(head.num_queries, scores.shape[1]), 1).indices  # (B, Q)
    chosen = features.gather(1, best[..., None].expand(-1, -1, features.shape[2]))
    start = torch.logit(anchors).masked_fill(~valid, float("inf"))[best]
    decoder_queries = chosen
    if head.learnt_init_query:
        decoder_queries = head.tgt_embed.weight[: best.shape[1]].expand(len(best), -1, -1)
    boxes, logits = head.decoder(
        decoder_queries,
        head.enc_bbox_head(chosen) + start,
        tokens,
        shapes,
        head.dec_bbox_head,
        head.dec_score_head,
        head.query_pos_head,
    )
    return logits[-1], boxes[-1], cells[best[0]]


def _proposals(height: int, width: int, like: Tensor) -> Tensor:
    """Return (h * w, 4): centre and size of each cell, as shares."""
    x, y = cell_grid([(height, width)], [1.0], like)[0].unbind(1)
    return torch.stack((x / width, y / height, torch.full_like(x, 1 / width), torch.full_like(y, 1 / height)), 1)


MIN_HALVED = 512
"""Pixels of a side from which a model may see pictures at half its size: of smaller ones, objects would be too few."""
CAM_SCRIPTS = (10, 12, 14, 16, 18)
"""Layers that widely copied YOLO CAM scripts explain together."""


def trained_size(module: Any) -> tuple[int, int]:
    """Return the side in pixels that a model was trained with, and the stride that it is a multiple of."""
    stride = max(int(module.stride.max()), 32)
    return -(-int(np.max((getattr(module, "args", None) or {}).get("imgsz", 640))) // stride) * stride, stride


class NumberedLayers:
    """Mixin for a model made of one `Sequential` of numbered steps."""

    module: Any
    _size: int
    """Pixels of a side of the model's own input."""

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return choices of target layers among `layers`, the maps that the head reads first."""
        inputs = [f"model.{source}" for source in self.module.model[-1].f]
        presets = name_presets(layers, inputs, [f"model.{index}" for index in range(self._backbone)], self._size)
        scripts = tuple(f"model.{index}" for index in CAM_SCRIPTS)
        if {layer.path for layer in layers}.issuperset(scripts):
            presets[f"Ultralytics' {' '.join(map(str, CAM_SCRIPTS))}"] = scripts
        return presets or {"last map": (layers[-1].path,)}

    def sections(self, layers: Sequence[Layer]) -> dict[str, Section]:
        """Return the numbered steps in order."""
        last = len(self.module.model) - 1
        steps: dict[str, Section] = {f"model.{n}": "backbone" if n < self._backbone else "neck" for n in range(last)}
        return steps | {f"model.{last}": "head"}

    def alias(self, name: str) -> str:
        """Return `model.10` for `10`, `model[10]`, `model.model.10` or a negative index; else the name itself."""
        match = re.fullmatch(r"(?:model\.)*(?:model\[)?(-?\d{1,9})\]?((?:\..+)?)", name.strip())
        count = len(self.module.model)
        if match is None or not -count <= int(match[1]) < count:
            return name
        return f"model.{int(match[1]) % count}{match[2]}"

    @property
    def _backbone(self) -> int:
        """Number of steps of the backbone."""
        return len(self.module.yaml["backbone"])


class LetterboxedSteps(NumberedLayers):
    """Mixin for numbered steps whose pictures are prepared as by `predict`."""

    spec: ModelSpec
    _stride: int
    _channels: int

    @property
    def channels(self) -> int:
        """Numbers of a pixel that its first layer takes."""
        return self._channels

    @property
    def resizing(self) -> str:
        way = f"squeezed to {self._size}" if self._squashes("trained") else f"long side → {self._size}, with bars"
        return f"{way}, bilinear, no antialias"

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        tones, white = to_tones(match_channels(pixels, self._channels), self.spec.preprocessing.divide_by)
        # Any multiple of the stride will do, and as many pixels fewer as it is smaller are as much time less.
        size = -(-self._size // (2 * self._stride)) * self._stride if preprocessing == "half" else self._size
        place = "squash" if self._squashes(preprocessing) else "centre"
        stride = self._stride if preprocessing in ("trained", "half") else 0
        placed, geometry = letterbox(tones, (size, size), place, round, stride)
        tensor = torch.from_numpy(np.ascontiguousarray(placed.transpose(2, 0, 1))).float().div_(white)
        return ModelInput(tensor.unsqueeze(0), geometry)

    def _squashes(self, preprocessing: str) -> bool:
        return preprocessing == "squash"


class YoloDetector(LetterboxedSteps, Detector):
    """A module from float32 (B, C, h, w), 0..1, to `Detections`."""

    preprocessings: tuple[str, ...] = ("trained", "letterbox", "squash", "half")

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        from ultralytics.nn.modules.head import YOLOEDetect

        self._head = module.model[-1]
        super().__init__(spec, module, labels, weights_sha256)
        self.patch_module()
        self._size, self._stride = trained_size(module)
        self._channels = channels_of(module)
        if self._size < MIN_HALVED:
            self.preprocessings = tuple(way for way in self.preprocessings if way != "half")
        if getattr(self._head, "proto", None) is not None:
            self.parts = ("class", "contrast", "box", *SIDES, "mask", "all")
        self.nms = not getattr(self._head, "end2end", False)
        # As `predict` of a YOLOE does: words of an open vocabulary often mean the same thing.
        self.multi_class_nms = not isinstance(self._head, YOLOEDetect)
        # Without suppression the strongest pairs of candidate and class are shown.
        self.multi_label = not self.nms and self.multi_class_nms

    def patch_module(self) -> None:
        """Have the head return all candidates."""
        self._head.forward = reader(self._head)

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        from ultralytics.utils.nms import non_max_suppression

        scores = outputs.scores[:1]  # (1, K, N)
        if self.multi_label and getattr(self._head, "end2end", False):
            best, classes, pairs = self._head.get_topk_index(scores.transpose(1, 2), MAX_BOXES)
            sure = best[0, :, 0] > confidence
            return pairs[0, sure].flatten(), classes[0, sure].flatten().long()
        if not self.nms:
            return super().select_boxes(outputs, confidence, iou)
        # On a CPU: the library's suppression reads many single numbers, each a GPU synchronisation.
        (rows,), (anchors,) = non_max_suppression(
            torch.cat(self._rows(outputs, scores), 1).cpu(),
            confidence,
            iou,
            agnostic=not self.multi_class_nms,
            max_det=MAX_BOXES,
            nc=scores.shape[1],
            rotated=outputs.corners_of is not None,
            return_idxs=True,
        )
        return anchors.flatten().long(), rows[:, 5].long()

    def _rows(self, outputs: Detections, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the suppression's input of the first picture, (1, C, N) each."""
        from ultralytics.utils.ops import xyxy2xywh

        return xyxy2xywh(outputs.boxes[:1].detach().float()).transpose(1, 2), scores


class RotatedDetector(YoloDetector):
    """An OBB model: `box` of a prediction is the upright rectangle around its corners."""

    def _rows(self, outputs: Detections, scores: Tensor) -> tuple[Tensor, ...]:
        assert outputs.corners_of is not None
        corners = outputs.corners_of(tuple(level[:1] for level in outputs.regressions)).detach().float()
        rotated = _xywhr(corners).transpose(1, 2)  # (1, 5, N)
        return rotated[:, :4], scores, rotated[:, 4:]

    def overlap(self, a: Prediction, b: Prediction) -> float:
        from ultralytics.utils.metrics import batch_probiou

        first, second = (_xywhr(torch.tensor([prediction.corners])) for prediction in (a, b))
        return float(batch_probiou(first, second))


class PoseDetector(YoloDetector):
    """A detector with joints: x, y and maybe visibility."""

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        count, numbers = self._head.kpt_shape
        self.sees_visibility = numbers == 3
        names = getattr(module, "kpt_names", None)
        named = next(iter(names.values()), None) if isinstance(names, dict) else names
        if isinstance(named, (list, tuple)) and len(named) == count:
            self.joints = tuple(legible(str(name)).replace("_", " ") for name in named)
        else:
            self.joints = BODY if count == len(BODY) else tuple(f"joint {place}" for place in range(count))
        self.limbs = LIMBS if count == len(BODY) else ()

    def predictions(
        self, outputs: Detections, geometry: Geometry, anchors: Sequence[int], classes: Sequence[int]
    ) -> list[Prediction]:
        predictions = super().predictions(outputs, geometry, anchors, classes)
        rows = outputs.joints[0, list(anchors)].detach().float()
        return [replace(p, joints=self._joints(row, geometry)) for p, row in zip(predictions, rows, strict=True)]

    def _joints(self, row: Tensor, geometry: Geometry) -> tuple[Joint, ...]:
        """Return a candidate's joints, from (K, D)."""
        places = geometry.points_to_original(row[:, :2].tolist())
        seen = row[:, 2].sigmoid().tolist() if self.sees_visibility else [None] * len(row)
        rows = zip(self.joints, places, seen, strict=True)
        return tuple(Joint(name, x, y, visibility) for name, (x, y), visibility in rows)

    def scalar(self, outputs: Detections, target: Target) -> Tensor:
        """Return a joint's x, y or visibility logit, or the box's scalar.

        Of several candidates the sum; for `lowers` with the other sign.
        """
        if not isinstance(target, JointTarget):
            return super().scalar(outputs, target)
        if target.axis == "visibility" and not self.sees_visibility:
            raise ModelProblem(f"{self.spec.id} does not say whether a joint can be seen: ask for its x or y.")
        place = ("x", "y", "visibility").index(target.axis)
        total = outputs.joints[0, list(target.anchors), target.joint, place].sum()
        return -total if target.part == "lowers" else total


class RtDetr(QueryDetector, YoloDetector):
    """RT-DETR, also within a YOLO, on pictures squeezed to a square."""

    preprocessings = ("trained", "letterbox")
    parts = ("class", "contrast", "box", *SIDES, "all")

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        self.nms, self.multi_label = False, True
        last = len(self._head.decoder.layers) - 1
        self.cross_attention = f"model.{len(module.model) - 1}.decoder.layers.{last}.cross_attn"

    def _squashes(self, preprocessing: str) -> bool:
        return preprocessing == "trained"

    def read_queries(self, tensor: Tensor) -> QueryDetections:
        logits, boxes, proposals = self.module(tensor)
        return make_detections(logits, boxes, (tensor.shape[2], tensor.shape[3]), proposals=proposals)


def _xywhr(corners: Tensor) -> Tensor:
    """Return (..., 5) centre, sides and angle of rectangles (..., 4, 2) in Ultralytics' order of corners."""
    centre = corners.mean(-2)
    along = (corners[..., 0, :] + corners[..., 1, :]) / 2 - centre
    across = (corners[..., 0, :] - corners[..., 1, :]) / 2
    sides = torch.stack((2 * along.norm(dim=-1), 2 * across.norm(dim=-1)), -1)
    return torch.cat((centre, sides, torch.atan2(along[..., 1], along[..., 0])[..., None]), -1)
