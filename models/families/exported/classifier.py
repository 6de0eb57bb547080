"""Adapt classifiers of exported files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapters.classifier import Classifier, Embedded, Embedder, PreparedAdapter
from sightglass.models.families.custom.classifier import logits_of
from sightglass.models.families.custom.probe import FILLS, Kind, kind_of
from sightglass.models.families.exported.runtimes import Runtime, pad, pieces, read_labels, taken
from sightglass.models.preprocess import IMAGENET, Preprocessing
from sightglass.models.spec import ModelSpec


def make_classifier(
    spec: ModelSpec, runtime: Runtime, size: tuple[int, int], answer: Tensor, notes: list[str], sha256: str
) -> ExportedClassifier | ExportedEmbedder:
    """Adapt a file that answers with a row of numbers; extend `notes`."""
    preprocessing = _preprocessing(spec, runtime, size, notes)
    place = place_of(spec, runtime, ())
    kind = _kind_of(spec, runtime, answer, place, preprocessing.channels, size)
    notes.append(
        f"{runtime.path.name} only answers here, without layers and gradients (the inside of {runtime.kind} files is "
        "not read here): its maps come from hiding parts of the picture."
    )
    adapter: ExportedClassifier | ExportedEmbedder
    if spec.task == "embed":
        adapter = ExportedEmbedder(spec, runtime, (), preprocessing, sha256)
    else:
        binary = kind in ("logit", "probability")
        count = 2 if binary else answer.shape[1]
        names, more = labels.for_classes(spec, count, read_labels(runtime), labels.imagenet(), binary=binary)
        notes += more
        adapter = ExportedClassifier(spec, runtime, names, preprocessing, sha256)
        adapter.kind = kind
    adapter.batch, adapter.place, adapter.extra_bytes = runtime.batch, place, runtime.nbytes
    # A softmax score is already a contrast to the other classes.
    adapter.parts = tuple(part for part in adapter.parts if part != "contrast")
    return adapter


def _kind_of(
    spec: ModelSpec, runtime: Runtime, answer: Tensor, place: int, channels: int, size: tuple[int, int]
) -> Kind:
    """Classify the file's answers by that to noise, and to flat pictures where that says too little."""
    if spec.measures or spec.task == "embed":
        return "numbers"
    if answer.shape[1] > 1 and spec.task != "multilabel":
        probable = bool((answer >= 0).all()) and bool((answer.sum(1) - 1).abs().max() < 1e-3)
        return "probabilities" if probable else "logits"
    blank = torch.ones(runtime.batch or 1, channels, *size)
    kind = kind_of([answer[:1], *(_row(runtime(blank * fill)[place])[:1] for fill in FILLS)])
    return "logits" if kind == "probabilities" else kind


def place_of(spec: ModelSpec, runtime: Runtime, outputs: Sequence[Tensor]) -> int:
    """Return the index of the explained output, by default the first.

    Raises ModelProblem where it names none, and where several of `outputs` are rows of numbers and it is silent.
    """
    chosen, names = spec.weights.output, tuple(runtime.outputs)
    if chosen is None:
        rows = [place for place, out in enumerate(outputs) if out.ndim == 2]
        if len(rows) > 1 and len(rows) == len(outputs):
            listed = ", ".join(
                f"{names[place] if names else place} ({outputs[place].shape[1]})" for place in range(len(outputs))
            )
            say = f"{spec.where_stated('output')} = {names[0]!r}" if names else f"{spec.where_stated('output')} = 0"
            raise ModelProblem(f"{spec.id} returns {len(rows)} outputs, {listed}: choose one with {say}.")
        return 0
    if chosen in names:
        return names.index(str(chosen))
    if isinstance(chosen, int) and (not outputs or 0 <= chosen < len(outputs)):
        return chosen
    raise ModelProblem(f"{spec.id} has no output {chosen!r}: it returns {', '.join(names) or len(outputs)}.")


def _row(answer: Tensor) -> Tensor:
    return answer.flatten(1) if answer.ndim == 4 and answer.shape[2:] == (1, 1) else answer


def _preprocessing(spec: ModelSpec, runtime: Runtime, size: tuple[int, int], notes: list[str]) -> Preprocessing:
    table = spec.preprocessing
    if table.size not in (None, *size, size):
        raise ModelProblem(f"{runtime.path.name} takes {size[0]} x {size[1]} pixels, not {table.stated()['size']}.")
    channels = taken(spec, runtime)
    short_side = table.short_side or round(min(size) / 0.875)
    if runtime.metadata.get("task") == "classify":
        # Ultralytics' own: the short side and a crop of the same size, and colours as they are.
        trained = Preprocessing(size, min(size), (0.0,) * 3, (1.0,) * 3)
    else:
        trained = Preprocessing(size, short_side, *IMAGENET)
        if table.mean is None and table.range is None:
            guess = "ImageNet's numbers" if channels == 3 else "0 and 1"
            notes.append(
                f"{runtime.path.name} does not say how its pictures are prepared: {guess} were taken for mean and std, "
                f"and {trained} for resizing."
            )
        elif table.short_side is None and table.crop in (None, "centre", "square"):
            notes.append(f"The short side was taken to be {short_side} pixels: weights.preprocessing states another.")
    # The size is the file's; any crop before it is unknown.
    return replace(trained.changed(replace(table, size=None, channels_in=channels)), size=size)


class _Exported(PreparedAdapter):
    """A file from (B, C, h, w) to one row of numbers per picture."""

    gradients = False
    batch: int | None
    place = 0
    """Of the answer among the file's outputs."""

    def _rows(self, tensor: Tensor) -> Tensor:
        """Return (B, n) as the file answers."""
        rows = []
        for part in pieces(tensor, self.batch):
            answered = _row(self.module(pad(part, self.batch))[self.place])
            rows.append(answered if len(answered) == len(part) else answered[: len(part)])
        return rows[0] if len(rows) == 1 else torch.cat(rows)


class ExportedClassifier(_Exported, Classifier):
    """A file from (B, C, h, w) to logits, log probabilities, or numbers."""

    kind: Kind = "logits"

    def _answer(self, tensor: Tensor) -> Tensor:
        return logits_of(self._rows(tensor), self.kind)


class ExportedEmbedder(_Exported, Embedder):
    """A file whose answer is a vector to compare."""

    def run(self, tensor: Tensor) -> Embedded:
        return Embedded(self._rows(tensor))
