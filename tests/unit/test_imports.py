"""Imports go one way, from the dashboard to the models, and the engine starts without the libraries that are heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

from sightglass.common.lazy import ABOVE
from tests.rooms import APART, ORDER, PLACES, ROOT, every_room, sources

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

OUTSIDE = ("benchmarks", "training")
"""Beside the program, and not installed."""
STREAMLIT = {"ui", "pages", "dashboard"}
HEAVY = ("torch", "torchvision", "cv2", "timm", "ultralytics", "streamlit", "scipy", "sklearn", "pandas", "matplotlib")


def files() -> list[Path]:
    return sources(*every_room())


def home_of(path: Path) -> str:
    """The room of a file."""
    parts = path.relative_to(ROOT).parts
    return (parts[1] if parts[0] == "sightglass" else parts[0]).removesuffix(".py")


def imported(source: str, package: str) -> set[str]:
    """The first name of everything that is imported anywhere in it: in functions, under TYPE_CHECKING, by string."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = node.module == "sightglass"
            names |= {f"sightglass.{alias.name}" for alias in node.names} if inside else {node.module or package}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            first = node.args[0]
            parts = first.values if isinstance(first, ast.JoinedStr) else [first]
            if isinstance(parts[0], ast.Constant):
                names.add(str(parts[0].value))
    return {name.split(".")[1] if name.startswith("sightglass.") else name.partition(".")[0] for name in names}


def wrong(source: str, home: str) -> set[str]:
    """What a file of `home` imports and must not."""
    rooms = [room for floor in ORDER for room in floor]
    below = set(rooms[: rooms.index(home) + 1]) - APART.get(home, set())
    # By its bare name a room is somebody else's folder.
    others = {*every_room(), "tests", *OUTSIDE} - below
    return imported(source, home) & (others if home in STREAMLIT else others | {"streamlit"})


def test_imports_go_one_way() -> None:
    assert sorted(room for rooms in ORDER for room in rooms) == every_room()
    found = {path.relative_to(ROOT).as_posix(): wrong(path.read_text("utf-8"), home_of(path)) for path in files()}
    assert {name: names for name, names in found.items() if names} == {}


def test_the_project_is_imported_by_its_own_name() -> None:
    """A user's project may have a `models` or a `common.py` of its own."""
    rooms = "|".join(every_room())
    bare = re.compile(rf"^\s*(from|import) ({rooms})\b", re.MULTILINE)
    for path in [*files(), *(path for room in (*OUTSIDE, "tests") for path in (ROOT / room).rglob("*.py"))]:
        if found := bare.search(path.read_text("utf-8")):
            assert path.name in ("test_install.py",), (path, found[0])


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name; a package's name stands for its `__init__.py`."""
    paths = [*files(), *(path for room in OUTSIDE for path in sorted((ROOT / room).rglob("*.py")))]
    names = (path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in paths)
    full = (name if name.startswith(("sightglass.", *OUTSIDE)) else f"sightglass.{name}" for name in names)
    return dict(zip((name.removesuffix(".__init__") for name in full), paths, strict=True))


def reads(source: str, known: Collection[str]) -> set[str]:
    """Which of these modules a file imports when it runs, in functions too; not for types only."""
    found: set[str] = set()
    tree = ast.parse(source)
    for node in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
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


@cache
def imports() -> dict[str, set[str]]:
    """What each module of the project imports of the others."""
    known = modules()
    return {name: reads(path.read_text("utf-8"), known) - {name} for name, path in known.items()}


def imports_of_the_package() -> dict[str, set[str]]:
    """The same, of the package alone."""
    ours = {name for name in imports() if name.startswith("sightglass.")}
    return {name: imports()[name] & ours for name in ours}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(imports()) == []


def place_of(module: str) -> str:
    """Where a module stands in PLACES."""
    name = module.removeprefix("sightglass.")
    while name not in PLACES:
        name = name.rpartition(".")[0]
    return name


def test_inside_the_rooms_imports_go_one_way_too() -> None:
    for name, others in imports_of_the_package().items():
        own = PLACES.index(place_of(name))
        for other in others:
            assert PLACES.index(place_of(other)) <= own, f"{name} imports {other}, which stands above it"


def test_the_door_leads_up_to_modules_that_are_there() -> None:
    known = modules()
    for name, module in ABOVE.items():
        assert module in known, name
        assert PLACES.index(place_of(module)) > PLACES.index("models"), name
    # No other file imports by a text that is the name of a module above it (`imported` sees what is in the call).
    for path in [path for path in files() if path.name != "lazy.py"]:
        source = path.read_text("utf-8")
        if "import_module(" in source:
            found = {place_of(name) for name in re.findall(r"[\"'](sightglass\.[\w.]+)[\"']", source) if name in known}
            own = max(PLACES.index(place) for place in PLACES if place.partition(".")[0] == home_of(path))
            assert all(PLACES.index(place) <= own for place in found), path


FREE = ("", ".explain", ".common.settings", ".models.catalog", ".models.adapter", ".models.load", ".explain.methods")
"""Modules of the package that are imported without any of the heavy libraries."""


def test_importing_is_free_and_so_is_reading_the_catalogue() -> None:
    code = f"""
import importlib, sys
for name in {FREE}:
    importlib.import_module("sightglass" + name)
    assert not {{*{HEAVY}}} & {{*sys.modules}}, name
from sightglass.models import catalog
assert len(catalog.catalog()) > 10
catalog.spec("efficientnet-lite0")
assert not {{*{HEAVY}}} & {{*sys.modules}}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_name_of_the_package_is_there_and_no_other() -> None:
    from sightglass import explain

    for name in explain.__all__:
        assert getattr(explain, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Explainr'"):
        explain.Explainr  # noqa: B018
