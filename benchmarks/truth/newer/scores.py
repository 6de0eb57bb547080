"""Score pixel gradients, attention and query attention on drawn scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.case import FAST
from benchmarks.truth.maps import PARTS, QUESTIONS, default, layers_of, maps, resident, subjects
from benchmarks.truth.scores import Rows, Scores
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.methods.method import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bootstrap import Line
    from benchmarks.truth.maps import Subject
    from benchmarks.truth.measures import Map
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.methods.method import Family, Method
    from sightglass.models.adapter import Target


@dataclass(frozen=True, slots=True)
class Study:
    """A model, and which methods are measured on it."""

    model: str
    families: tuple[Family, ...]
    """Of methods that name their own layer."""
    scenes: int
    layers: tuple[str, ...] | None = None
    """At which every quick method is measured; None: the default of each question alone."""


def score(study: Study, numbers: Sequence[int]) -> Scores:
    """Score one object of each scene by the methods of a study; both parts of those that know a class."""
    engine, known = resident(study.model), layers_of(study.model)
    defaults = [default(engine, question) for question in QUESTIONS]
    names = study.layers or tuple(dict.fromkeys(name for _, name, _ in defaults))
    quick = FAST if study.layers else [METHODS[id] for id in dict.fromkeys(id for id, _, _ in defaults)]
    layers = {name: known[name] for name in names}
    others = [method for method in list_methods(engine) if method.family in study.families]
    rows = Rows(study.model, None)
    for given in subjects(study.model, None, numbers, list(dict.fromkeys(sum(layers.values(), ())))):
        targets: dict[str, Target] = {part: given.targets[part] for part in PARTS}
        made = maps(given.evidence, layers, targets, quick)
        rows.add(given, made | {line: one for method in others for line, one in _lines(given, method, targets)})
    return rows.scores()


def _lines(given: Subject, method: Method, targets: dict[str, Target]) -> list[tuple[Line, Map | None]]:
    parts = PARTS if method.per_class and not method.reads else PARTS[:1]
    return [((method.id, NAMES[method.family], part), map_of(given.evidence, method, targets[part])) for part in parts]


NAMES: dict[Any, str] = {"pixel": "pixels", "attention": "attention", "query": "the query's attention"}
"""What each family's maps are taken at."""


def map_of(evidence: Evidence, method: Method, target: Target) -> Map | None:
    """Return float32 (H, W) in 0..1 as the product shows it; None for an empty map."""
    raws = method.run(evidence, [target], Request())
    (made,) = heatmaps(
        raws.maps, [target], method=method.id, layers=raws.layers, geometry=evidence.geometry, scale="own"
    )
    return made.at_input if made.state == "ok" else None
