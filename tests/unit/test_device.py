"""Tests that are asked to run on a GPU do not run anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.waits import patience

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_they_do_not_begin() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--device", "cuda", "--collect-only", "tests/unit/test_device.py"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=patience(120),
    )
    assert done.returncode == 4
    assert "--device cuda: PyTorch sees no GPU on this machine" in done.stderr
