"""Adapt classifiers, embedders and networks of pixels of unknown origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightglass.models import labels
from sightglass.models.adapters.classifier import Classifier, Embedder, PreparedAdapter
from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter
from sightglass.models.adapters.tasks import Kind, logits_of
from sightglass.models.families.custom.probe import ProbeResult, answer_in, map_in, probe
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer
from sightglass.models.preprocess import READY, Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable, Task

SATURATED = 1 - 1e-6
"""Probability above which little but rounding is left of its gradient."""


class CustomInput(PreparedAdapter):
    """Find the answer in whatever a module returns."""

    kind: Kind = "logits"

    def _answer(self, tensor: Tensor) -> Tensor:
        output, chosen = self.module(tensor), self.spec.weights.output
        numbers = self.measures_pixels
        answer = answer_in(output, chosen) if self.has_row else map_in(output, chosen, numbers=numbers)
        assert answer is not None
        return logits_of(answer, self.kind)

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if preprocessing != READY:
            return super().prepare(pixels, preprocessing)
        size = (pixels.shape[0], pixels.shape[1])
        tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return ModelInput(tensor[None], Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))


class CustomClassifier(CustomInput, Classifier):
    """A module whose answer names classes or quantities."""

    def remarks(self, outputs: Any) -> tuple[str, ...]:
        saturated = self.gradients and self.kind in ("probabilities", "probability", "sigmoids")
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


class CustomDepth(CustomInput, PixelNumbers):
    """A module with a number per pixel."""


class CustomEmbedder(CustomInput, Embedder):
    """A module whose answer is a vector to compare."""


CustomAdapter = CustomClassifier | CustomEmbedder | CustomSegmenter | CustomDepth


def adapt(
    spec: ModelSpec,
    module: nn.Module,
    sha256: str,
    task: Task | None,
    known: PreprocessingTable,
    *,
    names_in_file: Callable[[int], Sequence[str]] = lambda _: (),
    notes: tuple[str, ...] = (),
    change: Callable[[ProbeResult], ProbeResult] = lambda result: result,
) -> CustomAdapter:
    """Probe a module and return its adapter.

    `known`: what is stated of its preprocessing; `names_in_file` returns so many names of classes; `change` what is
    known better than by probing.
    """
    result = change(probe(module, known, spec, task, named=spec.weights.labels is not None))
    spec = spec.as_segmentation() if result.task == "segment" else replace(spec, task=result.task)
    notes += result.notes
    names: tuple[str, ...] = ()
    if result.task != "embed":
        usual = labels.imagenet()
        if result.task == "segment":
            usual = labels.voc() if spec.in_memory else ()
        binary = result.kind in ("logit", "probability")
        names, label_notes = labels.for_classes(spec, result.count, names_in_file(result.count), usual, binary=binary)
        notes += label_notes if result.task == "segment" or not spec.in_memory else ()
    if result.why:
        notes += note_preprocessing(spec, result.preprocessing, result.why)
    kinds: dict[str, type[CustomAdapter]] = {"segment": CustomSegmenter, "embed": CustomEmbedder}
    kind = kinds.get(result.task, CustomDepth if result.pixels else CustomClassifier)
    adapter = kind(spec, module, names, result.preprocessing, sha256, notes=notes)
    adapter.kind = result.kind
    if isinstance(adapter, Segmenter):
        adapter.step = result.step
    return adapter


def note_preprocessing(spec: ModelSpec, preprocessing: Preprocessing, why: str) -> tuple[str, ...]:
    """Return a note on an inferred preprocessing; none where the row states all of it."""
    if spec.preprocessing.complete:
        return ()
    mean, key = ", ".join(f"{number:.3g}" for number in preprocessing.mean), spec.where_stated("preprocessing")
    return (f"Its preprocessing was inferred ({why}): {preprocessing}, mean {mean}; {key} states another.",)
