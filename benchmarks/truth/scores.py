"""Score methods by layers, question and object."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from benchmarks.truth.causes import is_cause
from benchmarks.truth.maps import (
    MOVED,
    QUESTIONS,
    WRONG,
    default,
    layers_of,
    maps,
    moved,
    offset,
    resident,
    subjects,
)
from benchmarks.truth.measures import MEASURES, baseline_maps, box_of, measured
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.bootstrap import Line
    from benchmarks.truth.maps import Subject
    from benchmarks.truth.measures import Map


Part = TypeVar("Part")


@dataclass(frozen=True, eq=False)
class Scores:
    """What every line got, object by object, from one model."""

    model: str
    """Its id, and of other weights than the catalogue's their folder."""
    task: str
    defaults: dict[str, Line]
    """By question what the product answers with."""
    lines: tuple[Line, ...]
    scenes: list[int]
    """The number of each object's scene."""
    labels: list[str]
    caused: list[bool]
    """Whether the mark is why: swapped for the rival's it turns the answer; also where there is no rival."""
    values: dict[str, NDArray[np.float32]]
    """By question (objects, lines, measures)."""

    def of(self, line: Line, question: str, measure: str) -> NDArray[np.float64]:
        return self.values[question][:, self.lines.index(line), MEASURES.index(measure)].astype(np.float64)


class Rows:
    """Scores of objects as they come, one after the other; every one has the same lines."""

    def __init__(self, model: str, folder: Path | None) -> None:
        self._resident = resident(model, folder)
        self._model = named(model, folder)
        self._lines: tuple[Line, ...] = ()
        self._objects: list[tuple[int, str, bool]] = []
        self._values: list[list[list[list[float]]]] = []

    def add(self, given: Subject, made: Mapping[Line, Map | None]) -> None:
        """Add an object's maps, and with them those of the baselines."""
        inside = box_of(given.thing.box, given.scene.pixels.shape[:2])
        masks = ((given.thing.mask, None), (given.thing.cause, inside))
        blind = baseline_maps(given.scene.pixels, given.thing, given.prediction.box, given.number)
        made = dict(made) | {(name, "", ""): one for name, one in blind.items()}
        self._values.append([measured(one, *masks) for one in made.values()])
        self._lines = tuple(made)
        self._objects.append((given.number, given.thing.label, is_cause(self._resident, given)))

    def scores(self) -> Scores:
        shape = len(self._values), len(self._lines), len(QUESTIONS), len(MEASURES)
        values = np.array(self._values, np.float32).reshape(shape)
        split = {question: values[:, :, i] for i, question in enumerate(QUESTIONS)}
        defaults = {question: default(self._resident, question) for question in QUESTIONS}
        numbers, labels, caused = ([one[i] for one in self._objects] for i in range(3))
        task = self._resident.adapter.spec.task
        return Scores(self._model, task, defaults, self._lines, numbers, labels, caused, split)  # type: ignore[arg-type]


def scored(model: str, folder: Path | None, numbers: Sequence[int]) -> Scores:
    """Score one object of each scene, by every method, layers and part."""
    rows, layers = Rows(model, folder), layers_of(model)
    defaults = [default(resident(model, folder), question) for question in QUESTIONS]
    at_default = {name: layers[name] for name in layers if name in {name for _, name, _ in defaults}}
    methods = [METHODS[name] for name in dict.fromkeys(method for method, _, _ in defaults)]
    paths = list(dict.fromkeys(path for own in layers.values() for path in own))
    for given in subjects(model, folder, numbers, paths):
        targets = given.targets
        wrong = {part: targets.pop(part) for part in WRONG.values()}
        made = maps(given.evidence, layers, targets)
        # The wrong class's only at the questions' own layers: twice the maps would take twice the time.
        made |= maps(given.evidence, at_default, wrong, methods)
        for method, _, part in defaults:
            for layer, (name, own) in itertools.product(given.evidence.layers, layers.items()):
                if own == (layer.path,):
                    by = offset(layer, given.evidence.geometry)
                    made[method, name, MOVED[part]] = moved(made[method, name, part], by)
        rows.add(given, made)
    return rows.scores()


def named(model: str, folder: Path | None) -> str:
    return model if folder is None else f"{model} ({folder.name})"


def joined(parts: Sequence[Part]) -> Part:
    """Join what was measured of a model on several lots of scenes; lots without an object that it finds are left out.

    Lists, arrays and dicts of arrays have an entry for each object; all other fields are the same in every lot.
    """
    full: Any = [part for part in parts if part.scenes] or parts[:1]  # type: ignore[attr-defined]

    def join(values: list[Any]) -> Any:
        if isinstance(values[0], list):
            return [one for value in values for one in value]
        if isinstance(values[0], dict) and all(isinstance(value, np.ndarray) for value in values[0].values()):
            return {key: np.concatenate([value[key] for value in values]) for key in values[0]}
        return np.concatenate(values) if isinstance(values[0], np.ndarray) else values[0]

    return type(full[0])(*(join([getattr(part, field.name) for part in full]) for field in fields(full[0])))
