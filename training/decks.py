"""Make the slides of the decks that come with Sightglass."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from sightglass.explain.comparison.models import Comparison
from sightglass.explain.explainer import Explainer
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import listing, percent
from sightglass.explain.picture.image import Image, load_bundled, to_jpeg
from sightglass.explain.trust import SHOWS
from sightglass.report import View, charts, views
from training.demo.scenes import draw
from training.demo.showcase import scene as example
from training.story import STEPS as STORY_STEPS
from training.story import slide_of, story_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.trust.proof import Proof, SupportVerdict
    from sightglass.models.adapter import Prediction
    from training.story import Step

PICTURE, SCENE, STORY = "bus", "scene 3", "stamp"
TITLES = {
    "cheat": "See a model cheat",
    "lies": "What is a heat map, and when does it lie?",
    "sizes": "Small, medium or large?",
}
"""Of the decks, by their names."""
CLASSIFIERS = {"small": "efficientnet-lite0", "medium": "efficientnet-lite1", "large": "efficientnet-lite2"}
DETECTORS = {"small": "demo-s", "medium": "demo-m", "large": "demo-l"}
NOTES: dict[Step, str] = {
    "answer": "Let the room guess: why is it right? Do not go on too soon.",
    "look": "The first model learnt from pictures in which one kind of object always came with a stamp.",
    "without": "One small thing was painted over. Nothing else changed.",
}
"""Of a speaker, by the step of the story."""
STEPS = 20
"""Of a proof's curves."""
MATCH = 0.5
"""IoU from which a box is on a thing."""
SAME_PLACE = 0.5
"""Overlap of the hottest fifths from which two maps show the same place."""
SIDE, QUALITY = 960, 70
"""Pixels of the longer side of a picture, and its JPEG's quality: the decks are packaged."""


def make_views(name: str) -> Iterator[View]:
    """Yield the views of a deck of TITLES, computed one by one."""
    yield from map(reduce_view, {"cheat": _cheat, "lies": _lies, "sizes": _sizes}[name](STEPS))


def reduce_view(view: View) -> View:
    """Return a smaller view, of compressed pictures."""
    files = {picture.jpeg: to_jpeg(Image.open(picture.jpeg).pixels, QUALITY) for picture in view.pictures}
    return replace(view, pictures=tuple(replace(picture, source=files[picture.jpeg]) for picture in view.pictures))


def _lies(steps: int) -> Iterator[View]:
    yield View(
        "When does a heat map lie?",
        ("Five minutes, no mathematics: what the colours mean, and how to find out whether they are true.",),
        kind="words",
        notes="Say what you will show: one photograph, one test, one model that cheats.\nEvery number on these slides "
        "was measured by this program. Nothing was typed in.",
    )
    image = _open(PICTURE)
    explanation = Explainer(CLASSIFIERS["small"])(image, top_k=2)
    first, second = (heatmap.target.label for heatmap in explanation.heatmaps)
    half, shows = explanation.statistics[0].half_heat_area, _find_shown(explanation)
    yield _set_texts(
        views.map_view(explanation),
        _names_it(first, explanation.predictions[0].score, half, shows),
        "Press M to take the map away and to bring it back. Bright means: this place speaks for the answer.\nThe dark "
        "edge was cut off before the model saw the picture.",
    )
    yield _set_texts(
        views.map_view(explanation, 1),
        _other_answer(first, second, explanation.overlap(0, 1), shows),
        "The same picture and the same model; only the question changed. Go back and forth between the two slides.",
    )
    proof = explanation.prove(0, steps=steps)
    yield _set_texts(
        views.map_view(explanation),
        _test_of_a_map(_verdict(proof), proof.sentence),
        "A picture alone proves nothing. So hide the bright part and ask the model again; then hide as much elsewhere. "
        "The next slide has the curve.\nA map that holds costs the model more than maps of other pictures do.",
    )
    method = "eigencam"
    flat = Explainer(CLASSIFIERS["small"])(image, targets=(first, second), method=method)
    both = [views.explained_picture(flat, index) for index in range(2)]
    named = tuple(replace(picture, caption=views.name_answer(picture, model=False)) for picture in both)
    yield _set_texts(
        replace(views.map_view(flat), pictures=named),
        _same_for_all(METHODS[method].name, first, second, flat.overlap(0, 1)),
        "Another method, asked about both answers: its two maps are compared in the sentence.",
    )
    for step, note in NOTES.items():
        view = slide_of(story_step(STORY, step, 0))
        yield replace(view, notes=f"{note}\n{view.notes}".strip())
    yield View(
        "Three questions for every heat map",
        (
            "Does hiding it change the answer? Does another question move it? Is the bright part what a person would "
            "name?",
        ),
        kind="words",
        notes="One no is enough to be careful. Then open Sightglass with a picture of your own, and ask all three.",
    )


def _cheat(_steps: int) -> Iterator[View]:
    yield View(
        TITLES["cheat"],
        ("Two models that are right for the wrong reason, and how their heat maps give them away.",),
        kind="words",
        notes="Let the room guess at the first picture: is it right for the right reason?\nEvery number was measured.",
    )
    for story in ("stamp", "weave"):
        for step in STORY_STEPS:
            view = slide_of(story_step(story, step, 0))
            yield replace(view, notes=f"{NOTES.get(step, '')}\n{view.notes}".strip())
    yield View(
        "Now try your own model",
        ("A model that relies on a shortcut can be right on every picture of its test set.",),
        kind="words",
        notes="Explain one of your pictures on Explore: is the evidence on the thing that the class names? Explain "
        "many on Pictures: a class whose maps are hot away from the objects may be recognised by a shortcut. Add your "
        "model on Models, or with sightglass models add leaf.pth --image leaf.jpg.",
    )


def _find_shown(*explanations: Explanation) -> str:
    """Return the image property shown by weight-independent maps; empty for none."""
    seals = [
        explanation.known_checks(index) for explanation in explanations for index in range(len(explanation.heatmaps))
    ]
    return next((seal.shows for seal in seals if seal is not None and seal.shows), "")


def _set_texts(view: View, texts: tuple[str, str], notes: str) -> View:
    """Return a view with the words of a ready deck."""
    title, sentence = texts
    return replace(view, title=title, statements=(sentence,), notes=notes)


def _sizes(steps: int) -> Iterator[View]:
    yield View(
        TITLES["sizes"],
        ("The same kind of model in three sizes, on the same pictures: what does a larger one buy?",),
        kind="words",
        notes="Three questions: do they say the same, do they look at the same place, and what does it cost?\nEvery "
        "number was measured.",
    )
    bus = _compare(CLASSIFIERS, PICTURE)
    compared = " and ".join(bus.names[i] for i in bus.ends or ())
    note = f"The last picture is the difference of {compared}: their maps are of one answer." if compared else ""
    yield _of_models(bus, _agree(_answers(bus)), note)
    aligned = bus.aligned()
    pairs = [
        agreement.iou_top20
        for pair in combinations(range(len(bus.names)), 2)
        if (agreement := aligned.agreement(*pair)) is not None
    ]
    label = next(explanation.heatmaps[0].target.label for explanation in aligned.explanations if explanation.heatmaps)
    note = "Now all three are asked about one and the same answer, so that their maps can be compared."
    yield _of_models(aligned, _compare_places(label, pairs, aligned.overlaps), note)
    other = _compare(CLASSIFIERS, "china")
    note = "Another photograph. A larger model is not always surer, and being surer is not being right."
    yield _of_models(other, _agree(_answers(other)), note)
    yield _make_proof_slide(aligned, steps // 2)
    yield _price(bus)
    yield _detectors()
    yield View(
        "Choose the smallest that is right for good reasons",
        ("Try all three sizes on pictures of your own, look where they look, and prove it. Then look at the price.",),
        kind="words",
        notes="Compare does this for two to four models at once.",
    )


def _open(name: str) -> Image:
    image = load_bundled(name)
    return Image(image.thumbnail(SIDE), image.name)


def _compare(models: dict[str, str], picture: str, **options: Any) -> Comparison:
    """Return explanations of a bundled picture by several models."""
    image = _open(picture)
    each = tuple(Explainer(model)(image, **options) for model in models.values())
    return Comparison(each, tuple(models), ())


def _of_models(comparison: Comparison, texts: tuple[str, str], notes: str) -> View:
    names = [name.capitalize() for name in comparison.names]
    return _set_texts(views.models_view(comparison, names), texts, notes)


def _answers(comparison: Comparison) -> list[tuple[str, str, float]]:
    results = [pair for pair in zip(comparison.names, comparison.explanations, strict=True) if pair[1].predictions]
    return [(name, result.predictions[0].label, result.predictions[0].score) for name, result in results]


def _make_proof_slide(comparison: Comparison, steps: int) -> View:
    proofs = [explanation.prove(0, steps=steps) for explanation in comparison.explanations]
    gains = [proof.map.insertion.area - proof.map.deletion.area for proof in proofs]
    texts = _judge_maps([(name, _verdict(proof)) for name, proof in zip(comparison.names, proofs, strict=True)])
    view = _of_models(comparison, texts, "The next slide has the curve of the map that holds best.")
    each = "\n".join(
        f"{name.capitalize()}: {proof.sentence}" for name, proof in zip(comparison.names, proofs, strict=True)
    )
    best = max(range(len(gains)), key=lambda i: gains[i])
    return replace(view, charts=(charts.describe_proof(proofs[best], best),), notes=f"{view.notes}\n{each}")


def _verdict(proof: Proof) -> SupportVerdict:
    return proof.support.verdict


def _price(comparison: Comparison) -> View:
    counts = [float(explanation.evidence.resident.parameters) for explanation in comparison.explanations]
    sizes = listing([f"{name} {count / 1e6:.1f} million" for name, count in zip(comparison.names, counts, strict=True)])
    grown = f"The {comparison.names[-1]} one has {counts[-1] / counts[0]:.1f} times the parameters: {sizes}."
    note = "How long each takes depends on the machine: Compare, in the dashboard, measures it on yours."
    return View("What larger costs", (grown,), kind="words", notes=note)


def _detectors() -> View:
    comparison = _compare(DETECTORS, SCENE, per="detection")
    truth = draw(example(SCENE)).objects
    models = []
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        true = _true(explanation, [(thing.label, thing.box) for thing in truth])
        models.append((name, true, len(explanation.predictions) - true))
    note = "A drawn scene, so what is in it is known."
    return _of_models(comparison, _count_found(len(truth), models), note)


def _true(explanation: Explanation, things: list[tuple[str, Any]]) -> int:
    """Return the number of correct boxes, each thing counted once."""
    left, count = list(things), 0
    for prediction in explanation.predictions:
        hit = next(
            (thing for thing in left if thing[0] == prediction.label and _iou(prediction, thing[1]) >= MATCH), None
        )
        if hit is not None:
            left.remove(hit)
            count += 1
    return count


def _iou(prediction: Prediction, box: Any) -> float:
    assert prediction.box is not None
    (a0, b0, a1, b1), (c0, d0, c1, d1) = prediction.box, box
    inside = max(0.0, min(a1, c1) - max(a0, c0)) * max(0.0, min(b1, d1) - max(b0, d0))
    return float(inside / ((a1 - a0) * (b1 - b0) + (c1 - c0) * (d1 - d0) - inside))


def _names_it(label: str, score: float, half: float, shows: str = "") -> tuple[str, str]:
    """Title and sentence of a picture under its first map. `half`: the share of the visible picture with half of the
    evidence, 0..1. `shows`: `Checks.shows`, of a map that does not depend on the model."""
    sure = f"This model says {label}, {percent(score)} sure. " if score >= 0.2 else f"Its best guess is {label}. "
    if shows:
        title = "hardly depends on the model" if shows == SHOWS["survives"] else f"shows {shows}"
        return f"This heat map {title}", f"{sure}With random weights the map is nearly the same."
    return (
        "A heat map shows where a model looked",
        f"{sure}Half of what speaks for that is on {percent(half)} of what it saw: the bright part.",
    )


def _other_answer(first: str, second: str, overlap: float, shows: str = "") -> tuple[str, str]:
    """Title and sentence of the map of another answer on the same picture. `overlap`: of the hottest fifths, 0..1.
    `shows`: as in `_names_it`."""
    shared, what = percent(overlap), f"The map of {second}" if shows else f"What speaks for {second}"
    if overlap >= SAME_PLACE:
        return (
            "Ask for another answer: the map stays",
            f"{what} is where {first} is, too: {shared} of their brightest parts overlap.",
        )
    return (
        "Ask for another answer: the map moves",
        f"{what} is elsewhere: only {shared} of its brightest part overlaps with that of {first}.",
    )


def _test_of_a_map(verdict: SupportVerdict, sentence: str) -> tuple[str, str]:
    """Title and sentence of a proved map."""
    return {
        "supported": "This map holds: hide what it shows",
        "not supported": "A map that does not hold",
        "cannot be told": "Is it true? It cannot be told here",
    }[verdict], sentence


def _same_for_all(method: str, first: str, second: str, overlap: float) -> tuple[str, str]:
    """Return title and sentence of two answers' maps; `overlap`: 0..1."""
    shared = percent(overlap)
    if overlap >= SAME_PLACE:
        return (
            "Some maps lie: the same, whatever you ask",
            f"{method} draws {first} and {second} in one place ({shared} overlap): it shows what stands out, not why "
            "the model answers.",
        )
    return (
        "Two methods can disagree",
        f"{method} puts {first} and {second} in different places ({shared} overlap): ask which of its maps holds.",
    )


def _agree(answers: Sequence[tuple[str, str, float]]) -> tuple[str, str]:
    """Return title and sentence of models' (size, label, score), ascending."""
    answers_text = listing([f"{size} {label}, {percent(score)} sure" for size, label, score in answers])
    sentence = f"{answers_text[:1].upper()}{answers_text[1:]}."
    if len({label for _, label, _ in answers}) > 1:
        return "They do not say the same", sentence
    surest = max(answers, key=lambda answer: answer[2])[0]
    largest = answers[-1][0]
    more = "" if surest == largest else f" More parameters do not make the {largest} one surer."
    return f"They agree; the {surest} one is the surest", f"{sentence}{more}"


def _compare_places(label: str, overlaps: Sequence[float], sentence: str) -> tuple[str, str]:
    """Return title and sentence of models' maps; `overlaps`: of pairs."""
    alike = sum(overlap >= SAME_PLACE for overlap in overlaps)
    where = "they mark the same place" if alike == len(overlaps) else "not all mark one place"
    return f"Asked about {label}, {where if alike else 'they mark different places'}", sentence


def _count_found(truth: int, models: Sequence[tuple[str, int, int]]) -> tuple[str, str]:
    """Return title and sentence of detectors: (size, true, false) of `truth`."""
    each = [f"{size} {true}{_describe_false(false)}" for size, true, false in models]
    sentence = f"There are {truth} things in it. Found: {listing(each)}."
    scores = [true - false for _, true, false in models]
    best = [size for (size, *_), score in zip(models, scores, strict=True) if score == max(scores)]
    if len(best) == len(models):
        return "Find the things: all do as well", sentence
    if models[0][0] in best:
        return f"The {models[0][0]} one finds as much as any", sentence
    return f"Find the things: {listing(best)} {'does' if len(best) == 1 else 'do'} best", sentence


def _describe_false(count: int) -> str:
    return f" and {count} that {'is' if count == 1 else 'are'} not there" if count else ""


def _judge_maps(models: Sequence[tuple[str, SupportVerdict]]) -> tuple[str, str]:
    """Title and sentence of several models' proved maps: (size, its verdict)."""
    good = [size for size, verdict in models if verdict == "supported"]
    if len(good) == len(models):
        return "All their maps hold", "Each matters more to its answer than any of the maps of other pictures."
    if all(verdict == "not supported" for _, verdict in models):
        return "None of their maps holds", "Maps of other pictures matter as much to their answers."
    if not good:
        return "Whether their maps hold cannot be told", "None matters more than every map of another picture."
    return "Not every map holds", f"Only the map of {listing(good)} matters more than every map of another picture."
