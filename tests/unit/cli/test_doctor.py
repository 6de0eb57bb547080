"""`doctor` says what works here, what does not, and what to do about it; its exit code says whether it is essential."""

from __future__ import annotations

import json
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sightglass.cli import main
from sightglass.cli.doctor import checks, packages

ROOT = Path(__file__).parents[3]
GIB = 2**30


def _answer(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["doctor", "--json", *options])
    answer = json.loads(capsys.readouterr().out)
    assert answer["works"] is (code == 0)
    return code, {one["name"]: one for one in answer["checks"]}


def test_where_everything_works_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _answer(capsys)
    assert code == 0
    for name in ("Python", "Requirements", "PyTorch", "EfficientNet-Lite", "Temporary files", "Clips, written"):
        assert (found[name]["state"], found[name]["advice"]) == ("works", ""), name
    assert "minibus in bus.jpg" in found["efficientnet-lite0"]["found"]
    # The tests forbid downloads.
    assert found["Downloads"]["state"] == "off"
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Everything essential works." in said
    assert all(len(line) <= 100 for line in said.partition("Everything")[0].splitlines() if line.startswith(" "))


def test_what_is_broken_is_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "file/history"))
    monkeypatch.setenv("SIGHTGLASS_API_QUEUE", "many")
    monkeypatch.setenv("SIGHTGLASS_QUEU", "3")
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "resnet152")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "people"))
    (tmp_path / "people").write_text("no list of people, as SQLite writes it")
    code, found = _answer(capsys)
    assert code == 1
    broken = {name for name, one in found.items() if one["state"] == "broken"}
    assert broken == {"History", "People", "SIGHTGLASS_API_QUEUE", "Trial"}
    assert "SIGHTGLASS_HISTORY" in found["History"]["advice"]
    assert "a whole number" in found["SIGHTGLASS_API_QUEUE"]["advice"]
    assert "SIGHTGLASS_API_QUEUE" in found["Unknown variable"]["advice"]
    assert "resnet152" in found["Trial"]["advice"]
    assert found["Weights"]["state"] == "limited"
    assert "SIGHTGLASS_PEOPLE" in found["People"]["advice"]
    assert main(["doctor"]) == 1
    assert "Broken: History" in capsys.readouterr().out


def test_packages_that_are_missing_old_or_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.1", "keras": None}
    known = packages.version
    monkeypatch.setattr(packages, "version", lambda name: versions.get(name, "9") if name in versions else known(name))
    monkeypatch.setitem(sys.modules, "cv2", None)
    found = {one.name: one for one in (*packages.check_requirements(), *packages.extras(), *checks.models())}
    assert found["Requirements"].state == "broken"
    assert found["Requirements"].found == "torch is 2.1 and should be <3,>=2.6"
    assert found["OpenCV"].state == "broken"
    assert "opencv-python-headless" in found["OpenCV"].advice
    assert found["[keras]"].state == found["Keras"].state == "missing"
    assert "requirements-keras.txt" in found["[keras]"].advice


def test_an_installation_knows_its_requirements_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stated = ["numpy>=1", "keras>=3; extra == 'keras'", "ray[data]>=2; extra == 'ray'", "tomli; python_version < '3'"]
    monkeypatch.setattr(packages, "DASHBOARD", tmp_path)
    monkeypatch.setattr(metadata, "requires", lambda name: stated)
    assert [one.name for one in packages.requirements()] == ["numpy"]
    assert [one.name for one in packages.requirements("keras")] == ["keras"]
    assert [one.name for one in packages.requirements("transformers")] == []
    lines = ["numpy<1", 'no-such-package>=3,<4; extra == "keras"']
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    found = {one.name: one.advice for one in (*packages.check_requirements(), *packages.extras())}
    assert found["Requirements"] == 'Run pip install "numpy<1".'
    assert found["[keras]"] == 'For models of Keras: pip install "no-such-package<4,>=3".'


def test_servers_of_weights_are_tried_only_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        tried.append(address[0])
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(checks, "ALL", {})
    assert _answer(capsys) == (0, {})
    assert not tried
    code, found = _answer(capsys, "--connect")
    assert (code, set(found)) == (0, set(tried))
    assert "github.com" in found
    assert {one["state"] for one in found.values()} == {"missing"}


def test_a_check_that_fails_is_a_finding() -> None:
    def fails() -> Any:
        yield checks.Check("Media", "Pictures", "works", "")
        raise RuntimeError("no such library.\nand more")

    first, second = checks.guard(fails, "Media")
    assert (first.state, second.state) == ("works", "broken")
    assert second.found == "fails (RuntimeError: no such library)"


def test_every_family_and_every_extra_is_checked() -> None:
    families = ROOT / "models/families"
    assert {path.stem for path in families.iterdir() if not path.name.startswith("_")} == checks.LOADERS.keys()
    extras = {path.stem.removeprefix("requirements-") for path in ROOT.glob("requirements-*.txt")}
    assert extras - {"dev"} == packages.EXTRAS.keys()
