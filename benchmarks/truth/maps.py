"""Map an object of a scene by every method, layer and target."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from benchmarks.case import FAST
from benchmarks.detectors.annotated import Photograph, match
from benchmarks.timing import CPU, SEED
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods.from_evidence import raw_maps
from sightglass.explain.questions import settings
from sightglass.models.adapter import Part, Target
from sightglass.models.catalog import spec as row_of
from sightglass.models.demo import scenes
from sightglass.models.load import load
from sightglass.models.spec import WeightsTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.bootstrap import Line
    from benchmarks.truth.measures import Map
    from sightglass.models.adapter import Part, Prediction
    from sightglass.models.demo.scenes import DemoScene, Object, Spec
    from sightglass.models.geometry import Geometry
    from sightglass.models.layers import Layer

DETECTOR = {
    "backbone P2": ("model.2",),
    "backbone P3": ("model.4",),
    "backbone P4": ("model.6",),
    "SPPF": ("model.9",),
    "neck P3": ("model.15",),
    "neck P4": ("model.18",),
    "all neck outputs": ("model.15", "model.18"),
}
CLASSIFIER: dict[str, tuple[str, ...]] = {name: (name,) for name in ("stem", "layer1", "layer2", "layer3", "layer4")}
_STEM = tuple(f"patch_embed.proj.{i}" for i in (0, 2, 3, 4))
_BLOCKS = ("blocks.0", "blocks.1", "blocks.2", "blocks.3.norm1", "blocks.3")
VIT: dict[str, tuple[str, ...]] = {"the whole stem": _STEM} | {name: (name,) for name in (*_STEM, *_BLOCKS)}
PARTS: tuple[Part, ...] = ("class", "contrast")
WRONG = {"class": "wrong class", "contrast": "wrong contrast"}
"""The same of the rival at the same place."""
MOVED: dict[str, str] = {"class": "class, moved", "contrast": "contrast, moved"}
"""The same, moved by `offset`."""
QUESTIONS = ("where", "why")


def layers_of(name: str) -> dict[str, tuple[str, ...]]:
    """Return a demo model's choices of layers, earliest first."""
    if "vit" in name:
        return VIT
    return CLASSIFIER if name.startswith("demo-cls") else DETECTOR


@cache
def resident(name: str, folder: Path | None = None) -> Resident:
    """Return a demo model on the CPU, with the weights in `folder` or those of the catalogue."""
    row = row_of(name)
    if folder is not None:
        row = replace(row, weights=WeightsTable(path=str(folder / f"{name}.safetensors")))
    return Resident(load(row), CPU)


def default(engine: Resident, question: str) -> Line:
    """Return the method, layers and part that the product answers a question with."""
    chosen = settings(engine, question)
    paths = chosen["layers"] or engine.default_layers
    known = layers_of(engine.adapter.spec.id)
    return chosen["method"], next(name for name, own in known.items() if own == paths), chosen["part"]


@dataclass(frozen=True, eq=False)
class Subject:
    """An object that the model finds, or names, and one pass over its scene."""

    number: int
    spec: Spec
    scene: DemoScene
    thing: Object
    evidence: Evidence
    prediction: Prediction
    """Of a detector its box for this object."""

    @property
    def targets(self) -> dict[str, Target]:
        """Its class and contrast, and those of what it could be mistaken for: its rival, else the runner-up."""
        anchor, own = self.prediction.anchor, self.thing.index
        rival = scenes.rival(self.thing.label)
        if rival is None:
            logits = self.evidence.outputs.logits[0] if anchor is None else self.evidence.outputs.logits[0, :, anchor]
            ordered = logits.detach().argsort(descending=True, stable=True).tolist()
            other = next(index for index in ordered if index != own)
        else:
            other = scenes.CLASSES.index(rival)
        anchors = () if anchor is None else (anchor,)
        return {
            WRONG[part] if index == other else part: Target(index, scenes.CLASSES[index], anchors, part)
            for index in (own, other)
            for part in PARTS
        }


def subject(engine: Resident, number: int, spec: Spec, paths: Sequence[str]) -> Subject | None:
    """Return a labelled object of the scene, drawn at random among those that the model gets right, if any."""
    scene = scenes.draw(spec)
    evidence = evidence_of(engine, scene, paths)
    found = engine.adapter.decode(evidence.outputs, evidence.geometry, top_k=1, confidence=0.25, iou=0.7)
    if engine.adapter.spec.task == "classify":
        (thing,) = scene.objects
        right = found[0].index == thing.index and thing.cause.any()
        return Subject(number, spec, scene, thing, evidence, found[0]) if right else None
    pairs = match(found, Photograph(Path(), tuple((thing.label, thing.box) for thing in scene.objects)))
    pairs = [(prediction, at) for prediction, at in pairs if scene.objects[at].cause.any()]
    if not pairs:
        return None
    # By the scene's own seed: another model's misses change no other's draw.
    prediction, at = random.Random(f"{SEED} {number}").choice(pairs)
    return Subject(number, spec, scene, scene.objects[at], evidence, prediction)


def subjects(model: str, folder: Path | None, numbers: Sequence[int], paths: Sequence[str]) -> Iterator[Subject]:
    """Yield an object of each held-out scene in which the model gets one right."""
    engine = resident(model, folder)
    for number in numbers:
        spec = scenes.sample(number, task=engine.adapter.spec.task, held_out=True)
        given = subject(engine, number, spec, paths)
        if given is not None:
            yield given


def evidence_of(engine: Resident, scene: DemoScene, paths: Sequence[str] = ()) -> Evidence:
    """Pass a scene, whose pixels are those of the model's input one to one."""
    adapter = engine.adapter
    given = adapter.prepare(scene.pixels, adapter.preprocessings[0])
    assert given.geometry.input == given.geometry.original
    return Evidence(engine, given, find(engine, tuple(paths)) if paths else ())


def offset(layer: Layer, geometry: Geometry) -> float:
    """Return the pixels by which a map of that layer is drawn further down and right than arithmetic would have it.

    In a chain of 3x3 convolutions with stride 2 and a padding of 1 the cell k of stride s sees the picture around pixel
    s k, and enlarging takes it for the middle of the pixels s k to s k + s - 1. Trained cells may look elsewhere
    (`python -m benchmarks alignment`); where that was measured a map is drawn there already.
    """
    stride = geometry.input[0] / layer.shape[1]
    return (stride - 1) / 2 + stride * geometry.cell_offset(layer.path)[0]


def moved(values: Map | None, by: float) -> Map | None:
    """Move a map up and left by so many pixels; its edges are repeated."""
    if values is None:
        return None
    matrix = np.array([[1, 0, -by], [0, 1, -by]], np.float32)
    found: Map = cv2.warpAffine(values, matrix, values.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return found


def maps(
    evidence: Evidence,
    layers: Mapping[str, tuple[str, ...]],
    targets: Mapping[str, Target],
    methods: Sequence[Any] = FAST,
) -> dict[Line, Map | None]:
    """Return float32 (H, W) in 0..1 by method, layers and part, as the product shows it; None for an empty map."""
    at = {layer.path: i for i, layer in enumerate(evidence.layers)}
    pairs = [(method, part) for method in methods for part in targets]
    raws = {(method.id, part): raw_maps(evidence, method, [targets[part]]) for method, part in pairs}
    of = [targets[part] for _, part in raws]
    found: dict[Line, Map | None] = {}
    for name, paths in layers.items():
        stacked = [torch.cat([raw[at[path]] for raw in raws.values()]) for path in paths]
        made = heatmaps(stacked, of, method="", layers=paths, geometry=evidence.geometry, scale="own")
        for (method, part), one in zip(raws, made, strict=True):
            found[method, name, part] = one.at_input if one.state == "ok" else None
    return found
