"""On a device that is not the CPU: the same maps, and nothing of two devices in one operation."""

import json
import subprocess
import sys

import pytest

from sightglass.explain.methods import METHODS
from tests.waits import patience

pytestmark = pytest.mark.slow


def test_every_method_gives_the_map_of_the_cpu() -> None:
    command = [sys.executable, "-m", "tests.fake_device", "demo-s", "demo-cls-s", "demo-vit"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(300), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    differences = json.loads(done.stdout.splitlines()[-1])
    if "skip" in differences:
        pytest.skip(f"this PyTorch cannot be given a device of one's own: {differences['skip']}")
    for model, by_method in differences.items():
        families = {"gradient", "eigen", "sharp", "tested"} | ({"attention"} if model == "demo-vit" else set())
        methods = {method.id for method in METHODS.values() if method.family in families} | {"drise"}
        assert by_method.keys() == methods and max(by_method.values()) < 1e-4, model
