"""What must be answered to each picture of the load."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MODEL = "efficientnet-lite0"
SIZE = (500, 375)
"""What a photograph of ImageNet usually has."""


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


def expect(paths: Sequence[Path]) -> list[Marked]:
    """Return the library's results of each picture, one by one; raise ValueError for equal maps."""
    from sightglass.explain import Explainer
    from sightglass.ui.viewer import deflate

    explainer = Explainer(MODEL)
    answers = []
    for path in paths:
        maps = explainer(path).heatmaps
        served = deflate([(np.ascontiguousarray(each.content, np.float32), "heat") for each in maps])
        titles = tuple(each.target.label for each in maps)
        answers.append(Marked(path.name, digest(maps[0].values), digest(zlib.decompress(served)), titles))
    if min(len({each.whole for each in answers}), len({each.shown for each in answers})) < len(answers):
        raise ValueError("Two pictures have the same maps: their marks change nothing.")
    return answers
