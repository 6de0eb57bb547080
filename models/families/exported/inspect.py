"""Inspect an exported file for its table of models.toml, by running it where that runs none of its code."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

from models.families.custom.inspect import find_labels
from models.families.exported.files import ONNX, OPENVINO, PROGRAM, TORCHSCRIPT, carried, open_file
from models.inspect import TRUST, TableDraft, Unknown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from models.families.exported.runtime import Runtime

_SIDE = Unknown(
    "weights.preprocessing.size", "How many pixels does a side of its input have?", ("224", "640"), "224", False
)


def inspect(path: Path) -> TableDraft | None:
    """Draft the table of an exported file; None for another kind. Raises ModelProblem where it cannot be opened.

    TorchScript is only recognised: opening it can run code in it.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        found = sorted(path.glob("*.xml"))
        return inspect(found[0]) if len(found) == 1 and found[0].with_suffix(".bin").is_file() else None
    if suffix in TORCHSCRIPT and _is_script(path):
        return _script(path)
    if suffix in (*ONNX, *PROGRAM) or (suffix in OPENVINO and path.with_suffix(".bin").is_file()):
        return _opened(path, open_file(path))
    return None


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            inner = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return "constants.pkl" in inner and any(name.startswith("code/") for name in inner)


def _script(path: Path) -> TableDraft:
    question = "It is TorchScript, and opening such a file can run code in it: do you trust its source?"
    unknown = (
        Unknown(TRUST, question, ("no", "yes")),
        Unknown("task", "Does it classify pictures or detect objects?", ("classify", "detect"), "classify", False),
        _SIDE,
        Unknown("weights.labels", "Where are the names of its classes (a .json or a text file)?", needed=False),
        *_numbers(None),
    )
    table = {"task": "classify", "weights": {"path": str(path)}}
    return TableDraft("exported", path.name, table, unknown, ("It is a TorchScript file.",))


def _opened(path: Path, runtime: Runtime) -> TableDraft:
    import torch

    notes = [f"It is a model for {runtime.kind}."]
    size = runtime.size or (224, 224)
    channels = runtime.channels or 3
    noise = torch.rand(runtime.batch or 1, channels, *size, generator=torch.Generator().manual_seed(0))
    outputs: tuple[Tensor, ...] = runtime(noise)
    classifies = len(outputs) == 1 and outputs[0].ndim == 2
    weights: dict[str, Any] = {"path": str(path)}
    unknown: list[Unknown] = []
    if runtime.size is None:
        unknown.append(_SIDE)
    else:
        notes.append(f"It takes {channels} channels of {size[0]} by {size[1]} pixels.")
    names = carried(runtime)
    # One number says no or yes.
    count = max(outputs[0].shape[1], 2) if classifies else None
    if names is not None:
        notes.append(f"The names of its {len(names)} classes are in the file.")
    elif count is not None:
        find_labels(path, count, weights, notes, unknown)
    else:
        unknown.append(Unknown("weights.labels", "Where are the names of its classes?", needed=False))
    if classifies and runtime.metadata.get("task") != "classify":
        unknown += _numbers(channels)
    table = {"task": "classify" if classifies else "detect", "weights": weights}
    return TableDraft("exported", path.name, table, tuple(unknown), tuple(notes))


def _numbers(channels: int | None) -> list[Unknown]:
    usual = "ImageNet's" if channels in (3, None) else "0 and 1"
    return [
        Unknown(
            f"weights.preprocessing.{key}",
            f"Which {key} do its pictures have, one number for each channel like [0.5, 0.5, 0.5] (default: {usual})?",
            needed=False,
        )
        for key in ("mean", "std")
    ]
