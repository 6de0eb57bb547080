"""A wheel holds every file that the project needs, and works where nothing of the checkout is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sightglass
from benchmarks.processes import free_port
from sightglass.cli import main
from sightglass.cli.server import dashboard
from sightglass.explain.recipe import VERSION
from tests import wheel as tests_wheel
from tests.servers import until_it_answers
from tests.waits import patience
from tests.wheel import BESIDE, LOOSE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKEN = ("explain", "models", "api", "cli", "common", "components", "pages", "batch", "export")
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
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"HOME": str(tmp_path), "COLUMNS": "100", "NO_COLOR": "1"}


def _run(tmp_path: Path, *command: str | Path) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_every_room_is_in_the_wheel_and_no_other(wheel: Path) -> None:
    rooms = {
        f"{'sightglass/' if room in BESIDE else ''}{path.relative_to(ROOT).as_posix()}"
        for room in ("sightglass", *BESIDE)
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == rooms | {f"sightglass/dashboard/{name}" for name in LOOSE}
    assert {name.partition("/")[0] for name in packed} == {"sightglass"}


def test_what_it_requires_is_what_the_files_say(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    lines = archive.read(name).decode().splitlines()
    stated = {line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")}
    for extra in ("", "exported", "keras", "ray", "transformers"):
        file = ROOT / f"requirements{f'-{extra}' if extra else ''}.txt"
        wanted = [line for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
        found = [one for one in stated if (f'extra == "{extra}"' in one if extra else "extra ==" not in one)]
        assert len(found) == len(wanted), file
        assert {one.partition(">")[0].partition("=")[0].partition("[")[0] for one in wanted} == {
            one.partition(";")[0].partition("<")[0].partition(">")[0].partition("=")[0].partition("[")[0].strip()
            for one in found
        }
    assert PROJECT["version"] == VERSION == sightglass.__version__


def test_the_description_has_no_link_or_picture_that_only_a_checkout_has(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    about, _, text = archive.read(name).decode().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in about
    assert text.startswith("# Sightglass") and "from sightglass import Explainer" in text and "in a notebook" in text
    assert re.findall(r"\]\((?!https?://)[^)]*\)", text) == []
    assert "sightglass/py.typed" in archive.namelist()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with a folder and a file of each name that the rooms have; the wrong one ends the process."""
    for room in TAKEN:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(f"WHOSE = 'the user, {room}'", "utf-8")
    (tmp_path / "models/blocks.py").write_text(
        "from torch import nn\n\n\ndef conv(i, o):\n    return nn.Conv2d(i, o, 3, padding=1)\n", "utf-8"
    )
    (tmp_path / "net.py").write_text(NET, "utf-8")
    return tmp_path


NET = """
from models.blocks import conv
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
"""


def test_the_command_explains_in_a_project_with_folders_of_those_names(fresh: Path, project: Path) -> None:
    program = fresh / "sightglass"
    shown = _run(project, program, "--help")
    assert "Usage: sightglass [OPTIONS]" in shown
    assert "sightglass image bus.jpg" in shown
    assert "python -m" not in shown
    made = json.loads(_run(project, program, "image", "scene-3.png", "-m", "demo-cls-s", "--top-k", "1", "--json"))
    assert made["results"][0]["model"] == "demo-cls-s"
    assert (project / "explained/scene-3/gradcam_prediction.png").stat().st_size > 1000


def test_a_network_that_imports_the_user_s_own_models_is_added(fresh: Path, project: Path) -> None:
    code = "from net import Net; import torch; torch.manual_seed(0); torch.save(Net().state_dict(), 'net.pth')"
    _run(project, fresh / "python", "-c", code)
    program = fresh / "sightglass"
    _run(project, program, "models", "add", "net.pth", "--name", "mine", "--arch", "net.py:Net")
    made = json.loads(_run(project, program, "image", "scene-3.png", "-m", "mine", "--json"))
    assert made["results"][0]["model"] == "mine"


def test_the_library_and_the_project_import_each_their_own(fresh: Path, project: Path) -> None:
    code = (
        "import sys, json, importlib, sightglass\n"
        "from sightglass import Explainer\n"
        f"others = [importlib.import_module(name) for name in {TAKEN}]\n"
        "assert all(other.WHOSE == f'the user, {other.__name__}' for other in others)\n"
        "assert 'torch' in sys.modules and Explainer is sightglass.explain.Explainer\n"
        "assert all(getattr(sightglass, name) is getattr(sightglass.explain, name) for name in sightglass.__all__)\n"
        "print(json.dumps(sorted({m.__file__ for n, m in sys.modules.items() if n.startswith('sightglass')})))"
    )
    files = json.loads(_run(project, fresh / "python", "-c", code))
    assert all(Path(file).is_relative_to(fresh.parent) for file in files)


def test_a_checkout_answers_by_the_bare_names_too() -> None:
    code = (
        "from explain import Explainer; from explain.recipe import Recipe; import models.catalog, sightglass\n"
        "from sightglass.explain import recipe\n"
        "assert Explainer is sightglass.Explainer and Recipe is recipe.Recipe\n"
        "assert models.catalog is sightglass.models.catalog"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_what_sightglass_does_not_have() -> None:
    import sightglass

    with pytest.raises(AttributeError, match="no attribute 'Explainr'"):
        sightglass.Explainr  # noqa: B018


@contextlib.contextmanager
def _serving(fresh: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [str(fresh / "sightglass"), "dashboard", "--no-browser", f"--port={port}", "--host=127.0.0.1"]
    environment = _environment(tmp_path)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            until_it_answers(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _visit(address: str) -> list[Any]:
    """The messages of one visit to the first page, until it is drawn."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect

    found = []
    with connect(f"ws://{address}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
        request = BackMsg()
        request.rerun_script.query_string = "model=demo-cls-s&example=scene%203"
        socket.send(request.SerializeToString())
        for data in socket:
            assert isinstance(data, bytes)
            message = ForwardMsg()
            message.ParseFromString(data)
            found.append(message)
            if message.WhichOneof("type") == "script_finished":
                return found
    raise AssertionError("the server hung up")


def test_the_dashboard_answers_from_any_folder(fresh: Path, tmp_path: Path) -> None:
    with _serving(fresh, tmp_path) as address:
        assert b"<title>" in urllib.request.urlopen(f"http://{address}/compare", timeout=patience(20)).read()
        assert urllib.request.urlopen(f"http://{address}/api/health", timeout=patience(20)).status == 200
        messages = _visit(address)
        session = next(m.new_session for m in messages if m.WhichOneof("type") == "new_session")
        theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]
        assert session.custom_theme.light.primary_color == theme["light"]["primaryColor"]
        pages = next(m.navigation.app_pages for m in messages if m.WhichOneof("type") == "navigation")
        assert {"detect", "history"} <= {page.url_pathname for page in pages}
        logo = next(m.logo.image for m in messages if m.WhichOneof("type") == "logo")
        assert logo.startswith("data:image/svg+xml")
        drawn = [m.delta.new_element for m in messages if m.WhichOneof("type") == "delta"]
        kinds = {one.WhichOneof("type") for one in drawn}
        assert "exception" not in kinds
        assert not [one.alert.body for one in drawn if one.WhichOneof("type") == "alert"]
        # The viewer, with its script, styles and markup from files of the wheel.
        assert any(one.bidi_component.component_name.endswith("viewer") for one in drawn)


def test_the_dashboard_s_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[list[str]] = []
    monkeypatch.setattr(os, "name", "posix")
    monkeypatch.setattr(os, "execv", lambda _, command: found.append(command))
    monkeypatch.setattr(
        subprocess, "Popen", lambda _: contextlib.nullcontext(type("Done", (), {"wait": lambda _: 0})())
    )
    assert main(["dashboard"]) == 0
    start = [sys.executable, "-P", "-m", "streamlit", "run", str(ROOT / "dashboard.py"), "--server.address=localhost"]
    assert found == [start]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["dashboard", "--host", "127.0.0.1", "--port", str(port)]) == 2
        assert (
            f"Something else listens there: 127.0.0.1 cannot be listened on at port {port}" in capsys.readouterr().err
        )
    assert main(["dashboard", "--host", "127.0.0.1", "--port", str(port), "--no-browser"]) == 0
    assert found[-1][-2:] == [f"--server.port={port}", "--server.headless=true"]
    monkeypatch.setattr(dashboard, "SCRIPT", ROOT / "nowhere.py")
    assert main(["dashboard"]) == 2
    assert "not part of this installation" in capsys.readouterr().err


def test_without_a_verb_there_is_help() -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main([]) == 2
    assert " dashboard " in said.getvalue()
