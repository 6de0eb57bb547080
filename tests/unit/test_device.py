"""Tests that are asked to run on a GPU do not run anywhere else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests import conftest


def test_without_a_gpu_they_do_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config: Any = SimpleNamespace(getoption=lambda _: "cuda")
    with pytest.raises(pytest.UsageError, match="--device cuda: PyTorch sees no GPU on this machine"):
        conftest.pytest_configure(config)
