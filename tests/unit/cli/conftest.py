"""What tests of the command line share: a folder with two pictures, and a way to run a command line there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image as Pillow

from sightglass.cli import main


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus: Path, scene: Path) -> Path:
    """A folder with a small picture and a drawn scene in it, which is where commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scene.png").write_bytes(scene.read_bytes())
    Pillow.open(bus).resize((270, 360)).save("bus.png")
    return tmp_path


@pytest.fixture
def call(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command line; returns its exit code, stdout and stderr."""

    def called(*arguments: object) -> Said:
        return Said(main([str(argument) for argument in arguments]), *capsys.readouterr())

    return called


@pytest.fixture
def answer(call: Callable[..., Said]) -> Callable[..., Any]:
    """Run a command line that succeeds, for its JSON."""

    def called(*arguments: object) -> Any:
        code, out, err = call(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return called
