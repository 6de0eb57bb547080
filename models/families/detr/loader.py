"""Load DETR and its descendants through libreyolo (MIT): RF-DETR, D-FINE, DEIM, RT-DETR.

Networks, preparation of pictures and choice of boxes are the library's own.
"""

from __future__ import annotations

import contextlib
import io
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image as Pillow

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.models import labels
from sightglass.models.adapters.detector import MAX_BOXES
from sightglass.models.adapters.queries import QueryDetections, make_detections
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.families.detr.sections import SectionedDetector
from sightglass.models.geometry import Geometry, ModelInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.models.adapter import Progress
    from sightglass.models.adapters.detector import Detections
    from sightglass.models.spec import ModelSpec

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
    # Some of the library's networks print what they are made of.
    with contextlib.redirect_stdout(io.StringIO()):
        return _load(spec, progress)


def _load(spec: ModelSpec, progress: Progress | None) -> LibreDetector:
    kind, size = _kind(spec.arch)
    own = labels.own(spec)
    if (seed := spec.weights.random) is not None:
        count = len(own) or 80
        whole = checkpoint.build_seeded(
            lambda: kind(None, size=size, nb_classes=count, device="cpu", _scratch_init=True), seed
        )
        return LibreDetector(spec, whole, own, checkpoint.digest(whole.model))
    path = locate(spec, progress=progress)
    tensors = checkpoint.read(path)
    try:
        count = len(own) or kind.detect_nb_classes(tensors) or 80
        whole = kind(tensors, size=size, nb_classes=count, device="cpu")
    except (KeyError, RuntimeError, TypeError, ValueError) as problem:
        raise WeightsProblem(f"{path} does not hold the tensors of {spec.arch}, by libreyolo's names.") from problem
    # The library leaves what a file lacks at random, and says so in a log.
    if any(name not in tensors and name.partition(".")[2] not in tensors for name, _ in whole.model.named_parameters()):
        raise WeightsProblem(f"{path} does not hold the tensors of {spec.arch}, by libreyolo's names.")
    return LibreDetector(spec, whole, own, sha256_of(path))


def _kind(arch: str) -> tuple[Any, str]:
    """Return the library's class of an architecture, and its size; raise ModelProblem where there is none."""
    family, _, size = arch.partition("-")
    if family not in FAMILIES:
        raise ModelProblem(f"{arch} is no DETR known here: say one of {', '.join(FAMILIES)}, a hyphen and its size.")
    kind = getattr(import_module(f"libreyolo.models.{family}.model"), FAMILIES[family])
    if size not in kind.INPUT_SIZES:
        raise ModelProblem(f"{family} has no size {size!r}: choose one of {', '.join(kind.INPUT_SIZES)}.")
    return kind, size


class LibreDetector(SectionedDetector):
    """A detector of libreyolo with its own way of preparing pictures and choosing boxes."""

    preprocessings: tuple[str, ...] = ("trained",)

    def __init__(self, spec: ModelSpec, whole: Any, own: Sequence[str], weights_sha256: str) -> None:
        """`whole`: the library's model; its network is frozen and from then on the adapter's own."""
        count = whole.nb_classes
        names = own or tuple(str(whole.names.get(index, index)) for index in range(count))
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
        own, rest = self._divide(logits.shape[2])
        size = (tensor.shape[2], tensor.shape[3])
        return make_detections(
            logits[..., own], answer["pred_boxes"], size, others=logits[..., rest], softmax=self._softmax
        )

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        assert isinstance(outputs, QueryDetections)
        assert outputs.others is not None
        logits = outputs.logits[0].detach().float()
        own, rest = self._divide(logits.shape[0] + outputs.others.shape[1])
        every = logits.new_empty(len(own) + len(rest), logits.shape[1])
        every[own], every[rest] = logits, outputs.others[0].float()
        queries, classes = self._choose(every.t().contiguous(), confidence)
        return torch.tensor(queries, dtype=torch.long), torch.tensor(classes, dtype=torch.long)

    def _divide(self, count: int) -> tuple[list[int], list[int]]:
        """Return which of the head's outputs the classes are, in their order, and which are no class here.

        A head for COCO has a column for each of its numbers, also for those never used.
        """
        if count not in self._columns:
            # A query for each column, sure of it alone: the library says which class it shows.
            shown = zip(*self._choose(torch.full((count, count), -20.0).fill_diagonal_(20.0), 0.5), strict=True)
            by_class = {index: column for column, index in shown}
            own = [by_class[index] for index in range(len(self.labels))]
            self._columns[count] = own, [column for column in range(count) if column not in own]
        return self._columns[count]

    def _choose(self, logits: Tensor, confidence: float) -> tuple[list[int], list[int]]:
        """Return the queries and classes of the boxes that the library shows of logits (Q, columns), best first."""
        # It gives boxes and does not say of which query: here each box's place is its query's number.
        numbers = torch.arange(len(logits), dtype=torch.float32)[None, :, None]
        answer = {"pred_logits": logits[None].cpu(), "pred_boxes": numbers * torch.tensor([1.0, 0.0, 0.0, 0.0])}
        found = self._whole._postprocess(answer, confidence, 1.0, (1, 1), max_det=MAX_BOXES)
        boxes, classes = torch.as_tensor(found["boxes"]).reshape(-1, 4), torch.as_tensor(found["classes"])
        order = torch.as_tensor(found["scores"]).argsort(descending=True, stable=True)
        return boxes[order, 0].round().long().tolist(), classes[order].long().tolist()
