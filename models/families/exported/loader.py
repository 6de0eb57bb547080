"""Load exported models: ONNX and TorchScript files.

Their answers are explained by hiding parts of the picture (explain/methods/rise.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier, Embedded, Embedder, PreparedAdapter
from sightglass.models.adapters.tasks import ANSWERS, FEW, FILLS, Kind, assumed, kind_of, logits_of, task_of_names
from sightglass.models.checkpoints.checkpoint import archive_names
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.families.custom.probe import describe_output
from sightglass.models.families.exported.detector import LAYOUTS, ExportedDetector, make_detector
from sightglass.models.families.exported.runtimes import (
    ONNX,
    TORCHSCRIPT,
    Runtime,
    open_file,
    plain,
    read_labels,
    taken,
)
from sightglass.models.inspect import TRUST, TableDraft, Unknown, find_labels
from sightglass.models.preprocess import IMAGENET, Preprocessing
from sightglass.models.spec import ModelSpec, Task

MAX_NUMBERS = 2**26
"""Numbers of one input: 54 pictures of 640 x 640 pixels."""
SIZES = {"detect": 640, "classify": 224}
"""Input side in pixels where neither the file nor the operator says."""


def load(spec: ModelSpec, progress: Progress | None = None) -> ExportedDetector | ExportedClassifier | ExportedEmbedder:
    """Open a file in its runtime; raise ModelProblem for unknown outputs.

    TorchScript can run code: like Ultralytics' checkpoints it is opened only in places that the operator named.
    """
    path = locate(spec, progress=progress)
    runtime = open_file(path)
    layout = spec.weights.layout
    if layout is not None and layout not in LAYOUTS:
        raise ModelProblem(f"{layout} is no layout of {spec.id}: use one of {', '.join(LAYOUTS)}.")
    notes: list[str] = []
    size = _size(spec, runtime, notes)
    outputs = _probe(runtime, size, taken(spec, runtime))
    if spec.task != "detect":
        place = place_of(spec, runtime, outputs)
        outputs = (_row(outputs[place]),)
    if layout is None and outputs[0].ndim == 2 and len(outputs) == 1:
        if spec.task == "detect":
            raise ModelProblem(f'{spec.id} answers with one row of numbers: say task = "classify" in its table.')
        adapter: ExportedDetector | ExportedClassifier | ExportedEmbedder = make_classifier(
            spec, runtime, size, outputs[0], place, notes, sha256_of(path)
        )
        if spec.task == "classify" and outputs[0].shape[1] <= FEW and not (spec.weights.labels or read_labels(runtime)):
            notes.append(assumed(outputs[0].shape[1]))
    else:
        if spec.task != "detect":
            shapes = ", ".join("x".join(map(str, out.shape)) for out in outputs)
            raise ModelProblem(
                f"{spec.id} answers with {shapes}, not a row of numbers: for boxes state task detect; for segmentation "
                "export a class's mean."
            )
        if runtime.channels not in (3, None):
            raise ModelProblem(f"{runtime.path.name} takes {runtime.channels} channels, and a detector here takes 3.")
        adapter = make_detector(spec, runtime, size, outputs, notes, sha256_of(path))
    adapter.notes = tuple(notes)
    return adapter


def _size(spec: ModelSpec, runtime: Runtime, notes: list[str]) -> tuple[int, int]:
    """Return (h, w): fixed by the file, else by the operator or its metadata, else a usual size."""
    known = plain(runtime.metadata.get("imgsz"))
    known = (known, known) if isinstance(known, int) else known
    noted = (int(known[0]), int(known[1])) if isinstance(known, list | tuple) and len(known) == 2 else None
    if size := runtime.size or spec.preprocessing.sides or noted:
        return size
    usual = SIZES.get(spec.task, SIZES["classify"])
    notes.append(f"{runtime.path.name} does not say how large its input is: {usual} px a side was assumed.")
    return usual, usual


def _probe(runtime: Runtime, size: tuple[int, int], channels: int) -> tuple[Tensor, ...]:
    """Return the answer to noise, and find out whether the file takes several pictures at once."""
    _check_input(runtime, size, channels)
    noise = torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(0))
    if runtime.batch is not None:
        return tuple(out[:1] for out in runtime(noise[:1].repeat(runtime.batch, 1, 1, 1)))
    outputs: tuple[Tensor, ...] = runtime(noise[:1])
    if not outputs:
        raise ModelProblem(f"{runtime.path.name} answers with no tensor at all.")
    try:
        both = runtime(noise)
        # A traced constant batch of one may give one answer, or a wrong one.
        same = len(both[0]) == 2 * len(outputs[0]) and torch.allclose(both[0][:1], outputs[0], atol=1e-2, rtol=1e-3)
    except ModelProblem:
        same = False
    runtime.batch = None if same else 1
    return outputs


def _check_input(runtime: Runtime, size: tuple[int, int], channels: int) -> None:
    """Raise ModelProblem for an input too large to allocate."""
    count = runtime.batch or 1
    if math.prod((count, channels, *size)) > MAX_NUMBERS or min(size) < 1:
        raise ModelProblem(
            f"{runtime.path.name} takes {count} pictures of {size[0]} x {size[1]} pixels at once: export it for fewer "
            "or smaller ones."
        )


def inspect(path: Path) -> TableDraft | None:
    """Draft an exported file's table; None for other files.

    Files that can run code when they are opened are only recognised.
    """
    suffix = path.suffix.lower()
    if suffix in ONNX and path.is_file():
        return _open(path, open_file(path))
    names = archive_names(path) if suffix in TORCHSCRIPT else ()
    if "constants.pkl" not in names or not any(name.startswith("code/") for name in names):
        return None
    question = "It is TorchScript, and opening such a file can run code in it: do you trust its source?"
    table = {"task": "classify", "weights": {"path": str(path)}}
    trust = Unknown(TRUST, question, ("no", "yes"))
    return TableDraft("exported", path.name, table, (trust,), ("It is a TorchScript file.",), unnamed=True)


def _open(path: Path, runtime: Runtime) -> TableDraft:
    """Draft an opened file's table by its answer to noise."""
    notes, weights, unnamed = [f"It is a model for {runtime.kind}."], {"path": str(path)}, False
    size, channels = runtime.size or (224, 224), runtime.channels or 3
    _check_input(runtime, size, channels)
    noise = torch.rand(runtime.batch or 1, channels, *size, generator=torch.Generator().manual_seed(0))
    outputs: tuple[Tensor, ...] = runtime(noise)
    row = next((out for out in outputs if out.ndim == 2), None)
    # Detectors have one row of boxes and one of scores; heads have names, and one row for a picture each.
    heads = len(outputs) > 1 and all(out.ndim == 2 and len(out) == len(noise) for out in outputs)
    task: Task = "detect" if row is None or len(outputs) > 1 else "classify"
    names, count = read_labels(runtime), None
    if heads:
        task = "classify"
    elif row is not None and task == "classify":
        task, sure = _task_of(path, runtime, row, noise)
        # One number says no or yes.
        count = row.shape[1] if task == "regress" else max(row.shape[1], 2)
        if sure:
            notes.append(f"It was taken for {ANSWERS[task]}: task states another.")
    if runtime.size is not None:
        notes.append(f"It takes {channels} channels of {size[0]} by {size[1]} pixels.")
    if names:
        notes.append(f"The names of its {len(names)} classes are in the file.")
    elif count is None:
        unnamed = True
    elif task != "embed":
        unnamed = find_labels(path, count, weights, notes)
    table = {"task": task, "weights": weights}
    return TableDraft("exported", path.name, table, notes=tuple(notes), unnamed=unnamed)


def _task_of(path: Path, runtime: Runtime, row: Tensor, noise: Tensor) -> tuple[Task, bool]:
    """Return the task that names and a few flat pictures suggest, and whether they do."""
    if runtime.metadata.get("task") == "classify":
        return "classify", True
    named = task_of_names([path.stem, *runtime.outputs], row.shape[1], read_labels(runtime))
    if named is not None:
        return named, True
    kind = kind_of([row[:1], *(runtime(torch.ones_like(noise) * fill)[0][:1] for fill in FILLS)])
    return ("multilabel", True) if kind == "sigmoids" else ("classify", False)


def make_classifier(
    spec: ModelSpec,
    runtime: Runtime,
    size: tuple[int, int],
    answer: Tensor,
    place: int,
    notes: list[str],
    sha256: str,
) -> ExportedClassifier | ExportedEmbedder:
    """Adapt a file whose output at `place` is a row of numbers; extend `notes`."""
    preprocessing = _preprocessing(spec, runtime, size, notes)
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
    chosen, names = spec.weights.output, list(runtime.outputs or range(len(outputs)))
    if chosen in names:
        return names.index(chosen)
    if chosen is None and (len(outputs) == 1 or any(out.ndim != 2 for out in outputs)):
        return 0
    if isinstance(chosen, int) and 0 <= chosen < len(outputs):
        return chosen
    raise ModelProblem(describe_output(spec, dict(zip(names, outputs, strict=True))))


def _row(answer: Tensor) -> Tensor:
    return answer.flatten(1) if answer.ndim == 4 and answer.shape[2:] == (1, 1) else answer


def _preprocessing(spec: ModelSpec, runtime: Runtime, size: tuple[int, int], notes: list[str]) -> Preprocessing:
    table = spec.preprocessing
    if table.size not in (None, *size, size):
        raise ModelProblem(f"{runtime.path.name} takes {size[0]} x {size[1]} pixels, not {table.stated()['size']}.")
    channels = taken(spec, runtime)
    trained = Preprocessing(size, table.short_side or round(min(size) / 0.875), *IMAGENET)
    if runtime.metadata.get("task") == "classify":
        # Ultralytics' own: the short side and a crop of the same size, and colours as they are.
        trained = Preprocessing(size, min(size), (0.0,) * 3, (1.0,) * 3)
    elif table.mean is None and table.range is None:
        guess = "ImageNet's numbers" if channels == 3 else "0 and 1"
        notes.append(
            f"{runtime.path.name} does not say how its pictures are prepared: {guess} were taken for mean and std, "
            f"and {trained} for resizing."
        )
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
        rows = [_row(outputs[self.place]) for outputs in self.module.answer_all(tensor, self.batch)]  # type: ignore[operator]
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
