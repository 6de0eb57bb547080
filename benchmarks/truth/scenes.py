"""Map an object of a drawn scene by method, layer and target."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torchvision.ops import box_iou

from benchmarks.cases import FAST
from benchmarks.timing import CPU, SEED
from benchmarks.truth.measures import box_of
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.questions import settings
from sightglass.explain.tasks.detect import SAME
from sightglass.models.adapter import Part, Target
from sightglass.models.catalog import spec as row_of
from sightglass.models.geometry import intersection_over_union
from sightglass.models.load import load
from training.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.truth.columns import Cause, Line
    from benchmarks.truth.measures import Map
    from sightglass.explain.methods.method import Method
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box
    from training.demo.scenes import DemoScene, Object, Spec

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
QUESTIONS = ("where", "why")
FAMILIES = {
    "a mark": ("rod-", "plate-"),
    "a relation": ("moon-",),
    "a texture": ("ball-",),
    "a shape": ("star", "gear"),
}
"""What makes a class, and how the names of its classes begin. Only of the first two the cause is a part."""
PARTLY = ("a mark", "a relation")


def labels_of(*families: str) -> set[str]:
    starts = tuple(start for family in families for start in FAMILIES[family])
    return {label for label in scenes.CLASSES if label.startswith(starts)}


def layers_of(name: str) -> dict[str, tuple[str, ...]]:
    """Return a demo model's choices of layers, earliest first."""
    if "vit" in name:
        return VIT
    return CLASSIFIER if name.startswith("demo-cls") else DETECTOR


@cache
def loaded(name: str) -> LoadedModel:
    """Return a demo model on the CPU."""
    return LoadedModel(load(row_of(name)), CPU)


def default(engine: LoadedModel, question: str) -> Line:
    """Return the product's method, layers and part for a question."""
    chosen = settings(engine, question)
    paths = chosen["layers"] or engine.default_layers
    known = layers_of(engine.adapter.spec.id)
    return chosen["method"], next(name for name, layer_paths in known.items() if layer_paths == paths), chosen["part"]


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
        """Return the targets of the label by part."""
        anchors = () if self.prediction.anchor is None else (self.prediction.anchor,)
        return {part: Target(self.thing.index, self.thing.label, anchors, part) for part in PARTS}


def find_subject(engine: LoadedModel, number: int, spec: Spec, paths: Sequence[str]) -> Subject | None:
    """Return a random correctly found object of the scene, if any."""
    scene = scenes.draw(spec)
    evidence = evidence_of(engine, scene, paths)
    predictions = engine.adapter.decode(evidence.outputs, evidence.geometry, top_k=1, confidence=0.25, iou=0.7)
    if engine.adapter.spec.task == "classify":
        (thing,) = scene.objects
        right = predictions[0].index == thing.index and thing.cause.any()
        return Subject(number, spec, scene, thing, evidence, predictions[0]) if right else None
    pairs = match(predictions, [(thing.label, thing.box) for thing in scene.objects])
    pairs = [(prediction, at) for prediction, at in pairs if scene.objects[at].cause.any()]
    if not pairs:
        return None
    # By the scene's own seed: another model's misses change no other's draw.
    prediction, at = random.Random(f"{SEED} {number}").choice(pairs)
    return Subject(number, spec, scene, scene.objects[at], evidence, prediction)


def match(predictions: Sequence[Prediction], objects: Sequence[tuple[str, Box]]) -> list[tuple[Prediction, int]]:
    """Return objects' boxes (label, IoU >= 0.5), best first, with object numbers."""
    free, pairs = set(range(len(objects))), []
    for prediction in predictions:
        overlaps = [
            (intersection_over_union(prediction.box, objects[i][1]), i)
            for i in free
            if prediction.box is not None and objects[i][0] == prediction.label
        ]
        if overlaps and max(overlaps)[0] >= SAME:
            free.remove(max(overlaps)[1])
            pairs.append((prediction, max(overlaps)[1]))
    return pairs


def subjects(model: str, numbers: Sequence[int], paths: Sequence[str]) -> Iterator[Subject]:
    """Yield a correctly found object of each held-out scene."""
    engine = loaded(model)
    for number in numbers:
        spec = scenes.sample(number, task=engine.adapter.spec.task, held_out=True)
        subject = find_subject(engine, number, spec, paths)
        if subject is not None:
            yield subject


def held_out(model: str, numbers: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels of a demo model's held-out scenes."""
    task = "detect" if row_of(model).task == "detect" else "classify"
    return (scenes.draw(scenes.sample(number, task=task, held_out=True)).pixels for number in numbers)


def evidence_of(engine: LoadedModel, scene: DemoScene, paths: Sequence[str] = ()) -> Evidence:
    """Pass a scene of input size without resampling."""
    adapter = engine.adapter
    model_input = adapter.prepare(scene.pixels, adapter.preprocessings[0])
    assert model_input.geometry.input == model_input.geometry.original
    return Evidence(engine, model_input, layers_at(engine, tuple(paths)) if paths else ())


def is_cause(engine: LoadedModel, subject: Subject) -> bool:
    """Return whether swapping the mark yields the rival, if any."""
    rival = scenes.RIVALS.get(subject.thing.label)
    if rival is None:
        return True
    scene = scenes.draw(scenes.swap(subject.spec, subject.thing.thing))
    outputs = evidence_of(engine, scene).outputs
    if engine.adapter.spec.task == "classify":
        scores = outputs.logits[0].detach().softmax(0)
    else:
        # A pearl on the other side of its moon changes the box.
        box = next(thing.box for thing in scene.objects if thing.thing == subject.thing.thing)
        overlaps = box_iou(torch.tensor([box]), outputs.boxes[0].detach())[0] >= SAME
        scores = outputs.scores[0].masked_fill(~overlaps, 0).amax(1)
    return bool(scores.argmax() == scenes.CLASSES.index(rival))


def causes(engine: LoadedModel, subject: Subject) -> dict[str, Cause]:
    """Return by question the cause, and the box within which it is ranked.

    "Why" has one where the cause is a part of the object, and the mark is shown to be it.
    """
    thing = subject.thing
    by_question: dict[str, Cause] = {"where": (thing.mask, None)}
    if thing.label in labels_of(*PARTLY) and is_cause(engine, subject):
        by_question["why"] = thing.cause, box_of(thing.box, thing.mask.shape)
    return by_question


def maps(
    evidence: Evidence,
    layers: Mapping[str, tuple[str, ...]],
    targets: Mapping[str, Target],
    methods: Sequence[Method] = FAST,
) -> dict[Line, Map | None]:
    """Return the product's maps (H, W) by line; None: empty map."""
    at = {layer.path: i for i, layer in enumerate(evidence.layers)}
    pairs = [(method, part) for method in methods for part in targets]
    raws = {(method.id, part): method.run(evidence, [targets[part]]).maps for method, part in pairs}
    of = [targets[part] for _, part in raws]
    by_line: dict[Line, Map | None] = {}
    for name, paths in layers.items():
        stacked = [torch.cat([raw[at[path]] for raw in raws.values()]) for path in paths]
        scaled = heatmaps(stacked, of, method="", layers=paths, geometry=evidence.geometry, scale="own")
        for (method, part), heatmap in zip(raws, scaled, strict=True):
            by_line[method, name, part] = heatmap.at_input if heatmap.state == "ok" else None
    return by_line


def map_of(evidence: Evidence, method: Method, target: Target) -> Map | None:
    """Return a map by a method's own run, at its own layers."""
    raw = method.run(evidence, [target])
    layers, geometry = raw.layers, evidence.geometry
    (heatmap,) = heatmaps(raw.maps, [target], method=method.id, layers=layers, geometry=geometry, scale="own")
    return heatmap.at_input if heatmap.state == "ok" else None
