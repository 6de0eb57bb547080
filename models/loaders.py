"""Find the module that loads a family of models, by the name that a catalogue table gives it.

A `loader` is a file of `models/families` (`timm`), a file in one of its folders (`torchvision.detectors`), or a folder
whose `loader.py` is meant (`ultralytics`).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

FAMILIES = Path(__file__).with_name("families")
FORMER_NAMES = {
    "clip_models": "clip",
    "demo_models": "demo",
    "endpoint": "http_service",
    "keras_models": "keras",
    "own_models": "custom",
    "promptsg_models": "promptsg",
    "timm_models": "timm",
    "torchvision_detectors": "torchvision.detectors",
    "torchvision_models": "torchvision.classifiers",
    "transformers_models": "transformers",
    "ultralytics_models": "ultralytics",
    "yolox_models": "yolox",
}
"""Names in tables that users wrote for earlier versions."""


def current_name(loader: str) -> str:
    """Return the present name of a loader that may be given by a former one."""
    return FORMER_NAMES.get(loader, loader)


def exists(loader: str) -> bool:
    """Return whether a loader of this name is part of the project; nothing is imported."""
    parts = loader.split(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in parts):
        return False
    path = FAMILIES.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "loader.py").is_file()


def loader_module(loader: str) -> Any:
    """Import the module whose `load` (and, where it can, `inspect`) a loader's name stands for."""
    folder = FAMILIES.joinpath(*loader.split("."))
    return importlib.import_module(f"models.families.{loader}{'.loader' if folder.is_dir() else ''}")
