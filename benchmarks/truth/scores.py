"""Score methods by layers, question and object."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.cases import FAST
from benchmarks.truth.measures import MEASURES, baseline_maps, box_of, measured
from benchmarks.truth.scenes import (
    PARTS,
    QUESTIONS,
    WRONG,
    default,
    evidence_of,
    is_cause,
    layers_of,
    loaded,
    map_of,
    maps,
    subjects,
)
from sightglass.explain.methods import METHODS, list_methods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.truth.scenes import Line
    from sightglass.explain.methods.method import Family

OWN_LAYER: dict[Family, str] = {
    "pixel": "pixels",
    "attention": "attention",
    "query": "the query's attention",
    "mask": "the answers alone",
}
"""Families of methods that name their own layer, and what their maps are taken at."""
SLOW = ("library", "noise", "mask")
"""Families whose methods run the model many times: they explain the class alone, where "where" does."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What every line got, object by object, from one model."""

    model: str
    task: str
    defaults: dict[str, Line]
    """By question what the product answers with."""
    lines: tuple[Line, ...]
    scenes: list[int]
    """The number of each object's scene."""
    labels: list[str]
    caused: list[bool]
    """Whether the mark is the cause: swapped for the rival's it changes the answer; also where there is no rival."""
    values: dict[str, NDArray[np.float32]]
    """By question (objects, lines, measures)."""

    def of(self, line: Line, question: str, measure: str) -> NDArray[np.float64]:
        return self.values[question][:, self.lines.index(line), MEASURES.index(measure)].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Study:
    """A model, and the families of methods, besides the quick ones, that are measured on it."""

    model: str
    families: tuple[Family, ...]
    scenes: int
    layers: tuple[str, ...] | None = None
    """At which every quick method is measured; None: only the default of each question, by its method."""


def score(study: Study, numbers: Sequence[int]) -> Scores:
    """Score an object of each scene by a study's methods and by the baselines; every object has the same lines."""
    engine, known = loaded(study.model), layers_of(study.model)
    task, defaults = engine.adapter.spec.task, {question: default(engine, question) for question in QUESTIONS}
    at_default = {name: known[name] for _, name, _ in defaults.values()}
    answering = [METHODS[id] for id in dict.fromkeys(id for id, _, _ in defaults.values())]
    layers = {name: known[name] for name in study.layers} if study.layers else at_default
    paths = list(dict.fromkeys(path for layer in layers.values() for path in layer))
    others = [method for method in list_methods(engine) if method.family in study.families]
    if engine.adapter.detects:
        # It swaps a layer for one that does not know its place, which Ultralytics' models ask for.
        others = [method for method in others if method.id != "ablationcam"]
    lines: tuple[Line, ...] = ()
    objects, measures = [], []
    for subject in subjects(study.model, numbers, paths):
        thing, pixels, targets = subject.thing, subject.scene.pixels, subject.targets
        wrong = {part: targets.pop(part) for part in WRONG.values()}
        by_line = maps(subject.evidence, layers, targets, FAST if study.layers else answering)
        if study.layers:
            # The wrong class's only at the questions' own layers: twice the maps would take twice the time.
            by_line |= maps(subject.evidence, at_default, wrong, answering)
        for part, (_, name, _) in zip(PARTS, defaults.values(), strict=True):
            evidence = evidence_of(engine, subject.scene, known[name])
            for method in others:
                if part == PARTS[0] or (method.per_class and not method.reads and method.family not in SLOW):
                    at = OWN_LAYER.get(method.family, name)
                    by_line[method.id, at, part] = map_of(evidence, method, targets[part])
        blind = baseline_maps(pixels, thing.box, subject.prediction.box, subject.number)
        by_line |= {(name, "", ""): values for name, values in blind.items()}
        masks = (thing.mask, None), (thing.cause, box_of(thing.box, pixels.shape[:2]))
        measures.append([measured(values, *masks) for values in by_line.values()])
        objects.append((subject.number, thing.label, is_cause(engine, subject)))
        lines = tuple(by_line)
    table = np.array(measures, np.float32).reshape(len(measures), len(lines), len(QUESTIONS), len(MEASURES))
    values = {question: table[:, :, i] for i, question in enumerate(QUESTIONS)}
    scenes, labels, caused = ([each[i] for each in objects] for i in range(3))
    return Scores(study.model, task, defaults, lines, scenes, labels, caused, values)  # type: ignore[arg-type]


def joined(lots: Sequence[Scores]) -> Scores:
    """Join a model's scores of several lots, without empty ones."""
    full = [lot for lot in lots if lot.scenes] or lots[:1]

    def join(values: list[Any]) -> Any:
        if isinstance(values[0], list):
            return [each for value in values for each in value]
        if isinstance(values[0], dict) and all(isinstance(value, np.ndarray) for value in values[0].values()):
            return {key: np.concatenate([value[key] for value in values]) for key in values[0]}
        return values[0]

    return Scores(*(join([getattr(lot, field.name) for lot in full]) for field in fields(Scores)))
