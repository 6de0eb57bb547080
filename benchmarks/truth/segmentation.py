"""Measure where maps of a segmentation's regions are right, on drawn scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import baselines
from benchmarks.bootstrap import Line, Samples
from benchmarks.report import differences, ends, grid, means, where
from benchmarks.truth.causes import BESIDE
from benchmarks.truth.maps import evidence_of, maps, resident
from benchmarks.truth.measures import MEASURES, baseline_maps, box_of, measured, near
from benchmarks.truth.verdict import DECIDING, FAMILIES, PARTLY, labels_of
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.questions import settings
from sightglass.models.adapter import AreaTarget
from sightglass.models.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from benchmarks.truth.measures import Map, Mask
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.evidence.resident import Resident
    from sightglass.models.adapters.segmenter import Segmentation
    from sightglass.models.demo.scenes import Object

MODEL = "demo-seg"
SCENES = 200
SAME = 0.5
"""The least IoU of a region of the answer with the object that it is taken for."""
LAYERS: dict[str, tuple[str, ...]] = {
    name: (f"backbone.{name}",) for name in ("stem", "layer1", "layer2", "layer3", "layer4")
}
LAYERS |= {"layers 2 and 4": ("backbone.layer2", "backbone.layer4"), "head": ("classifier.cbr",)}
TARGETS = ("class", "contrast", "rival")
"""The class's logit; less all others'; less that of the class which differs only in the mark."""
WRONG = "wrong class"
"""The rival's logit over the same pixels."""
BLIND = (
    *("random map", "centre blob", "edges", "edges, smoothed", "edges in its box"),
    *("edges in the region", "region filled", "empty map"),
)
SHOWN = ("hit", "near", "energy", "iou", "auc")
NAMES = {"hit": "hits", "near": f"within {BESIDE} px", "energy": "energy", "iou": "IoU", "auc": "AUC"}


@dataclass(frozen=True, eq=False)
class Region:
    """A labelled object that the model gives one region of its class."""

    thing: Object
    target: AreaTarget


@dataclass(frozen=True, eq=False)
class Regions:
    """What every line got, region by region."""

    lines: tuple[Line, ...]
    scenes: list[int]
    labels: list[str]
    left: int
    """Regions that are not measured, as the mark is not why: swapped for the rival's, it changes too little."""
    values: np.ndarray[Any, Any]
    """(regions, lines, `SHOWN`)"""


def score(numbers: Sequence[int]) -> Regions:
    """Score every region of these held-out scenes whose class is made by a part of the object."""
    engine = resident(MODEL)
    methods = [one for one in list_methods(engine) if one.quick]
    paths = list(dict.fromkeys(path for own in LAYERS.values() for path in own))
    found: list[tuple[int, str, list[list[float]]]] = []
    lines: tuple[Line, ...] = ()
    left = 0
    for number in numbers:
        spec = scenes.sample(number, task="segment", held_out=True)
        scene = scenes.draw(spec)
        evidence = evidence_of(engine, scene, paths)
        for region in find_regions(engine, evidence, scene.objects):
            if not is_cause(engine, spec, region.thing):
                left += 1
                continue
            made = maps(evidence, LAYERS, targets_of(region.target), methods)
            blind = _baselines(scene.pixels, region, number)
            every = dict(made) | {(name, "", ""): one for name, one in blind.items()}
            lines = tuple(every)
            found.append((number, region.thing.label, [_measure(one, region) for one in every.values()]))
    values = np.array([one[2] for one in found], np.float32).reshape(len(found), len(lines), len(SHOWN))
    return Regions(lines, [one[0] for one in found], [one[1] for one in found], left, values)


def find_regions(engine: Resident, evidence: Evidence, things: Sequence[Object]) -> Iterator[Region]:
    """Yield the region of each object whose class a part of it makes, where the model finds the object."""
    outputs: Segmentation = evidence.outputs
    for thing in things:
        right = thing.mask & (outputs.classes == _index(engine, thing.label))
        if thing.label not in labels_of(*PARTLY) or not thing.cause.any() or not right.any():
            continue
        numbers, counts = np.unique(outputs.regions[right], return_counts=True)
        mask = outputs.regions == numbers[counts.argmax()]
        if (mask & thing.mask).sum() < SAME * (mask | thing.mask).sum():
            continue
        index, place = _index(engine, thing.label), int(mask.argmax())
        target = AreaTarget(index, engine.adapter.labels[index], (place,), span="region").with_pixels(mask)
        yield Region(thing, target)


def _index(engine: Resident, label: str) -> int:
    return engine.adapter.labels.index(label)


def is_cause(engine: Resident, spec: scenes.Spec, thing: Object) -> bool:
    """Return whether the mark, swapped for the rival's, turns most of the object into the rival."""
    rival = scenes.rival(thing.label)
    assert rival is not None
    scene = scenes.draw(scenes.swap(spec, thing.thing))
    # A pearl on the other side of its moon changes the object's pixels.
    mask = next(one.mask for one in scene.objects if one.thing == thing.thing)
    outputs: Segmentation = evidence_of(engine, scene).outputs
    return bool((outputs.classes[mask] == _index(engine, rival)).mean() > SAME)


def targets_of(target: AreaTarget) -> dict[str, AreaTarget]:
    """Return what is explained of a region, by `TARGETS` and `WRONG`."""
    rival = scenes.rival(target.label)
    assert rival is not None
    # The answer's classes begin with the background.
    index = 1 + scenes.CLASSES.index(rival)

    def of(number: int, label: str, part: Any = "class", against: int | None = None) -> AreaTarget:
        made = AreaTarget(number, label, target.anchors, part, span="region", against=against)
        return made.with_pixels(target.pixels)

    assert target.index is not None
    return {
        "class": of(target.index, target.label),
        "contrast": of(target.index, target.label, "contrast"),
        "rival": of(target.index, target.label, "contrast", index),
        WRONG: of(index, rival),
    }


def _baselines(pixels: np.ndarray[Any, Any], region: Region, number: int) -> dict[str, Map | None]:
    own = region.target.pixels.astype(np.float32)
    found = baseline_maps(pixels, region.thing, None, number)
    found |= {"edges in the region": baselines.edges(pixels) * own, "region filled": baselines.filled(own)}
    return {name: found[name] for name in BLIND}


def _measure(values: Map | None, region: Region) -> list[float]:
    cause: Mask = region.thing.cause
    inside = box_of(region.thing.box, cause.shape)
    hit, energy, iou, auc = measured(values, (cause, inside))[0]
    beside = measured(values, (near(cause, BESIDE), None))[0][0]
    return [hit, beside, energy, iou, auc]


def join(parts: Sequence[Regions]) -> Regions:
    """Join what was measured on several lots of scenes."""
    full = [one for one in parts if one.scenes]
    return Regions(
        full[0].lines,
        [number for one in full for number in one.scenes],
        [label for one in full for label in one.labels],
        sum(one.left for one in parts),
        np.concatenate([one.values for one in full]),
    )


class Judged(Samples):
    """The scores of some regions, of which each counts alike; scenes are drawn."""

    def __init__(self, found: Regions, labels: Container[str] = scenes.CLASSES) -> None:
        mask = np.array([label in labels for label in found.labels], bool)
        self._values, self.lines = found.values[mask].astype(np.float64), found.lines
        numbers = np.array(found.scenes, int)[mask].tolist()
        super().__init__([numbers], lambda line, measure: [self._of(line, measure)])
        self.count, self.scenes = len(numbers), len(set(numbers))

    def _of(self, line: Line, measure: str) -> np.ndarray[Any, Any]:
        column: np.ndarray[Any, Any] = self._values[:, self.lines.index(line), SHOWN.index(measure)]
        return column

    def row(self, line: Line) -> dict[str, Any]:
        return {"line": line} | {measure: self.interval(line, measure) for measure in SHOWN}

    @property
    def methods(self) -> list[Line]:
        """The lines of methods, with one target of a method that knows no class."""
        return [
            line for line in self.lines if line[2] in TARGETS and (METHODS[line[0]].per_class or line[2] == TARGETS[0])
        ]

    def strongest(self, measure: str) -> Line:
        return max(((name, "", "") for name in BLIND), key=lambda line: self.mean(line, measure))

    def fails(self, line: Line) -> bool:
        """Return whether it is better than the best baseline neither at hits nor at ranking, by paired intervals."""
        return all(self.difference(line, self.strongest(measure), measure)[1] <= 0 for measure in DECIDING)


def find_default(question: str) -> Line:
    """Return the method, layers and target that the product answers a question about demo-seg with."""
    engine = resident(MODEL)
    chosen = settings(engine, question)
    paths = chosen["layers"] or engine.default_layers
    return chosen["method"], next(name for name, own in LAYERS.items() if own == paths), chosen["part"]


def section(found: Regions, at: Mapping[str, Any], drawn: int = SCENES) -> str:
    """Return the section of TRUTH.md on regions of a segmentation; `at`: the machine; `drawn`: scenes looked at."""
    judged = Judged(found)
    ranked = judged.ranked(judged.methods, MEASURES)
    order = [line for _, line in ranked]
    defaults = {question: find_default(question) for question in ("where", "why")}
    best, default = order[0], defaults["where"]
    chosen = {line: f"default, {question}" for question, line in reversed(defaults.items())}
    top = [*order[:8], *(line for line in chosen if line not in order[:8])]
    wrong: Line = (default[0], default[1], WRONG)
    rows = [(chosen.get(line, ""), *line, f"{order.index(line) + 1}", *_numbers(judged.row(line))) for line in top]
    rows.append((WRONG, *wrong, "", *_numbers(judged.row(wrong))))
    rows += [("baseline", name, "", "", "", *_numbers(judged.row((name, "", "")))) for name in BLIND]
    head = tuple(NAMES[measure] for measure in SHOWN)
    methods = [
        (METHODS[line[0]].name, *_numbers(judged.row(line)), "**fails**" if judged.fails(line) else "")
        for line in judged.methods
        if line[1:] == (default[1], "class")
    ]
    parts = (
        "## Regions of a segmentation",
        where(dict(at)),
        INTRODUCTION.format(drawn=drawn, scenes=judged.scenes, regions=judged.count, left=found.left),
        _verdict(judged, best, default, order),
        grid(("", "method", "layers", "target", "place", *head), rows),
        f"Every method on {default[1]}, target class:",
        grid(("method", *head, ""), methods),
        f"Hits / within {BESIDE} px by layers, target class:",
        _by_layers(judged),
        "By what makes the class:",
        grid(("class by", "regions", "map", *head), list(_by_family(found, default, best))),
    )
    return "\n\n".join(parts) + "\n"


def _verdict(judged: Judged, best: Line, default: Line, order: Sequence[Line]) -> str:
    """Return what follows, in a paragraph that claims only what the intervals show."""
    strongest = {measure: judged.strongest(measure) for measure in DECIDING}
    over = {measure: judged.difference(default, line, measure) for measure, line in strongest.items()}
    wrong = {measure: judged.difference((default[0], default[1], WRONG), default, measure) for measure in DECIDING}
    shown = means(judged.row(best), SHOWN, NAMES)
    failing = [METHODS[line[0]].name for line in judged.methods if line[1:] == default[1:] and judged.fails(line)]
    parts = [f"Best mean rank of {len(order)}: {_name(best)} ({shown})."]
    if default == best:
        parts.append("It is the default.")
    else:
        apart = {measure: judged.difference(best, default, measure) for measure in SHOWN}
        parts.append(
            f"The default, {_name(default)}, has place {order.index(default) + 1} "
            f"({means(judged.row(default), SHOWN, NAMES)}); the best is {differences(apart, NAMES)} from it."
        )
    named = ", ".join(f"{NAMES[m]} {line[0]} {judged.mean(line, m):.2f}" for m, line in strongest.items())
    parts += [
        f"Best baselines: {named}; the default is {differences(over, NAMES)} from them.",
        f"The wrong class's map instead: {differences(wrong, NAMES)}.",
        f"Fail on these layers: {', '.join(failing) or 'none'}.",
    ]
    return " ".join(parts)


def _name(line: Line) -> str:
    return f"**{METHODS[line[0]].name} on {line[1]}**, {line[2]}"


def _numbers(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(ends(row[measure]) for measure in SHOWN)


def _by_layers(judged: Judged) -> str:
    of = [line for line in judged.methods if line[2] == "class"]
    rows = [
        (
            METHODS[method].name,
            *(
                " / ".join(f"{judged.mean((method, layer, 'class'), measure):.2f}" for measure in ("hit", "near"))
                for layer in LAYERS
            ),
        )
        for method in dict.fromkeys(line[0] for line in of)
    ]
    return grid(("method", *LAYERS), rows)


def _by_family(found: Regions, default: Line, best: Line) -> Iterator[tuple[str, ...]]:
    for family in PARTLY:
        judged = Judged(found, labels_of(family))
        if judged.count:
            for words, line in {"default": default, "best": best, "baseline": judged.strongest("hit")}.items():
                shown = line[0] if words == "baseline" else words
                yield family, str(judged.count), shown, *_numbers(judged.row(line))


COUNTED = "; ".join(f"{name}: {', '.join(FAMILIES[name])}" for name in PARTLY)
INTRODUCTION = f"""\
{{regions}} regions in {{scenes}} of {{drawn}} drawn scenes that no training has seen, of {MODEL}: each region that \
the model gives the right class and that shares at least half of its pixels with the object, of the classes that a \
part of the object makes ({COUNTED}), whose mark, swapped for the rival's, turns most of the object into the rival; \
{{left}} are left out since it does not. A map explains the class's logits over the region; less all others' \
(contrast); or less the rival's over the same pixels (rival). It is measured against the mark, as "Why this class?" \
above is; within {BESIDE} px: the hottest pixel is that near to the mark. Baselines know the region, too: its edges, \
and the region itself, filled. Ranks, intervals and what fails are as above. `python -m benchmarks truth \
--segmentation` measures it."""
