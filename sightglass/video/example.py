"""Bundled clips."""

from __future__ import annotations

import os
import tempfile
import threading
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import ImageProblem
from sightglass.common.files import packing, scratch_folder
from sightglass.explain.picture.image import load_bundled
from sightglass.models.demo import pictures
from sightglass.video import write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.explain.picture.decode import Pixels

SCENE, PHOTOGRAPHS = "scene.mp4", "photographs.mp4"
NAMES = (SCENE, PHOTOGRAPHS)
SHOWN = ("bus", "flower")
"""Photographs that the camera moves over, half of the clip each."""
SIZE = (480, 360)
SECONDS, RATE = 6.0, 15
"""Of each clip: frames per second."""
_LOCK = threading.Lock()
_FOLDER: list[tempfile.TemporaryDirectory[str]] = []


def example_meant(typed: str) -> str | None:
    """Return an argument's example clip, if no file has that name."""
    return typed if typed in NAMES and not os.path.exists(typed) else None


def find(source: str | Path) -> Path:
    """Return a clip's file, or a bundled example."""
    name = example_meant(str(source))
    return Path(source) if name is None else example(name)


def example(name: str) -> Path:
    """Return an example's file.

    Raises ImageProblem where the package of a photograph is not installed.
    """
    if name == SCENE:
        return pictures.CLIP
    with _LOCK:
        if not _FOLDER:
            _FOLDER.append(scratch_folder("clips"))
        path = Path(_FOLDER[0].name, name)
        if not path.exists():
            rate = Fraction(RATE)
            write.encode(path, enumerate(_photographs()), 1 / rate, rate)
        return path


def _photographs() -> Iterator[Pixels]:
    if any(packing.photograph(name) is None for name in SHOWN):
        raise ImageProblem("The example's photographs come with a package that is not installed: choose a clip.")
    count = round(SECONDS * RATE / len(SHOWN))
    for name in SHOWN:
        pixels = load_bundled(name).pixels
        height, width = pixels.shape[:2]
        # A window of the clip's shape that moves over the picture and comes closer.
        for i in range(count):
            at = i / (count - 1)
            wide = min(width, height * SIZE[0] / SIZE[1]) * (1 - 0.25 * at)
            high = wide * SIZE[1] / SIZE[0]
            left, top = (width - wide) * (0.5 + 0.3 * (at - 0.5)), (height - high) * (0.35 + 0.2 * at)
            window = pixels[int(top) : int(top + high), int(left) : int(left + wide)]
            yield np.asarray(cv2.resize(window, SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)
