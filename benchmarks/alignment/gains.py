"""Measure what maps gain from being drawn where cells look."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from benchmarks.bootstrap import Interval
from benchmarks.detectors.annotated import Photograph, match
from benchmarks.timing import SEED
from benchmarks.truth.maps import subject
from benchmarks.truth.measures import MEASURES, measured
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import find
from sightglass.explain.explainer import Explainer
from sightglass.explain.maps import boxes
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.from_evidence import raw_maps
from sightglass.explain.picture.image import Image
from sightglass.explain.proof.controls import ranking
from sightglass.explain.proof.filling import blur
from sightglass.explain.questions import settings
from sightglass.models.adapter import Prediction, Target
from sightglass.models.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.alignment.centres import Places
    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.models.geometry import CellOffset

RESAMPLES = 2000
STEPS = 10
"""Of deletion."""
Offsets = dict[str, tuple["CellOffset", ...]]
"""By the way of drawing: each layer's path, and cells down and across."""
Figures = dict[tuple[str, str], dict[str, float]]
"""By choice and way: measures."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A method, and layers whose maps are averaged."""

    name: str
    method: str
    paths: tuple[str, ...]


def _paths(chosen: Sequence[Choice]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for choice in chosen for path in choice.paths))


def interval(values: Sequence[float] | NDArray[np.floating]) -> Interval:
    """Return the mean of what pictures gave, and the ends of its 95 % interval (bootstrap over pictures)."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    drawn = known[np.random.default_rng(SEED).integers(0, len(known), (RESAMPLES, len(known)))].mean(1)
    low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
    return float(known.mean()), low, high


def draw(evidence: Evidence, choice: Choice, target: Target, offsets: Sequence[CellOffset]) -> Heatmap:
    """Return a map, its layers' cells drawn so far beside an even grid; held maps are used again."""
    paths = evidence.paths
    raws = raw_maps(evidence, METHODS[choice.method], [target])
    (made,) = heatmaps(
        [raws[paths.index(path)] for path in choice.paths],
        [target],
        method=choice.method,
        layers=choice.paths,
        geometry=replace(evidence.geometry, cell_offsets=tuple(offsets)),
        scale="own",
    )
    return made


def of_scene(resident: Resident, number: int, chosen: Sequence[Choice], offsets: Offsets) -> Figures | None:
    """Return hits and energy on the object of a drawn scene; None where the model is wrong."""
    spec = scenes.sample(number, task=resident.adapter.spec.task, held_out=True)
    given = subject(resident, number, spec, _paths(chosen))
    if given is None:
        return None
    found = {}
    for choice, way in product(chosen, offsets):
        made = draw(given.evidence, choice, given.targets["class"], offsets[way])
        (values,) = measured(made.at_input if made.state == "ok" else None, (given.thing.mask, None))
        found[choice.name, way] = dict(zip(MEASURES, values, strict=True))
    return found


def of_annotated(
    resident: Resident, photograph: Photograph, chosen: Sequence[Choice], offsets: Offsets
) -> Figures | None:
    """Return hits and energy in the annotated box of an object, drawn at random; None without one."""
    adapter = resident.adapter
    given = adapter.prepare(Image.open(photograph.path).pixels, adapter.preprocessings[0])
    evidence = Evidence(resident, given, find(resident, _paths(chosen)))
    pairs = match(adapter.decode(evidence.outputs, evidence.geometry, top_k=1, confidence=0.25, iou=0.7), photograph)
    if not pairs:
        return None
    prediction, at = random.Random(f"{SEED} {photograph.path.name}").choice(pairs)
    label, box = photograph.objects[at]
    assert prediction.anchor is not None
    target = Target(prediction.index, prediction.label, (prediction.anchor,))
    found = {}
    for choice, way in product(chosen, offsets):
        made = draw(evidence, choice, target, offsets[way])
        numbers = boxes.numbers(made, [Prediction(label, -1, 1.0, box)], (), 0.0)
        empty = made.state != "ok"
        found[choice.name, way] = {
            "hit": 0.0 if empty else float(numbers.hit),
            "energy": 0.0 if empty else numbers.inside,
        }
    return found


def of_photograph(resident: Resident, path: Path, chosen: Sequence[Choice], offsets: Offsets) -> Figures | None:
    """Return the first answer's mean probability while a map's hottest places are blurred away (deletion)."""
    adapter = resident.adapter
    given = adapter.prepare(Image.open(path).pixels, adapter.preprocessings[0])
    evidence = Evidence(resident, given, find(resident, _paths(chosen)))
    (first,) = adapter.decode(evidence.outputs, evidence.geometry, top_k=1, confidence=0.25, iou=0.7)
    target = Target(first.index, first.label)
    fill, found = blur(given.tensor), {}
    shares = torch.arange(1, STEPS + 1).view(-1, 1, 1, 1) / STEPS
    for choice, way in product(chosen, offsets):
        places = ranking(draw(evidence, choice, target, offsets[way]).at_input)
        if places is None:
            return None
        hidden = torch.where(torch.from_numpy(places) < shares, fill, given.tensor)
        with torch.no_grad():
            scores = adapter.class_scores(adapter.run(resident.move_input(hidden)))[:, first.index]
        found[choice.name, way] = {"deletion": float(scores.mean())}
    return found


def redrawn(heatmap: Heatmap, places: Sequence[Places]) -> Heatmap:
    """Return the map of one layer with its cells at other places, by rows and columns; its edges are repeated."""
    (raw,), (height, width) = heatmap.raw, heatmap.geometry.input
    rows, columns = (
        (((np.arange(pixels) + 0.5 - one.first) / one.step + 0.5) * pixels / cells - 0.5).clip(0, pixels - 1)
        for one, pixels, cells in zip(places, (height, width), raw.shape, strict=True)
    )
    across, down = (part.astype(np.float32) for part in np.meshgrid(columns, rows))
    moved = cv2.remap(heatmap.at_input, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return replace(heatmap, at_input=moved)


def agreement(
    models: Sequence[str], files: Sequence[Path], ways: Mapping[str, Mapping[str, Sequence[Places]]]
) -> dict[tuple[str, str], dict[str, list[tuple[float, float]]]]:
    """Return rank correlation and overlap of each pair of models' maps of the first one's answer, by way."""
    explainers = {model: Explainer(model, device="cpu") for model in models}
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for path in files:
        answer = explainers[models[0]](path, top_k=1).predictions[0].index
        made = [explainers[model](path, targets=(answer,)) for model in models]
        if any(one.heatmaps[0].state != "ok" for one in made):
            continue
        for way, places in ways.items():
            shown = [
                replace(one, heatmaps=(redrawn(one.heatmaps[0], places[model]),)) if model in places else one
                for model, one in zip(models, made, strict=True)
            ]
            compared = Comparison(tuple(shown), tuple(models), ())
            for a, b in combinations(range(len(models)), 2):
                alike = compared.agreement(a, b)
                assert alike is not None
                pair = found.setdefault((models[a], models[b]), {}).setdefault(way, [])
                pair.append((alike.rank_correlation, alike.iou_top20))
    return found


def choices(resident: Resident) -> list[Choice]:
    """Return the default, and of a detector and of the packaged transformer single layers too."""
    chosen = settings(resident, "where")
    paths = chosen["layers"] or resident.default_layers
    found = [Choice("default", chosen["method"], paths)]
    if resident.adapter.detects:
        presets = resident.adapter.presets(resident.layers)
        found += [Choice(name, chosen["method"], own) for name, own in presets.items() if name.startswith("backbone")]
    elif resident.adapter.spec.id == "demo-vit":
        found += [Choice(path, chosen["method"], (path,)) for path in VIT if (path,) != paths]
    return found


VIT = (
    *(f"patch_embed.proj.{i}" for i in (0, 2, 3, 4)),
    *("patch_embed", "blocks.0", "blocks.1", "blocks.2", "blocks.3.norm1"),
)
