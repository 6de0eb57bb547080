"""Load a model of the catalogue.

A `loader` is a file of `models/families` (`timm`), a file in one of its folders (`torchvision.detectors`), or a folder
whose `loader.py` is meant (`ultralytics`).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Cancelled, ModelProblem, Problem, describe_error
from sightglass.common.lazy import lazy_import

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
        if table.transforms is not None:
            keys = lazy_import("families", ".custom.own_code").read_transform(table.transforms)
            spec = spec.with_weights(preprocessing=replace(table, transforms=None).over(keys))
        from sightglass.models.marks import check_used

        return check_used(loader_module(spec.loader).load(spec, progress))
    except (Problem, Cancelled, MemoryError):
        raise
    except ImportError as problem:
        LOGGER.exception("cannot import what %s needs", spec.id)
        raise ModelProblem(
            f"{spec.id} needs {problem.name or spec.loader}, which is not installed here or does not start."
        ) from problem
    except Exception as problem:
        LOGGER.exception("cannot load %s", spec.id)
        raise ModelProblem(f"{spec.id} could not be loaded ({describe_error(problem)}).") from problem
