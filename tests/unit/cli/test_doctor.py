"""`doctor` says what works here, what does not, and what to do about it; its exit code says whether it is essential."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sightglass.cli import main


def answer(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["doctor", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["works"] is (code == 0)
    assert all(check.keys() == {"area", "name", "state", "found", "advice"} for check in printed["checks"])
    return code, {check["name"]: check for check in printed["checks"]}


def test_where_everything_works_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = answer(capsys)
    assert code == 0
    for name in ("Python", "torch", "Device", "efficientnet_lite"):
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
