"""Load a model of the catalogue, or draft the table of a file.

A `loader` is a file of `models/families` (`timm`), a file in one of its folders (`torchvision.detectors`), or a folder
whose `loader.py` is meant (`ultralytics`). Each in `LOADERS` has a function `inspect(path)`, which returns a
`TableDraft`, or None for another kind of file, or raises a Problem for a broken one. None runs code of the file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import (
    Cancelled,
    ModelProblem,
    Problem,
    WeightsProblem,
    describe_error,
    describe_missing,
    from_machine,
    lacks_memory,
)
from sightglass.common.files import json_keys
from sightglass.common.lazy import lazy_import
from sightglass.models import labels
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from sightglass.models.adapter import Adapter, Progress
    from sightglass.models.spec import ModelSpec

LOGGER = logging.getLogger(__name__)
FAMILIES = Path(__file__).with_name("families")


def loader_exists(loader: str) -> bool:
    """Return whether a loader of this name is part of the project; nothing is imported."""
    parts = loader.split(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in parts):
        return False
    path = FAMILIES.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "loader.py").is_file()


def loader_module(loader: str) -> Any:
    """Import the module of a loader's name, with `load` and maybe `inspect`."""
    folder = FAMILIES.joinpath(*loader.split("."))
    return lazy_import("families", f".{loader}{'.loader' if folder.is_dir() else ''}")


def load(spec: ModelSpec, *, progress: Progress | None = None) -> Adapter:
    """Load a model on the CPU with its family's own loader.

    `progress` is called during a download, and stops it by raising Cancelled. Any error of a library becomes a
    ModelProblem of one sentence; the traceback goes to the log.
    """
    try:
        table = spec.preprocessing
        if spec.untrained and spec.weights.path and spec.loader != "transformers":
            raise ModelProblem(f"{spec.id} states weights.random, which is untrained, and weights.path: remove one.")
        notes: tuple[str, ...] = ()
        if table.transforms is not None:
            keys, notes = lazy_import("families", ".custom.loader").read_transform(table.transforms)
            spec = spec.with_weights(preprocessing=replace(table, transforms=None).over(keys))
        from sightglass.models.picture_functions import check_used

        adapter = _check_task(check_used(loader_module(spec.loader).load(spec, progress)))
        adapter.notes += notes
        return adapter
    except (Problem, Cancelled, MemoryError):
        raise
    except ImportError as problem:
        LOGGER.exception("cannot import what %s needs", spec.id)
        raise ModelProblem(f"{spec.id} needs {describe_missing(problem)}.") from problem
    except Exception as problem:
        LOGGER.exception("cannot load %s", spec.id)
        raise from_machine(problem) or ModelProblem(
            f"{spec.id} could not be loaded ({describe_error(problem)})."
        ) from problem


def _check_task(adapter: Adapter) -> Adapter:
    """Return the adapter; raise ModelProblem where it does not answer as its row's task needs."""
    named = adapter.labels or adapter.takes_words
    kinds = {
        "detect": adapter.detects,
        "segment": not adapter.has_row,
        "describe": adapter.takes_prompt,
        "classify": named,
    }
    kind = next((kind for kind, fits in kinds.items() if fits), "embed")
    tasks = {"classify": ("classify", "multilabel", "regress"), "segment": ("segment", "regress")}.get(kind, (kind,))
    if adapter.spec.task not in tasks:
        raise ModelProblem(f'{adapter.spec.id} is a model to {kind}: say task = "{kind}" in its table.')
    return adapter


LOADERS = ("exported", "keras", "transformers", "custom")
"""In the order in which they are tried: formats with an unmistakable sign first, plain tensors last."""

Toml = dict[str, Any]
"""A TOML table of strings, numbers, lists and tables; `catalog.MODEL` lists the keys."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An open question whose answer is needed to load the model."""

    key: str
    """Key of the answer in the table: `arch`; or `TRUST`."""
    question: str
    """One sentence for the operator."""
    choices: tuple[str, ...] = ()
    """Likely answers, best first; others are accepted too."""


COMPILED = (".engine", ".plan", ".trt", ".tflite", ".mlmodel", ".hef", ".blob", ".rknn")
"""Endings of files for TensorRT and the like."""
GRAPHS = (".pb",)
"""Endings of TensorFlow's graphs."""
BROWSERS = "model.json"
"""Name of a network of TensorFlow.js, whose weights are in files beside it."""
MAX_BYTES = 2**20
"""Maximum size of a file of code beside a model."""
TRUST = "trust"
"""Key of the question whether a file may run code, where its loader cannot avoid that; it is not part of the table."""


@dataclass(frozen=True, slots=True)
class TableDraft:
    """A table of models.toml, as far as the file itself fills it."""

    loader: str
    arch: str
    """The loader's name for the architecture; empty where the file does not say, and then `arch` is among `unknown`."""
    table: Toml
    """`[model."id"]`. Paths are absolute here."""
    unknown: tuple[Unknown, ...] = ()
    notes: tuple[str, ...] = ()
    """What was inferred and from what, in sentences."""
    unnamed: bool = False
    """Whether its classes have no names yet: a file that comes with it may have them."""

    def with_labels(self, count: int | None, usual: Sequence[str] = ()) -> TableDraft:
        """Return the draft with the file of `count` class names beside the model, or a note on the `usual` ones."""
        stated = self.table["weights"]
        if count is not None and (file := _find_labels(Path(stated["path"]), count)) is not None:
            note = f"The names of its {count} classes are in {file.name} beside it."
            return self._named(file, note)
        if usual and count == len(usual):
            note = f"It has as many classes as its architecture usually has, {usual[0]} to {usual[-1]}."
            return replace(self, notes=(*self.notes, note), unnamed=False)
        beside = "" if count is None else labels.describe_beside(Path(stated["path"]), count)
        notes = (f"Its {count} classes have no names yet ({beside}).",) if beside else ()
        return replace(self, notes=(*self.notes, *notes), unnamed=True)

    def with_any_labels(self) -> TableDraft:
        """Return the draft with the first file of class names beside the model, whose answers do not say how many."""
        if (file := _find_labels(Path(self.table["weights"]["path"]), None)) is None:
            return replace(self, unnamed=True)
        return self._named(file, f"The names of its classes are in {file.name} beside it.")

    def _named(self, file: Path, note: str) -> TableDraft:
        table = {**self.table, "weights": {**self.table["weights"], "labels": str(file)}}
        return replace(self, table=table, notes=(*self.notes, note), unnamed=False)


def inspect_model(path: str | Path, arch: str = "") -> TableDraft:
    """Return the draft of the first matching loader; `arch`: the operator's.

    Raises WeightsProblem, one sentence, where there is nothing, or nothing that any loader recognises.
    """
    path = Path(path).expanduser().absolute()
    if not path.exists():
        raise WeightsProblem(f"There is no file {path}: give the path of a model's weights, or of its folder.")
    draft = _inspect(path, arch)
    if draft is None and path.is_dir():
        draft = _inspect(_only_model(path), arch)
    if draft is not None:
        return draft
    if path.suffix.lower() == ".zip":
        raise WeightsProblem(f"{path.name} is packed: unpack it, and give the folder.")
    if foreign := describe_foreign([path]):
        raise WeightsProblem(foreign)
    raise WeightsProblem(
        f"{path.name} is no model known here: give .pth, .pt, .ckpt, .safetensors, .onnx, .torchscript, .keras, "
        ".h5, or a folder of one."
    )


def describe_foreign(files: Iterable[Path]) -> str:
    """Return what the first file of a format that is not read here is, and which to give; empty without one."""
    for file in files:
        if file.suffix.lower() in COMPILED:
            return f"{file.name} is compiled for one kind of machine: give the ONNX file or the checkpoint."
        if file.suffix.lower() in GRAPHS:
            return f"{file.name} is a graph of TensorFlow, which is not read here: give the Keras file or an ONNX file."
        if file.name == BROWSERS and _is_for_browsers(file):
            return f"{file.name} is for TensorFlow.js, which is not read here: export it for Keras or ONNX instead."
    return ""


def _is_for_browsers(file: Path) -> bool:
    """Return whether a file is the description of a network of TensorFlow.js."""
    try:
        content = json_keys.load(file.read_text("utf-8"))[0] if file.stat().st_size <= labels.MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "weightsManifest" in content


def _only_model(folder: Path) -> Path:
    """Return the only model of a folder; raise WeightsProblem for others."""
    models = weights.models_in(folder)
    if not models:
        files = sorted(file for pattern in ("*", "*/saved_model.pb") for file in folder.glob(pattern) if file.is_file())
        if foreign := describe_foreign(files):
            raise WeightsProblem(foreign)
        raise WeightsProblem(f"{folder.name} holds no model known here: give the folder of its weights, or their file.")
    if len(models) > 1:
        names = " and ".join(file.name for file in models[:2])
        raise WeightsProblem(f"{folder.name} holds several models ({names}): give the file of one.")
    return models[0]


def _inspect(path: Path, arch: str) -> TableDraft | None:
    """Return the draft of the first loader that recognises a path, or None."""
    for name in LOADERS:
        try:
            loader = loader_module(name)
        except ImportError as missing:
            raise ModelProblem(f"{path.name} cannot be inspected without {describe_missing(missing)}.") from missing
        try:
            draft: TableDraft | None = loader.inspect(path, arch) if name == "custom" else loader.inspect(path)
        except Problem:
            raise
        # A file's content may have any type and any depth.
        except Exception as problem:
            if lacks_memory(problem):
                raise MemoryError from problem
            raise WeightsProblem(
                f"{path.name} cannot be read as a model ({describe_error(problem)}): save or export it again."
            ) from problem
        if draft is not None:
            return draft
    return None


def _find_labels(path: Path, count: int | None) -> Path | None:
    """Return the file beside a model that names `count` classes, or any that names classes for None, or None."""
    for file in labels.list_beside(path):
        try:
            names = labels.order(labels.read_file(file), count)
        except (OSError, ValueError, RecursionError):
            continue
        if names and count in (None, len(names)):
            return file
    return None
