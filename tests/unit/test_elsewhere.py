"""On a device that is not the CPU: the same maps, nothing of two devices in one operation, and few questions asked."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from sightglass.explain.methods import METHODS
from tests.waits import patience

pytestmark = pytest.mark.slow
MODELS = ("demo-s", "demo-cls-s", "demo-vit")


@cache
def told() -> dict[str, Any]:
    """What explaining there came to, by model."""
    command = [sys.executable, "-m", "tests.elsewhere", *MODELS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(300), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "skip" in found:
        pytest.skip(f"this PyTorch cannot be given a device of one's own: {found['skip']}")
    return found


@pytest.mark.parametrize("model", MODELS)
def test_every_method_gives_the_cpu_s_map(model: str) -> None:
    differences = told()[model]["differences"]
    families = {"gradient", "eigen", "attention"} if model == "demo-vit" else {"gradient", "eigen"}
    assert differences.keys() == {one.id for one in METHODS.values() if one.family in families} | {"drise"}
    assert max(differences.values()) < 1e-4, differences


@pytest.mark.parametrize("model", ["demo-cls-s", "demo-vit"])
def test_five_classes_cross_over_as_seldom_as_one(model: str) -> None:
    assert told()[model]["maps"] == 5
    # The picture there; scores, classes, raw maps, maps and their ends back.
    assert told()[model]["crossed"] == {"to device": 1, "to host": 5}


def test_a_detector_is_asked_once_for_its_boxes() -> None:
    found = told()["demo-s"]
    assert found["maps"] == 5
    assert found["crossed"].get("waits", 0) <= 3, "its scales' strides, and nothing a box"
    # Where a box's gradient is not 0 is looked up once a box.
    assert found["crossed"]["to host"] <= 7 + found["maps"]


@pytest.mark.parametrize("model", MODELS)
def test_another_method_brings_home_its_maps_alone(model: str) -> None:
    assert set(told()[model]["again"]) <= {"to host"}
    assert told()[model]["again"]["to host"] <= 4
