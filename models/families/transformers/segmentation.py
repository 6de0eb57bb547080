"""Adapt segmentation networks of Transformers: SegFormer, UperNet, Mask2Former.

Pictures go through the library's own image processor, and Mask2Former's classes are made of its queries as the
library's post-processing makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter, as_pixels
from sightglass.models.geometry import Geometry, ModelInput

BY_QUERIES = ("Mask2FormerForUniversalSegmentation", "MaskFormerForInstanceSegmentation")
"""Classes whose answer is a mask and class probabilities for each query."""
LEAST = 1e-30
"""Least score whose logarithm is taken."""


class TransformersModel:
    """What all networks of pictures share."""

    more: Mapping[str, Any] = {}
    """Further arguments of `forward`: to resample learnt positions for another input size."""


class TransformersInput(TransformersModel, Segmenter):
    """A network of pixels, prepared by its own image processor."""

    processor: Any = None
    """The library's image processor; None: prepared by `preprocessing`."""

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if self.processor is None or preprocessing != "trained":
            return super().prepare(pixels, preprocessing)
        inputs = self.processor(images=Pillow.fromarray(pixels), return_tensors="pt")
        tensor: Tensor = inputs["pixel_values"].float()
        (height, width), (h, w) = pixels.shape[:2], tensor.shape[2:]
        mask = inputs.get("pixel_mask")
        high, wide = (h, w) if mask is None else (int(mask[0].any(1).sum()), int(mask[0].any(0).sum()))
        return ModelInput(tensor, Geometry((height, width), (h, w), (high / height, wide / width), (0.0, 0.0)))


class TransformersSegmenter(TransformersInput):
    """A network with logits of each pixel."""

    def _answer(self, tensor: Tensor) -> Tensor:
        logits: Tensor = self.module(pixel_values=tensor, **self.more).logits
        return logits


class QuerySegmenter(TransformersSegmenter):
    """A network of queries, each with a mask and a class: Mask2Former, MaskFormer."""

    def _answer(self, tensor: Tensor) -> Tensor:
        """Return the log score of each class per pixel, (B, classes, h, w).

        The score is the sum over queries of mask and class probability, without the class of no object.
        """
        outputs = self.module(pixel_values=tensor, **self.more)
        classes = outputs.class_queries_logits.softmax(-1)[..., :-1]
        scores = torch.einsum("bqc,bqhw->bchw", classes, outputs.masks_queries_logits.sigmoid())
        return scores.clamp_min(LEAST).log()


class TransformersDepth(TransformersInput, PixelNumbers):
    """A network with a depth of each pixel: DPT, Depth Anything, ZoeDepth."""

    def _answer(self, tensor: Tensor) -> Tensor:
        depth: Tensor = self.module(pixel_values=tensor, **self.more).predicted_depth
        return as_pixels(depth)
