"""Adapt Ultralytics' semantic segmentation (`-sem`): a class for each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch.nn.functional import interpolate

from sightglass.models.adapters.classifier import both
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.families.ultralytics.detectors import NumberedLayers, fit_letterbox
from sightglass.models.preprocess import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.models.geometry import ModelInput
    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec


class YoloSegmenter(NumberedLayers, Segmenter):
    """A module from float32 (B, 3, h, w), 0..1, to logits of each pixel at an eighth of its side."""

    preprocessings: tuple[str, ...] = ("trained", "letterbox", "squash")

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        self._stride = max(int(module.stride.max()), 32)
        size = int(np.max((getattr(module, "args", None) or {}).get("imgsz", 640)))
        self._size = -(-size // self._stride) * self._stride
        # Bars that fill a square are a way of their own: the trained one has as few as the stride allows.
        how = Preprocessing(
            (self._size, self._size), self._size, (0.0,) * 3, (1.0,) * 3, antialias=False, crop="aspect"
        )
        super().__init__(spec, module, labels, how, weights_sha256)

    @property
    def resizing(self) -> str:
        return f"long side → {self._size}, with bars, bilinear, no antialias"

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        self.check_preprocessing(preprocessing)
        squash = preprocessing == "squash"
        return fit_letterbox(pixels, self._size, self._stride, auto=preprocessing == "trained", squash=squash)

    def _answer(self, tensor: Tensor) -> Tensor:
        logits: Tensor = self.module(tensor)
        # As `predict` does before it chooses the classes.
        grown = interpolate(logits, tensor.shape[2:], mode="bilinear", align_corners=False)
        return both(grown) if grown.shape[1] == 1 else grown

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return choices of target layers; the neck's finest map, which the head reads, comes first."""
        found = super().presets(layers)
        return {name: paths for name, paths in found.items() if name != "all neck outputs"} or found

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the end of the backbone."""
        return super().presets(layers).get("backbone end") or super().default_layers(layers)
