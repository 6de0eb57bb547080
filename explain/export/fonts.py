"""A font that is wherever this project is: the DejaVu that matplotlib brings along."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from common.errors import Problem


def path(name: str = "DejaVuSans") -> Path:
    """The TrueType file of `DejaVuSans`, `DejaVuSans-Bold` or `DejaVuSansMono`; matplotlib itself is not imported."""
    found = find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        if (file := Path(folder) / "mpl-data/fonts/ttf" / f"{name}.ttf").is_file():
            return file
    raise Problem("The font of reports comes with matplotlib, which is not installed: install requirements.txt.")
