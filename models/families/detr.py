"""Load query detectors of LibreYOLO and Transformers: DETR, RT-DETR, D-FINE, RF-DETR, DEIMv2."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.detector import MAX_BOXES, Detections
from sightglass.models.adapters.queries import QueryDetections, QueryDetector, make_detections
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.families.transformers.folders import from_folder
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer
from sightglass.models.spec import ModelSpec

_ATTENDING = ("encoder_attn", "cross_attn", "multihead_attn")
"""What libraries call a decoder layer's cross-attention."""
_BACKBONES = ("model.backbone", "backbone", "vit")
_ENCODERS = ("model.encoder", "encoder", "transformer.encoder")
_DECODERS = ("model.decoder", "decoder", "model.transformer.decoder", "transformer.decoder")


class SectionedDetector(QueryDetector):
    """A DETR whose backbone, encoder and decoder are modules of their own."""

    def __init__(self, spec: ModelSpec, module: nn.Module, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        known = dict(module.named_modules())
        self._backbone, self._encoder, self._decoder = (
            next((path for path in names if path in known), "") for names in (_BACKBONES, _ENCODERS, _DECODERS)
        )
        attending = [path for path in known if _is_inside(path, self._decoder) and _name(path) in _ATTENDING]
        self.cross_attention = next(reversed(attending), "")
        self.memory = next((path for path in ("model.input_projection", "input_proj") if _maps(known.get(path))), "")
        # Queries, however many, are no grid of the picture, and the encoding of positions knows no picture.
        positions = [path for path, part in known.items() if "Position" in type(part).__name__ and "." in path]
        self.placeless = (*([self._decoder] if self._decoder else []), *positions)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        encoder = _finest_first(layer for layer in layers if _is_inside(layer.path, self._encoder))
        backbone = _finest_first(layer for layer in layers if _is_inside(layer.path, self._backbone))
        paths_by_name = {
            "all encoder outputs": tuple(layer.path for layer in encoder),
            "backbone end": tuple(layer.path for layer in backbone[-1:]),
        }
        for name, several in (("encoder", encoder), ("backbone", backbone[:-1])):
            paths_by_name |= {
                f"{name} {_size(layer)}": (layer.path,) for layer in several if len(several) > 1 or name != "encoder"
            }
        return {name: paths for name, paths in paths_by_name.items() if paths} or super().presets(layers)


def _is_inside(path: str, outer: str) -> bool:
    return bool(outer) and path.startswith(f"{outer}.")


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _maps(module: Any) -> bool:
    """Return whether a module is one convolution, and no list of them for several levels."""
    return type(module).__name__ == "Conv2d"


def _size(layer: Layer) -> str:
    """Return `80x80`, the grid of a layer's map."""
    return "x".join(map(str, layer.shape[1:]))


def _finest_first(layers: Iterable[Layer]) -> list[Layer]:
    """Return the last layer of each grid, the finest first."""
    last = {layer.shape[1:]: layer for layer in layers}
    return sorted(last.values(), key=lambda layer: layer.shape[1:], reverse=True)


def is_detector(arch: str) -> bool:
    """Return whether a class of Transformers is a detector, by its name."""
    return arch.endswith("ForObjectDetection")


class TransformersDetector(SectionedDetector):
    """A detector of Transformers with its own image processor."""

    preprocessings: tuple[str, ...] = ("trained",)

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        labels: Sequence[str],
        weights_sha256: str,
        *,
        processor: Any,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        self.processor, self.notes = processor, notes
        # The last of a query's logits may be "no object": the library's scores of four equal ones show it.
        equal = SimpleNamespace(logits=torch.zeros(1, 1, 4), pred_boxes=torch.zeros(1, 1, 4))
        (scored,) = processor.post_process_object_detection(equal, threshold=-1.0)
        self._has_none = bool(scored["scores"].max() < 0.4)
        # Several classes of one query are shown only where their scores are independent.
        self.multi_label = not self._has_none

    @property
    def resizing(self) -> str:
        size = {name: side for name, side in dict(self.processor.size).items() if side}
        if "height" in size:
            return f"squeezed to {size['height']}"
        shortest, longest = size.get("shortest_edge"), size.get("longest_edge")
        return f"short side → {shortest}" + (f", long side at most {longest}" if longest else "") if shortest else ""

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        self.check_preprocessing(preprocessing)
        # Bars are for mixed sizes in one batch; torch refuses read-only arrays.
        inputs = self.processor(
            images=pixels.copy(), input_data_format="channels_last", do_pad=False, return_tensors="pt"
        )
        tensor: Tensor = inputs["pixel_values"]
        (height, width), (h, w) = pixels.shape[:2], tensor.shape[2:]
        return ModelInput(tensor, Geometry((height, width), (h, w), (h / height, w / width), (0.0, 0.0)))

    def read_queries(self, tensor: Tensor) -> QueryDetections:
        answer = self.module(pixel_values=tensor)
        logits, known = answer.logits, len(self.labels)
        others = logits[..., known:] if self._has_none else None
        size = (tensor.shape[2], tensor.shape[3])
        return make_detections(logits[..., :known], answer.pred_boxes, size, others=others, softmax=self._has_none)

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        assert isinstance(outputs, QueryDetections)
        logits = outputs.logits[:1].detach().float()
        if outputs.others is not None:
            logits = torch.cat((logits, outputs.others[:1]), 1)
        # Each box carries its query's number, which the library's answer lacks.
        numbers = torch.arange(outputs.count, device=logits.device, dtype=torch.float32)[None, :, None]
        answer = SimpleNamespace(
            logits=logits.transpose(1, 2).contiguous(), pred_boxes=numbers * numbers.new_tensor([1, 0, 0, 0])
        )
        (boxes,) = self.processor.post_process_object_detection(answer, threshold=confidence)
        order = boxes["scores"].argsort(descending=True, stable=True)
        return boxes["boxes"][order, 0].round().long(), boxes["labels"][order].long()


def read_processor(folder: Path, config: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a folder's image processor, and a note if defaults are used.

    Raises ModelProblem where Transformers has none that knows boxes.
    """
    from transformers import AutoImageProcessor
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    notes: tuple[str, ...] = ()
    if any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        processor = from_folder(AutoImageProcessor, folder)
    else:
        kinds: Any = IMAGE_PROCESSOR_MAPPING.get(type(config), {})
        several = kinds.values() if isinstance(kinds, dict) else kinds if isinstance(kinds, tuple) else (kinds,)
        kind = next((candidate for candidate in several if candidate is not None), None)
        processor = None if kind is None else kind()
        notes = (f"No file says how pictures are prepared: the usual way of {type(processor).__name__} was taken.",)
    if not hasattr(processor, "post_process_object_detection"):
        raise ModelProblem(
            f"{folder.name} has no image processor that knows boxes: put preprocessor_config.json there."
        )
    return processor, notes


FAMILIES = {
    "rfdetr": "LibreRFDETR",
    "dfine": "LibreDFINE",
    "deim": "LibreDEIM",
    "deimv2": "LibreDEIMv2",
    "rtdetr": "LibreRTDETR",
    "rtdetrv2": "LibreRTDETRv2",
    "rtdetrv4": "LibreRTDETRv4",
    "detr": "LibreDETR",
    "lwdetr": "LibreLWDETR",
}
"""The library's classes by its names of families; `arch` is one of these, a hyphen and a size: `dfine-s`."""


def load(spec: ModelSpec, progress: Progress | None = None) -> LibreDetector:
    """Build the model on the CPU, from a file of the library's, or untrained by a seed.

    Raises ModelProblem for an architecture that the library has not, WeightsProblem where the file does not fit it.
    """
    return LibreDetector(spec, *open_library(spec, FAMILIES, "DETR", progress))


def open_library(
    spec: ModelSpec,
    families: Mapping[str, str],
    called: str,
    progress: Progress | None,
    unused: tuple[str, ...] = (),
) -> tuple[Any, tuple[str, ...], str]:
    """Return libreyolo's model from a file or a seed, the row's labels, and the sha256.

    `unused`: beginnings of tensors that a file need not have.
    """
    kind, size = find_kind(spec.arch, families, called)
    names, options = labels.own(spec), dict[str, Any](size=size, device="cpu")
    # Some of the library's networks print their parts.
    with contextlib.redirect_stdout(io.StringIO()):
        if (seed := spec.weights.random) is not None:
            options |= {"nb_classes": len(names)} if names else {}
            whole = checkpoint.build_seeded(lambda: kind(None, _scratch_init=True, **options), seed)
            return whole, names, checkpoint.digest(whole.model)
        path = locate(spec, progress=progress)
        tensors = checkpoint.read(path)
        refused = WeightsProblem(f"{path} does not hold the tensors of {spec.arch}, by libreyolo's names.")
        try:
            count = len(names) or kind.detect_nb_classes(tensors)
            whole = kind(tensors, **options | ({"nb_classes": count} if count else {}))
        except (KeyError, RuntimeError, TypeError, ValueError) as problem:
            raise refused from problem
    # The library only logs missing tensors, and leaves them random.
    needed = (name for name, _ in whole.model.named_parameters() if not name.startswith(unused))
    if whole.size != size or any(name not in tensors and name.partition(".")[2] not in tensors for name in needed):
        raise refused
    return whole, names, sha256_of(path)


def find_kind(arch: str, families: Mapping[str, str], called: str) -> tuple[Any, str]:
    """Return libreyolo's class and size; raise ModelProblem outside of `families`."""
    family, _, size = arch.partition("-")
    if family not in families:
        known = f"say one of {', '.join(families)}, a hyphen and its size."
        raise ModelProblem(f"{arch} is no {called} known here: {known}")
    kind = getattr(import_module(f"libreyolo.models.{family}.model"), families[family])
    if size not in kind.INPUT_SIZES:
        raise ModelProblem(f"{family} has no size {size!r}: choose one of {', '.join(kind.INPUT_SIZES)}.")
    return kind, size


class LibreDetector(SectionedDetector):
    """A detector of libreyolo with its own way of preparing pictures and choosing boxes."""

    preprocessings: tuple[str, ...] = ("trained",)

    def __init__(self, spec: ModelSpec, whole: Any, names_given: Sequence[str], weights_sha256: str) -> None:
        """`whole`: the library's model; its network is frozen and from then on the adapter's own."""
        count = whole.nb_classes
        names = names_given or tuple(str(whole.names.get(index, index)) for index in range(count))
        super().__init__(spec, whole.model, names, weights_sha256)
        self._whole = whole
        self._columns: dict[int, tuple[list[int], list[int]]] = {}
        self._softmax = whole.FAMILY == "detr"
        # Several classes of one query are shown only where their scores are independent.
        self.multi_label = not self._softmax

    @property
    def resizing(self) -> str:
        return f"squeezed to {self._whole.input_size}"

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        self.check_preprocessing(preprocessing)
        tensor: Tensor = self._whole._preprocess(Pillow.fromarray(pixels), color_format="rgb")[0]
        (height, width), (h, w) = pixels.shape[:2], tensor.shape[2:]
        return ModelInput(tensor, Geometry((height, width), (h, w), (h / height, w / width), (0.0, 0.0)))

    def read_queries(self, tensor: Tensor) -> QueryDetections:
        answer = self.module(tensor)
        logits: Tensor = answer["pred_logits"]  # (B, Q, columns)
        columns, rest = self._divide(logits.shape[2])
        size = (tensor.shape[2], tensor.shape[3])
        return make_detections(
            logits[..., columns], answer["pred_boxes"], size, others=logits[..., rest], softmax=self._softmax
        )

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        assert isinstance(outputs, QueryDetections)
        assert outputs.others is not None
        logits = outputs.logits[0].detach().float()
        columns, rest = self._divide(logits.shape[0] + outputs.others.shape[1])
        all_logits = logits.new_empty(len(columns) + len(rest), logits.shape[1])
        all_logits[columns], all_logits[rest] = logits, outputs.others[0].float()
        queries, classes = self._choose(all_logits.t().contiguous(), confidence)
        return torch.tensor(queries, dtype=torch.long), torch.tensor(classes, dtype=torch.long)

    def _divide(self, count: int) -> tuple[list[int], list[int]]:
        """Return the head's columns by class, and those of no class.

        A head for COCO has a column for each of its numbers, also for those never used.
        """
        if count not in self._columns:
            # One confident query per column: the library's answer gives its class.
            choices = zip(*self._choose(torch.full((count, count), -20.0).fill_diagonal_(20.0), 0.5), strict=True)
            by_class = {index: column for column, index in choices}
            columns = [by_class[index] for index in range(len(self.labels))]
            self._columns[count] = columns, [column for column in range(count) if column not in columns]
        return self._columns[count]

    def _choose(self, logits: Tensor, confidence: float) -> tuple[list[int], list[int]]:
        """Return the library's queries and classes for logits (Q, columns)."""
        # Each box carries its query's number, which the library's answer lacks.
        numbers = torch.arange(len(logits), dtype=torch.float32)[None, :, None]
        answer = {"pred_logits": logits[None].cpu(), "pred_boxes": numbers * torch.tensor([1.0, 0.0, 0.0, 0.0])}
        boxes_shown = self._whole._postprocess(answer, confidence, 1.0, (1, 1), max_det=MAX_BOXES)
        boxes, classes = torch.as_tensor(boxes_shown["boxes"]).reshape(-1, 4), torch.as_tensor(boxes_shown["classes"])
        order = torch.as_tensor(boxes_shown["scores"]).argsort(descending=True, stable=True)
        return boxes[order, 0].round().long().tolist(), classes[order].long().tolist()
