"""Trained weights that no package carries: which tests need them, and where they are.

A test that needs some is marked with their names, `@pytest.mark.weights("yolo11n.pt")`, or has a parameter that is
(`real`); without them it is skipped. `pytest -m weights` runs exactly these, `pytest -m "not weights"` all others.
"""

import os
from pathlib import Path
from typing import Any

import pytest

_HERE: dict[str, Path | None] = {}
"""The files that the running test is marked with, and where they were as it began."""


def find(name: str) -> Path | None:
    """Return a file of SIGHTGLASS_WEIGHTS, or None where it is not there."""
    folders = filter(None, os.environ.get("SIGHTGLASS_WEIGHTS", "").split(os.pathsep))
    return next((path for folder in folders if (path := Path(folder, name)).is_file()), None)


def weight(name: str) -> Path:
    """Return a file of SIGHTGLASS_WEIGHTS with which the running test is marked."""
    assert name in _HERE, f"mark this test with @pytest.mark.weights({name!r}): it would fail where the file is not"
    return _HERE[name]


def real(model: str, *values: Any) -> Any:
    """Return a test's parameters, of which the first is a model with real weights."""
    return pytest.param(model, *values, marks=pytest.mark.weights(file_of(model)))


def file_of(model: str) -> str:
    """Return the name of the file of a model's weights."""
    return f"{model}.pth" if model.startswith(("yolox", "osnet")) else f"{model}.pt"


def picture(model: str) -> Any:
    """Return a picture in which a detector finds several objects: the bus, or a drawn scene for those of scenes."""
    from sightglass.ui.session.pictures.image_source import example

    return example("scene 3" if model.startswith("demo") else "bus")


def begin(item: pytest.Item) -> None:
    """Skip a test whose weights are not here, and let it find no others."""
    _HERE.clear()
    _HERE.update((name, find(name)) for mark in item.iter_markers("weights") for name in mark.args)
    if lacking := sorted(name for name, path in _HERE.items() if path is None):
        pytest.skip(f"{', '.join(lacking)}: not in SIGHTGLASS_WEIGHTS")
