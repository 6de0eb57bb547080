"""Imports go one way, from the dashboard to the models, and the engine starts without the libraries that are heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT = Path(__file__).parents[2]
BELOW: dict[str, set[str]] = {
    "common": set(),
    "models": {"common"},
    "explain": {"common", "models"},
    "api": {"common", "explain", "models"},
    "cli": {"api", "common", "explain", "models"},
    "components": {"common", "explain", "models"},
    "pages": {"common", "components", "explain", "models"},
    "sightglass": {"cli", "common", "explain", "models"},
    "dashboard": {"api", "common", "components", "explain", "models", "pages"},
}
"""What each room may import besides itself."""
STREAMLIT = {"components", "pages", "dashboard"}
FRONT_DOORS = {"explain/__main__.py": {"cli"}}
"""`python -m explain` is the command line, wherever its code lives."""
HEAVY = ("torch", "torchvision", "cv2", "timm", "ultralytics", "streamlit", "scipy", "sklearn", "pandas", "matplotlib")


def sources() -> list[Path]:
    return [ROOT / "dashboard.py", *(path for home in BELOW for path in sorted((ROOT / home).rglob("*.py")))]


def imported(source: str, package: str) -> set[str]:
    """The first name of everything that is imported anywhere in it: in functions, under TYPE_CHECKING, by string."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(package if node.level else node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            first = node.args[0]
            parts = first.values if isinstance(first, ast.JoinedStr) else [first]
            if isinstance(parts[0], ast.Constant):
                names.add(str(parts[0].value))
    return {name.partition(".")[0] for name in names}


def wrong(source: str, home: str) -> set[str]:
    """What a file of `home` imports and must not."""
    rooms = {*BELOW, "tests", "benchmarks"} - BELOW[home] - {home}
    return imported(source, home) & (rooms if home in STREAMLIT else rooms | {"streamlit"})


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    place = path.relative_to(ROOT)
    found = wrong(path.read_text(encoding="utf-8"), place.parts[0].removesuffix(".py"))
    assert found <= FRONT_DOORS.get(place.as_posix(), set())


@pytest.mark.parametrize(
    ("home", "source", "expected"),
    [
        ("models", "from explain.picture.image import Image", {"explain"}),
        ("models", "if TYPE_CHECKING:\n    import explain.evidence.cache", {"explain"}),
        ("explain", "def page():\n    import streamlit as st", {"streamlit"}),
        ("explain", "import_module('components.views.charts')", {"components"}),
        ("explain", "importlib.import_module(f'pages.{name}')", {"pages"}),
        ("explain", "def start():\n    from api.app import create\n    import cli", {"api", "cli"}),
        (
            "api",
            "import streamlit\nfrom components.session import page\nfrom explain import Explainer",
            {"streamlit", "components"},
        ),
        ("cli", "from api.app import create\nfrom components import viewer", {"components"}),
        ("pages", "from api import service\nfrom explain import Explainer", {"api"}),
        ("components", "from pages import topk\nimport models, streamlit", {"pages"}),
        ("pages", "from components.views import charts\nfrom tests.conftest import asset", {"tests"}),
        ("explain", "from . import cache\nfrom models.load import load\nimport numpy", set()),
    ],
)
def test_a_wrong_import_is_found_wherever_it_hides(home: str, source: str, expected: set[str]) -> None:
    assert wrong(source, home) == expected


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name; a package's name stands for its `__init__.py`."""
    paths = [*sources(), *sorted((ROOT / "benchmarks").rglob("*.py"))]
    names = (path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in paths)
    return dict(zip((name.removesuffix(".__init__") for name in names), paths, strict=True))


def reads(source: str, known: Collection[str]) -> set[str]:
    """Which of these modules a file imports anywhere in it: in functions and for types only, too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            # `from package import module` reads the module; of what else a package holds, its `__init__.py` is read.
            found |= inner if len(inner) == len(node.names) else inner | {node.module}
    return found & set(known)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, left = set(), [*graph[start]]
        while left:
            if (name := left.pop()) not in seen:
                seen.add(name)
                left += graph.get(name, ())
        reached[start] = seen
    rings = {tuple(sorted(other for other in reached[name] if name in reached[other])) for name in graph}
    return [list(ring) for ring in sorted(rings) if ring]


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {name: reads(path.read_text("utf-8"), known) - {name} for name, path in known.items()}
    assert circles(graph) == []


def test_a_circle_is_found_through_functions_and_types() -> None:
    known = {"a", "b", "c.d", "e"}
    graph = {
        "a": reads("if TYPE_CHECKING:\n    from b import Thing", known),
        "b": reads("def late():\n    from c import d", known),
        "c.d": reads("import a", known),
        "e": reads("import a", known),
    }
    assert circles(graph) == [["a", "b", "c.d"]]


def test_every_room_is_searched() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in sources()}
    assert {
        "dashboard.py",
        "explain/evidence/evidence.py",
        "models/adapter.py",
        "cli/serve.py",
        "pages/topk.py",
    } <= names


@pytest.mark.parametrize("module", ["explain", "models.catalog", "models.adapter", "models.load", "explain.methods"])
def test_importing_is_free(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_the_catalogue_is_read_without_them_too() -> None:
    code = (
        "import sys, models.catalog as c; assert len(c.catalog()) > 10; c.spec('efficientnet-lite0');"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_of_the_package_is_there_and_no_other() -> None:
    import explain

    for name in explain.__all__:
        assert getattr(explain, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Explainr'"):
        explain.Explainr  # noqa: B018
