"""Adapt classifiers, embedders and networks of pixels of unknown origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapters.classifier import Classifier, Embedded, Embedder, PreparedAdapter, both
from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter
from sightglass.models.families.custom import transforms
from sightglass.models.families.custom.probe import Kind, Probed, answer_in, map_in
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer
from sightglass.models.preprocess import READY, Preprocessing
from sightglass.models.spec import ModelSpec

_LEAST = 1e-12
SATURATED = 1 - 1e-6
"""Probability above which little but rounding is left of its gradient."""


class CustomInput(PreparedAdapter):
    """Find the answer in whatever a module returns, from pictures prepared by any function."""

    kind: Kind = "logits"
    reads_maps = False
    """Whether the answer is a map, and no row of numbers."""
    transform: Callable[..., Any] | None = None
    """A caller's own, from a Pillow image to a tensor (C, h, w), where it cannot be read as a `Preprocessing`."""

    def _answer(self, tensor: Tensor) -> Tensor:
        output, chosen = self.module(tensor), self.spec.weights.output
        numbers = self.measures_pixels
        answer = map_in(output, chosen, numbers=numbers) if self.reads_maps else answer_in(output, chosen)
        assert answer is not None
        return logits_of(answer, self.kind)

    def flat_input(self, value: int = 128) -> Tensor:
        if self.transform is None:
            return super().flat_input(value)
        # A picture of one tone has no measurable place, and needs none.
        flat = np.full((64, 64, 3), value, np.uint8)
        try:
            return transforms.apply(self.transform, flat)[None]
        except ModelProblem:
            return transforms.apply(self.transform, transforms.NOISE)[None]

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if preprocessing == READY:
            size = (pixels.shape[0], pixels.shape[1])
            tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
            return ModelInput(tensor[None], Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))
        if self.transform is None or preprocessing != "trained":
            return super().prepare(pixels, preprocessing)
        return transforms.prepare(self.transform, pixels)

    @property
    def resizing(self) -> str:
        return super().resizing if self.transform is None else transforms.BY_FUNCTION


class CustomClassifier(CustomInput, Classifier):
    """A module whose answer names classes or quantities."""

    def remarks(self, outputs: Any) -> tuple[str, ...]:
        saturated = self.kind in ("probabilities", "probability", "sigmoids")
        if saturated and float(self.class_scores(outputs)[0].detach().max()) > SATURATED:
            return (
                "It is saturated, so next to no gradient is left: give logits, without the last softmax or sigmoid.",
            )
        return ()

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer before pooling; of a transformer the last tokens that attention reads."""
        pooled = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d)
        candidates = [layer for layer in layers if not isinstance(self.module.get_submodule(layer.path), pooled)]
        return super().default_layers(candidates or layers)


class CustomSegmenter(CustomInput, Segmenter):
    """A module with a class per pixel."""

    reads_maps = True


class CustomDepth(CustomInput, PixelNumbers):
    """A module with a number per pixel."""

    reads_maps = True


class CustomEmbedder(CustomInput, Embedder):
    """A module whose answer is a vector to compare."""

    def run(self, tensor: Tensor) -> Embedded:
        return Embedded(self._answer(tensor))


def logits_of(answer: Tensor, kind: Kind) -> Tensor:
    """Return class logits from an answer (B, n, ...); two for a single number."""
    if kind == "numbers":
        return answer
    if kind == "probabilities":
        return answer.clamp_min(_LEAST).log()
    if kind in ("probability", "sigmoids"):
        answer = answer.clamp(_LEAST, 1 - 1e-7).logit()
    return both(answer) if kind in ("logit", "probability") else answer


CustomAdapter = CustomClassifier | CustomEmbedder | CustomSegmenter | CustomDepth


def make_adapter(
    spec: ModelSpec, seen: Probed, sha256: str, notes: tuple[str, ...] = (), names_in_file: Sequence[str] = ()
) -> CustomAdapter:
    """Return the adapter of a probed module."""
    spec = spec.as_segmentation() if seen.task == "segment" else replace(spec, task=seen.task)
    notes += seen.notes
    names: tuple[str, ...] = ()
    if seen.task != "embed":
        usual = labels.imagenet()
        if seen.task == "segment":
            usual = labels.voc() if spec.in_memory else ()
        names, more = labels.for_classes(spec, seen.count, names_in_file, usual, binary=seen.binary)
        notes += more if seen.task == "segment" or not spec.in_memory else ()
    if seen.why:
        notes += note_preprocessing(spec, seen.preprocessing, seen.why)
    kinds: dict[str, type[CustomAdapter]] = {"segment": CustomSegmenter, "embed": CustomEmbedder}
    kind = kinds.get(seen.task, CustomDepth if seen.pixels else CustomClassifier)
    adapter = kind(spec, seen.module, names, seen.preprocessing, sha256, notes=notes)
    adapter.kind = seen.kind
    if isinstance(adapter, Segmenter):
        adapter.step = seen.step
    return adapter


def note_preprocessing(spec: ModelSpec, preprocessing: Preprocessing, why: str) -> tuple[str, ...]:
    """Return a note on an inferred preprocessing; none where the row states all of it."""
    if spec.preprocessing.complete:
        return ()
    mean, say = ", ".join(f"{number:.3g}" for number in preprocessing.mean), spec.where_stated("preprocessing")
    return (f"Its preprocessing was inferred ({why}): {preprocessing}, mean {mean}; {say} states another.",)
