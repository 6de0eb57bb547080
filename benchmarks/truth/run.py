"""Measure where maps are right, on drawn scenes with a known cause.

Each map is measured at two questions. "Where is it?": is it on the object. "Why this class?": is it on the pixels that
make it this class and not its rival. Nothing is timed, so as many processes of one thread run as there are cores.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import cv2
import torch

from benchmarks.processes import spawned
from benchmarks.report import RESULTS, Row, load, machine, page, with_part
from benchmarks.truth import report, weights
from benchmarks.truth.ranking import find_all, find_own_layer, table
from benchmarks.truth.scenes import PARTLY, QUESTIONS, labels_of, layers_of
from benchmarks.truth.scores import Scores, Study, joined, score
from sightglass.common.errors import ModelProblem
from sightglass.explain.methods import METHODS
from sightglass.explain.trust.diagnosis import FILE
from sightglass.models.catalog import available, spec

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

MODELS = tuple(
    model for name in ("Detectors", "Convolutional classifiers", "Transformer") for model in report.GROUPS[name]
)
SCENES, FULL_SCENES = 100, 325
CHUNK = 25
"""Scenes that one process does at a time."""
STUDIES = (
    Study("demo-cls-s", ("pixel",), 100),
    Study("demo-s", ("pixel",), 60),
    Study("demo-vit", ("attention",), 325),
    Study("demo-cls-m", ("noise",), FULL_SCENES),
    Study("demo-m", ("noise",), FULL_SCENES),
    Study("demo-cls-m", ("library", "mask"), 40),
    Study("demo-m", ("library", "mask"), 40),
    Study("demo-detr", ("query",), 600, ("backbone P3", "SPPF", "neck P3", "neck P4", "all neck outputs")),
)
"""Of methods that are slow or name their own layer; the last is of a detector whose boxes are queries."""
REDRAWN = {"demo-cls-s": 12, "demo-vit": 6, "demo-s": 4, "demo-detr": 6}
"""Pictures of each model of a study on whose maps weights are redrawn."""
PACKAGES = ("torch", "ultralytics", "timm", "captum", "numpy")
TRUTH = RESULTS / "truth.md"
TITLES = {
    "scenes": "Where maps are right",
    "layers": "Methods that are slow or name their own layer",
    "weights": "Random weights",
}
"""Of the sections of truth.md."""


def run(options: argparse.Namespace) -> Row:
    """Measure one section of truth.md; `--write`: replace it and the figures."""
    at = machine(1, "cpu", PACKAGES)
    parts, result = {"scenes": _scenes, "layers": _layers, "weights": _weights}[options.only](options)
    name = "--full" if options.only == "scenes" else f"--only {options.only}"
    whole = page(TITLES[options.only], f"truth {name} --write", at | {"load_after": load()}, *parts)
    if options.write:
        before = TRUTH.read_text(encoding="utf-8") if TRUTH.is_file() else ""
        marks = f"<!-- {options.only} -->\n", f"<!-- {options.only}: end -->\n"
        TRUTH.write_text(with_part(before, whole, marks), encoding="utf-8")
    return {"machine": at, "report": whole, **result}


def markdown(result: Row) -> str:
    return str(result["report"])


def _scenes(options: argparse.Namespace) -> tuple[list[str], Row]:
    present = [model for model in options.models or MODELS if options.models or available(spec(model))]
    if not present:
        raise ModelProblem("No demo model is here: python -m training.train demo-s makes one.")
    count = FULL_SCENES if options.full else SCENES
    scores = spread([Study(model, (), count, tuple(layers_of(model))) for model in present])
    tables, findings = [], []
    for name, models in report.GROUPS.items():
        if not (of := [each for each in scores if each.model in models and _enough(each)]):
            continue
        tables += [table(of, question) for question in QUESTIONS]
        if name != "Transformer":
            findings += find_all(of)
    if options.write:
        write_findings(findings, {"date": machine(1, "cpu", ())["date"], "size": {"scenes": count}})
    return report.scenes_section(tables, count), {"findings": findings, "tables": tables}


def _layers(options: argparse.Namespace) -> tuple[list[str], Row]:
    torch.set_num_threads(1)
    studies = [study for study in STUDIES if not options.models or study.model in options.models]
    if studies[-1:] != [STUDIES[-1]]:
        raise ModelProblem("demo-detr is needed for this part: name it among --models, or name none.")
    *others, queries = spread(studies)
    redrawn: weights.Counts = {}
    for study in (each for each in studies if each.model in REDRAWN):
        names = {method.id for method in METHODS.values() if method.family in study.families}
        names |= set(weights.QUICK) if study.layers else set()
        redrawn = weights.count_marks((study.model,), REDRAWN[study.model], names) | redrawn
    findings = find_own_layer(others, queries)
    if options.write:
        write_findings(findings)
        weights.write(redrawn)
    parts = [
        "## Gradients of pixels, and attention",
        report.OWN_LAYER,
        report.own_layer_rows(others),
        "With redrawn weights, as under [Maps that depend on the model](#maps-that-depend-on-the-model):",
        weights.grid_of(redrawn),
        "## A box that is a query",
        report.QUERIES.format(model=queries.model, scenes=studies[-1].scenes),
    ]
    for each in (table([queries], question) for question in QUESTIONS):
        parts += [report.words(each), *report.describe(each)]
    return parts, {"findings": findings}


def _weights(options: argparse.Namespace) -> tuple[list[str], Row]:
    counts = weights.count_marks(options.models)
    if options.write:
        weights.write(counts)
    return weights.section(counts, options.models), {"counts": {" ".join(key): of for key, of in counts.items()}}


def write_findings(findings: Sequence[Row], about: Row | None = None) -> None:
    """Merge findings into the menus' file; `about`: date and size."""

    def key(row: Row) -> tuple[str, str, str]:
        return row["task"], row["question"], row["method"]

    before: Row = json.loads(FILE.read_text(encoding="utf-8"))
    new = {key(row) for row in findings}
    others = [row for row in before["findings"] if key(row) not in new]
    after = before | (about or {}) | {"findings": [*others, *findings]}
    FILE.write_text(json.dumps(after, indent=1) + "\n", encoding="utf-8")


def _enough(of: Scores) -> bool:
    """Return whether a model has an object for both questions."""
    labels = labels_of(*PARTLY)
    return any(cause and label in labels for label, cause in zip(of.labels, of.caused, strict=True))


def spread(studies: Sequence[Study]) -> list[Scores]:
    """Return each study's scores, computed on all cores with progress."""
    with spawned(os.cpu_count(), _single_thread) as pool:
        lots = [
            [pool.submit(score, of, range(at, min(at + CHUNK, of.scenes))) for at in range(0, of.scenes, CHUNK)]
            for of in studies
        ]
        done, total = itertools.count(1), sum(map(len, lots))

        def result(lot: Any) -> Scores:
            scores: Scores = lot.result()
            print(f"\r{next(done)} of {total} lots of scenes", end="", file=sys.stderr, flush=True)
            return scores

        return [joined([result(lot) for lot in of]) for of in lots]


def _single_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
