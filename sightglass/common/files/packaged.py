"""Files of installed packages: photographs and fonts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sightglass.common.errors import Problem

PHOTOGRAPHS = {
    "bus": ("ultralytics", "assets/bus.jpg"),
    "zidane": ("ultralytics", "assets/zidane.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
"""The package and the path of each photograph, by its name."""


def packaged_file(package: str, part: str) -> Path | None:
    """Return the path of a file inside an installed package; None where there is none."""
    found = find_spec(package)
    places = (found.submodule_search_locations if found else None) or ()
    return next((path for place in places if (path := Path(place) / part).is_file()), None)


def photograph(name: str) -> Path | None:
    """Return the path of a photograph by its name in PHOTOGRAPHS; None where its package is not installed."""
    return packaged_file(*PHOTOGRAPHS[name])


def photographs() -> dict[str, Path]:
    """Return the paths of the installed photographs by name."""
    return {name: path for name in PHOTOGRAPHS if (path := photograph(name)) is not None}


def font(name: str = "DejaVuSans") -> Path:
    """Return the TrueType file of matplotlib's `DejaVuSans`, `DejaVuSans-Bold` or `DejaVuSansMono`."""
    file = packaged_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf")
    if file is None:
        raise Problem("The font of reports comes with matplotlib, which is not installed: pip install matplotlib.")
    return file
