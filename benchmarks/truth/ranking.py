"""Score methods by layers and question, and rank them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.truth.columns import BASELINE, Column, scored
from benchmarks.truth.measures import MEASURES, baseline_maps
from benchmarks.truth.scenes import QUESTIONS, causes, default, layers_of, loaded, maps, subjects
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.truth.columns import Line


def score(model: str, numbers: Sequence[int]) -> dict[str, Column]:
    """Score an object of each scene, by question, by the quick methods at each choice of layers, and by baselines."""
    engine, layers = loaded(model), layers_of(model)
    paths = list(dict.fromkeys(path for layer in layers.values() for path in layer))
    columns = {question: Column() for question in QUESTIONS}
    for subject in subjects(model, numbers, paths):
        by_line = maps(subject.evidence, layers, subject.targets)
        blind = baseline_maps(subject.scene.pixels, subject.thing.box, subject.number)
        for question, cause in causes(engine, subject).items():
            columns[question].add(scored(by_line, blind, cause), model)
    return columns


def table(column: Column, question: str) -> dict[str, Any]:
    """Return all data of the report on some models' objects at a question."""
    models = list(dict.fromkeys(column.kinds))
    chosen, means = default(loaded(models[0]), question), column.means()
    lines = [line for line in column.lines if line[0] != BASELINE]
    lines = [line for line in lines if METHODS[line[0]].per_class or line[2] == "class"]
    cells = [line for line in lines if line[2] == chosen[2] or not METHODS[line[0]].per_class]
    lines = [line for line in lines if METHODS[line[0]].family != "control"]
    values = np.array([[means[line][measure] for measure in MEASURES] for line in lines])
    ranks = np.stack([(-each[:, None] < -each[None, :]).sum(0) + 1 for each in values.T], 1).mean(1)
    order = [lines[i] for i in np.argsort(ranks, kind="stable")]
    rank = dict(zip(lines, ranks.tolist(), strict=True))

    def row(line: Line) -> dict[str, Any]:
        return {"line": line, "rank": rank.get(line)} | {of: column.interval(line, of) for of in MEASURES}

    return {
        "objects": {model: column.kinds.count(model) for model in models},
        "question": question,
        "of": len(order),
        "first": [row(line) for line in order[:8]],
        "default": row(chosen) | {"place": order.index(chosen) + 1},
        "baselines": [row(line) for line in column.lines if line[0] == BASELINE],
        "over": column.interval(chosen, "hit", column.best()),
        "cells": [(line, means[line]["hit"], means[line]["auc"]) for line in cells],
    }
