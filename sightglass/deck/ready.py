"""Make the ready-made decks."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Cancelled
from sightglass.deck import making, views
from sightglass.deck import ready_words as words
from sightglass.deck.scene import Scene
from sightglass.explain.comparison.detections import same_target
from sightglass.explain.comparison.models import Comparison, measure
from sightglass.explain.explainer import Explainer
from sightglass.explain.methods import METHODS
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.whatif.shortcut_story import story_step
from sightglass.models.demo.scenes import draw
from sightglass.models.demo.showcase import scene as example

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from sightglass.deck.deck import Deck
    from sightglass.deck.decks import Decks
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.proof.support import SupportVerdict
    from sightglass.models.adapter import Prediction

READY = {"lies": "What is a heat map, and when does it lie?", "sizes": "Small, medium or large?"}
"""The titles of the ready decks by their names."""
SLIDES = {"lies": 9, "sizes": 8}
PICTURE, SCENE, STORY = "bus", "scene 3", "stamp"
CLASSIFIERS = {"small": "efficientnet-lite0", "medium": "efficientnet-lite1", "large": "efficientnet-lite2"}
DETECTORS = {"small": "demo-s", "medium": "demo-m", "large": "demo-l"}
STEPS = 20
"""Of a proof's curves."""
MATCH = 0.5
"""IoU from which a box is on a thing."""


def make(
    decks: Decks,
    name: str,
    *,
    progress: Callable[[float, str], None] = lambda _share, _words: None,
    cancel: threading.Event | None = None,
    steps: int = STEPS,
) -> Deck:
    """Make one of READY and add it to the decks, whole; `progress` gets the share that is done and what comes next.

    Raises Cancelled where `cancel` was set, and Problem where a model or a picture is not installed.
    """
    made: list[Scene] = []
    for scene in scenes_of(name, steps=steps):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        made.append(scene)
        progress(len(made) / SLIDES[name], f"{READY[name]} Slide {len(made)} of {SLIDES[name]}")
    deck = decks.create(READY[name], made, ready=name)
    decks.mark_made(name)
    return deck


def missing(decks: Decks) -> list[str]:
    """Return the names of those that were never made here: one that was deleted stays away."""
    there = {deck.ready for deck in decks.all()}
    return [name for name in READY if name not in there and not decks.was_made(name)]


def scenes_of(name: str, *, steps: int = STEPS) -> Iterator[Scene]:
    """Yield the scenes of one of READY, one by one as they are computed."""
    return {"lies": _lies, "sizes": _sizes}[name](steps)


def _lies(steps: int) -> Iterator[Scene]:
    yield Scene(
        "words",
        READY["lies"],
        "Five minutes, no mathematics: what the colours mean, and how to find out whether they are true.",
        "Say what you will show: one photograph, one test, one model that cheats.\nEvery number on these slides was "
        "measured by this program on this machine. Nothing was typed in.",
    )
    image = load_bundled(PICTURE)
    found = Explainer(CLASSIFIERS["small"])(image, top_k=2)
    first, second = (heatmap.target.label for heatmap in found.heatmaps)
    half, shows = found.statistics[0].half_heat_area, _find_shown(found)
    then = "its map" if shows else "where it looked.\nBright means: this place speaks for the answer"
    yield _set_texts(
        views.of_map(found),
        words.names_it(first, found.predictions[0].score, half, shows),
        f"Build it up: first the picture, then what the model says, then {then}.\nThe dark edge was cut off before the "
        "model saw the picture.",
    )
    yield _set_texts(
        views.of_map(found, 1),
        words.other_answer(first, second, found.overlap(0, 1), shows),
        "The same picture and the same model; only the question changed. Press 1 and 2 to go back and forth.",
    )
    proof = found.prove(0, steps=steps)
    yield _set_texts(
        views.of_map(found),
        words.test_of_a_map(_verdict(proof), proof.sentence),
        "A picture alone proves nothing. So hide the bright part and ask the model again; then hide as much elsewhere. "
        "Press P to see it happen.\nA map that holds costs the model more than maps of other pictures do.",
    )
    method = "eigencam"
    flat = Explainer(CLASSIFIERS["small"])(image, targets=(first, second), method=method)
    yield _set_texts(
        views.of_map(flat),
        words.same_for_all(METHODS[method].name, first, second, flat.overlap(0, 1)),
        "Press 1 and 2: the question changes. Watch whether the picture does.",
    )
    told = {
        "answer": "Let the room guess: why is it right? Do not go on too soon.",
        "look": "The first model learnt from pictures in which one kind of object always came with a stamp.",
        "without": "One small thing was painted over. Nothing else changed.",
    }
    for step, note in told.items():
        scene = views.of_story(story_step(STORY, step, 0))  # type: ignore[arg-type]
        yield replace(scene, notes=f"{note}\n{scene.notes}".strip())
    yield Scene(
        "words",
        "Three questions for every heat map",
        "Does hiding it change the answer? Does another question move it? Is the bright part what a person would name?",
        "One no is enough to be careful. Then open Sightglass with a picture of your own, and ask all three.",
    )


def _find_shown(*found: Explanation) -> str:
    """Return what a map shows instead of what its model learnt, by its seal; empty where all depend on their models."""
    seals = [one.known_seal(index) for one in found for index in range(len(one.heatmaps))]
    return next((seal.shows for seal in seals if seal is not None and seal.shows), "")


def _set_texts(scene: Scene, said: tuple[str, str], notes: str) -> Scene:
    """Return a scene with the words of a ready deck."""
    title, sentence = said
    return replace(scene, title=title, sentence=sentence, notes=notes)


def _sizes(steps: int) -> Iterator[Scene]:
    yield Scene(
        "words",
        READY["sizes"],
        "The same kind of model in three sizes, on the same pictures: what does a larger one buy?",
        "Three questions: do they say the same, do they look at the same place, and what does it cost?\nEvery number "
        "was measured on this machine.",
    )
    bus = _compare(CLASSIFIERS, PICTURE)
    yield _of_models(bus, words.agree(_answers(bus)), "Press L to go from small to medium to large.")
    aligned = replace(bus, explanations=same_target(bus.explanations))
    pairs = [
        (bus.names[a], bus.names[b], found.iou_top20)
        for a, b in combinations(range(len(bus.names)), 2)
        if (found := aligned.agreement(a, b)) is not None
    ]
    label = next(one.heatmaps[0].target.label for one in aligned.explanations if one.heatmaps)
    note = "Now all three are asked about one and the same answer, so that their maps can be compared."
    yield _of_models(aligned, words.compare_places(label, pairs, _find_shown(*aligned.explanations)), note)
    other = _compare(CLASSIFIERS, "china")
    note = "Another photograph. A larger model is not always surer, and being surer is not being right."
    yield _of_models(other, words.agree(_answers(other)), note)
    yield _make_proof_slide(aligned, steps // 2)
    yield _price(bus)
    yield _detectors()
    yield Scene(
        "words",
        "Choose the smallest that is right for the right reason",
        "Try all three sizes on pictures of your own, look where they look, and prove it. Then look at the price.",
        "Models, in the menu Compare, does this for two to four models at once.",
    )


def _compare(models: dict[str, str], picture: str, **options: Any) -> Comparison:
    """Return explanations of a bundled picture by several models, with the time that each takes."""
    image = load_bundled(picture)
    each = tuple(Explainer(model)(image, **options) for model in models.values())
    return Comparison(each, tuple(models), tuple(measure(one.evidence) for one in each))


def _of_models(comparison: Comparison, said: tuple[str, str], notes: str) -> Scene:
    names = [name.capitalize() for name in comparison.names]
    return _set_texts(views.of_models(comparison, names), said, notes)


def _answers(comparison: Comparison) -> list[tuple[str, str, float]]:
    best = ((name, comparison.best(i)) for i, name in enumerate(comparison.names))
    return [(name, one.label, one.score) for name, one in best if one is not None]


def _make_proof_slide(comparison: Comparison, steps: int) -> Scene:
    proofs = [one.prove(0, steps=steps) for one in comparison.explanations]
    gains = [proof.difference("random") for proof in proofs]
    said = words.judge_maps([(name, _verdict(one)) for name, one in zip(comparison.names, proofs, strict=True)])
    scene = _of_models(comparison, said, "Press P: the bright part is hidden, and as much elsewhere.")
    each = "\n".join(
        f"{name.capitalize()}: {proof.sentence}" for name, proof in zip(comparison.names, proofs, strict=True)
    )
    best = max(range(len(gains)), key=lambda i: gains[i].mean)
    proved = making.proof(proofs[best], panel=best)
    return replace(scene, proof=proved, view=replace(scene.view, panel=best), notes=f"{scene.notes}\n{each}")


def _verdict(proof: Proof) -> SupportVerdict:
    assert proof.support is not None
    return proof.support.verdict


def _price(comparison: Comparison) -> Scene:
    each = zip(comparison.names, comparison.explanations, comparison.timings, strict=True)
    models = [(name, float(one.evidence.resident.parameters), took.median) for name, one, took in each]
    title, sentence = words.price(models, comparison.fastest is not None)
    note = "Times are medians of five looks, on the machine that made this deck, as busy as it was then."
    return Scene("words", title, sentence, note)


def _detectors() -> Scene:
    comparison = _compare(DETECTORS, SCENE, per="detection")
    truth = draw(example(SCENE)).objects
    models = []
    for name, one in zip(comparison.names, comparison.explanations, strict=True):
        true = _true(one, [(thing.label, thing.box) for thing in truth])
        models.append((name, true, len(one.predictions) - true))
    note = "A drawn scene, so what is in it is known. Press L for the next size, and 1 to 9 for the boxes."
    return _of_models(comparison, words.count_found(len(truth), models), note)


def _true(explanation: Explanation, things: list[tuple[str, Any]]) -> int:
    """Return how many boxes are on things of their class, each thing counted once."""
    left, count = list(things), 0
    for one in explanation.predictions:
        hit = next((thing for thing in left if thing[0] == one.label and _iou(one, thing[1]) >= MATCH), None)
        if hit is not None:
            left.remove(hit)
            count += 1
    return count


def _iou(found: Prediction, box: Any) -> float:
    assert found.box is not None
    (a0, b0, a1, b1), (c0, d0, c1, d1) = found.box, box
    inside = max(0.0, min(a1, c1) - max(a0, c0)) * max(0.0, min(b1, d1) - max(b0, d0))
    return float(inside / ((a1 - a0) * (b1 - b0) + (c1 - c0) * (d1 - d0) - inside))
