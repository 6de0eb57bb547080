"""Imports go one way, dashboard to models, and the engine starts without the libraries that are heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ("models", "explain", "api", "components", "screens", "dashboard")
"""Each may import those before it and itself."""
BESIDE = {"components": {"api"}, "screens": {"api"}}
"""What comes before and is for others."""
SERVER = ROOT / "explain/cli/serve.py"
"""The one file of the engine that may start the API, in a function."""
HEAVY = ("torch", "torchvision", "cv2", "timm", "ultralytics", "streamlit", "scipy", "sklearn", "pandas", "matplotlib")


def sources() -> list[Path]:
    found = [ROOT / "dashboard.py"] if (ROOT / "dashboard.py").is_file() else []
    return found + [path for home in HOUSE for path in sorted((ROOT / home).rglob("*.py"))]


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
    above = set(HOUSE[HOUSE.index(home) + 1 :]) | {"tests", "benchmarks"}
    above |= BESIDE.get(home, set()) | ({"streamlit"} if home in ("explain", "models", "api") else set())
    return imported(source, home) & above


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    home = path.relative_to(ROOT).parts[0].removesuffix(".py")
    allowed = {"api"} if path == SERVER else set()
    assert wrong(path.read_text(encoding="utf-8"), home) <= allowed


def test_the_command_line_reads_the_api_only_where_it_serves() -> None:
    tree = ast.parse(SERVER.read_text(encoding="utf-8"))
    first = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert "api" in wrong(ast.unparse(tree), "explain")
    assert "api" not in imported(ast.unparse(ast.Module(first, [])), "explain")


@pytest.mark.parametrize(
    ("home", "source", "expected"),
    [
        ("models", "from explain.image import Image", {"explain"}),
        ("models", "if TYPE_CHECKING:\n    import explain.cache", {"explain"}),
        ("explain", "def page():\n    import streamlit as st", {"streamlit"}),
        ("explain", "import_module('components.charts')", {"components"}),
        ("explain", "importlib.import_module(f'screens.{name}')", {"screens"}),
        ("explain", "def start():\n    from api.app import create", {"api"}),
        (
            "api",
            "import streamlit\nfrom components import frame\nfrom explain import Explainer",
            {"streamlit", "components"},
        ),
        ("screens", "from api import answers\nfrom explain import Explainer", {"api"}),
        ("components", "from screens import topk\nimport models, streamlit", {"screens"}),
        ("screens", "from components import charts\nfrom tests.conftest import asset", {"tests"}),
        ("explain", "from . import cache\nfrom models.load import load\nimport numpy", set()),
    ],
)
def test_a_wrong_import_is_found_wherever_it_hides(home: str, source: str, expected: set[str]) -> None:
    assert wrong(source, home) == expected


def test_the_whole_engine_is_looked_at() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in sources()}
    assert {"explain/evidence.py", "explain/methods/library.py", "models/adapter.py"} <= names


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
