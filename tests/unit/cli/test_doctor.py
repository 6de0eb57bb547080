"""`doctor` says what works here, what does not, and what to do about it; its exit code says whether it is essential."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sightglass.cli import doctor, main


def answer(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["doctor", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["works"] is (code == 0)
    assert all(check.keys() == {"area", "name", "state", "found", "advice"} for check in printed["checks"])
    return code, {check["name"]: check for check in printed["checks"]}


def test_where_everything_works_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = answer(capsys)
    assert code == 0
    for name in ("Python", "Requirements", "torch", "Device", "efficientnet_lite", "Environment"):
        assert (checks[name]["state"], checks[name]["advice"]) == ("works", ""), name
    assert main(["doctor"]) == 0 and "Everything essential works." in capsys.readouterr().out


def test_what_is_broken_is_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_QUEUE", "many")
    monkeypatch.setenv("SIGHTGLASS_API_DEVICE", "cuda:99")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, checks = answer(capsys)
    assert code == 1
    broken = {name for name, check in checks.items() if check["state"] == "broken"}
    assert broken == {"SIGHTGLASS_API_QUEUE", "Device", "cv2"}
    assert "a whole number" in checks["SIGHTGLASS_API_QUEUE"]["advice"]
    assert "opencv-python-headless" in checks["cv2"]["advice"]
    assert checks["Weights"]["state"] == "limited"
    assert main(["doctor"]) == 1 and "Broken: cv2, Device" in capsys.readouterr().out


@pytest.mark.parametrize("checkout", [True, False])
def test_requirements_are_those_of_a_checkout_or_of_the_installation(
    checkout: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "DASHBOARD", tmp_path)
    if checkout:
        (tmp_path / "requirements.txt").write_text("numpy<1  # old\n-r more.txt\n", "utf-8")
        (tmp_path / "requirements-keras.txt").write_text("no-such-package>=3\n", "utf-8")
    stated = ["numpy<1", "no-such-package>=3; extra == 'keras'", "tomli; python_version < '3'"]
    monkeypatch.setattr(metadata, "requires", lambda _name: stated)
    monkeypatch.setattr(doctor, "EXTRAS", ("keras",))
    checks = {check.name: check for check in doctor.check_versions()}
    assert checks["Requirements"].state == "broken" and checks["Requirements"].found.endswith("and should be <1")
    assert checks["Requirements"].advice == 'Run pip install "numpy<1".'
    assert checks["[keras]"].state == "missing" and checks["[keras]"].found == "no-such-package is not installed"
