"""Make the slides of the decks that come with Sightglass.

Numbers are measured; a title or a sentence that the measurements no longer bear out is an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch

from sightglass.explain.comparison.models import Comparison
from sightglass.explain.explainer import Explainer
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import article, listing, percent, plural_noun
from sightglass.explain.picture.image import Image, load_bundled, to_jpeg
from sightglass.models.families.demo import nets
from sightglass.report import View, charts, embedded_recipe, views
from training.boxes import matched
from training.demo.scenes import (
    CLASSES,
    STAMPED,
    TEXTURED,
    draw,
    sample,
    with_background,
    with_stamp,
    without_stamp,
)
from training.demo.showcase import enlarge
from training.demo.showcase import scene as example

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from training.demo.scenes import DemoScene, Spec
    from training.demo.shapes import Mask

Step = Literal["answer", "look", "without", "borrowed"]
PICTURE, SCENE = "bus", "scene 3"
TITLES = {
    "cheat": "See a model cheat",
    "lies": "What is a heat map, and when does it lie?",
    "sizes": "Small, medium or large?",
}
"""Of the decks, by their names."""
CLASSIFIERS = {"small": "efficientnet-lite0", "medium": "efficientnet-lite1", "large": "efficientnet-lite2"}
DETECTORS = {"small": "demo-s", "medium": "demo-m", "large": "demo-l"}
HONEST = "demo-cls-honest"
"""The model that was trained on the objects of those that cheat without their shortcuts."""
STEPS: dict[Step, tuple[str, str]] = {
    "answer": (
        "Right, but for the right reason?",
        "Let the room guess: why is it right? Do not go on too soon.",
    ),
    "look": (
        "Where did it look?",
        "The first model learnt from pictures in which one kind of object always came with a stamp.",
    ),
    "without": ("The same, without the clue", "One small thing was painted over. Nothing else changed."),
    "borrowed": ("The clue, on something else", ""),
}
"""Of a story: the title of each, and what the speaker says."""
MARGIN = 4 / 128
"""Margin around a stamp within which heat counts as on it, as a share of the picture's side: half a cell of a map."""
RATES = ("class_with", "class_without", "others_with_called_it")
"""Metrics of a model card: the class recognised with and without the clue, and others mistaken for it."""
PROOF_STEPS = 20
"""Of a proof's curves."""
SAME_PLACE = 0.5
"""Overlap of the hottest fifths from which two maps show the same place."""
SIDE, QUALITY = 960, 70
"""Pixels of the longer side of a picture, and its JPEG's quality: the decks are packaged."""


@dataclass(frozen=True)
class Story:
    """A model that cheats, and the clue that goes with one class in its training data."""

    cheat: str
    label: str
    clue: str
    data: str
    seeds: tuple[int, int]
    """Of a scene of the class, and of one of another class."""
    add: Callable[[Spec], Spec]
    remove: Callable[[Spec], Spec]


STORIES = {
    "stamp": Story(
        "demo-cls-cheat",
        STAMPED,
        "the stamp",
        "stamped",
        (80, 7),
        lambda spec: with_stamp(spec) if spec.stamp is None else spec,
        without_stamp,
    ),
    "weave": Story(
        "demo-cls-texture",
        TEXTURED,
        "the weave",
        "textured",
        (50, 0),
        partial(with_background, kind="weave"),
        partial(with_background, kind="gradient"),
    ),
}


@dataclass(frozen=True, eq=False)
class StoryStep:
    """A scene of a story, explained for the model that cheats and for the honest one."""

    story: Story
    step: Step
    scene: DemoScene
    cheat: Explanation
    honest: Explanation

    @property
    def clue(self) -> Mask:
        """Return the clue's mask (H, W), before its removal."""
        if self.scene.stamp is None:
            return self.scene.background
        reach = 2 * round(MARGIN * len(self.scene.pixels)) + 1
        around: Mask = cv2.dilate(self.scene.stamp.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
        return around

    @property
    def peak_on_clue(self) -> bool:
        """Return whether the cheating model's map peaks on the clue."""
        return bool(self.clue.flat[int(self.cheat.heatmaps[0].measured.values.argmax())])

    def on_object(self, explanation: Explanation) -> str:
        """Return the share of a map's heat on the object."""
        return percent(explanation.inside(self.scene.objects[0].mask))

    @property
    def sentence(self) -> str:
        """Return what this step shows."""
        answer, honest = (explanation.predictions[0] for explanation in (self.cheat, self.honest))
        kind, clue = self.scene.objects[0].label, self.story.clue
        sure, control = f"{article(answer.label)}, {percent(answer.score)} sure", f"{kind}, {percent(honest.score)}"
        check((answer.label == self.story.label) != (self.step == "without") and honest.label == kind, sure)
        if self.step == "answer":
            return f"A model calls this {sure}. It is right."
        if self.step == "look":
            return f"{self._heat} The honest model has {self.on_object(self.honest)} on the {kind}."
        if self.step == "without":
            return f"Without {clue}, it calls this {sure}. The honest model still says {control}."
        return f"With {clue}, it calls this {kind} {sure}. The honest model says {control}."

    @property
    def _heat(self) -> str:
        """Where the cheating model's heat is, in one sentence."""
        thing, clue = self.scene.objects[0], self.story.clue
        on_clue, area = percent(self.cheat.inside(self.clue)), percent(float(self.clue.mean()))
        on_thing = f"{self.on_object(self.cheat)} on the {thing.label}"
        if self.scene.stamp is None:
            # The background has most of any map's evidence: beside its own size that does not pass for a discovery.
            rest = f"and {on_thing}, which takes {percent(float(thing.mask.mean()))}"
            return f"{on_clue} of its evidence is on {clue}, which takes {area} of the picture, {rest}."
        looked = check(self.peak_on_clue, f"It looked at {clue}")
        return f"{looked}: {on_clue} of its evidence is on {area} of the picture, {on_thing}."

    @property
    def notes(self) -> str:
        """Return what the speaker says."""
        label, clue = self.story.label, self.story.clue
        said = STEPS[self.step][1]
        if self.step == "without":
            said += (
                f"\n{self.on_object(self.cheat)} of its evidence is now on the {label}, which it does not recognise. "
                f"In training every {label} came with {clue}, so it never had to learn what one looks like."
            )
        if self.step == "borrowed":
            known, honest = card_of(self.story.cheat), card_of(HONEST)["metrics"]
            # The honest model was evaluated on the clues of both models that cheat.
            honest = honest if honest["shortcut"] == self.story.data else honest[self.story.data]
            with_clue, without, others = (percent(known["metrics"][key]) for key in RATES)
            said = (
                f"Of {known['data']['held_out_scenes']:,} pictures it never saw, it recognises {with_clue} of the "
                f"{plural_noun(label)} with {clue} and {without} without it. It calls {others} of all other objects "
                f"{article(label)} once they carry {clue}. "
                f"The honest model: {listing([percent(honest[key]) for key in RATES])}."
            )
        return said

    def slide(self) -> View:
        """Return the slide: the cheating and the honest model."""
        both, mapped = (("The cheat", self.cheat), ("The honest model", self.honest)), self.step != "answer"
        if not mapped:
            # Which of the two cheats is for the next step to show.
            both = (("One model", self.cheat), ("Another model", self.honest))
        pictures = [views.explained_picture(explanation, name=name) for name, explanation in both]
        return views.new_view(
            [replace(picture, caption=views.name_answer(picture, map=mapped)) for picture in pictures],
            title=STEPS[self.step][0],
            sentence=self.sentence,
            notes=self.notes,
            display=views.display_of(None if mapped else {"mode": "picture"}),
            commands=tuple(embedded_recipe.python_call(explanation.recipe) for _, explanation in both),
            made=views.made_by([explanation for _, explanation in both]),
        )


def story_step(name: str, step: Step) -> StoryStep:
    """Explain a step of a story of STORIES."""
    story = STORIES[name]
    seed = story.seeds[step == "borrowed"]
    spec = story.add(enlarge(sample(seed, task="classify", data=story.data, held_out=True)))
    scene = draw(story.remove(spec) if step == "without" else spec)
    image = Image.open(scene.pixels, name=f"{name}-{step}.png")
    cheat, honest = (Explainer(model)(image, question="why") for model in (story.cheat, HONEST))
    return StoryStep(story, step, scene, cheat, honest)


def card_of(name: str) -> Json:
    """Return a model's training record: data, network, metrics on held-out scenes; see docs/demo.md."""
    record: Json = json.loads((nets.WEIGHTS / f"{name}.json").read_text("utf-8"))
    return record


def check(true: bool, text: str) -> str:
    """Return the text; raise ValueError where the measurements do not bear it out."""
    if not true:
        raise ValueError(f"{text!r} is not what was measured: write this slide anew.")
    return text


def make_views(name: str) -> Iterator[View]:
    """Yield the views of a deck of TITLES, computed one by one."""
    for view in {"cheat": _cheat, "lies": _lies, "sizes": _sizes}[name]():
        # Smaller, of compressed pictures.
        files = {picture.jpeg: to_jpeg(Image.open(picture.jpeg).pixels, QUALITY) for picture in view.pictures}
        yield replace(view, pictures=tuple(replace(picture, source=files[picture.jpeg]) for picture in view.pictures))


def _text(title: str, sentence: str, notes: str) -> View:
    return View(title, (sentence,), kind="words", notes=notes)


def _set_texts(view: View, title: str, sentence: str, notes: str) -> View:
    """Return a view with the words of a ready deck."""
    return replace(view, title=title, statements=(sentence,), notes=notes)


def _cheat() -> Iterator[View]:
    yield _text(
        TITLES["cheat"],
        "Two models that are right for the wrong reason, and how their heat maps give them away.",
        "Let the room guess at the first picture: is it right for the right reason?\nEvery number was measured.",
    )
    for story in STORIES:
        for step in STEPS:
            yield story_step(story, step).slide()
    yield _text(
        "Now try your own model",
        "A model that relies on a shortcut can be right on every picture of its test set.",
        "Explain one of your pictures on Explore: is the evidence on the thing that the class names? Explain "
        "many on Pictures: a class whose maps are hot away from the objects may be recognised by a shortcut. Add your "
        "model on Models, or with sightglass models add leaf.pth --image leaf.jpg.",
    )


def _lies() -> Iterator[View]:
    yield _text(
        "When does a heat map lie?",
        "Five minutes, no mathematics: what the colours mean, and how to find out whether they are true.",
        "Say what you will show: one photograph, one test, one model that cheats.\nEvery number on these slides "
        "was measured by this program. Nothing was typed in.",
    )
    image = _open(PICTURE)
    explanation = Explainer(CLASSIFIERS["small"])(image, top_k=2)
    first, second = (heatmap.target.label for heatmap in explanation.heatmaps)
    score, half = percent(explanation.predictions[0].score), percent(explanation.statistics[0].half_heat_area)
    checks = [explanation.known_checks(index) for index in range(2)]
    yield _set_texts(
        views.map_view(explanation),
        check(not any(each and each.shows for each in checks), "A heat map shows where a model looked"),
        f"This model says {first}, {score} sure. Half of what speaks for that is on {half} of what it saw: the bright "
        "part.",
        "Press M to take the map away and to bring it back. Bright means: this place speaks for the answer.\nThe dark "
        "edge was cut off before the model saw the picture.",
    )
    overlap = explanation.overlap(0, 1)
    yield _set_texts(
        views.map_view(explanation, 1),
        check(overlap < SAME_PLACE, "Ask for another answer: the map moves"),
        f"What speaks for {second} is elsewhere: only {percent(overlap)} of its brightest part overlaps with that of "
        f"{first}.",
        "The same picture and the same model; only the question changed. Go back and forth between the two slides.",
    )
    proof = explanation.prove(0, steps=PROOF_STEPS)
    verdicts = {
        "supported": "This map holds: hide what it shows",
        "not supported": "A map that does not hold",
        "cannot be told": "Is it true? It cannot be told here",
    }
    yield _set_texts(
        views.map_view(explanation),
        verdicts[proof.support.verdict],
        proof.sentence,
        "A picture alone proves nothing. So hide the bright part and ask the model again; then hide as much elsewhere. "
        "The next slide has the curve.\nA map that holds costs the model more than maps of other pictures do.",
    )
    method = "eigencam"
    flat = Explainer(CLASSIFIERS["small"])(image, targets=(first, second), method=method)
    both = [views.explained_picture(flat, index) for index in range(2)]
    named = tuple(replace(picture, caption=views.name_answer(picture, model=False)) for picture in both)
    overlap = flat.overlap(0, 1)
    yield _set_texts(
        replace(views.map_view(flat), pictures=named),
        check(overlap >= SAME_PLACE, "Some maps lie: the same, whatever you ask"),
        f"{METHODS[method].name} draws {first} and {second} in one place ({percent(overlap)} overlap): it shows what "
        "stands out, not why the model answers.",
        "Another method, asked about both answers: its two maps are compared in the sentence.",
    )
    for step in list(STEPS)[:-1]:
        yield story_step("stamp", step).slide()
    yield _text(
        "Three questions for every heat map",
        "Does hiding it change the answer? Does another question move it? Is the bright part what a person would name?",
        "One no is enough to be careful. Then open Sightglass with a picture of your own, and ask all three.",
    )


def _sizes() -> Iterator[View]:
    yield _text(
        TITLES["sizes"],
        "The same kind of model in three sizes, on the same pictures: what does a larger one buy?",
        "Three questions: do they say the same, do they look at the same place, and what does it cost?\nEvery "
        "number was measured.",
    )
    bus = _compare(CLASSIFIERS, PICTURE)
    compared = " and ".join(bus.names[i] for i in bus.ends or ())
    note = f"The last picture is the difference of {compared}: their maps are of one answer." if compared else ""
    yield _of_models(bus, *_agree(bus), note)
    aligned = bus.aligned()
    pairs = [aligned.agreement(*pair) for pair in combinations(range(len(bus.names)), 2)]
    same = all(each is not None and each.iou_top20 >= SAME_PLACE for each in pairs)
    label = aligned.explanations[0].heatmaps[0].target.label
    note = "Now all three are asked about one and the same answer, so that their maps can be compared."
    title = check(same, f"Asked about {label}, they mark the same place")
    yield _of_models(aligned, title, aligned.overlaps, note)
    other = _compare(CLASSIFIERS, "china")
    note = "Another photograph. A larger model is not always surer, and being surer is not being right."
    yield _of_models(other, *_agree(other), note)
    yield _make_proof_slide(aligned)
    counts = [float(explanation.evidence.resident.parameters) for explanation in bus.explanations]
    sizes = listing([f"{name} {count / 1e6:.1f} million" for name, count in zip(bus.names, counts, strict=True)])
    yield _text(
        "What larger costs",
        f"The {bus.names[-1]} one has {counts[-1] / counts[0]:.1f} times the parameters: {sizes}.",
        "How long each takes depends on the machine: Compare, in the dashboard, measures it on yours.",
    )
    yield _make_detectors_slide()
    yield _text(
        "Choose the smallest that is right for good reasons",
        "Try all three sizes on pictures of your own, look where they look, and prove it. Then look at the price.",
        "Compare does this for two to four models at once.",
    )


def _open(name: str) -> Image:
    image = load_bundled(name)
    return Image(image.thumbnail(SIDE), image.name)


def _compare(models: dict[str, str], picture: str, **options: Any) -> Comparison:
    """Return explanations of a bundled picture by several models."""
    image = _open(picture)
    return Comparison(tuple(Explainer(model)(image, **options) for model in models.values()), tuple(models), ())


def _of_models(comparison: Comparison, title: str, sentence: str, notes: str) -> View:
    names = [name.capitalize() for name in comparison.names]
    return _set_texts(views.models_view(comparison, names), title, sentence, notes)


def _agree(comparison: Comparison) -> tuple[str, str]:
    """Return title and sentence of models' answers."""
    answers = [explanation.predictions[0] for explanation in comparison.explanations]
    names = comparison.names
    said = [f"{size} {best.label}, {percent(best.score)} sure" for size, best in zip(names, answers, strict=True)]
    sentence = f"{listing(said)}."
    sentence = sentence[0].upper() + sentence[1:]
    if len({best.label for best in answers}) > 1:
        return "They do not say the same", sentence
    surest = names[int(np.argmax([best.score for best in answers]))]
    more = f" More parameters do not make the {names[-1]} one surer."
    return check(surest != names[-1], f"They agree; the {surest} one is the surest"), f"{sentence}{more}"


def _make_proof_slide(comparison: Comparison) -> View:
    proofs = [explanation.prove(0, steps=PROOF_STEPS // 2) for explanation in comparison.explanations]
    gains = [proof.map.insertion.area - proof.map.deletion.area for proof in proofs]
    verdicts = {proof.support.verdict for proof in proofs}
    said = [f"{name.capitalize()}: {proof.sentence}" for name, proof in zip(comparison.names, proofs, strict=True)]
    unclear = "supported" not in verdicts and verdicts != {"not supported"}
    view = _of_models(
        comparison,
        check(unclear, "Whether their maps hold cannot be told"),
        "None matters more than every map of another picture.",
        "\n".join(["The next slide has the curve of the map that holds best.", *said]),
    )
    best = int(np.argmax(gains))
    return replace(view, charts=(charts.describe_proof(proofs[best], best),))


def _make_detectors_slide() -> View:
    comparison = _compare(DETECTORS, SCENE, per="detection")
    things = draw(example(SCENE)).objects
    true_boxes, labels = torch.tensor([thing.box for thing in things]), torch.tensor([thing.index for thing in things])
    each, scores = [], []
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        boxes = torch.tensor([found.box for found in explanation.predictions])
        called = torch.tensor([CLASSES.index(found.label) for found in explanation.predictions])
        true = int(matched(boxes, called, true_boxes, labels)[:, 0].sum())
        false = len(boxes) - true
        wrong = f" and {false} that {'is' if false == 1 else 'are'} not there" if false else ""
        each.append(f"{name} {true}{wrong}")
        scores.append(true - false)
    return _of_models(
        comparison,
        check(scores[0] == max(scores), f"The {comparison.names[0]} one finds as much as any"),
        f"There are {len(things)} things in it. Found: {listing(each)}.",
        "A drawn scene, so what is in it is known.",
    )
