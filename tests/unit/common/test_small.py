"""The profile for a gigabyte of memory: other defaults, one model at a time, and a process that is set up for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common import budget, small
from common.environment import PROFILES, malformed
from common.settings import settings
from explain.evidence.resident import Residency
from models.catalog import spec

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SIGHTGLASS_") and name.endswith("_MB")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(budget, "_measured", [])
    monkeypatch.setenv("SIGHTGLASS_PROFILE", "small")


def test_the_profile_has_other_defaults_and_what_is_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: getattr(settings(), name) for name in PROFILES["small"]} == PROFILES["small"]
    assert (budget.total(), budget.part("models"), budget.part("evidence")) == (840, 48, 0)
    assert budget.excess() is None
    assert small.threads() == 1
    monkeypatch.setenv("SIGHTGLASS_MODELS_MB", "60")
    assert (budget.part("models"), settings().api_workers) == (60, 1)
    monkeypatch.setenv("SIGHTGLASS_PROFILE", " Small ")
    assert small.chosen()
    monkeypatch.delenv("SIGHTGLASS_PROFILE")
    assert (settings().memory_mb, settings().api_workers, small.chosen()) == (None, 2, False)


def test_there_is_no_other_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROFILE", "tiny")
    assert malformed() == {"profile": "SIGHTGLASS_PROFILE is 'tiny': give small, or leave it out."}
    assert not small.chosen()


def test_the_docs_list_what_it_changes() -> None:
    text = (ROOT / "docs/settings.md").read_text("utf-8")
    for name, value in PROFILES["small"].items():
        assert f"| {value} | `SIGHTGLASS_{name.upper()}` |" in text
    assert f"| {small.SHAPES} | `ONEDNN_PRIMITIVE_CACHE_CAPACITY` |" in text


def test_one_model_at_a_time_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_MODELS_MB", "1000")
    residency, cpu = Residency(), torch.device("cpu")
    at_load: list[int] = []
    monkeypatch.setattr("common.memory.resident", lambda: 300 * 2**20)
    monkeypatch.setattr("common.memory.give_back", lambda: at_load.append(len(residency.residents())))
    for name in ("demo-s", "demo-cls-s"):
        residency.get(spec(name), cpu)
    assert at_load == [0, 0]
    assert [one.adapter.spec.id for one in residency.residents()] == ["demo-cls-s"]
    monkeypatch.delenv("SIGHTGLASS_PROFILE")
    residency.get(spec("demo-s"), cpu)
    assert len(residency.residents()) == 2


def test_a_server_is_set_up_before_pytorch_is_imported() -> None:
    """In a process of its own: what the C library is told holds for all of it."""
    code = (
        "import os, sys; from common import small; small.prepare(); "
        "print(os.environ['ONEDNN_PRIMITIVE_CACHE_CAPACITY'], 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("ONEDNN_PRIMITIVE_CACHE_CAPACITY", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [small.SHAPES, "False"]


@pytest.mark.slow
def test_the_first_map_stays_within_the_memory_of_a_small_place() -> None:
    pytest.importorskip("playwright")
    from benchmarks.memory import small as bench
    from benchmarks.viewer.browser import BrowserProblem

    try:
        found = bench.small()
    except BrowserProblem as problem:
        pytest.skip(str(problem))
    first, *rest = found["steps"]
    assert first["most"] <= bench.MOST_MB
    # Everything else can be reached.
    assert all(step["now"] for step in rest)
