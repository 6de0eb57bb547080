"""Measure which maps of demo-regress's angle are on the rod, beside baselines.

By method and layers. The scenes are held out; the strength of a map of either sign counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.bootstrap import Line, Samples
from benchmarks.case import FAST
from benchmarks.report import FOLDER, Row, differences, ends, grid, machine
from benchmarks.timing import CPU
from benchmarks.truth.maps import CLASSIFIER, evidence_of, resident
from benchmarks.truth.measures import GIVEN_BOX, MEASURES, baseline_maps, measured
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.from_evidence import raw_maps
from sightglass.models.adapter import Target
from sightglass.models.demo import scenes
from sightglass.models.families.demo import nets
from sightglass.models.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.bootstrap import Interval
    from benchmarks.truth.measures import Map
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.demo.scenes import DemoScene, Spec

MODEL = "demo-regress"
OUT = FOLDER / "TRUTH.md"
FIRST_SCENE, COUNT = 2000, 120
"""Scenes that neither training nor its card used."""
NEAR = 15.0
"""Degrees by which an angle is wrong at most where its map is measured."""
DECIDING = ("hit", "auc")
NAMES = {"hit": "hits", "energy": "energy", "iou": "IoU", "auc": "AUC"}
TARGET = Target(0, "angle", part="signed")
RANDOM = "random weights"
PACKAGES = ("torch", "numpy")


def regression(count: int = COUNT) -> Row:
    """Measure `count` scenes."""
    torch.set_num_threads(1)
    engine = resident(MODEL)
    untrained = _untrained(engine)
    values: dict[Line, list[list[float]]] = {}
    errors, moved, beside, numbers = [], [], [], []
    default = default_of(engine)
    for number, spec in _specs(count):
        scene = scenes.draw(spec)
        truth = scenes.lean_of(spec.things[0])
        evidence = evidence_of(engine, scene, tuple(CLASSIFIER))
        angle = _angle(evidence)
        errors.append(abs(angle - truth))
        if errors[-1] > NEAR:
            continue
        numbers.append(number)
        made = _maps(evidence, FAST)
        made[default[0], default[1], RANDOM] = _maps(
            evidence_of(untrained, scene, (default[1],)), [METHODS[default[0]]], (default[1],)
        )[default]
        blind = baseline_maps(scene.pixels, scene.objects[0], None, number)
        made |= {(name, "", ""): one for name, one in blind.items() if name not in GIVEN_BOX}
        for line, one in made.items():
            values.setdefault(line, []).append(measured(one, (scene.objects[0].mask, None))[0])
        moved.append(abs(_angle_of(engine, scenes.without(spec, 0)) - angle))
        beside.append([abs(_angle_of(engine, scenes.without(spec, i)) - angle) for i in range(1, len(spec.things))])
    return {
        "machine": machine(1, "cpu", PACKAGES),
        "scenes": count,
        "numbers": numbers,
        "errors": errors,
        "default": default,
        "values": values,
        "rod": moved,
        "others": [change for row in beside for change in row],
    }


def _specs(count: int) -> Iterator[tuple[int, Spec]]:
    """Yield held-out scenes with their numbers."""
    for number in range(FIRST_SCENE, FIRST_SCENE + count):
        yield number, scenes.sample(number, task="regress", held_out=True)


def default_of(engine: Resident) -> Line:
    """Return the method and layer that the product explains the angle with."""
    (layer,) = engine.default_layers
    return engine.adapter.spec.method, layer, ""


def _untrained(engine: Resident) -> Resident:
    """Return the model with random weights in place of its own."""
    adapter = load(engine.adapter.spec)
    torch.manual_seed(0)
    adapter.module.load_state_dict(nets.build(MODEL).state_dict())
    return Resident(adapter, CPU)


def _angle(evidence: Evidence) -> float:
    return float(evidence.outputs.logits[0, 0].detach())


def _angle_of(engine: Resident, spec: Spec) -> float:
    scene: DemoScene = scenes.draw(spec)
    with torch.no_grad():
        given = engine.adapter.prepare(scene.pixels, engine.adapter.preprocessings[0])
        return float(engine.adapter.run(given.tensor).logits[0, 0])


def _maps(
    evidence: Evidence, methods: Sequence[Any], layers: Sequence[str] = tuple(CLASSIFIER)
) -> dict[Line, Map | None]:
    """Return the strength (H, W), 0..1, of the map by each method at each layer; None for an empty one."""
    found: dict[Line, Map | None] = {}
    at = {layer.path: i for i, layer in enumerate(evidence.layers)}
    for method in methods:
        target = TARGET if method.signed else replace(TARGET, part="class")
        raws = raw_maps(evidence, method, [target])
        for path in layers:
            (one,) = heatmaps(
                [raws[at[path]]],
                [target],
                method=method.id,
                layers=(path,),
                geometry=evidence.geometry,
                scale="own",
                signed=method.signed,
            )
            found[method.id, path, ""] = np.abs(one.at_input) if one.state == "ok" else None
    return found


class Judged:
    """Every line of a result: its figures with intervals, and the best of maps and of baselines."""

    def __init__(self, result: Row) -> None:
        values = {line: np.array(rows) for line, rows in result["values"].items()}
        self.samples = Samples([result["numbers"]], lambda line, measure: [values[line][:, MEASURES.index(measure)]])
        self.maps = [line for line in values if line[0] in METHODS and line[2] == ""]
        self.blind = [line for line in values if line[0] not in METHODS]
        self.default: Line = tuple(result["default"])
        self.ranked = [line for _, line in self.samples.ranked(self.maps, MEASURES)]
        self.place = self.ranked.index(self.default) + 1
        self.best = {m: max(self.blind, key=lambda line: self.samples.mean(line, m)) for m in DECIDING}

    def over(self, line: Line) -> dict[str, Interval]:
        """Return by how much a line is better than the best baseline of each deciding measure."""
        return {measure: self.samples.difference(line, self.best[measure], measure) for measure in DECIDING}

    def fails(self, line: Line) -> bool:
        """Return whether it is better than the best baseline in neither."""
        return all(low <= 0 for _, low, _ in self.over(line).values())

    def row(self, name: str, line: Line) -> tuple[str, ...]:
        method = METHODS[line[0]].name if line[0] in METHODS else line[0]
        return name, method, line[1], *(ends(self.samples.interval(line, measure)) for measure in MEASURES)

    def by_layer(self, method: str) -> tuple[str, ...]:
        at = [(method, layer, "") for layer in CLASSIFIER]
        return tuple(f"{self.samples.mean(one, 'hit'):.2f} / {self.samples.mean(one, 'auc'):.2f}" for one in at)


def markdown(result: Row) -> str:
    """Return the section of TRUTH.md."""
    judged = Judged(result)
    default, place = judged.default, judged.place
    better = ", ".join(_name(line) for line in judged.ranked if not judged.fails(line)) or "none"
    baselines = ", ".join(f"{NAMES[measure]} {line[0]}" for measure, line in judged.best.items())
    rows = [judged.row("default" if line == default else "", line) for line in judged.ranked[:8]]
    rows += [judged.row(f"default, place {place}", default)] if place > len(rows) else []
    rows.append(judged.row(RANDOM, (default[0], default[1], RANDOM)))
    methods = dict.fromkeys(line[0] for line in judged.maps)
    signed = next(line for line in judged.ranked if METHODS[line[0]].signed)
    parts = [
        "## A number: the angle of a rod",
        f"`python -m benchmarks regression` measures it. demo-regress on {result['scenes']} held-out scenes: the angle "
        f"is wrong by {np.median(result['errors']):.1f}° in the median. Measured are the {len(result['numbers'])} maps "
        f"of scenes where it is wrong by {NEAR:.0f}° at most. A map is of the number as it is, with what raises it and "
        "what lowers it; its strength counts, whichever way. Measures, baselines and intervals are those above; the "
        "pixels are the rod's.",
        f"Without the rod the angle moves by {np.mean(result['rod']):.1f}° in the mean, without one of the other "
        f"things by {np.mean(result['others']):.1f}°: the rod is the cause.",
        f"Best mean rank of {len(judged.maps)}: {_name(judged.ranked[0])}; of those that can say what raises and what "
        f"lowers: {_name(signed)}. The default, {_name(default)}, has place {place}; it is "
        f"{differences(judged.over(default), NAMES)} from the best baselines ({baselines}). Better than the best "
        f"baseline at hits or in AUC: {better}.",
        grid(("", "method", "layer", *MEASURES), [*rows, *(judged.row("baseline", line) for line in judged.blind)]),
        "Hits / AUC by layer:",
        grid(("method", *CLASSIFIER), [(METHODS[method].name, *judged.by_layer(method)) for method in methods]),
    ]
    return "\n\n".join(parts) + "\n"


def _name(line: Line) -> str:
    return f"{METHODS[line[0]].name} on {line[1]}"
