"""Read the names of classes beside labels."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.opening import DATA
from sightglass.models import labels as class_names


def read_names(folder: Path, data: Sequence[Path]) -> Mapping[int, str]:
    """Return the names of classes from the first folder with any: this one, two above it, those in it."""
    for place in (folder, folder.parent, folder.parent.parent, *data):
        for name in DATA:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                if names := class_names.by_index(class_names.read_file(place / name)):
                    return names
    missing = f"{DATA[0]} with the names of its classes"
    raise Problem(f"The folder {folder.name} has no {missing}: put one into it or above it.")
