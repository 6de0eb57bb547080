"""Measure the methods of the menus at the product's own settings, on drawn scenes: `reliability.json` says how well."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING

from benchmarks.report import Row, ends, grid
from benchmarks.truth.columns import Column, scored
from benchmarks.truth.measures import MEASURES, baseline_maps
from benchmarks.truth.scenes import causes, default, evidence_of, layers_of, loaded, map_of, subjects
from sightglass.common.errors import ModelProblem
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.trust.diagnosis import FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sightglass.explain.methods.method import Method

    Key = tuple[str, str, str]

MODELS = {
    **dict.fromkeys(("demo-cls-s", "demo-cls-m", "demo-cls-l", "demo-vit"), "classify"),
    **dict.fromkeys(("demo-s", "demo-m", "demo-l"), "detect"),
    "demo-detr": "query",
}
"""By model the task whose menus its figures are for."""
SLOW_MODEL = "demo-cls-m"
"""The one that also the methods of `SLOW` families explain, and those of pixels: on a detector they take too long."""
SLOW = ("library", "mask")
SCENES, SLOW_SCENES = 325, 32
ENOUGH = 50
"""Objects; with fewer an interval that holds 0 says little against a method."""


def chosen(model: str, question: str, method: Method, scene: int) -> bool:
    """Return whether a method explains a scene's object at a question: each where it is quick enough."""
    if model == "demo-vit" or method.family in ("attention", "query"):
        return method.family in ("attention", "query")
    if method.family in (*SLOW, "pixel"):
        pixels = method.family == "pixel"
        return model == SLOW_MODEL and scene < SLOW_SCENES * (1 + pixels) and (pixels or question == "where")
    return question == "where" or method.family != "noise"


def menu(model: str, scenes: int) -> dict[Key, Column]:
    """Return a column by task, question and method: of its map, and of the baselines' on the same objects."""
    engine, known = loaded(model), layers_of(model)
    columns: dict[Key, Column] = {}
    for subject in subjects(model, range(scenes), ()):
        blind = baseline_maps(subject.scene.pixels, subject.thing.box, subject.number)
        for question, cause in causes(engine, subject).items():
            _, layers, part = default(engine, question)
            evidence = evidence_of(engine, subject.scene, known[layers])
            for method in (of for of in list_methods(engine) if chosen(model, question, of, subject.number)):
                target = subject.targets[part if method.per_class and not method.reads else "class"]
                try:
                    values = map_of(evidence, method, target)
                except ModelProblem:
                    # Some libraries' methods cannot explain each network.
                    continue
                column = columns.setdefault((MODELS[model], question, method.id), Column())
                column.add(scored({("Sightglass", method.id): values}, blind, cause))
    return columns


def finding(key: Key, column: Column) -> Row:
    """Return how well a method finds the cause, as menus and findings read it.

    It fails if it is better than the best baseline neither in hits nor in AUC, by the ends of the paired intervals, or
    on few objects by the means.
    """
    line, bound = ("Sightglass", key[2]), 1 if len(column.values) >= ENOUGH else 0
    over = [column.interval(line, measure, column.best(measure))[bound] for measure in ("hit", "auc")]
    values = {measure: [round(value, 4) for value in column.interval(line, measure)] for measure in MEASURES}
    best = column.best("hit")
    return dict(zip(("task", "question", "method"), key, strict=True)) | {
        "objects": len(column.values),
        **values,
        "baseline": best[1],
        "baseline_hit": round(float(column.of(best).mean()), 4),
        "fails": max(over) <= 0,
    }


def findings_of(studied: Iterable[dict[Key, Column]]) -> list[Row]:
    """Return a finding for each task, question and method, on the objects of all networks."""
    joined: dict[Key, Column] = {}
    for key, column in ((key, of) for columns in studied for key, of in columns.items()):
        joined.setdefault(key, Column()).extend(column)
    return [finding(key, column) for key, column in joined.items()]


def write(findings: list[Row], date: str) -> None:
    """Replace the findings in the menus' file; those of other methods stay."""
    key = itemgetter("task", "question", "method")
    new, before = set(map(key, findings)), json.loads(FILE.read_text("utf-8"))["findings"]
    kept = [row for row in before if key(row) not in new]
    FILE.write_text(json.dumps({"date": date, "findings": [*kept, *findings]}, indent=1) + "\n", "utf-8")


def section(findings: list[Row]) -> Iterator[str]:
    """Yield the part of the report on the methods of the menus."""
    yield "## The methods of the menus"
    yield INTRODUCTION.format(scenes=SCENES, slow=SLOW_SCENES)
    rows = [
        (
            *(row["task"], row["question"], METHODS[row["method"]].name, str(row["objects"])),
            *(ends(row[measure]) for measure in MEASURES),
            f"{row['baseline']} {row['baseline_hit']:.2f}",
            "**fails**" if row["fails"] else "",
        )
        for row in sorted(findings, key=lambda row: (row["task"], row["question"], -row["hit"][0]))
    ]
    head = ("task", "question", "method", "objects", "hits", "energy", "IoU", "AUC", "best baseline's hits", "")
    yield grid(head, rows)


INTRODUCTION = """\
Each method where the product takes it: at the layers and for the target of "Where is it?", measured against the \
object, and of "Why this class?", against the mark that decides it. On the objects that the networks get right in \
{scenes} drawn scenes a network, slow methods in {slow} of them; maps of pixels are smoothed as on a screen. A method \
**fails** that is better than the best baseline neither in hits nor in AUC. The menu of methods says these figures; \
of methods that are slow on detectors it says those of [own-layers.md](own-layers.md)."""
