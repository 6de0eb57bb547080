"""Find a font: matplotlib brings DejaVu along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import Problem
from common.packaged import packaged_file

if TYPE_CHECKING:
    from pathlib import Path


def path(name: str = "DejaVuSans") -> Path:
    """Return the TrueType file of `DejaVuSans`, `DejaVuSans-Bold` or `DejaVuSansMono`, without importing matplotlib."""
    file = packaged_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf")
    if file is None:
        raise Problem("The font of reports comes with matplotlib, which is not installed: install requirements.txt.")
    return file
