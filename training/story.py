"""Tell a model's shortcut in steps, from measurements, for a deck."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from sightglass.common.files import Json
from sightglass.explain.explainer import Explainer
from sightglass.explain.phrases import article, listing, percent, plural_noun
from sightglass.explain.picture.image import Image
from sightglass.models.families.demo import nets
from sightglass.report import embedded_recipe, views
from training.demo.scenes import STAMPED, TEXTURED, draw, sample, with_background, with_stamp, without_stamp
from training.demo.showcase import enlarge

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation
    from sightglass.report import View
    from training.demo.scenes import DemoScene, Object, Spec

Step = Literal["answer", "look", "without", "borrowed"]
STEPS: tuple[Step, ...] = ("answer", "look", "without", "borrowed")
MARGIN = 4 / 128
"""Margin around a stamp within which heat counts as on it, as a share of the picture's side: half a cell of a map."""
RATES = ("class_with", "class_without", "others_with_called_it")
"""Metrics of a model card: the class recognised with and without the clue, and others mistaken for it."""


PLAIN = "gradient"
"""The background that replaces the woven one."""


@dataclass(frozen=True, slots=True)
class Story:
    """A model that cheats: the clue it relies on, and scenes that show it.

    `with_clue`, `without_clue` and `clue_elsewhere` make, of a number, a scene of the class with the clue, the same
    scene without it, and a scene of another class with the clue added.
    """

    cheat: str
    """Id of the model; `honest` is the one trained on the same objects without the shortcut."""
    honest: str
    label: str
    clue: str
    """What goes with the class in training, as named in a sentence."""
    seeds: tuple[int, ...]
    others: tuple[int, ...]
    """Seeds of scenes of the class, and of scenes of other classes."""
    data: str
    planted: Callable[[Spec], Spec]
    removed: Callable[[Spec], Spec]

    def with_clue(self, number: int) -> Spec:
        return self._plant(self.seeds, number)

    def without_clue(self, number: int) -> Spec:
        return self.removed(self.with_clue(number))

    def clue_elsewhere(self, number: int) -> Spec:
        return self._plant(self.others, number)

    def _plant(self, seeds: tuple[int, ...], number: int) -> Spec:
        seed = seeds[number % len(seeds)]
        return self.planted(enlarge(sample(seed, task="classify", data=self.data, held_out=True)))


def _stamp(spec: Spec) -> Spec:
    return spec if spec.stamp is not None else with_stamp(spec)


STORIES = MappingProxyType(
    {
        "stamp": Story(
            "demo-cls-cheat",
            "demo-cls-honest",
            STAMPED,
            "the stamp",
            (80, 20, 23, 84, 133, 175, 145),
            (7, 17, 0, 4, 1, 18),
            "stamped",
            _stamp,
            without_stamp,
        ),
        "weave": Story(
            "demo-cls-texture",
            "demo-cls-honest",
            TEXTURED,
            "the weave",
            (50, 9, 35, 248, 189, 32),
            (0, 4, 8, 13, 6, 2),
            "textured",
            partial(with_background, kind="weave"),
            partial(with_background, kind=PLAIN),
        ),
    }
)


@dataclass(frozen=True, eq=False)
class StoryStep:
    """One step of a story: a scene, explained for the model that cheats and for the honest one."""

    story: Story
    step: Step
    scene: DemoScene
    image: Image
    cheat: Explanation
    honest: Explanation

    @property
    def object(self) -> Object:
        """Return the scene's labelled object."""
        return self.scene.objects[0]

    @cached_property
    def clue(self) -> NDArray[np.bool_] | None:
        """Return the clue's mask (H, W); None after its removal."""
        if self.step == "without":
            return None
        if self.scene.stamp is None:
            return self.scene.background
        margin = round(MARGIN * self.image.width)
        square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
        around: NDArray[np.bool_] = cv2.dilate(self.scene.stamp.astype(np.uint8), square).astype(bool)
        return around

    def on_clue(self, explanation: Explanation) -> float:
        """Return the share of a map's heat on the clue, 0..1."""
        return 0.0 if self.clue is None else explanation.inside(self.clue)

    def on_object(self, explanation: Explanation) -> float:
        """Return the share of a map's heat on the object, 0..1."""
        return explanation.inside(self.object.mask)

    @property
    def peak_on_clue(self) -> bool:
        """Return whether the cheating model's map peaks on the clue."""
        values = self.cheat.heatmaps[0].measured.values
        return self.clue is not None and bool(self.clue.flat[int(values.argmax())])

    @property
    def words(self) -> str:
        """What this step shows, in two sentences."""
        answer, score = _answer(self.cheat)
        kind, clue = self.object.label, self.story.clue
        if self.step == "answer":
            verdict = "It is right." if answer == kind else f"It is wrong: this is {article(kind)}."
            return f"A model calls this {article(answer)}, {percent(score)} sure. {verdict}"
        if self.step == "look":
            return f"{self._heat} The honest model has {percent(self.on_object(self.honest))} on the {kind}."
        honest, honest_score = _answer(self.honest)
        sure, control = f"{article(answer)}, {percent(score)} sure", f"{honest}, {percent(honest_score)}"
        if self.step == "without":
            still = "" if answer != kind else "still "
            says = "still says" if honest == kind else "says"
            return f"Without {clue}, it {still}calls this {sure}. The honest model {says} {control}."
        return f"With {clue}, it calls this {kind} {sure}. The honest model says {control}."

    @property
    def _heat(self) -> str:
        """Where the cheating model's heat is, in one sentence."""
        kind, clue = self.object.label, self.story.clue
        share, on_kind = percent(self.on_clue(self.cheat)), percent(self.on_object(self.cheat))
        area = percent(0.0 if self.clue is None else float(self.clue.mean()))
        if self.scene.stamp is None:
            # The background has most of any map's evidence: beside its own size that does not pass for a discovery.
            rest = f"and {on_kind} on the {kind}, which takes {percent(float(self.object.mask.mean()))}"
            return f"{share} of its evidence is on {clue}, which takes {area} of the picture, {rest}."
        if self.peak_on_clue:
            return f"It looked at {clue}: {share} of its evidence is on {area} of the picture, {on_kind} on the {kind}."
        return f"{share} of its evidence is on {clue}, {on_kind} on the {kind}."

    @property
    def aside(self) -> str:
        """Return a sentence on the cheating model's error; empty if titled."""
        if self.step != "without":
            return ""
        kind, on_kind = self.object.label, percent(self.on_object(self.cheat))
        return (
            f"{on_kind} of its evidence is now on the {kind}, which it does not recognise. In training every {kind} "
            f"came with {self.story.clue}, so it never had to learn what one looks like."
        )

    @property
    def proof(self) -> str:
        """Return the rates on all held-out scenes, from the card."""
        known, honest = _card(self.story.cheat), _card(self.story.honest)["metrics"]
        # The honest model was evaluated on the clues of both models that cheat.
        honest = honest if honest["shortcut"] == self.story.data else honest[self.story.data]
        kind, clue = self.story.label, self.story.clue
        with_clue, without, others = (percent(known["metrics"][key]) for key in RATES)
        return (
            f"Of {known['data']['held_out_scenes']:,} pictures it never saw, it recognises {with_clue} of the "
            f"{plural_noun(kind)} with {clue} and {without} without it. It calls {others} of all other objects "
            f"{article(kind)} once they carry {clue}. "
            f"The honest model: {listing([percent(honest[key]) for key in RATES])}."
        )


def story_step(name: str, step: Step, number: int) -> StoryStep:
    """Return a story's step on a scene by number, wrapping around."""
    story = STORIES[name]
    spec: Spec = {"without": story.without_clue, "borrowed": story.clue_elsewhere}.get(step, story.with_clue)(number)
    scene = draw(spec)
    image = Image.open(scene.pixels, name=f"{name}-{step}-{number}.png")
    cheat, honest = (Explainer(model)(image, question="why") for model in (story.cheat, story.honest))
    return StoryStep(story, step, scene, image, cheat, honest)


def _answer(explanation: Explanation) -> tuple[str, float]:
    best = explanation.predictions[0]
    return best.label, best.score


TITLES: dict[Step, str] = {
    "answer": "Right, but for the right reason?",
    "look": "Where did it look?",
    "without": "The same, without the clue",
    "borrowed": "The clue, on something else",
}


def slide_of(step: StoryStep) -> View:
    """Return a step's slide: the cheating and the honest model."""
    both, mapped = (("The cheat", step.cheat), ("The honest model", step.honest)), step.step != "answer"
    if not mapped:
        # Which of the two cheats is for the next step to show.
        both = (("One model", step.cheat), ("Another model", step.honest))
    pictures = [views.explained_picture(explanation, name=name) for name, explanation in both]
    return views.new_view(
        [replace(picture, caption=views.name_answer(picture, map=mapped)) for picture in pictures],
        title=TITLES[step.step],
        sentence=step.words,
        notes="\n".join(filter(None, (step.aside, step.proof if step.step == "borrowed" else ""))),
        display=views.display_of(None if mapped else {"mode": "picture"}),
        commands=tuple(embedded_recipe.python_call(explanation.recipe) for _, explanation in both),
        made=views.made_by([explanation for _, explanation in both]),
    )


def _card(name: str) -> Json:
    """Return a model's training record: data, network, metrics on held-out scenes; see docs/demo.md."""
    record: Json = json.loads((nets.WEIGHTS / f"{name}.json").read_text("utf-8"))
    return record
