"""A short day: more models than there is room for, and nothing of them stays behind."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch

from benchmarks.memory import hour, long, small
from benchmarks.processes import HAS_PROC
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import Residency
from sightglass.explain.picture.image import load_bundled

MODELS = ("demo-s", "demo-m", "demo-cls-s", "demo-cls-m", "demo-cls-cheat", "demo-cls-honest", "demo-vit", "demo-reid")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PROC, reason="memory is measured where there is a /proc")
def test_nothing_stays_of_forty_explanations_over_eight_models_with_room_for_three(tmp_path: Path) -> None:
    found = long.explain_many(40, MODELS, tmp_path, samples=10)
    assert found["left"] == dict.fromkeys(found["left"], 0)
    assert found["held"] < len(MODELS)
    assert found["methods"] > 5
    assert found["drift"] < long.DRIFT_MB


def test_what_stays_behind_is_counted(tmp_path: Path) -> None:
    residency = Residency(1)
    watch = long.Watch(tmp_path)
    explainer = Explainer("demo-s", residency=residency)
    explainer(load_bundled("scene 1"))
    watch.follow(explainer.resident.adapter.module)
    assert watch.left(residency) == long.Left(0, 0, 0, 0, 0, 0)
    held, weight = explainer.resident.adapter.module, next(explainer.resident.adapter.module.parameters())
    handle = held.register_forward_hook(lambda *_: None)
    (tmp_path / "forgotten").touch()
    with (tmp_path / "forgotten").open():
        found = watch.left(residency)
    assert (found.hooks, found.descriptors, found.files) == (1, 1, 1)
    residency.free()
    assert watch.left(residency).models == 1
    handle.remove()
    del explainer, held
    long._rest()
    left = watch.left(residency)
    assert (left.models, left.weights) == (0, 1)
    assert isinstance(weight, torch.nn.Parameter)


def test_drift_is_from_after_the_warm_up_to_the_end() -> None:
    memory = [500.0] * 2 + [700.0] * 2 + [710.0] * 14 + [690.0, 720.0]
    assert long.drift(memory) == statistics.median([690, 720]) - 700


def test_reports_say_what_was_measured() -> None:
    at = {"date": "", "processor": "", "cores": 2, "threads": 1, "device": "cpu", "system": ""}
    at |= {"versions": {}, "load": 0}
    left = {"models": 0, "weights": 0, "hooks": 0, "descriptors": 1, "threads": 0, "files": 0}
    told = long.markdown(
        {"machine": at, "count": 2000, "models": ["a", "b"], "limit": 63.0, "memory": [700.0 + i for i in range(80)]}
        | {"peak": 900.0, "drift": 12.34, "seconds": 600.0, "methods": 8, "left": left}
    )
    assert "2,000 explanations over 2 models (a, b) with 63 MiB" in told
    assert "12.3 MB | at most 50.0 MB | pass |" in told
    assert told.count("**miss**") == 1
    steps = [
        {"title": title, "now": 700.0, "most": most, "own": own}
        for title, most, own in (("the first map", 792.0, True), ("Top-k", 850.0, True), ("Compare", 1100.0, False))
    ]
    told = small.markdown({"machine": at, "model": "efficientnet-lite0", "seconds": 7.5, "steps": steps})
    assert "| Compare | 700 | 1100 |" in told
    assert "every page of the same model | 850 MB | at most 858 MB | pass |" in told
    assert "**miss**" not in told
    parts = [{"median": 1500.0, "most": 2200.0 + 20 * number, "doing": "open batch"} for number in range(10)]
    found = {"machine": at, "seconds": 3600.0, "models": ["a"], "parts": parts, "done": {"controls pressed": 1234}}
    told = hour.markdown(found | {"pages": {"explore": 20, "batch": 15}, "broken": ["/batch: boom"]})
    assert "For 60 minutes" in told
    assert "35 pages opened, 1,234 controls pressed" in told
    assert "| most memory | 2380 MB | at most 2355 MB | **miss** |" in told
    assert "| 10 of 10 | 1500 | 2380 | open batch |" in told
    assert "- /batch: boom" in told
