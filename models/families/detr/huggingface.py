"""Adapt Transformers' object detectors: DETR, RT-DETR, D-FINE, RF-DETR, DEIMv2.

Pictures are prepared by the library's own image processor, and boxes chosen by its post-processing.
"""

from __future__ import annotations

from inspect import signature
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from sightglass.common.errors import ModelProblem
from sightglass.models.adapters.queries import QueryDetections, make_detections
from sightglass.models.families.detr.sections import SectionedDetector
from sightglass.models.families.transformers.folders import from_folder
from sightglass.models.geometry import Geometry, ModelInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sightglass.models.adapters.detector import Detections
    from sightglass.models.spec import ModelSpec

ENDING = "ForObjectDetection"
"""How the library's classes of detectors end."""


def is_detector(arch: str) -> bool:
    """Return whether a class of Transformers is a detector, by its name."""
    return arch.endswith(ENDING)


def check_detector(arch: str, kind: type) -> None:
    """Raise ModelProblem for a detector that also reads words."""
    if "input_ids" in signature(kind.forward).parameters:  # type: ignore[attr-defined]
        raise ModelProblem(f"A {arch} reads words too, which is not possible here: take a YOLOE or YOLO-World.")


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
        self._has_none = _scores_by_softmax(processor)
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
        # Bars are for pictures of several sizes in one batch; torch takes no array that may not be written to.
        given = self.processor(
            images=pixels.copy(), input_data_format="channels_last", do_pad=False, return_tensors="pt"
        )
        tensor: Tensor = given["pixel_values"]
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
        # The library gives boxes and does not say of which query: here each box's place is its query's number.
        numbers = torch.arange(outputs.count, device=logits.device, dtype=torch.float32)[None, :, None]
        answer = SimpleNamespace(
            logits=logits.transpose(1, 2).contiguous(), pred_boxes=numbers * numbers.new_tensor([1, 0, 0, 0])
        )
        (found,) = self.processor.post_process_object_detection(answer, threshold=confidence)
        order = found["scores"].argsort(descending=True, stable=True)
        return found["boxes"][order, 0].round().long(), found["labels"][order].long()


def _scores_by_softmax(processor: Any) -> bool:
    """Return whether the last of a query's logits is "no object", by how the library scores four equal ones."""
    equal = SimpleNamespace(logits=torch.zeros(1, 1, 4), pred_boxes=torch.zeros(1, 1, 4))
    (found,) = processor.post_process_object_detection(equal, threshold=-1.0)
    return bool(found["scores"].max() < 0.4)


def read_processor(folder: Path, config: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the image processor of a folder, and a note where it says nothing and the class's own values are taken.

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
        kind = next((one for one in several if one is not None), None)
        processor = None if kind is None else kind()
        notes = (f"No file says how pictures are prepared: the usual way of {type(processor).__name__} was taken.",)
    if not hasattr(processor, "post_process_object_detection"):
        raise ModelProblem(
            f"{folder.name} has no image processor that knows boxes: put preprocessor_config.json there."
        )
    return processor, notes
