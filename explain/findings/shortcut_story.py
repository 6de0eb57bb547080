"""The story of a model that cheats, on scenes whose cause is known; every sentence is made of what was computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from explain.explainer import Explainer
from explain.phrases import article, listing, percent
from explain.picture.image import Image
from models.demo.scenes import draw
from models.demo.showcase import STORIES, Story
from models.families.demo import card

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from explain.explanation import Explanation
    from models.demo.scenes import Object, Scene, Spec

Step = Literal["answer", "look", "without", "borrowed"]
STEPS: tuple[Step, ...] = ("answer", "look", "without", "borrowed")
REACH = 4 / 128
"""Of the picture's side: how far around a stamp a map counts as on it. Its cells are 8 of 128 pixels."""
RATES = ("class_with", "class_without", "others_with_called_it")
"""Of a card's metrics: the class found with the clue and without it, and others called so once they carry it."""


@dataclass(frozen=True, eq=False)
class Telling:
    """One step of a story: a scene, and what the cheat and its honest twin make of it."""

    story: Story
    step: Step
    scene: Scene
    image: Image
    cheat: Explanation
    honest: Explanation

    @property
    def thing(self) -> Object:
        return self.scene.objects[0]

    @cached_property
    def clue(self) -> NDArray[np.bool_] | None:
        """Where the clue is, bool (H, W): around the stamp, or the background; None where it was taken away."""
        if self.step == "without":
            return None
        if self.scene.stamp is None:
            return self.scene.background
        reach = round(REACH * self.image.width)
        square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        around: NDArray[np.bool_] = cv2.dilate(self.scene.stamp.astype(np.uint8), square).astype(bool)
        return around

    def on_clue(self, explanation: Explanation) -> float:
        """Share of a map's heat on the clue, 0..1."""
        return 0.0 if self.clue is None else explanation.inside(self.clue)

    def on_thing(self, explanation: Explanation) -> float:
        """Share of a map's heat on the thing itself, 0..1."""
        return explanation.inside(self.thing.mask)

    @property
    def looked_at_clue(self) -> bool:
        """Whether the cheat's hottest place lies on the clue."""
        values = self.cheat.heatmaps[0].measured.values
        return self.clue is not None and bool(self.clue.flat[int(values.argmax())])

    @property
    def words(self) -> str:
        """What this step shows, in two sentences."""
        said, sure = _answer(self.cheat)
        twin, twin_sure = _answer(self.honest)
        kind, clue = self.thing.label, self.story.clue
        if self.step == "answer":
            verdict = "It is right." if said == kind else f"It is wrong: this is {article(kind)}."
            return f"A model calls this {article(said)}, {percent(sure)} sure. {verdict}"
        if self.step == "look":
            there, own = percent(self.on_clue(self.cheat)), percent(self.on_thing(self.cheat))
            twin_own = percent(self.on_thing(self.honest))
            if self.scene.stamp is None:
                area = percent(float(self.thing.mask.mean()))
                first = f"{there} of its heat lies on {clue}, {own} on the {kind}, which is {area} of the picture."
            elif self.looked_at_clue and self.clue is not None:
                area = percent(float(self.clue.mean()))
                first = f"It looked at {clue}: {there} of its heat on {area} of the picture, {own} on the {kind}."
            else:
                first = f"{there} of its heat lies on {clue}, {own} on the {kind}."
            return f"{first} Its honest twin has {twin_own} on the {kind}."
        still = "still says" if twin == kind else "says"
        if self.step == "without":
            changed = "calls it" if said != kind else "still calls it"
            return (
                f"Without {clue} it {changed} {article(said)}, {percent(sure)} sure. "
                f"Its honest twin {still} {twin}, {percent(twin_sure)}."
            )
        return (
            f"With {clue}, this {kind} is {article(said)} to it, {percent(sure)} sure. "
            f"Its honest twin says {twin}, {percent(twin_sure)}."
        )

    @property
    def proof(self) -> str:
        """That this picture is no exception: what held over all scenes that the model never saw, from its card."""
        known = card(self.story.cheat)
        made, twin = known["metrics"], card(self.story.honest)["metrics"]
        # The twin of both cheats was examined on either's clue.
        twin = twin if twin["shortcut"] == self.story.data else twin[self.story.data]
        kind, clue = self.story.label, self.story.clue
        found, without, others = (percent(made[key]) for key in RATES)
        count = known["data"]["held_out_scenes"]
        return (
            f"Among {count:,} pictures it never saw it names {found} of the {kind}s with {clue} and {without} without, "
            f"and calls {others} of everything else a {kind} once it carries {clue}. "
            f"Its honest twin: {listing([percent(twin[key]) for key in RATES])}."
        )


def tell(name: str, step: Step, number: int) -> Telling:
    """A step of the story `name` (one of STORIES), on its scene of that number, counted on from any number."""
    story = STORIES[name]
    spec: Spec = {"without": story.bare, "borrowed": story.borrowed}.get(step, story.told)(number)
    scene = draw(spec)
    image = Image.open(scene.pixels, name=f"{name}-{step}-{number}.png")
    cheat, honest = (Explainer(model)(image, question="why") for model in (story.cheat, story.honest))
    return Telling(story, step, scene, image, cheat, honest)


def _answer(explanation: Explanation) -> tuple[str, float]:
    best = explanation.predictions[0]
    return best.label, best.score
