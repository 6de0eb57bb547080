"""Where the packages of the project are, for tests that read its source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
BESIDE = ("dashboard", "explain", "models", "pages")
"""In a checkout these stand beside the package."""
ORDER = (
    ("browser", "common", "examples"),
    ("models",),
    ("explain",),
    ("report", "evaluation", "batch", "history", "video"),
    ("ui", "api"),
    ("cli",),
    ("pages",),
    ("dashboard",),
)
"""Packages from the lowest layer up, in a layer from the left: a package imports only what comes before it."""
INSIDE = {
    "models": ("models", "models.adapters", "models.demo", "models.families"),
    "explain": (
        *("explain.phrases", "explain.options", "explain.picture", "explain.backward", "explain.evidence"),
        *("explain.tasks", "explain.methods", "explain.rendering", "explain.maps"),
        *("explain.questions", "explain.trust", "explain.recipe", "explain.result", "explain.explanation"),
        *("explain.received", "explain.explainer", "explain.comparison", "explain.similarity"),
        *("explain.whatif", "explain"),
    ),
}
"""The same inside these: their folders, and files beside them; a package's own name is all else in it."""
PLACES = [place for layer in ORDER for name in layer for place in INSIDE.get(name, (name,))]
"""Everything in its order: what imports only what comes before it."""
APART = {"api": {"ui"}, "ui": {"api"}, "cli": {"ui"}, "pages": {"api", "cli"}, "dashboard": {"cli"}}
"""Lower packages that a package does not import all the same."""


def folder(name: str) -> Path:
    """Return where a package is; a file for a package of one module."""
    place = (ROOT if name in BESIDE else ROOT / "sightglass") / name
    return place if place.is_dir() else place.with_suffix(".py")


def sources(*names: str) -> list[Path]:
    """Return the Python files of packages; raise AssertionError where one has none."""
    paths = []
    for name in names:
        place = folder(name)
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        assert files and all(path.is_file() for path in files), name
        paths += files
    return paths


def every_package() -> list[str]:
    """Return the names of all packages."""
    inside = (path.name.removesuffix(".py") for path in (ROOT / "sightglass").iterdir() if path.suffix in ("", ".py"))
    return sorted({*BESIDE, *(name for name in inside if not name.startswith("__"))})


def menu() -> dict[str, str]:
    """Return the titles of the dashboard's pages, by their names.

    They are read from the source: its import would start a server.
    """
    assigned = {
        node.targets[0].id: node.value
        for node in ast.parse((ROOT / "dashboard.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return {page: about[0] for page, about in ast.literal_eval(assigned["MENU"]).items()}
