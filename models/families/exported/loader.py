"""Load exported models, ONNX and TorchScript files, which are explained by hiding parts of the picture."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import Part, Progress
from sightglass.models.adapters.detector import Detections, Detector
from sightglass.models.adapters.tasks import check_task
from sightglass.models.checkpoints.checkpoint import archive_names
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.families.custom.classifier import CustomAdapter, adapt, probe
from sightglass.models.families.custom.outputs import is_row
from sightglass.models.families.exported.layouts import LAYOUTS, Candidates, Layout, infer, join_candidates, layout_of
from sightglass.models.families.exported.noted import read_noted
from sightglass.models.families.exported.runtimes import ONNX, TORCHSCRIPT, Runtime, open_file, plain, read_labels
from sightglass.models.geometry import ModelInput
from sightglass.models.load import TRUST, TableDraft, Unknown
from sightglass.models.preprocess import IMAGENET, Preprocessing, letterbox, match_channels, prepare, to_tones
from sightglass.models.spec import ModelSpec, PreprocessingTable, Task, WeightsTable

MAX_NUMBERS = 2**26
"""Numbers of one input: 54 pictures of 640 x 640 pixels."""
SIZES = {"detect": 640, "classify": 224}
"""Input side in pixels where neither the file nor the operator says."""


def load(spec: ModelSpec, progress: Progress | None = None) -> "ExportedDetector | CustomAdapter":
    """Open a file in its runtime; raise ModelProblem for unknown outputs.

    TorchScript can run code: like Ultralytics' checkpoints it is opened only in places that the operator named.
    """
    path, table = locate(spec, progress=progress), spec.preprocessing
    runtime = open_file(path)
    layout = spec.weights.layout
    if layout is not None and layout not in LAYOUTS:
        raise ModelProblem(f"{layout} is no layout of {spec.id}: use one of {', '.join(LAYOUTS)}.")
    runtime.image_size, notes = _find_size(spec, runtime)
    runtime.channels = table.channels_in or len(table.mean or ()) or runtime.channels or 3
    outputs = _probe(runtime)
    if spec.task != "detect":
        return _adapt_rows(spec, runtime, outputs, notes)
    if layout is None and outputs[0].ndim <= 2 and len(outputs) == 1:
        raise ModelProblem(f'{spec.id} answers with one row of numbers: say task = "classify" in its table.')
    detector = make_detector(spec, runtime, outputs, sha256_of(path))
    detector.notes, detector.apart = notes + detector.notes, path.suffix.lower() in ONNX
    return detector


def _find_size(spec: ModelSpec, runtime: Runtime) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return (h, w), fixed by the file, else by the operator or its metadata, else a usual one with a note."""
    stated = plain(runtime.metadata.get("imgsz"))
    stated = (stated, stated) if isinstance(stated, int) else stated
    noted = (int(stated[0]), int(stated[1])) if isinstance(stated, list | tuple) and len(stated) == 2 else None
    if size := runtime.size or spec.preprocessing.sides or noted:
        return size, ()
    usual = SIZES.get(spec.task, SIZES["classify"])
    return (usual, usual), (f"{runtime.path.name} does not say how large its input is: {usual} px a side was assumed.",)


def _noise(runtime: Runtime, count: int) -> Tensor:
    """Return random pictures; raise ModelProblem for an input too large to allocate."""
    size, channels = runtime.image_size, runtime.channels or 3
    if math.prod((count, channels, *size)) > MAX_NUMBERS or min(size) < 1:
        raise ModelProblem(
            f"{runtime.path.name} takes {count} pictures of {size[0]} x {size[1]} pixels at once: export it for fewer "
            "or smaller ones."
        )
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(0))


def _probe(runtime: Runtime) -> tuple[Tensor, ...]:
    """Return the answer to noise, and find out whether the file takes several pictures at once."""
    if runtime.batch is not None:
        noise = _noise(runtime, runtime.batch)[:1].repeat(runtime.batch, 1, 1, 1)
        return tuple(out[:1] for out in runtime.answers(noise))
    noise = _noise(runtime, 2)
    outputs = runtime.answers(noise[:1])
    if not outputs:
        raise ModelProblem(f"{runtime.path.name} answers with no tensor at all.")
    try:
        pair = runtime.answers(noise)[0]
        # A traced constant batch of one may give one answer, or a wrong one.
        same = len(pair) == 2 * len(outputs[0]) and torch.allclose(pair[:1], outputs[0], atol=1e-2, rtol=1e-3)
    except ModelProblem:
        same = False
    runtime.batch = None if same else 1
    return outputs


def inspect(path: Path) -> TableDraft | None:
    """Draft an exported file's table, None for others; those that can run code when opened are only recognised."""
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
    """Draft an opened file's table by its answers to noise and to flat pictures."""
    runtime.image_size = runtime.size or (SIZES["classify"],) * 2
    noise = _noise(runtime, runtime.batch or 1)
    outputs = runtime.answers(noise)
    names = read_labels(runtime)
    task, count, found = _guess_task(path, runtime, outputs, len(noise))
    notes = [f"It is a model for {runtime.kind}.", *found]
    if runtime.size is not None:
        height, width = runtime.size
        notes.append(f"It takes {runtime.channels or 3} channels of {height} by {width} pixels.")
    if names:
        notes.append(f"The names of its {len(names)} classes are in the file.")
    table = {"task": task, "weights": {"path": str(path)}}
    draft = TableDraft("exported", path.name, table, notes=tuple(notes))
    if names or task == "embed":
        return draft
    if task != "detect":
        return draft.with_labels(count)
    detected = _count_detected(runtime, outputs)
    if detected is None:
        return replace(draft, unnamed=True)
    return draft.with_labels(detected) if detected else draft.with_any_labels()


def _guess_task(
    path: Path, runtime: Runtime, outputs: Sequence[Tensor], pictures: int
) -> tuple[Task, int | None, tuple[str, ...]]:
    """Return the task by an answer to pictures of noise, its classes, and notes."""
    if not outputs:
        return "detect", None, ()
    # Heads have one row for a picture each; detectors have rows of boxes and of scores.
    if len(outputs) > 1 and all(out.ndim == 2 and len(out) == pictures for out in outputs):
        return "classify", None, ()
    first, *others = outputs
    has_row = first.ndim <= 2 or is_row(first)
    # Maps beside a row are its features.
    if not has_row or any(out.ndim != 4 for out in others):
        return "detect", None, ()
    weights = WeightsTable(output=runtime.outputs[0] if runtime.outputs else None)
    spec = ModelSpec(path.stem, "", "", "exported", "", "classify", "", weights)
    stated: Task | None = "classify" if runtime.metadata.get("task") == "classify" else None
    result = probe(runtime, PreprocessingTable(channels_in=runtime.channels), spec, stated)
    # Several classes at once are inferred again whenever it is loaded, as each explanation then says.
    task: Task = "classify" if result.task == "multilabel" else result.task
    return task, result.count, result.notes


def _count_detected(runtime: Runtime, outputs: tuple[Tensor, ...]) -> int | None:
    """Return how many classes a detector's outputs have: 0 where their shapes do not say it, None for no detector's."""
    with contextlib.suppress(ModelProblem):
        return _infer(runtime, outputs, None)[1]
    return None


def _infer(runtime: Runtime, outputs: tuple[Tensor, ...], named: int | None) -> tuple[str, int]:
    """Return a detector's layout and number of classes, by the names of its outputs or as `layouts.infer`."""
    if (told := layout_of(runtime.outputs)) is not None:
        return told, named or 0
    return infer(outputs, runtime.image_size, named, runtime.metadata.get("task") is not None)


def _adapt_rows(spec: ModelSpec, runtime: Runtime, outputs: Sequence[Tensor], notes: tuple[str, ...]) -> CustomAdapter:
    """Adapt a file that answers with a row of numbers; `notes`: those on its input."""
    chosen = spec.weights.output
    if isinstance(chosen, int) and 0 <= chosen < len(runtime.outputs):
        spec = spec.with_weights(output=runtime.outputs[chosen])
    preprocessing, inferred = _preprocessing(spec, runtime)
    answers_only = (
        f"{runtime.path.name} only answers here, without layers and gradients (the inside of {runtime.kind} files is "
        "not read here): its maps come from hiding parts of the picture."
    )
    named = labels.tell_apart(read_labels(runtime))
    spec = _without_labels(spec, runtime)
    shapes = ", ".join("x".join(map(str, out.shape)) for out in outputs)
    no_row = ModelProblem(
        f"{spec.id} answers with {shapes}, not a row of numbers: for boxes state task detect; for segmentation export "
        "a class's mean."
    )
    if all(out.ndim > 2 and not is_row(out) for out in outputs):
        raise no_row
    adapter = adapt(
        spec,
        runtime,
        sha256_of(runtime.path),
        check_task(spec.task),
        preprocessing.table(),
        names_in_file=lambda _: named,
        notes=(*notes, *inferred, answers_only),
        why="",
    )
    if not adapter.has_row:
        raise no_row
    adapter.gradients, adapter.batch, adapter.extra_bytes = False, runtime.batch, runtime.nbytes
    adapter.apart = runtime.path.suffix.lower() in ONNX
    # A softmax score is already a contrast to the other classes.
    adapter.parts = tuple(part for part in adapter.parts if part != "contrast")
    return adapter


def _without_labels(spec: ModelSpec, runtime: Runtime) -> ModelSpec:
    """Return the row without labels where the file's answers name the classes.

    Raises ModelProblem where the list has other names.
    """
    if not runtime.keys:
        return spec
    stated = labels.stated_names(spec)
    if stated and sorted(stated) != sorted(labels.tell_apart(runtime.keys)):
        raise ModelProblem(
            f"{runtime.path.name} names its {len(runtime.keys)} classes itself ({', '.join(runtime.keys[:3])}): leave "
            f"{spec.where_stated('labels')} out."
        )
    return spec.with_weights(labels=None)


def _preprocessing(spec: ModelSpec, runtime: Runtime) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return how pictures are prepared, and notes on what of that is inferred."""
    size, stated = runtime.image_size, spec.preprocessing
    noted = read_noted(runtime.metadata, runtime.channels or 3, size)
    answered = _answered(stated)
    table = stated.over(_without_fit(noted.table) if "crop" in answered else noted.table)
    if table.size not in (None, *size, size):
        raise ModelProblem(f"{runtime.path.name} takes {size[0]} x {size[1]} pixels, not {table.stated()['size']}.")
    open_ = tuple(f"{runtime.path.name} {end}." for topic, end in noted.open_ if topic not in answered)
    trained, notes = _usual(runtime, table, noted.table != PreprocessingTable())
    # The size is the file's; any crop before it is unknown.
    return replace(trained.changed(replace(table, size=None, channels_in=runtime.channels)), size=size), (
        *open_,
        *notes,
    )


def _usual(runtime: Runtime, table: PreprocessingTable, noted: bool) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return what is taken where neither file nor operator says it, and a note where nothing does.

    `noted`: whether the file has notes on its pictures.
    """
    size = runtime.image_size
    plain = Preprocessing(size, min(size), (0.0,) * 3, (1.0,) * 3)
    # Ultralytics' own: the short side and a crop of the same size, and colours as they are.
    if runtime.metadata.get("task") == "classify":
        return plain, ()
    trained = replace(plain, short_side=table.short_side or round(min(size) / (1 if table.size else 0.875)))
    if noted:
        # Custom Vision's example takes 0 to 1.
        return trained, ()
    trained = replace(trained, mean=IMAGENET[0], std=IMAGENET[1])
    if table.mean is not None or table.range is not None:
        return trained, ()
    guess = "ImageNet's numbers" if runtime.channels == 3 else "0 and 1"
    note = (
        f"{runtime.path.name} does not say how its pictures are prepared: {guess} were taken for mean and std, and "
        f"{trained} for resizing."
    )
    return trained, (note,)


def _answered(stated: PreprocessingTable) -> set[str]:
    """Return which keys of `Noted.open_` an operator's table states."""
    keys = {"crop": ("crop", "short_side", "resized"), "channels": ("channels",), "range": ("range", "mean")}
    return {topic for topic, names in keys.items() if any(getattr(stated, name) is not None for name in names)}


def _without_fit(table: PreprocessingTable) -> PreprocessingTable:
    return replace(table, crop=None, short_side=None, resized=None)


def make_detector(spec: ModelSpec, runtime: Runtime, outputs: tuple[Tensor, ...], sha256: str) -> "ExportedDetector":
    """Return the detector of an opened file by its answers to noise, with notes on what was inferred."""
    notes: list[str] = []
    names, name = labels.stated_names(spec) or read_labels(runtime), spec.weights.layout
    task = runtime.metadata.get("task")
    if task not in (None, "detect", "segment", "pose"):
        raise ModelProblem(f"{runtime.path.name} is a model to {task}: only plain detectors and classifiers fit here.")
    try:
        inferred, count = _infer(runtime, outputs, len(names) or None)
    except ModelProblem:
        if name is None:
            _check_number(spec, outputs, runtime)
            raise
        inferred, count = name, 0
    if name is None:
        name = inferred
        notes.append(_note_layout(runtime, name))
    if not names:
        if not count or name != inferred:
            say = spec.where_stated("labels")
            raise ModelProblem(f"{runtime.path.name} does not say which classes it knows: name them in {say}.")
        names, label_notes = labels.for_classes(spec, count)
        notes += label_notes
    detector = ExportedDetector(spec, runtime, names, LAYOUTS[name], sha256)
    detector.notes = tuple(notes)
    return detector


def _note_layout(runtime: Runtime, name: str) -> str:
    """Return what a layout was inferred from."""
    layout, source = LAYOUTS[name], "shapes and metadata" if runtime.metadata.get("task") else "shapes"
    source = "outputs' names" if layout.outputs else source
    return f"The layout of {runtime.path.name} was inferred from its {source}: {layout.about}."


def _check_number(spec: ModelSpec, outputs: tuple[Tensor, ...], runtime: Runtime) -> None:
    """Raise ModelProblem where outputs fit another number of classes than is named."""
    if spec.weights.labels and (count := _count_detected(runtime, outputs)):
        labels.for_classes(spec, count)


class ExportedDetector(Detector):
    """A runtime from float32 (B, C, h, w) to `Detections`, without gradients."""

    gradients = False
    parts: tuple[Part, ...] = ("class", "box", "all")
    preprocessings: tuple[str, ...] = ("trained", "squash")

    def __init__(
        self, spec: ModelSpec, runtime: Runtime, names: Sequence[str], layout: Layout, weights_sha256: str
    ) -> None:
        super().__init__(spec, runtime, names, weights_sha256)
        self._runtime = runtime
        if layout.outputs:
            # Their first axis counts boxes, not pictures.
            runtime.batch = 1
        self.extra_bytes = runtime.nbytes
        self.layout = layout
        self.nms = not layout.final
        size = self._size = runtime.image_size
        self._place = spec.preprocessing.place or layout.place
        count = runtime.channels or 3
        plain = Preprocessing(size, min(size), (0.0,) * count, (1.0,) * count, highest=layout.highest)
        coloured = replace(plain, channels_order="bgr" if layout.bgr else "rgb")
        stated = spec.preprocessing.over(_without_fit(read_noted(runtime.metadata, count, size).table))
        self._colours = coloured.changed(replace(stated, size=None, short_side=None, divide_by=None))

    @property
    def channels(self) -> int:
        """Numbers of a pixel that the file takes."""
        return self._colours.channels

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        place = "squash" if preprocessing == "squash" else self._place
        tones, _ = to_tones(match_channels(pixels, self.channels), self.spec.preprocessing.divide_by)
        placed, geometry = letterbox(tones, self._size, place, round if place == "centre" else int)
        return ModelInput(prepare(placed, self._colours, "squash").tensor, geometry)

    def forward(self, tensor: Tensor) -> Detections:
        candidates = [self._read(outputs) for outputs in self._runtime.answer_all(tensor)]
        return join_candidates(candidates, None if self.layout.final else self._size)

    def _read(self, outputs: Sequence[Tensor]) -> Candidates:
        if layout_of(names := self._runtime.outputs) is not None and self.layout.outputs:
            outputs = [outputs[names.index(name)] for name in self.layout.outputs]
        try:
            return self.layout.read(outputs, len(self.labels), self._size)
        except (RuntimeError, IndexError, ValueError, TypeError) as reason:
            if isinstance(reason, ModelProblem):
                raise
            shapes = ", ".join(str(tuple(out.shape)) for out in outputs)
            raise ModelProblem(
                f"The outputs of {self.spec.id}, {shapes}, are not {self.layout.about}: say another layout."
            ) from reason
