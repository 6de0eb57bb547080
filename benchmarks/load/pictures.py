"""Marked test pictures, and their maps from another process."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from benchmarks.pictures import write_cuts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MODEL = "efficientnet-lite0"
TILE = 12
"""Pixels of a mark's tile."""
BITS = 16
FILE = "expected.json"


@dataclass(frozen=True)
class Marked:
    """A picture with its mark, and the digests of what must be answered to it and to no other."""

    name: str
    whole: str
    """Of the first map at the size of the picture, float32, as the API sends it."""
    shown: str
    """Of all maps as the viewer gets them, uint16."""
    titles: tuple[str, ...]
    """The classes of the maps."""


def digest(data: bytes | NDArray[np.generic]) -> str:
    return hashlib.blake2b(data if isinstance(data, bytes) else data.tobytes(), digest_size=16).hexdigest()


def marked(folder: Path, count: int) -> list[Path]:
    """Write pictures with a numbered plate each, at different places."""
    generator = np.random.default_rng(1)
    paths = sorted(write_cuts(folder, count).rglob("*.jpg"))
    for number, path in enumerate(paths):
        pixels = np.asarray(Pillow.open(path).convert("RGB")).copy()
        bits = [(number >> bit) & 1 for bit in range(BITS)]
        plate = np.kron(np.array([bits, [1 - bit for bit in bits]]).reshape(4, -1), np.ones((TILE, TILE)))
        y, x = (int(generator.integers(0, pixels.shape[axis] - plate.shape[axis])) for axis in (0, 1))
        pixels[y : y + plate.shape[0], x : x + plate.shape[1]] = (plate * 255).astype(np.uint8)[..., None]
        Pillow.fromarray(pixels).save(path, quality=90)
    return paths


def expect(paths: Sequence[Path], folder: Path) -> None:
    """Write the library's results of each picture, one by one."""
    from sightglass.explain import Explainer
    from sightglass.ui.viewer import deflate

    explainer = Explainer(MODEL)
    answers = []
    for path in paths:
        maps = explainer(path).heatmaps
        served = deflate([(np.ascontiguousarray(each.content, np.float32), "heat") for each in maps])
        titles = tuple(each.target.label for each in maps)
        answers.append(asdict(Marked(path.name, digest(maps[0].values), digest(zlib.decompress(served)), titles)))
    (folder / FILE).write_text(json.dumps(answers), "utf-8")


def expected(folder: Path) -> list[Marked]:
    """Return the results of `expect`; raise ValueError for equal maps."""
    rows = json.loads((folder / FILE).read_text("utf-8"))
    answers = [Marked(**{**row, "titles": tuple(row["titles"])}) for row in rows]
    if min(len({each.whole for each in answers}), len({each.shown for each in answers})) < len(answers):
        raise ValueError("Two pictures have the same maps: their marks change nothing.")
    return answers
