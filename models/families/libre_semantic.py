"""Load semantic segmentation networks through libreyolo (MIT): PIDNet, PP-LiteSeg, SegFormer, U-Net.

Networks and preparation of pictures are the library's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torch.nn.functional import interpolate

from sightglass.models.adapter import Progress
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.families.detr import open_library
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

FAMILIES = {
    "pidnet": "LibrePIDNet",
    "ppliteseg": "LibrePPLiteSeg",
    "segformer": "LibreSegformer",
    "unet": "LibreUNet",
    "fcn": "LibreFCN",
    "deeplabv3": "LibreDeepLabv3",
}
"""The library's classes by its names of families; `arch` is one of these, a hyphen and a size: `pidnet-s`."""
BARS = ("pidnet", "segformer")
"""Families whose pictures keep their shape, with bars at the right and below; others squeeze them."""
CORNERS = ("pidnet",)
"""Families whose answer is enlarged by the centres of its corner pixels."""
LOSSES = ("seghead_p.", "seghead_d.", "aux_classifier.")
"""Beginnings of tensors that only training uses."""


def load(spec: ModelSpec, progress: Progress | None = None) -> LibreSegmenter:
    """Build the network on the CPU, from a file of the library's, or untrained by a seed.

    Raises ModelProblem for an architecture that the library has not, WeightsProblem where the file does not fit it.
    """
    spec = spec.as_segmentation()
    return LibreSegmenter(spec, *open_library(spec, FAMILIES, "segmentation of libreyolo", progress, LOSSES))


class LibreSegmenter(Segmenter):
    """A segmentation network of libreyolo with its own way of preparing pictures."""

    preprocessings: tuple[str, ...] = ("trained",)

    def __init__(self, spec: ModelSpec, whole: Any, names_given: Sequence[str], weights_sha256: str) -> None:
        """`whole`: the library's model; its network is from then on the adapter's own."""
        names = names_given or tuple(str(whole.names.get(index, index)) for index in range(whole.nb_classes))
        height, width = self._size = _sides(whole.input_size)
        # Only for descriptions, as the library prepares pictures.
        how = Preprocessing((height, width), min(height, width), (0.0,) * 3, (1.0,) * 3, antialias=False, crop="squash")
        super().__init__(spec, whole.model, names, how, weights_sha256)
        self._whole = whole

    @property
    def resizing(self) -> str:
        height, width = self._size
        bars = ", with bars at the right and below" if self._whole.FAMILY in BARS else ""
        return f"{'fitted' if bars else 'squeezed'} to {width} by {height}{bars}"

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        self.check_preprocessing(preprocessing)
        tensor, _, (width, height), ratio = self._whole._preprocess(Pillow.fromarray(pixels), color_format="rgb")
        size = tensor.shape[2], tensor.shape[3]
        fitted = size
        if self._whole.FAMILY in BARS:
            fitted = max(int(height * ratio), 1), max(int(width * ratio), 1)
        scale = fitted[0] / height, fitted[1] / width
        return ModelInput(tensor, Geometry((height, width), size, scale, (0.0, 0.0)))

    def _answer(self, tensor: Tensor) -> Tensor:
        output = self.module(tensor)
        if isinstance(output, dict):
            output = next(output[name] for name in ("semantic_logits", "predictions", "out") if name in output)
        logits: Tensor = output[0] if isinstance(output, (tuple, list)) else output
        # As `predict` enlarges it before it chooses the classes, to the input instead of the picture.
        corners = self._whole.FAMILY in CORNERS
        return interpolate(logits, tensor.shape[2:], mode="bilinear", align_corners=corners)


def _sides(size: Any) -> tuple[int, int]:
    """Return (height, width) of an input."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
