"""Find the project's folders, and photographs and fonts of installed packages."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "dashboard.py").is_file() else None
"""The repository's folder, where `explain`, `models` and `pages` stand beside the package; None in an installation."""
LINKED = (PACKAGE / "explain").is_dir()
"""Whether these are within the package, too: a checkout has links, which not each Windows can make."""
DASHBOARD = CHECKOUT or PACKAGE / "dashboard"
"""Folder of `dashboard.py` and `assets`."""
PAGES = (CHECKOUT or PACKAGE) / "pages"

PHOTOGRAPHS = {
    "coffee": ("sightglass", "models/demo/coffee.jpg"),
    "cameraman": ("sightglass", "models/demo/cameraman.jpg"),
    "bus": ("ultralytics", "assets/bus.jpg"),
    "zidane": ("ultralytics", "assets/zidane.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
"""The package and the path of each photograph, by its name; the first is what pages open on."""


def find_file(package: str, part: str) -> Path | None:
    """Return a file of an installed package, or None."""
    spec = find_spec(package)
    roots = (spec.submodule_search_locations if spec else None) or ()
    return next((path for root in roots if (path := Path(root) / part).is_file()), None)


def photograph(name: str) -> Path | None:
    """Return a photograph of PHOTOGRAPHS by name, or None."""
    return find_file(*PHOTOGRAPHS[name])


def photographs() -> dict[str, Path]:
    """Return the paths of the installed photographs of other packages, with which checks were measured, by name."""
    names = [name for name, (package, _) in PHOTOGRAPHS.items() if package != "sightglass"]
    return {name: path for name in names if (path := photograph(name)) is not None}


def font(name: str = "DejaVuSans") -> Path:
    """Return the TrueType file of matplotlib's `DejaVuSans` or `DejaVuSans-Bold`."""
    file = find_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf")
    assert file is not None  # matplotlib is a requirement
    return file
