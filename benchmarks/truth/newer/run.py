"""Measure pixel gradients and attention on drawn scenes with known causes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.case import FAST
from benchmarks.report import FOLDER, load, machine, with_section
from benchmarks.truth.newer import report
from benchmarks.truth.newer.scores import Study, score
from benchmarks.truth.scrambled import publish as publish_scrambled
from benchmarks.truth.scrambled import scrambled
from sightglass.explain.findings.reliability import FILE
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from benchmarks.truth.scores import Scores
    from benchmarks.truth.scrambled import Key

TRUTH = FOLDER / "TRUTH.md"
QUERIES = Study("demo-detr", ("query",), 600, ("backbone P3", "SPPF", "neck P3", "neck P4", "all neck outputs"))
STUDIES = (
    Study("demo-cls-s", ("pixel",), 100),
    Study("demo-s", ("pixel",), 60),
    Study("demo-vit", ("attention",), 325),
)
REDRAWN = {"demo-cls-s": 12, "demo-vit": 6, "demo-s": 4, "demo-detr": 6}
"""Pictures of each model on whose maps weights are redrawn."""
PACKAGES = ("torch", "ultralytics", "timm", "captum", "numpy")


@dataclass(frozen=True, eq=False)
class Measured:
    scores: list[Scores]
    """Of `STUDIES`, and of `QUERIES` last."""
    redrawn: dict[Key, Counter[str]]
    machine: dict[str, Any]


def measure(studies: Sequence[Study] = STUDIES, queries: Study = QUERIES) -> Measured:
    """Measure every study, one scene after the other: ten minutes of one core."""
    torch.set_num_threads(1)
    at = machine(1, "cpu", PACKAGES)
    scores = [score(one, range(one.scenes)) for one in (*studies, queries)]
    redrawn: dict[Key, Counter[str]] = {}
    for one in (*studies, queries):
        names = {method.id for method in METHODS.values() if method.family in one.families}
        names |= {method.id for method in FAST} if one.layers else set()
        redrawn = scrambled((one.model,), REDRAWN[one.model], names) | redrawn
    return Measured(scores, redrawn, at | {"load_after": load()})


def sections(found: Measured, scenes: int = QUERIES.scenes) -> dict[str, str]:
    """Return the sections of TRUTH.md; `scenes`: those drawn for the detector whose boxes are queries."""
    *others, queries = found.scores
    return {
        "newer": report.section(others, found.redrawn, found.machine),
        "queries": report.queries(queries, scenes, found.machine),
    }


def publish(found: Measured) -> None:
    """Write the sections, and what menus and findings say of these methods, beside that of all others."""
    for name, text in sections(found).items():
        TRUTH.write_text(with_section(TRUTH, name, text), encoding="utf-8")
    before = json.loads(FILE.read_text(encoding="utf-8"))
    before["findings"] = merge(report.findings(found.scores[:-1], found.scores[-1]), before["findings"])
    FILE.write_text(json.dumps(before, indent=1) + "\n", encoding="utf-8")
    publish_scrambled(found.redrawn)


def merge(findings: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return findings with those of other methods and questions that were published before."""

    def key(one: dict[str, Any]) -> tuple[str, str, str]:
        return one["task"], one["question"], one["method"]

    new = {key(one) for one in findings}
    return [*(one for one in before if key(one) not in new), *findings]
