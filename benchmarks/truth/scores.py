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
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from benchmarks.truth.measures import Map
    from benchmarks.truth.scenes import Line, Subject
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


class Rows:
    """Scores of objects as they come, one after the other; every one has the same lines."""

    def __init__(self, model: str) -> None:
        self._model, self._loaded = model, loaded(model)
        self._lines: tuple[Line, ...] = ()
        self._objects: list[tuple[int, str, bool]] = []
        self._values: list[list[list[list[float]]]] = []

    def add(self, subject: Subject, by_line: Mapping[Line, Map | None]) -> None:
        """Add an object's maps, and with them those of the baselines."""
        inside = box_of(subject.thing.box, subject.scene.pixels.shape[:2])
        masks = ((subject.thing.mask, None), (subject.thing.cause, inside))
        blind = baseline_maps(subject.scene.pixels, subject.thing.box, subject.prediction.box, subject.number)
        everything = dict(by_line) | {(name, "", ""): values for name, values in blind.items()}
        self._values.append([measured(values, *masks) for values in everything.values()])
        self._lines = tuple(everything)
        self._objects.append((subject.number, subject.thing.label, is_cause(self._loaded, subject)))

    def scores(self) -> Scores:
        shape = len(self._values), len(self._lines), len(QUESTIONS), len(MEASURES)
        values = np.array(self._values, np.float32).reshape(shape)
        split = {question: values[:, :, i] for i, question in enumerate(QUESTIONS)}
        defaults = {question: default(self._loaded, question) for question in QUESTIONS}
        numbers, labels, caused = ([each[i] for each in self._objects] for i in range(3))
        task = self._loaded.adapter.spec.task
        return Scores(self._model, task, defaults, self._lines, numbers, labels, caused, split)  # type: ignore[arg-type]


def score(model: str, numbers: Sequence[int]) -> Scores:
    """Score an object of each scene by all quick lines."""
    rows, layers = Rows(model), layers_of(model)
    defaults = [default(loaded(model), question) for question in QUESTIONS]
    at_default = {name: layers[name] for name in layers if name in {name for _, name, _ in defaults}}
    methods = [METHODS[name] for name in dict.fromkeys(method for method, _, _ in defaults)]
    for subject in subjects(model, numbers, _paths(layers)):
        targets = subject.targets
        wrong = {part: targets.pop(part) for part in WRONG.values()}
        by_line = maps(subject.evidence, layers, targets)
        # The wrong class's only at the questions' own layers: twice the maps would take twice the time.
        rows.add(subject, by_line | maps(subject.evidence, at_default, wrong, methods))
    return rows.scores()


@dataclass(frozen=True, slots=True)
class Study:
    """A model, and the families of methods, besides the quick ones, that are measured on it."""

    model: str
    families: tuple[Family, ...]
    scenes: int
    layers: tuple[str, ...] | None = None
    """At which every quick method is measured; None: the default of each question alone."""


def score_study(study: Study, numbers: Sequence[int]) -> Scores:
    """Score an object of each scene by a study's methods."""
    engine, known = loaded(study.model), layers_of(study.model)
    defaults = [default(engine, question) for question in QUESTIONS]
    names = study.layers or tuple(dict.fromkeys(name for _, name, _ in defaults))
    quick = FAST if study.layers else [METHODS[id] for id in dict.fromkeys(id for id, _, _ in defaults)]
    layers = {name: known[name] for name in names}
    others = [method for method in list_methods(engine) if method.family in study.families]
    if engine.adapter.detects:
        # It swaps a layer for one that does not know its place, which Ultralytics' models ask for.
        others = [method for method in others if method.id != "ablationcam"]
    rows = Rows(study.model)
    for subject in subjects(study.model, numbers, _paths(layers)):
        targets = subject.targets
        by_line = maps(subject.evidence, layers, {part: targets[part] for part in PARTS}, quick)
        for part, (_, name, _) in zip(PARTS, defaults, strict=True):
            evidence = evidence_of(engine, subject.scene, known[name])
            for method in others:
                if part == PARTS[0] or (method.per_class and not method.reads and method.family not in SLOW):
                    at = OWN_LAYER.get(method.family, name)
                    by_line[method.id, at, part] = map_of(evidence, method, targets[part])
        rows.add(subject, by_line)
    return rows.scores()


def _paths(layers: Mapping[str, tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(path for layer in layers.values() for path in layer))


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
