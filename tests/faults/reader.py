"""A process that reads files, one after another, and tells how much memory each took: see test_memory.py."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import megabytes, reset_peak

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.explain.picture.image import Image

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Read:
    """What came of reading a file."""

    mib: float
    """The peak above what the process held before, in MiB."""
    problem: str
    """The one sentence; empty where it was read."""
    held: float = 0.0
    """MiB of the pixels of what was read, the largest, or one frame, and of its other numbers."""


class Reader:
    """The process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.reader"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, door: str, path: Path, name: str) -> Read:
        """Read a file as one of `DOORS` does; `name`: what it is called there."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([door, str(path), name]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process has ended at {name}"
        return Read(**json.loads(line))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def library(path: Path, name: str) -> float:
    """Open a picture, or what Sightglass wrote into one."""
    from sightglass.explain.picture.image import Image
    from sightglass.export import embedded_recipe

    data = path.read_bytes()
    embedded_recipe.contents(data)
    image = Image.open(data, name=name)
    return _mib(image)


def _mib(image: Image) -> float:
    return (image.pixels.nbytes + (0 if image.planes is None else image.planes.nbytes)) / 2**20


@cache
def _client() -> Any:
    from starlette.testclient import TestClient

    from sightglass.api.app import create
    from sightglass.api.schemas import ApiRules

    return TestClient(create(ApiRules(model="demo-cls-s")))


def http(path: Path, name: str) -> float:
    """Upload a picture to be explained."""
    from sightglass.common.errors import Problem

    answer = _client().post("/api/explain", files={"image": (name, path.read_bytes())})
    if answer.status_code >= 500 or "detail" in answer.json():
        raise Problem(answer.json()["detail"])
    return float(answer.json()["width"] * answer.json()["height"] * 3 / 2**20)


def batch(path: Path, name: str) -> float:
    """Open the pictures of an archive, each by itself."""
    from sightglass.common.errors import ImageProblem
    from sightglass.explain.picture.source import find

    largest = 0.0
    for item in find(path):
        try:
            largest = max(largest, _mib(item.open()))
        except ImageProblem:
            continue
    return largest


def video(path: Path, name: str) -> float:
    """Read the frames of a clip, at most 40: as many as a decoder holds."""
    from sightglass.video.clips.clip import Clip

    clip = Clip(path, name)
    for frame in clip.frames():
        if frame.number == 39:
            break
    return clip.about.width * clip.about.height * 3 / 2**20


def deck(path: Path, name: str) -> float:
    """Add a deck to those of an empty history."""
    import tempfile

    from sightglass.deck import archive
    from sightglass.history import History

    with tempfile.TemporaryDirectory() as folder:
        archive.put(History(folder).decks, path.read_bytes())
    return 0.0


DOORS: dict[str, Callable[[Path, str], float]] = {one.__name__: one for one in (library, http, batch, video, deck)}


def _warm() -> None:
    """Load what the first of each kind loads, so that it is not counted as the file's."""
    import io
    import tempfile

    import av  # noqa: F401
    import pillow_heif  # noqa: F401
    import tifffile  # noqa: F401
    from PIL import Image as Pillow

    from sightglass.explain import Explainer

    del Explainer
    out = io.BytesIO()
    Pillow.new("RGB", (60, 40)).save(out, "PNG")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        path.write_bytes(out.getvalue())
        for door in (library, http):
            door(path, "a.png")


def _measured(door: str, path: str, name: str) -> dict[str, Any]:
    from sightglass.common.errors import Problem
    from sightglass.common.memory import give_back

    gc.collect()
    give_back()
    reset_peak()
    before, problem, held = megabytes("VmRSS"), "", 0.0
    try:
        held = DOORS[door](Path(path), name)
    except Problem as found:
        problem = str(found)
    return {"mib": megabytes("VmHWM") - before, "problem": problem, "held": held}


if __name__ == "__main__":
    _warm()
    for line in sys.stdin:
        print(json.dumps(_measured(*json.loads(line))), flush=True)
