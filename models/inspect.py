"""What a file or folder of a model is, found out by looking at it, as the table that a models.toml needs for it.

Each loader that can tell its own kind has a function `inspect(path)`, which returns a `Draft`, None where the file is
of another kind, or raises a Problem where it is of its kind and broken. None of them runs code that the file brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import ModelProblem, WeightsProblem
from models.loaders import loader_module

LOADERS = (
    "exported",
    "keras",
    "promptsg",
    "clip",
    "transformers",
    "custom",
)
"""Asked in this order: those that know their kind by a sign of their own first, plain tensors last."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that the file does not say."""

    key: str
    """Where the answer goes in the table, dotted: `arch`, `weights.labels`, `weights.preprocessing.mean`."""
    question: str
    """One sentence for the person who is asked."""
    choices: tuple[str, ...] = ()
    """The likely answers, best first; empty where anything goes. Others are taken too."""
    default: str = ""
    """What holds where nobody answers; empty where there is none."""
    needed: bool = True
    """Whether the model cannot be loaded without it."""


TRUST = "trust"
"""The key of the question whether a file may run code, where its loader cannot do without; it stands in no table."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A table of models.toml as far as a look at the file can fill it."""

    loader: str
    arch: str
    """As the loader calls it; empty where the file does not say, and then `arch` is among the unknown."""
    table: dict[str, Any]
    """`[model."id"]`: strings, numbers, lists and dicts as TOML has them. Paths are absolute here."""
    unknown: tuple[Unknown, ...] = ()
    notes: tuple[str, ...] = ()
    """What was inferred and from what, in sentences."""


def look(path: str | Path, arch: str = "") -> Draft:
    """The draft of the first loader that knows the file or folder; `arch` is the operator's word for what it is.

    Raises WeightsProblem, one sentence, where there is nothing, or nothing that any loader knows.
    """
    path = Path(path).expanduser().absolute()
    if not path.exists():
        raise WeightsProblem(f"There is no file {path}: give the path of a model's weights, or of its folder.")
    for name in LOADERS:
        try:
            loader = loader_module(name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").startswith("models."):
                continue
            raise ModelProblem(
                f"{path.name} cannot be looked at without {missing.name}, which is not installed."
            ) from missing
        inspect = getattr(loader, "inspect", None)
        draft: Draft | None = None
        if inspect is not None:
            draft = inspect(path, arch) if name == "custom" else inspect(path)
        if draft is not None:
            return draft
    raise WeightsProblem(
        f"{path.name} is no kind of model that is known here: give a checkpoint (.pth, .pt, .ckpt, .safetensors), an "
        f"exported model (.onnx, .torchscript, .pt2), a Keras file (.keras, .h5) or a folder of Transformers."
    )
