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
def test_every_method_gives_the_cpu_s_map_and_little_crosses_over(model: str) -> None:
    found = told()[model]
    families = {"gradient", "eigen", "attention"} if model == "demo-vit" else {"gradient", "eigen"}
    methods = {one.id for one in METHODS.values() if one.family in families} | {"drise"}
    assert found["differences"].keys() == methods and max(found["differences"].values()) < 1e-4
    assert found["maps"] == 5 and found["again"].keys() <= {"to host"} and found["again"].get("to host", 0) <= 4
    if model == "demo-s":
        # Its scales' strides, and nothing a box; where a box's gradient is not 0 is looked up once a box.
        assert found["crossed"].get("waits", 0) <= 3 and found["crossed"]["to host"] <= 12
    else:
        # The picture there; scores, classes, raw maps, maps and their ends back.
        assert found["crossed"] == {"to device": 1, "to host": 5}
