"""Methods that name their own layer get rows of known causes, and menus read them."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.truth.newer import report, run
from benchmarks.truth.newer.scores import Study, score
from sightglass.explain.findings import randomisation
from sightglass.explain.findings.reliability import reliability
from sightglass.explain.methods import METHODS, pixel_gradients

AT = {
    "processor": "a", "cores": 2, "device": "cpu", "threads": 1, "load": 0, "load_after": 0, "system": "L",
    "date": "2026-11-24", "versions": {},
}  # fmt: skip


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> run.Measured:
    monkeypatch.setattr(pixel_gradients, "STEPS", 2)
    monkeypatch.setattr(pixel_gradients, "SAMPLES", 2)
    pixels = score(Study("demo-cls-s", ("pixel",), 8), range(8))
    queries = score(Study("demo-detr", ("query",), 4, ("backbone P3", "SPPF", "neck P3")), range(4))
    redrawn = {("classifier", "where", "guidedbackprop"): Counter({"no": 3, "yes": 1})}
    return run.Measured([pixels, queries], redrawn, AT)


def test_each_method_is_measured_beside_the_default_and_the_best_baseline(found: run.Measured) -> None:
    text = run.sections(found, 4)
    for method in METHODS.values():
        assert (f"| {method.name} | pixels |" in text["newer"]) == (method.family == "pixel"), method.id
    assert "LayerCAM (default)" in text["newer"] and "baseline: " in text["newer"]
    assert "| classifier | where | Guided backprop | 4 | 1 | 3 | 0 |" in text["newer"]
    assert "The best gradient at the backbone, **" in text["queries"]
    assert "**Query attention** has place" in text["queries"]


def test_its_findings_leave_those_of_other_methods(found: run.Measured) -> None:
    made = report.findings(found.scores[:-1], found.scores[-1])
    assert {(one["task"], one["question"], one["method"]) for one in made} >= {
        ("classify", "where", "smoothgrad"),
        ("query", "where", "queryattention"),
    }
    assert {METHODS[one["method"]].family for one in made if one["task"] != "query"} == {"pixel"}
    assert ("query", "where", "layercam") in {(one["task"], one["question"], one["method"]) for one in made}
    older = [made[0] | {"method": "gradcam"}, made[0] | {"scenes": 1}]
    assert run.merge(made, older) == [older[0], *made]


def test_a_method_that_fails_says_so_in_the_menu_by_what_was_measured() -> None:
    for method in METHODS.values():
        if method.family in ("pixel", "attention"):
            task = "classify"
            assert all(reliability(task, question, method.id) is not None for question in ("where", "why")), method.id
            family = "classifier" if method.family == "pixel" else "transformer"
            assert randomisation.describe_method(family, "where", method.id), method.id
