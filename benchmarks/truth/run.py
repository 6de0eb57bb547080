"""Measure where maps are right, on drawn scenes with a known cause.

Each map is measured at two questions. "Where is it?": is it on the object. "Why this class?": is it on the pixels that
make it this class and not its rival. Nothing is timed, so as many processes of one thread run as there are cores.
"""

from __future__ import annotations

import itertools
import os
import sys
from typing import TYPE_CHECKING

from benchmarks.processes import single_thread, spawned
from benchmarks.report import RESULTS, Row, load, machine, page, with_part
from benchmarks.truth import report, weights
from benchmarks.truth.columns import Column
from benchmarks.truth.ranking import score, table
from benchmarks.truth.scenes import QUESTIONS
from sightglass.common.errors import ModelProblem
from sightglass.explain.methods import METHODS
from sightglass.models.catalog import available, spec

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from concurrent.futures import Future

MODELS = tuple(model for models in report.GROUPS.values() for model in models)
SCENES, FULL_SCENES = 100, 325
CHUNK = 25
"""Scenes that one process does at a time."""
PACKAGES = ("torch", "ultralytics", "timm", "captum", "numpy")
TRUTH = RESULTS / "truth.md"
TITLES = {"scenes": "Where maps are right", "weights": "Random weights"}
"""Of the sections of truth.md."""


def run(options: argparse.Namespace) -> Row:
    """Measure one section of truth.md; `--write`: replace it and the figures."""
    at = machine(1, "cpu", PACKAGES)
    parts, result = {"scenes": _scenes, "weights": _weights}[options.only](options)
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
    found, tables = spread(present, count), []
    for models in report.GROUPS.values():
        for question in QUESTIONS:
            column = Column()
            for model in (model for model in models if model in found):
                for part in found[model]:
                    column.extend(part[question])
            tables += [table(column, question)] if column.values else []
    return report.scenes_section(tables, count), {"tables": tables}


def _weights(options: argparse.Namespace) -> tuple[list[str], Row]:
    counts = weights.count_marks(options.models)
    if not options.models:
        for model, pictures, families in weights.SLOWER:
            methods = {method.id for method in METHODS.values() if method.family in families}
            counts |= weights.count_marks((model,), pictures, methods)
    if options.write:
        weights.write(counts)
    return weights.section(counts, options.models), {"counts": {" ".join(key): of for key, of in counts.items()}}


def spread(models: Sequence[str], count: int) -> dict[str, list[dict[str, Column]]]:
    """Return the columns of each model's lots of scenes, computed on all cores with progress."""
    with spawned(os.cpu_count(), single_thread) as pool:
        lots = {
            model: [pool.submit(score, model, range(at, min(at + CHUNK, count))) for at in range(0, count, CHUNK)]
            for model in models
        }
        done, total = itertools.count(1), sum(map(len, lots.values()))

        def result(lot: Future[dict[str, Column]]) -> dict[str, Column]:
            columns = lot.result()
            print(f"\r{next(done)} of {total} lots of scenes", end="", file=sys.stderr, flush=True)
            return columns

        return {model: [result(lot) for lot in of] for model, of in lots.items()}
