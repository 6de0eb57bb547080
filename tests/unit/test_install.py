"""A wheel holds every file that the project needs, and works where nothing of the checkout is."""

import contextlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import sightglass
from benchmarks.processes import free_port
from sightglass.explain.recipe import VERSION
from tests import wheel as tests_wheel
from tests.servers import running, visit
from tests.waits import patience
from tests.wheel import BESIDE, LOOSE, ROOT

pytestmark = pytest.mark.slow
TAKEN = ("explain", "models", "api", "cli", "common", "ui", "pages", "batch", "report")
"""Names that a user's own project may have, too."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tests_wheel.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a new environment with the wheel in it, which sees this one's libraries."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, symlinks=os.name == "posix")
    programs = home / ("bin" if os.name == "posix" else "Scripts")
    tests_wheel.pip("--python", str(programs / "python"), "install", "--no-deps", "--no-index", str(wheel))
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    (Path(paths["purelib"]) / "libraries.pth").write_text(sysconfig.get_paths()["purelib"], "utf-8")
    return programs


def _environment(tmp_path: Path) -> dict[str, str]:
    """This process's environment without its paths, and with empty folders of a user's own."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return variables | {"HOME": str(tmp_path), "COLUMNS": "100", "NO_COLOR": "1"}


def _run(tmp_path: Path, *command: str | Path) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_has_every_file(wheel: Path) -> None:
    packages = {
        f"{'sightglass/' if name in BESIDE else ''}{path.relative_to(ROOT).as_posix()}"
        for name in ("sightglass", *BESIDE)
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == packages | {f"sightglass/dashboard/{name}" for name in LOOSE}
    assert {name.partition("/")[0] for name in packed} == {"sightglass"}


def test_an_editor_finds_every_module_of_an_editable_install(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    tests_wheel.copy_sources(source)
    code = f"from setuptools.build_meta import build_editable; build_editable({str(out)!r})"
    out.mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (file,) = out.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        (paths,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith(".pth"))
    # A path, which editors read, and no code that finds modules at run time.
    assert paths.split() == [str(source)]
    assert (source / "sightglass/explain/options.py").is_file()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with a folder and a file of each name that the packages have; the wrong one ends the process."""
    for name in TAKEN:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"WHOSE = 'the user, {name}'", "utf-8")
    return tmp_path


def test_command_in_project_with_same_names(fresh: Path, project: Path) -> None:
    program = fresh / "sightglass"
    assert "Usage: sightglass [OPTIONS]" in _run(project, program, "--help")
    body = json.loads(_run(project, program, "image", "scene-3.png", "-m", "demo-cls-s", "--top-k", "1", "--json"))
    assert body["results"][0]["model"] == "demo-cls-s"
    assert (project / "explained/scene-3/gradcam_prediction.png").stat().st_size > 1000


def test_the_library_and_the_project_import_each_their_own(fresh: Path, project: Path) -> None:
    code = (
        "import sys, json, importlib, sightglass\n"
        "from sightglass import Explainer\n"
        f"others = [importlib.import_module(name) for name in {TAKEN}]\n"
        "assert all(other.WHOSE == f'the user, {other.__name__}' for other in others)\n"
        "assert all(getattr(sightglass, name) is getattr(sightglass.explain, name) for name in sightglass.__all__)\n"
        "print(json.dumps(sorted({m.__file__ for n, m in sys.modules.items() if n.startswith('sightglass')})))"
    )
    files = json.loads(_run(project, fresh / "python", "-c", code))
    assert all(Path(file).is_relative_to(fresh.parent) for file in files)


@contextlib.contextmanager
def _serving(fresh: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [str(fresh / "sightglass"), "dashboard", "--no-browser", f"--port={port}", "--host=127.0.0.1"]
    options: Any = {"cwd": tmp_path, "env": _environment(tmp_path), "stdout": subprocess.DEVNULL}
    with running(command, f"http://127.0.0.1:{port}/_stcore/health", **options):
        yield f"http://127.0.0.1:{port}"


def test_the_dashboard_answers_from_any_folder(fresh: Path, tmp_path: Path) -> None:
    with _serving(fresh, tmp_path) as address:
        assert b"<title>" in urllib.request.urlopen(f"{address}/compare", timeout=patience(20)).read()
        messages = visit(address, query="model=demo-cls-s&example=scene%203")
        session = next(m.new_session for m in messages if m.WhichOneof("type") == "new_session")
        theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]
        assert session.custom_theme.light.primary_color == theme["light"]["primaryColor"]
        pages = next(m.navigation.app_pages for m in messages if m.WhichOneof("type") == "navigation")
        assert {"compare", "pictures", "saved"} <= {page.url_pathname for page in pages}
        assert any(m.WhichOneof("type") == "logo" for m in messages)
        elements = [m.delta.new_element for m in messages if m.WhichOneof("type") == "delta"]
        assert not {"exception", "alert"} & {element.WhichOneof("type") for element in elements}
        # The viewer, with its script, styles and markup from files of the wheel.
        assert any(element.bidi_component.component_name.endswith("viewer") for element in elements)


def test_wheel_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    about, _, text = archive.read(name).decode().partition("\n\n")
    requirements = [Requirement(line[15:]) for line in about.splitlines() if line.startswith("Requires-Dist: ")]
    for extra in ("", "exported", "keras", "ray", "transformers"):
        file = ROOT / f"requirements{f'-{extra}' if extra else ''}.txt"
        expected = [Requirement(line) for line in file.read_text("utf-8").splitlines() if line and line[0] != "#"]
        marked = (r for r in requirements if (f'extra == "{extra}"' in str(r.marker) if extra else r.marker is None))
        assert {(r.name, str(r.specifier)) for r in expected} == {(r.name, str(r.specifier)) for r in marked}
    assert PROJECT["version"] == VERSION == sightglass.__version__
    assert "Description-Content-Type: text/markdown" in about and text.startswith("# Sightglass")
    assert re.findall(r"\]\((?!https?://)[^)]*\)", text) == []
    assert "sightglass/py.typed" in archive.namelist()
