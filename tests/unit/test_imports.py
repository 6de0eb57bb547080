"""Imports go one way, from the dashboard to the models, and the engine starts without the libraries that are heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from sightglass.common.lazy import ABOVE
from sightglass.explain.tasks import TASKS
from sightglass.models.spec import TASKS as STATED
from tests.packages import APART, ORDER, PLACES, ROOT, every_package, sources

TASKS_OF, ON_TASKS = "sightglass.explain.tasks", ("sightglass.explain.methods", "sightglass.explain.trust")
OUTSIDE = ("benchmarks", "training")
"""Beside the program, and not installed."""
STREAMLIT = {"ui", "pages", "dashboard"}
HEAVY = ("torch", "torchvision", "cv2", "timm", "ultralytics", "streamlit", "scipy", "sklearn", "pandas", "matplotlib")
PACKAGES = [package for layer in ORDER for package in layer]


@cache
def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name; a package's name stands for its `__init__.py`."""
    paths = [*sources(*every_package()), *(path for name in OUTSIDE for path in sorted((ROOT / name).rglob("*.py")))]
    names = (path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in paths)
    full = (name if name.startswith(("sightglass.", *OUTSIDE)) else f"sightglass.{name}" for name in names)
    return dict(zip((name.removesuffix(".__init__") for name in full), paths, strict=True))


def imported(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names of what statements import: modules of the project, and of other libraries."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & modules().keys()
            # `from package import module` reads the module; of what else a package holds, its `__init__.py` is read.
            yield from inner if len(inner) == len(node.names) else inner | {node.module}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(part.value) for part in node.args[:1] if isinstance(part, ast.Constant))


@cache
def imports(module: str) -> tuple[set[str], set[str]]:
    """Return what a module imports anywhere, and what of it not for types only."""
    tree = ast.parse(modules()[module].read_text("utf-8"))
    every = set(imported([*ast.walk(tree)])) - {module}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    return every, set(imported([*ast.walk(tree)])) - {module}


def place_of(module: str) -> int:
    """Return where a module stands in PLACES."""
    name = module.removeprefix("sightglass.")
    while name not in PLACES:
        name = name.rpartition(".")[0]
    return PLACES.index(name)


def test_imports_go_one_way() -> None:
    assert sorted(PACKAGES) == every_package()
    project = {name for name in modules() if name.startswith("sightglass.")}
    wrong = []
    for module in project:
        package = module.split(".")[1]
        every, running = imports(module)
        allowed = {*PACKAGES[: PACKAGES.index(package) + 1]} - APART.get(package, set())
        # By its bare name a package is somebody else's folder: a user's project may have a `models`.
        others = {*PACKAGES, "tests", *OUTSIDE} | (set() if package in STREAMLIT else {"streamlit"})
        for name in every:
            first, _, rest = name.partition(".")
            # What methods and checks are built on knows neither, not even for types.
            circle = module.startswith(TASKS_OF) and name.startswith(ON_TASKS)
            above = first == "sightglass" and rest and rest.partition(".")[0] not in allowed
            if first in others or above or circle or (name in project & running and place_of(name) > place_of(module)):
                wrong.append((module, name))
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: imports(name)[1] & modules().keys() for name in modules()}).prepare()


def test_what_code_asks_for_above_itself_is_there() -> None:
    for name, module in ABOVE.items():
        assert module in modules() and place_of(module) > PLACES.index("models"), name


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
# The default model brings in neither of these.
import sightglass
sightglass.Explainer()
assert not {{"timm", "torchvision"}} & {{*sys.modules}}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_name_of_the_package_is_there_and_no_other() -> None:
    from sightglass import explain

    for name in explain.__all__:
        assert getattr(getattr(explain, name), "__name__", name) == name
    with pytest.raises(AttributeError, match="no attribute 'Explainr'"):
        explain.Explainr  # noqa: B018


WHERE_TASKS_DIFFER = ("explain/tasks/", "models/adapters/", "models/families/")
ADAPTERS = {"Classifier", "Detector", "Embedder", "PixelNumbers", "QueryDetector", "Segmenter"}
KINDS = {"measures", "segments", "detects", "measures_pixels", "has_boxes", "gives_pixels"}
MOST = 20


def asks(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compare a task, or look for an adapter's class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
            names = {part.value for each in compared for part in ast.walk(each) if isinstance(part, ast.Constant)}
            tasks = [each for each in compared if ast.unparse(each).rpartition(".")[2] == "task"]
            if tasks and names & {*STATED, *TASKS}:
                yield node.lineno
        elif isinstance(node, ast.Attribute) and node.attr in KINDS:
            yield node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            classes = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            if classes & ADAPTERS:
                yield node.lineno


def test_code_elsewhere_does_not_ask_which_task_it_is() -> None:
    lines = []
    for path in sources(*every_package()):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(WHERE_TASKS_DIFFER):
            lines += [f"{name}:{line}" for line in asks(ast.parse(path.read_text("utf-8")))]
    assert len(lines) <= MOST, lines
