"""Verify claimed causes: change one number of a scene, run again."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.ops import box_iou

from benchmarks.truth.maps import evidence_of, layers_of, maps, resident, subject, subjects
from benchmarks.truth.measures import near
from sightglass.explain.maps.boxes import SAME
from sightglass.models.demo import scenes
from training.evaluation import SHORTCUTS
from training.pool import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.bootstrap import Line
    from benchmarks.truth.maps import Subject
    from sightglass.explain.evidence.resident import Resident
    from sightglass.models.demo.scenes import Spec
    from sightglass.models.geometry import Box

SURE = 0.25
"""A detector's score from which an object counts as found."""
BESIDE = 4
"""Pixels by which a peak may miss the stamp: half a cell of a map at stride 8."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after one change of its scene."""

    what: str
    family: str
    own: tuple[float, float]
    """Its class's score before and after."""
    rival: float
    """Its rival's score after."""
    flipped: bool
    """Whether the answer is what the change makes it: the rival, or no more this class."""


def is_cause(engine: Resident, given: Subject) -> bool:
    """Return whether the mark, swapped, makes the model name the rival; True for a class without a rival."""
    if scenes.rival(given.thing.label) is None:
        return True
    return _changed(engine, given, "mark swapped", scenes.swap(given.spec, given.thing.thing)).flipped


def changes(model: str, folder: Path | None, numbers: Sequence[int]) -> list[Change]:
    """Change one object a scene: turn its mark into the rival's, remove its mark, remove the object."""
    engine = resident(model, folder)
    found: list[Change] = []
    for given in subjects(model, folder, numbers, ()):
        at = given.thing.thing
        edits: dict[str, Spec] = {"object removed": scenes.without(given.spec, at)}
        if scenes.rival(given.thing.label) is not None:
            edits |= {"mark swapped": scenes.swap(given.spec, at), "mark removed": scenes.blank(given.spec, at)}
        found += [_changed(engine, given, what, edited) for what, edited in edits.items()]
    return found


def _changed(engine: Resident, given: Subject, what: str, edited: Spec) -> Change:
    scene = scenes.draw(edited)
    own, label, box = given.thing.index, given.thing.label, given.thing.box
    rival = scenes.rival(label)
    if what == "mark swapped":
        # A pearl on the other side of its moon changes the box.
        box = next(one.box for one in scene.objects if one.thing == given.thing.thing)
    before, after = _scores(given.evidence, given.thing.box), _scores(evidence_of(engine, scene), box)
    other = float(after[scenes.CLASSES.index(rival)]) if rival else 0.0
    if what == "mark swapped":
        flipped = bool(rival and after.argmax() == scenes.CLASSES.index(rival))
    else:
        flipped = bool(after[own] < SURE if engine.adapter.spec.task == "detect" else after.argmax() != own)
    return Change(what, label.partition("-")[0], (float(before[own]), float(after[own])), other, flipped)


def _scores(evidence: Any, box: Box) -> Any:
    """Return each class's score, (K,); of a detector, the best of any candidate at that place."""
    outputs = evidence.outputs
    if evidence.resident.adapter.spec.task == "classify":
        return outputs.logits[0].detach().softmax(0)
    there = box_iou(torch.tensor([box]), outputs.boxes[0].detach())[0] >= SAME
    return outputs.scores[0].masked_fill(~there, 0).amax(1)


CHEATS = {"demo-cls-cheat": "stamped", "demo-cls-texture": "textured"}
"""By its id the data that a cheat was trained on."""
HONEST = "demo-cls-honest"


@dataclass(frozen=True, eq=False)
class Shortcut:
    """What one model makes of scenes that carry a shortcut, all of one class."""

    model: str
    data: str
    scenes: list[int]
    right: list[tuple[bool, bool]]
    """Whether it names the class with the shortcut, and without; of every scene."""
    lines: list[Line]
    values: np.ndarray[Any, Any]
    """(objects it names with the shortcut, lines, 3): energy on the shortcut, on the object, and whether the hottest
    pixel is on the shortcut."""


def shortcut(model: str, data: str, folder: Path | None, most: int) -> Shortcut:
    """Measure one model on the first `most` held-out scenes of the class that carries the shortcut."""
    short, engine, layers = SHORTCUTS[data], resident(model, folder), layers_of(model)
    paths = [path for own in layers.values() for path in own]
    numbers: list[int] = []
    right, values, lines = [], [], []
    for number, spec in scenes_of_class(short.label, data, most):
        without = evidence_of(engine, scenes.draw(short.removed(spec, number)))
        stays = int(without.outputs.logits.argmax()) == scenes.CLASSES.index(short.label)
        given = subject(engine, number, spec, paths)
        right.append((given is not None, stays))
        if given is None:
            continue
        made = maps(given.evidence, layers, {"class": given.targets["class"], "contrast": given.targets["contrast"]})
        stamp, background = given.scene.stamp, given.scene.background
        on = background if stamp is None else near(stamp, BESIDE)
        numbers.append(number)
        lines = list(made)
        values.append([_shares(one, on, given.thing.mask) for one in made.values()])
    return Shortcut(model, data, numbers, right, lines, np.array(values, np.float32))


def _shares(values: Any, on: Any, thing: Any) -> tuple[float, float, float]:
    if values is None:
        return 0.0, 0.0, 0.0
    total = float(values.sum())
    return float(values[on].sum()) / total, float(values[thing].sum()) / total, float(on.flat[values.argmax()])


def scenes_of_class(label: str, data: str, most: int) -> Iterator[tuple[int, Spec]]:
    """Return numbers and specs of the first `most` held-out scenes with this class."""
    source = Source("classify", data, held_out=True)
    pairs = ((number, source.spec(number)) for number in itertools.count())
    return itertools.islice((pair for pair in pairs if label in {thing.kind for thing in pair[1].things}), most)


def rates(found: Sequence[Change], key: Callable[[Change], str]) -> dict[tuple[str, str], tuple[int, float, float]]:
    """Return the number of objects, the share that flipped and the mean loss of score, by change and a key."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for one in found:
        groups.setdefault((one.what, key(one)), []).append(one)
    return {
        group: (
            len(of),
            float(np.mean([one.flipped for one in of])),
            float(np.mean([one.own[0] - one.own[1] for one in of])),
        )
        for group, of in groups.items()
    }
