"""Load Keras classifiers (https://keras.io, Apache-2.0) on torch.

Layers have their names in Keras (`conv2d_2`; in a nested model `backbone.conv2d_2`), and gradients are of the numbers
before the last softmax or sigmoid.
"""

from __future__ import annotations

import logging
import runpy
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.common.legible import legible
from sightglass.models import labels
from sightglass.models.adapters.classifier import Classifier, Logits
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.drawing import PAPERS, Paper, names_drawings, paper_of
from sightglass.models.families.custom.inspect import find_labels
from sightglass.models.families.keras import files
from sightglass.models.families.keras.network import Net, keras, open_model, without_activation
from sightglass.models.inspect import TableDraft, Toml, Unknown
from sightglass.models.preprocess import MAX_CHANNELS, Preprocessing, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from sightglass.models.adapter import Prediction, Progress
    from sightglass.models.families.keras.files import Facts
    from sightglass.models.geometry import Geometry, ModelInput
    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec, PreprocessingTable

LOGGER = logging.getLogger(__name__)
USUAL = 224
"""Input side in pixels where neither the file nor the operator says."""
# Layers without a map of their own: they shrink another layer's map, drop parts of it or pass it on.
_PASSING = (
    "Pooling",
    "Dropout",
    "GaussianNoise",
    "ActivityRegularization",
    "InputLayer",
    "Reshape",
    "Permute",
    "Padding",
)


class KerasClassifier(Classifier):
    """A `Net` as an adapter; `final` is the activation that was removed from its end."""

    def __init__(self, spec: ModelSpec, net: Net, preprocessing: Preprocessing, sha256: str) -> None:
        super().__init__(spec, net, (), preprocessing, sha256)
        self.final = "softmax"
        self.head: str | None = None
        """Path of the last dense layer, whose input is the embedding."""

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        self.check_preprocessing(preprocessing)
        if preprocessing == "negative":
            pixels = (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1) - pixels
            preprocessing = "trained"
        return prepare(pixels, self.preprocessing, preprocessing)

    def run(self, tensor: Tensor) -> Logits:
        seen: list[Tensor] = []
        caller = threading.get_ident()

        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if threading.get_ident() == caller:
                seen.append(inputs[0])

        head = None if self.head is None else self.module.get_submodule(self.head)
        with nullcontext() if head is None else head.register_forward_pre_hook(note):
            found: Tensor = self.module(tensor)
        if self.final == "softmax of probabilities":
            found = found.clamp_min(1e-12).log()
        if self.final == "sigmoid" and found.shape[1] == 1:
            # One number for the second class; the first is what is left.
            found = torch.cat([torch.zeros_like(found), found], 1)
        return Logits(found, seen[0] if seen and seen[0].ndim == 2 else None)

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        return self._best(self.class_scores(outputs)[0].detach(), top_k)

    def class_scores(self, outputs: Any) -> Tensor:
        if self.final != "sigmoid" or len(self.labels) == 2:
            return super().class_scores(outputs)
        # Each class by itself: several may be there at once.
        return self.class_logits(outputs).float().sigmoid()

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer that makes a map: a pooling after it only makes that smaller."""
        kinds = [type(self.module.get_submodule(layer.path)).__name__ for layer in layers]
        found = [layer for layer, kind in zip(layers, kinds, strict=True) if not any(word in kind for word in _PASSING)]
        return ((found or layers)[-1].path,)


def load(spec: ModelSpec, progress: Progress | None = None) -> KerasClassifier:
    """Build the model on the CPU without running code of its file; raise WeightsProblem for a file with code.

    `arch` may name a Python file of the operator's own, which registers the layers that are not Keras's.
    """
    path = locate(spec, progress=progress)
    facts = files.facts(path)
    if facts.shape is None:
        raise WeightsProblem(
            f"{path.name} does not take pictures, (height, width, channels): only such models fit here."
        )
    if facts.shape[2] > MAX_CHANNELS:
        raise WeightsProblem(f"{path.name} takes {facts.shape[2]} channels: up to {MAX_CHANNELS} fit here.")
    with _custom_objects(spec, facts):
        model = open_model(path)
    if isinstance(model.output_shape, list | dict):
        raise WeightsProblem(f"{path.name} answers with {len(model.output_shape)} outputs: keep the one with classes.")
    final = without_activation(model)
    notes: list[str] = []
    net = Net(model)
    table = _table(spec, facts, notes)
    size = _size(spec, facts, notes)
    mean, std = _each(table.mean or (0.0,), facts.shape[2]), _each(table.std or (1.0,), facts.shape[2])
    rest = replace(table, size=None, short_side=None, mean=None, std=None)
    preprocessing = Preprocessing(size, min(size), mean, std, antialias=False, crop="aspect").changed(rest)
    made = KerasClassifier(spec, net, preprocessing, sha256_of(path))
    made.final = final
    made.head = next(
        (name for name, part in reversed(list(net.named_modules())) if type(part).__name__ == "Dense"), None
    )
    _complete_by_a_run(made, path, notes)
    if None in (table.interpolation, table.crop):
        other = spec.where_stated("preprocessing")
        notes.append(f"Its pictures are resized as Keras does ({made.resizing}); {other} states another.")
    made.notes = tuple(notes)
    for note in notes:
        LOGGER.info("%s: %s", spec.id, note)
    return made


def inspect(path: Path) -> TableDraft | None:
    """Draft the table of a Keras file from its configuration; None for other files, a Problem for one with code."""
    if not files.is_keras(path):
        return None
    facts = files.facts(path)
    if facts.shape is None:
        raise WeightsProblem(
            f"{path.name} does not take pictures, (height, width, channels): only such models fit here."
        )
    weights: Toml = {"path": str(path)}
    notes = [f"It is a model of Keras{_takes(facts)}."]
    unknown: list[Unknown] = []
    if facts.needs:
        question = f"Which Python file defines {', '.join(facts.needs)}, which is no part of Keras?"
        unknown.append(Unknown("arch", question))
    count = None if facts.classes is None else max(facts.classes, 2)
    find_labels(path, count, weights, notes, unknown)
    preprocessing, words = files.WAYS[facts.taken]
    notes.append(f"It is given {words}, as {facts.because}: say so in weights.preprocessing where that is not so.")
    weights["preprocessing"] = preprocessing.stated()
    arch = "" if facts.needs else "keras"
    return TableDraft("keras", arch, {"task": "classify", "weights": weights}, tuple(unknown), tuple(notes))


def _takes(facts: Facts) -> str:
    assert facts.shape is not None
    height, width, channels = facts.shape
    sides = "of any size" if height is None or width is None else f"of {width} by {height} px"
    kind = {1: "grey pictures", 3: "colour pictures"}.get(channels, f"pictures of {channels} channels")
    classes = "" if facts.classes is None else f" and knows {max(facts.classes, 2)} classes"
    return f": it takes {kind} {sides}{classes}"


@contextmanager
def _custom_objects(spec: ModelSpec, facts: Facts) -> Iterator[None]:
    """Add what the operator's own file defines to Keras's registry, while the context lasts."""
    named = spec.arch.partition(":")[0]
    if not named.endswith(".py"):
        # What is in memory was registered by whoever made it.
        needs = [
            name for name in facts.needs if not spec.in_memory or keras().saving.get_registered_object(name) is None
        ]
        if needs:
            mend = "decorate its class with keras.saving.register_keras_serializable()"
            if not spec.in_memory:
                mend = 'name the Python file that defines it in arch ("layers.py")'
            raise WeightsProblem(f"{spec.id} needs {', '.join(needs)}, which is no part of Keras: {mend}.")
        yield
        return
    beside = Path(spec.weights.path or "").parent
    file = next((place for place in (Path(named).expanduser(), beside / named) if place.is_file()), None)
    if file is None:
        raise WeightsProblem(f"There is no file {named} for {spec.id}: give its path in arch.")
    defined = runpy.run_path(str(file))
    with keras().saving.custom_object_scope({name: one for name, one in defined.items() if callable(one)}):
        yield


def _size(spec: ModelSpec, facts: Facts, notes: list[str]) -> tuple[int, int]:
    """Return (h, w): fixed by the file, else by the operator, else a usual size."""
    assert facts.shape is not None
    height, width, _ = facts.shape
    given = spec.preprocessing.sides
    if height is None and width is None and given is None:
        notes.append(f"The file does not say how large its input is: {USUAL} px a side was assumed.")
    usual = given or (USUAL, USUAL)
    return height or usual[0], width or usual[1]


def _each(numbers: Sequence[float], channels: int) -> tuple[float, ...]:
    """Repeat a single number for each channel; return as many as given otherwise."""
    return tuple(numbers) * channels if len(numbers) == 1 else tuple(numbers)


def _table(spec: ModelSpec, facts: Facts, notes: list[str]) -> PreprocessingTable:
    """Return the operator's preprocessing, or the one inferred from the file."""
    given = spec.preprocessing
    assert facts.shape is not None
    for key, numbers in (("mean", given.mean), ("std", given.std)):
        if numbers is not None and len(numbers) not in (1, facts.shape[2]):
            raise ModelProblem(
                f"{key} of {spec.id} has {len(numbers)} numbers, and its pictures have {facts.shape[2]} channels."
            )
    if (given.mean, given.std, given.range) != (None, None, None):
        return given
    inferred, words = files.WAYS[facts.taken]
    notes.append(f"How its pictures are prepared was inferred: {words}, as {facts.because}.")
    return given.over(inferred)


def _complete_by_a_run(made: KerasClassifier, path: Path, notes: list[str]) -> None:
    """Run the model once: find its classes, whether it returns probabilities, and the colours of its drawings."""
    with torch.no_grad():
        logits = made.run(made.flat_input()).logits
    if logits.ndim != 2:
        raise WeightsProblem(f"{path.name} answers with {tuple(logits.shape[1:])} and not with one number a class.")
    if made.final == "unknown":
        row = logits[0]
        probable = bool((row >= 0).all()) and abs(float(row.sum()) - 1) < 1e-3
        made.final = "softmax of probabilities" if probable else "softmax"
        if probable:
            notes.append("Its last softmax could not be taken off: gradients are of the logarithm of the probability.")
    names, more = labels.for_classes(made.spec, logits.shape[1], otherwise=labels.imagenet())
    made.labels = tuple(map(legible, names))
    notes += more
    made.paper = _paper_of(made, notes)
    if made.paper is not None:
        # It also accepts what was drawn with the other pen.
        made.preprocessings = (*made.preprocessings, "negative")


def _paper_of(made: KerasClassifier, notes: list[str]) -> Paper | None:
    """Return the colours of the drawings a model expects, by its table or by its answers; None for other models."""
    given = made.spec.weights.sketch
    if given is not None:
        if given not in PAPERS:
            raise ModelProblem(f"sketch of {made.spec.id} is {given!r}: use one of {', '.join(PAPERS)}.")
        return given
    if made.channels != 1 or max(made.preprocessing.size) > 128 or not names_drawings(made.labels):
        return None
    if made.spec.preprocessing.antialias is None:
        # Such models learn from bitmaps of their own size: a thin line that is only sampled falls to pieces.
        made.preprocessing = replace(made.preprocessing, antialias=True)

    def answer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits = made.run(made.prepare(pixels, "trained").tensor).logits[0]
        return logits.softmax(0).numpy()

    paper, clear = paper_of(answer)
    say = "" if made.spec.in_memory else ": say so in weights.sketch"
    sure = "it tells simple drawings apart best so" if clear else f"it is not clear{say}"
    notes.append(f"Drawings were taken to be {paper} ({sure}).")
    return paper
