"""Heat maps in the folder of SIGHTGLASS_HEATMAPS, named by their time, as the guides name them."""

import re
from contextlib import suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path

from sightglass.common.files import modified, write_file
from sightglass.common.settings import settings

NAME = re.compile(r"heatmap_\d{8}_\d{6}(_\d+)?\.jpg")
MAX_FILES = 1000
"""Files of such names in the folder, at most: the oldest are deleted."""


def stem() -> str:
    """Return what a heat map of this second is called: `heatmap_20261129_093000`."""
    return f"heatmap_{datetime.now():%Y%m%d_%H%M%S}"


def save(jpeg: bytes) -> str:
    """Write a heat map, and delete the oldest ones; return its name."""
    folder = settings().heatmaps
    folder.mkdir(parents=True, exist_ok=True)
    name = _reserve(folder)
    write_file(folder / name, jpeg)
    files = [file for file in folder.glob("*.jpg") if NAME.fullmatch(file.name)]
    for old in sorted(files, key=modified)[:-MAX_FILES]:
        old.unlink(missing_ok=True)
    return name


def _reserve(folder: Path) -> str:
    """Create an empty file named by the time, and by a number where that name is taken; return its name."""
    first = stem()
    for suffix in chain([""], (f"_{number}" for number in count(2))):
        with suppress(FileExistsError):
            (folder / f"{first}{suffix}.jpg").touch(exist_ok=False)
            break
    return f"{first}{suffix}.jpg"


def find(name: str) -> Path | None:
    """Return the file of a heat map.

    None where there is none of that name.
    """
    # A whole name, so that no path leads out of the folder.
    if not NAME.fullmatch(name):
        return None
    path = settings().heatmaps / name
    return path if path.is_file() else None
