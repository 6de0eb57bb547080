"""Make the slides of the decks that come with Sightglass: `slides.toml` has their words, and measurements are here."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightglass.evaluation.boxes import RIGHT, match
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.explainer import Explainer
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import article, listing, percent
from sightglass.explain.picture.image import Image, load_bundled, to_jpeg
from sightglass.report import charts, views
from sightglass.report.view import View
from training.demo import scenes
from training.demo.scenes import Spec
from training.demo.showcase import enlarge
from training.demo.showcase import scene as example
from training.tasks import SHORTCUTS

TEXTS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("slides.toml").read_text("utf-8"))
TITLES: dict[str, str] = TEXTS["titles"]
"""Of the decks, by their names."""
PICTURE, SCENE = "bus", "scene 3"
CLASSIFIERS = {"small": "efficientnet-lite0", "medium": "efficientnet-lite1", "large": "efficientnet-lite2"}
DETECTORS = {"small": "demo-s", "medium": "demo-m", "large": "demo-l"}
HONEST = "demo-cls-honest"
"""The model that was trained on the objects of those that cheat without their shortcuts."""
MARGIN = 4 / 128
"""Margin around a stamp within which heat counts as on it, as a share of the picture's side: half a cell of a map."""
STEPS = 20
"""Of a proof's curves."""
SAME_PLACE = 0.5
"""Overlap of the hottest fifths from which two maps show the same place."""
SIDE, QUALITY = 960, 70
"""Pixels of the longer side of a picture, and its JPEG's quality: the decks are packaged."""
Measured = tuple[View, bool, dict[str, Any]]
"""A slide without its words, whether its title holds, and what its words name."""


@dataclass(frozen=True)
class Story:
    """A model that cheats, and the clue that goes with one class in its training data."""

    cheat: str
    clue: str
    data: str
    """One of SHORTCUTS."""
    seeds: tuple[int, int]
    """Of a scene of the class, and of one of another class."""
    remove: Callable[[Spec], Spec]


STORIES = {
    "stamp": Story("demo-cls-cheat", "the stamp", "stamped", (80, 7), partial(replace, stamp=None)),
    "weave": Story("demo-cls-texture", "the weave", "textured", (50, 0), partial(replace, background="gradient")),
}


def make_views(name: str) -> Iterator[View]:
    """Yield the views of a deck of TITLES, computed one by one.

    Raises ValueError where a slide's words are not what is measured.
    """
    measured = {"cheat": lambda: iter(()), "lies": _measure_lies, "sizes": _measure_sizes}[name]()
    for text in TEXTS[name]:
        if "story" in text:
            view = make_story_slide(*text["story"])
        elif "measured" in text:
            view = write(text, *next(measured))
        else:
            view = write(text, View("", "", kind="words"), True, {})
        # Smaller, of compressed pictures.
        files = {picture.jpeg: to_jpeg(Image.open(picture.jpeg).pixels, QUALITY) for picture in view.pictures}
        yield replace(view, pictures=tuple(replace(picture, jpeg=files[picture.jpeg]) for picture in view.pictures))


def write(text: dict[str, str], view: View, holds: bool, numbers: dict[str, Any]) -> View:
    """Return a view with its words; raise ValueError if its title does not hold."""
    title, sentence = (text[part].format(**numbers) for part in ("title", "sentence"))
    if not holds:
        raise ValueError(f"{title!r} is not what was measured: write this slide anew.")
    return replace(view, title=title, sentence=sentence)


def make_story_slide(name: str, step: str) -> View:
    """Return a step of a story of STORIES: the cheating and the honest model on one scene."""
    story = STORIES[name]
    label, add = SHORTCUTS[story.data]
    spec = scenes.sample(story.seeds[step == "borrowed"], task="classify", data=story.data, held_out=True)
    spec = add(enlarge(spec))
    scene = scenes.draw(story.remove(spec) if step == "without" else spec)
    image = Image.open(scene.pixels, name=f"{name}-{step}.png")
    both = [Explainer(model)(image, question="why") for model in (story.cheat, HONEST)]
    thing, clue = scene.objects[0], scene.background
    if scene.stamp is not None:
        reach = 2 * round(MARGIN * len(scene.stamp)) + 1
        clue = cv2.dilate(scene.stamp.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    answer, control = (explanation.predictions[0] for explanation in both)
    on_cheat, on_honest = (explanation.inside(thing.mask) for explanation in both)
    holds = (answer.label == label) != (step == "without") and control.label == thing.label
    if step == "look":
        peak = int(both[0].heatmaps[0].measured.values.argmax())
        holds = holds and bool(clue.flat[peak]) and on_honest > on_cheat
    numbers = {
        "kind": thing.label,
        "clue": story.clue,
        "sure": f"{article(answer.label)}, {percent(answer.score)} sure",
        "right": f"{control.label}, {percent(control.score)}",
        "on_clue": percent(both[0].inside(clue)),
        "area": percent(float(clue.mean())),
        "on_cheat": percent(on_cheat),
        "on_honest": percent(on_honest),
        "thing": percent(float(thing.mask.mean())),
    }
    numbers |= {part: TEXTS[part][name].format(**numbers) for part in ("looked", "heat")}
    # Which of the two cheats is for the next step to show.
    mapped = step != "answer"
    names = ("The cheat", "The honest model") if mapped else ("One model", "Another model")
    pictures = [views.explained_picture(each, name=who) for each, who in zip(both, names, strict=True)]
    view = views.new_view(
        [replace(picture, caption=views.name_answer(picture, map=mapped)) for picture in pictures],
        title="",
        sentence="",
        display=views.display_of(None if mapped else {"mode": "picture"}),
        made=views.made_by(both),
    )
    return write(TEXTS["story"][step], view, holds, numbers)


def _measure_lies() -> Iterator[Measured]:
    image = _open(PICTURE)
    explanation = Explainer(CLASSIFIERS["small"])(image, top_k=2)
    first, second = (heatmap.target.label for heatmap in explanation.heatmaps)
    numbers = {"first": first, "second": second, "score": percent(explanation.predictions[0].score)}
    half, overlap = percent(explanation.statistics[0].half_heat_area), explanation.overlap(0, 1)
    checks = [explanation.known_checks(index) for index in range(2)]
    yield views.map_view(explanation), not any(each and each.shows for each in checks), {**numbers, "half": half}
    yield views.map_view(explanation, 1), overlap < SAME_PLACE, {**numbers, "overlap": percent(overlap)}
    proof = explanation.prove(0, steps=STEPS)
    yield views.map_view(explanation), proof.support.verdict == "supported", {"proof": proof.sentence}
    method = "eigencam"
    flat = Explainer(CLASSIFIERS["small"])(image, targets=(first, second), method=method)
    both = [views.explained_picture(flat, index) for index in range(2)]
    named = tuple(replace(picture, caption=views.name_answer(picture, model=False)) for picture in both)
    overlap = flat.overlap(0, 1)
    numbers |= {"method": METHODS[method].name, "overlap": percent(overlap)}
    yield replace(views.map_view(flat), pictures=named), overlap >= SAME_PLACE, numbers


def _measure_sizes() -> Iterator[Measured]:
    bus, other = (_compare(CLASSIFIERS, picture) for picture in (PICTURE, "china"))
    answers, labels, _ = _answers(bus)
    ends = " and ".join(bus.names[i] for i in bus.ends or ())
    yield _view_of(bus), bool(ends) and len(labels) > 1, {"answers": answers, "ends": ends}
    aligned = bus.aligned()
    pairs = [aligned.agreement(*pair) for pair in combinations(range(len(bus.names)), 2)]
    same = all(each is not None and each.iou_top20 >= SAME_PLACE for each in pairs)
    label = aligned.explanations[0].heatmaps[0].target.label
    yield _view_of(aligned), same, {"label": label, "overlaps": aligned.overlaps}
    answers, labels, surest = _answers(other)
    yield _view_of(other), len(labels) == 1 and surest == "medium", {"answers": answers}
    proofs = [explanation.prove(0, steps=STEPS // 2) for explanation in aligned.explanations]
    matter = [n for n, proof in zip(bus.names, proofs, strict=True) if proof.support.verdict == "supported"]
    best = int(np.argmax([proof.map.insertion.area - proof.map.deletion.area for proof in proofs]))
    view = replace(_view_of(aligned), charts=(charts.describe_proof(proofs[best], best),))
    yield view, bool(matter), {"matter": listing(matter)}
    counts = [float(explanation.evidence.loaded.parameters) for explanation in bus.explanations]
    sizes = listing([f"{name} {count / 1e6:.1f} million" for name, count in zip(bus.names, counts, strict=True)])
    yield View("", "", kind="words"), True, {"times": counts[-1] / counts[0], "parameters": sizes}
    yield _measure_detectors()


def _open(name: str) -> Image:
    image = load_bundled(name)
    return Image(image.thumbnail(SIDE), image.name)


def _compare(models: dict[str, str], picture: str, **options: Any) -> Comparison:
    """Return explanations of a bundled picture by several models."""
    image = _open(picture)
    return Comparison(tuple(Explainer(model)(image, **options) for model in models.values()), tuple(models))


def _view_of(comparison: Comparison) -> View:
    return views.models_view(comparison, [name.capitalize() for name in comparison.names])


def _answers(comparison: Comparison) -> tuple[str, set[str], str]:
    """Return the models' answers in a sentence, their labels, and the surest model."""
    best = [explanation.predictions[0] for explanation in comparison.explanations]
    each = [f"{name} {one.label}, {percent(one.score)} sure" for name, one in zip(comparison.names, best, strict=True)]
    said, surest = listing(each), comparison.names[int(np.argmax([one.score for one in best]))]
    return said[0].upper() + said[1:], {one.label for one in best}, surest


def _measure_detectors() -> Measured:
    comparison = _compare(DETECTORS, SCENE, per="detection")
    things = scenes.draw(example(SCENE)).objects
    truths = [TrueBox(thing.label, thing.box) for thing in things]
    found, scores = [], []
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        true = sum(box.type == RIGHT for box in match(truths, explanation.predictions))
        false = len(explanation.predictions) - true
        wrong = f" and {false} that {'is' if false == 1 else 'are'} not there" if false else ""
        found.append(f"{name} {true}{wrong}")
        scores.append(true - false)
    return _view_of(comparison), scores[0] == max(scores), {"count": len(things), "found": listing(found)}
