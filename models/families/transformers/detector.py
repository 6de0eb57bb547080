"""Adapt query detectors of Transformers: DETR, RT-DETR, D-FINE, RF-DETR, and YOLOS, whose boxes are tokens."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, describe_error
from sightglass.models.adapter import Adapter, Record
from sightglass.models.adapters.attention import record_attention
from sightglass.models.adapters.detector import Detections
from sightglass.models.adapters.queries import QueryDetections, QueryDetector, make_detections
from sightglass.models.layers import Layer
from sightglass.models.picture_functions import Processor
from sightglass.models.spec import ModelSpec

_ATTENDING = (".encoder_attn", ".cross_attn", ".multihead_attn")
"""What libraries call a decoder layer's cross-attention."""
_BACKBONES = ("model.backbone", "backbone", "vit")
_ENCODERS = ("model.encoder", "encoder", "transformer.encoder")
_DECODERS = ("model.decoder", "decoder", "model.transformer.decoder", "transformer.decoder")


def _is_inside(path: str, outer: str) -> bool:
    return bool(outer) and path.startswith(f"{outer}.")


def _finest_first(layers: Iterable[Layer]) -> list[Layer]:
    """Return the last layer of each grid, the finest first."""
    last = {layer.shape[1:]: layer for layer in layers}
    return sorted(last.values(), key=lambda layer: layer.shape[1:], reverse=True)


class TransformersDetector(QueryDetector):
    """A DETR with its own image processor, whose backbone, encoder and decoder are modules of their own."""

    preprocessings: tuple[str, ...] = ("trained",)

    def __init__(
        self, spec: ModelSpec, module: nn.Module, labels: Sequence[str], weights_sha256: str, processor: Any
    ) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        self.processor = processor
        # Bars are for mixed sizes in one batch.
        self.function = Processor(processor, do_pad=False)
        modules = dict(module.named_modules())
        self._backbone, self._encoder, self._decoder = (
            next((path for path in names if path in modules), "") for names in (_BACKBONES, _ENCODERS, _DECODERS)
        )
        attending = [path for path in modules if _is_inside(path, self._decoder) and path.endswith(_ATTENDING)]
        self.cross_attention = next(reversed(attending), "")
        # Only a single convolution, not a list for several levels.
        memories = (path for path in ("model.input_projection", "input_proj") if type(modules.get(path)) is nn.Conv2d)
        self.memory = next(memories, "")
        # Without a decoder boxes are tokens beside the patches.
        self.own_tokens = 0 if self._decoder else getattr(module.config, "num_detection_tokens", 0)
        # Queries form no grid of the picture, and position encodings do not depend on it.
        positions = [path for path, part in modules.items() if "Position" in type(part).__name__ and "." in path]
        self.placeless = (*([self._decoder] if self._decoder else []), *positions)
        self._has_no_object = self._find_no_object(self.function.name)
        # Several classes of one query are shown only where their scores are independent.
        self.multi_label = not self._has_no_object

    def _find_no_object(self, name: str) -> bool:
        """Return whether the last of a query's logits is "no object", for which the processor `name` is asked."""
        equal = SimpleNamespace(logits=torch.zeros(1, 1, 4), pred_boxes=torch.zeros(1, 1, 4))
        try:
            (scored,) = self.processor.post_process_object_detection(equal, threshold=-1.0)
        # Some read more of an answer than boxes and logits, and may raise anything.
        except Exception as problem:
            raise ModelProblem(
                f"The image processor {name} does not read boxes from queries alone "
                f"({describe_error(problem)}): give a DETR, RT-DETR, D-FINE or RF-DETR."
            ) from problem
        # Of four equal logits each score is .5 by a sigmoid, .25 by a softmax, which has "no object" among them.
        return bool(scored["scores"].max() < 0.4)

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        return record_attention(self.module, record) if self.own_tokens else super().record_attention(record)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        if self.own_tokens:
            # Patches are read by the last attention: later ones get no gradient of a box.
            return {"last attention's input": Adapter.default_layers(self, layers)}
        encoder = _finest_first(layer for layer in layers if _is_inside(layer.path, self._encoder))
        backbone = _finest_first(layer for layer in layers if _is_inside(layer.path, self._backbone))
        paths_by_name = {
            "all encoder outputs": tuple(layer.path for layer in encoder),
            "backbone end": tuple(layer.path for layer in backbone[-1:]),
        }
        for name, several in (("encoder", encoder if len(encoder) > 1 else []), ("backbone", backbone[:-1])):
            paths_by_name |= {f"{name} {'x'.join(map(str, layer.shape[1:]))}": (layer.path,) for layer in several}
        return {name: paths for name, paths in paths_by_name.items() if paths} or super().presets(layers)

    def read_queries(self, tensor: Tensor) -> QueryDetections:
        answer = self.module(pixel_values=tensor)
        logits, count = answer.logits, len(self.labels)
        others = logits[..., count:] if self._has_no_object else None
        size = (tensor.shape[2], tensor.shape[3])
        return make_detections(logits[..., :count], answer.pred_boxes, size, others=others)

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
