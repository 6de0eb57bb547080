"""Prove maps of drawn scenes whose cause is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.truth.causes import is_cause
from benchmarks.truth.maps import default, evidence_of, layers_of, resident, subjects
from benchmarks.truth.measures import box_of, measured
from benchmarks.truth.verdict import PARTLY, labels_of
from sightglass.explain.explanation import explain
from sightglass.explain.faithfulness.stability import stability
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.bootstrap import Line
    from benchmarks.truth.maps import Subject
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.proof.proof import Proof

STEPS = 10
PARTS = {"where": "class", "why": "contrast"}
"""What each question's map explains."""
LATE, EARLY = ("gradcam", "eigencam"), ("gradcam", "hirescam")
EARLIER = {"classify": "layer2", "vit": "blocks.1", "detect": "backbone P2"}


@dataclass(frozen=True, eq=False)
class ProvedMap:
    """A map with its proof, and how well it shows the known cause."""

    model: str
    number: int
    """Of its scene."""
    question: str
    line: Line
    hit: float
    """1 where the hottest pixel is on the cause, else 0."""
    energy: float
    """The share of the map's sum on the cause."""
    proof: Proof
    spread: float
    """Of the maps under small changes, the mean over pixels."""


def lines_of(model: str) -> list[tuple[str, str]]:
    """Return methods and layers whose maps are right and wrong by turns: good and poor ones at a late and an early
    layer, and what the product answers each question with."""
    engine = resident(model)
    task = "vit" if "vit" in model else engine.adapter.spec.task
    own = [default(engine, question)[:2] for question in PARTS]
    late = [*layers_of(model)][-1]
    pairs = [(method, layer) for layer, methods in ((late, LATE), (EARLIER[task], EARLY)) for method in methods]
    return list(dict.fromkeys([*own, *pairs]))


def proved(model: str, numbers: Sequence[int]) -> list[ProvedMap]:
    """Prove several maps of one object of each scene, for both questions where the object has a cause of its own."""
    return [one for given in subjects(model, None, numbers, ()) for one in _of(model, given)]


def _of(model: str, given: Subject) -> Iterator[ProvedMap]:
    engine = resident(model)
    partly = given.thing.label in labels_of(*PARTLY) and is_cause(engine, given)
    inside = box_of(given.thing.box, given.scene.pixels.shape[:2])
    for method, layer in lines_of(model):
        for question in PARTS if partly else ("where",):
            made = explanation_of(model, given, (method, layer, PARTS[question]))
            if made.heatmaps[0].measured.state != "ok":
                continue
            cause, region = (given.thing.mask, None) if question == "where" else (given.thing.cause, inside)
            [(hit, energy, _, _)] = measured(made.heatmaps[0].measured.at_input, (cause, region))
            yield ProvedMap(
                model,
                given.number,
                question,
                (method, layer, PARTS[question]),
                hit,
                energy,
                made.prove(steps=STEPS),
                float(stability(made).spread.mean()),
            )


def explanation_of(model: str, given: Subject, line: Line) -> Explanation:
    """Return the explanation of a scene's one object by a method, at a choice of layers, of a part of its class."""
    method, layer, part = line
    anchor, index = given.prediction.anchor, given.thing.index
    box: dict[str, Any] = {} if anchor is None else {"per": "detection", "targets": [(anchor, index)]}
    options = Options.parse({"method": method, "part": part, "top_k": 1} | box)
    evidence = evidence_of(resident(model), given.scene, layers_of(model)[layer])
    image = Image.open(given.scene.pixels, name=f"scene-{given.number}.png")
    return explain(image, evidence, options, milliseconds={})
