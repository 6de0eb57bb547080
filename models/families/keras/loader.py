"""Load Keras classifiers (https://keras.io, Apache-2.0) on torch.

Layers have their names in Keras (`conv2d_2`; in a nested model `backbone.conv2d_2`), and gradients are of the numbers
before the last softmax or sigmoid.
"""

import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.common.legible import legible
from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier, Logits
from sightglass.models.adapters.tasks import CONTRASTS, kind_of, logits_of, same_answer
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.drawing import PAPERS, Paper, names_drawings
from sightglass.models.families.custom.classifier import CustomInput, photographs
from sightglass.models.families.keras.network import Net, final_activation, keras, open_model, walk, without_activation
from sightglass.models.geometry import ModelInput
from sightglass.models.load import TableDraft
from sightglass.models.preprocess import IMAGENET, INFERRED, MAX_CHANNELS, UNSTATED_FIT, Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable

USUAL = 224
"""Input side in pixels where neither the file nor the operator says."""
_WEIGHED = ("Conv", "Dense", "DepthwiseConv", "SeparableConv", "EinsumDense", "PatchEmbedding")
_SCALED = ("Rescaling", "Normalization", "TrueDivide", "Divide", "Subtract", "Multiply", "Add")
_CAFFE = tuple(value / 255 for value in (123.68, 116.779, 103.939))
# Preparation of pictures for the nets of keras.applications, by prefixes of names and by a layer that only they have.
_NETS: tuple[tuple[str, str, str], ...] = (
    ("resnet50v2 resnet101v2 resnet152v2", "post_bn", "tf"),
    ("resnet50 resnet101 resnet152", "conv5_block3_out", "caffe"),
    ("vgg16 vgg19", "block5_conv3", "caffe"),
    ("mobilenetv3 efficientnet convnext regnet", "", "raw"),
    ("mobilenet mobilenetv2", "block_16_project", "tf"),
    ("inception_v3 inception_resnet_v2 xception nasnet", "block14_sepconv2_act", "tf"),
    ("densenet", "conv5_block16_concat", "torch"),
)
TEACHABLE = "global_average_pooling2d_GlobalAveragePooling2D"
"""Beginning of the name of a layer of Teachable Machine's networks, which TensorFlow.js gives."""
SCALINGS = {
    "raw": (PreprocessingTable(range=255), "colours from 0 to 255"),
    "caffe": (
        PreprocessingTable(range=255, mean=_CAFFE, channels="bgr"),
        "blue first, 0 to 255, ImageNet's mean taken off",
    ),
    "tf": (PreprocessingTable(mean=(0.5,), std=(0.5,)), "colours from -1 to 1"),
    "torch": (PreprocessingTable(mean=IMAGENET[0], std=IMAGENET[1]), "ImageNet's mean and deviation"),
    "unit": (PreprocessingTable(range=1), "colours from 0 to 1"),
}
"""Ways to scale a picture's numbers, and how a sentence describes them."""


class KerasClassifier(CustomInput, Classifier):
    """A `Net` as an adapter."""

    channels_last = True
    head: str | None = None
    """Path of the last dense layer, whose input is the embedding."""

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if preprocessing == "negative":
            pixels = (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1) - pixels
            preprocessing = "trained"
        return super().prepare(pixels, preprocessing)

    def forward(self, tensor: Tensor) -> Logits:
        seen: list[Tensor] = []
        caller = threading.get_ident()

        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if threading.get_ident() == caller:
                seen.append(inputs[0])

        head = None if self.head is None else self.module.get_submodule(self.head)
        with nullcontext() if head is None else head.register_forward_pre_hook(note):
            logits = logits_of(self.module(tensor), self.kind)
        return Logits(logits, seen[0] if seen and seen[0].ndim == 2 else None)


def load(spec: ModelSpec, progress: Progress | None = None) -> KerasClassifier:
    """Build the model on the CPU; raise WeightsProblem for a file with code."""
    path = locate(spec, progress=progress)
    return adapt(spec, open_model(path), path.name, sha256_of(path))


def adapt(spec: ModelSpec, model: Any, name: str, sha256: str = "") -> KerasClassifier:
    """Adapt a model, which is from then on the adapter's own; `name` is for problems."""
    preprocessing, notes = _preprocessing(spec, model, name)
    if isinstance(model.output_shape, list | dict):
        model = _one_output(spec, model, name)
    end, net = final_activation(model), Net(model)
    adapter = KerasClassifier(spec, net, (), preprocessing, sha256 or checkpoint.digest(net))
    dense = [path for path, part in net.named_modules() if type(part).__name__ == "Dense"]
    adapter.head = dense[-1] if dense else None
    count, end_notes = _read_end(adapter, model, end, name)
    if count > 1 and spec.task == "classify" and (end == "sigmoid" or adapter.kind == "sigmoids"):
        # Independent classes may occur together.
        adapter.spec = replace(spec, task="multilabel")
    count = 2 if adapter.kind in ("logit", "probability") else count
    names, label_notes = labels.for_classes(adapter.spec, count, otherwise=labels.imagenet())
    adapter.labels = tuple(map(legible, names))
    notes += [*end_notes, *label_notes]
    adapter.paper, paper_notes = _find_paper(adapter)
    if adapter.paper is not None:
        # It also accepts drawings in inverted colours.
        adapter.preprocessings = (*adapter.preprocessings, "negative")
    adapter.notes = (*notes, *paper_notes)
    return adapter


def _input_shape(model: Any, name: str) -> tuple[int | None, int | None, int]:
    """Return the (height, width, channels) that a model takes; raise WeightsProblem for others than pictures."""
    if not model.built or not getattr(model, "inputs", None):
        raise WeightsProblem(f"{name} does not say what it takes: build the model, then save it again.")
    shape = model.input_shape
    if isinstance(shape, list | dict):
        raise WeightsProblem(f"{name} takes {len(shape)} inputs: keep the picture's alone, and set the others inside.")
    sides = (*shape[1:], 1) if len(shape) == 3 else shape[1:]
    if len(sides) != 3 or sides[2] is None or sides[2] > MAX_CHANNELS:
        raise WeightsProblem(
            f"{name} does not take pictures, (height, width, channels) with up to {MAX_CHANNELS} channels: only such "
            "models fit here."
        )
    return sides[0], sides[1], sides[2]


def _scaling(model: Any, shape: tuple[int | None, int | None, int]) -> tuple[str, str]:
    """Return the likeliest of `SCALINGS`, and why."""
    if "int" in model.inputs[0].dtype:
        return "raw", "it takes whole numbers"
    for step in walk(model):
        kind = type(step).__name__
        if kind in _SCALED:
            return "raw", f"it scales the colours by itself ({step.name})"
        if kind.startswith(_WEIGHED):
            break
    names = {layer.name for layer in model._flatten_layers()}
    for starts, telltale, scaling in _NETS:
        begins = tuple(starts.split())
        if shape[2] == 3 and (telltale in names or any(name.lower().startswith(begins) for name in names)):
            return scaling, f"it holds a net of keras.applications ({begins[0]} or like it)"
    return "unit", "nothing in the file says otherwise"


def inspect(path: Path) -> TableDraft | None:
    """Draft a Keras file's table; a Problem for files with code."""
    if not path.is_file() or path.suffix.lower() not in (".keras", ".h5", ".hdf5"):
        return None
    model = open_model(path)
    height, width, channels = shape = _input_shape(model, path.name)
    sizes = "of any size" if height is None or width is None else f"of {width} by {height} px"
    kind = {1: "grey pictures", 3: "colour pictures"}.get(channels, f"pictures of {channels} channels")
    row = None if isinstance(model.output_shape, list | dict) else model.output_shape[-1]
    count = None if row is None else max(row, 2)
    knows = "" if count is None else f" and knows {count} classes"
    note = f"It is a model of Keras: it takes {kind} {sizes}{knows}."
    task = "multilabel" if final_activation(model) == "sigmoid" and (row or 0) > 1 else "classify"
    scaling, because = _scaling(model, shape)
    described = SCALINGS[scaling][1]
    # Without it the table leaves open how pictures are given, and each explanation says what was taken.
    table = {"task": task, "weights": {"path": str(path)}}
    draft = TableDraft("keras", "keras", table, notes=(note,)).with_labels(count)
    note = f"It is given {described}, as {because}: say so in weights.preprocessing where that is not so."
    return replace(draft, notes=(*draft.notes, note))


def _one_output(spec: ModelSpec, model: Any, name: str) -> Any:
    """Return the model with the chosen output; raise WeightsProblem if unknown."""
    names = list(model.output_names)
    chosen = spec.weights.output
    place = names.index(chosen) if chosen in names else chosen if isinstance(chosen, int) else None
    if place is None or not 0 <= place < len(names):
        say = spec.where_stated("output")
        raise WeightsProblem(f"{name} returns {len(names)} outputs ({', '.join(names)}): choose one with {say}.")
    return keras().Model(model.inputs, model.outputs[place])


def _preprocessing(spec: ModelSpec, model: Any, name: str) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing, as the file fixes it, else the operator's, else inferred, and notes on that."""
    notes: list[str] = []
    height, width, channels = shape = _input_shape(model, name)
    table = spec.preprocessing
    if (table.mean, table.std, table.range) == (None, None, None):
        scaling, because = _scaling(model, shape)
        inferred, described = SCALINGS[scaling]
        notes.append(f"{INFERRED}: {described}, as {because}.")
        table = table.over(inferred)
    if height is None and width is None and table.sides is None:
        notes.append(f"The file does not say how large its input is: {USUAL} px a side was assumed.")
    usual = table.sides or (USUAL, USUAL)
    size = height or usual[0], width or usual[1]
    resizing, source = _resizing(model, channels)
    plain = Preprocessing(size, min(size), (0.0,) * channels, (1.0,) * channels).changed(resizing)
    mean, std = (values * channels if values and len(values) == 1 else values for values in (table.mean, table.std))
    prepared = plain.changed(replace(table, size=None, short_side=None, channels_in=channels, mean=mean, std=std))
    if (table.interpolation, table.antialias, table.crop) == (None, None, None):
        notes.append(f"{UNSTATED_FIT}: {prepared} was taken, as by {source}.")
    return prepared, notes


def _resizing(model: Any, channels: int) -> tuple[PreprocessingTable, str]:
    """Return how pictures are resized for a model, and what does so."""
    if any(layer.name.startswith(TEACHABLE) for layer in model._flatten_layers()):
        return PreprocessingTable(interpolation="lanczos", crop="aspect"), "Teachable Machine's example"
    if channels == 1:
        # Where most pixels of a drawing's thin lines were skipped, the lines would break up.
        return PreprocessingTable(interpolation="bicubic", crop="squash"), "Pillow's resize of a grey picture"
    return PreprocessingTable(antialias=False, crop="squash"), "image_dataset_from_directory of Keras"


def _read_end(adapter: KerasClassifier, model: Any, end: str, name: str) -> tuple[int, list[str]]:
    """Set what a row of answers is, its softmax or sigmoid (`end`) taken off; return how many there are, and notes."""
    pictures, shape = photographs(adapter.preprocessing), model.output_shape[1:]
    adapter.kind = "numbers"

    def answers(*factors: float) -> list[Tensor]:
        with torch.no_grad():
            return [adapter.run(factor * picture).logits for factor in factors for picture in pictures]

    whole = answers(1.0) if shape else []
    if not whole or shape[-1] not in (None, whole[0].shape[1]):
        got = " x ".join(map(str, shape)) or "a number without an axis"
        raise WeightsProblem(f"{name} answers with {got}: end it with a layer that returns one row of numbers.")
    count, taken = whole[0].shape[1], end == "linear"
    # The softmax of a single number is 1, whatever it is.
    if adapter.spec.measures:
        return count, []
    if end == "sigmoid" or (end == "softmax" and count > 1):
        put_back, apply = without_activation(model), nn.Sigmoid() if end == "sigmoid" else nn.Softmax(1)
        taken = all(same_answer(apply(bare), row, 0.02) for bare, row in zip(answers(1.0), whole, strict=True))
        if not taken:
            # The layer is used elsewhere, too.
            put_back()
    adapter.kind = kind_of(whole if taken else [*whole, *answers(*CONTRASTS)], taken)
    if taken:
        return count, []
    if adapter.kind in ("logit", "logits"):
        return count, ["Its answers were taken for logits: on photographs they are no probabilities."]
    return count, ["Its last activation could not be taken off: gradients are of the logarithm of the probability."]


def _find_paper(adapter: KerasClassifier) -> tuple[Paper | None, tuple[str, ...]]:
    """Return the colours of a drawing model's input, None for other models, and a note where they are assumed."""
    stated = adapter.spec.weights.sketch
    if stated is not None:
        if stated not in PAPERS:
            raise ModelProblem(f"sketch of {adapter.spec.id} is {stated!r}: use one of {', '.join(PAPERS)}.")
        return stated, ()
    if adapter.channels != 1 or max(adapter.preprocessing.size) > 128 or not names_drawings(adapter.labels):
        return None, ()
    say = "" if adapter.spec.in_memory else "; weights.sketch states another"
    return PAPERS[0], (f"Drawings were taken to be {PAPERS[0]}, as those of the usual data sets{say}.",)
