"""The shipped stories: on every scene of theirs the cheat is caught, and the honest model is not."""

from __future__ import annotations

import pytest

from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import load_bundled
from sightglass.models import catalog
from sightglass.models.geometry import intersection_over_union
from training.demo.scenes import draw
from training.demo.showcase import scene
from training.story import STORIES, story_step


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in STORIES for number in (0, 1)])
def test_the_cheat_is_right_looks_at_the_clue_and_falls_without_it(name: str, number: int) -> None:
    label = STORIES[name].label
    look, without, borrowed = (story_step(name, step, number) for step in ("look", "without", "borrowed"))  # type: ignore[arg-type]
    assert look.object.label == label
    assert look.cheat.predictions[0].label == label
    # Both what the title counts and the brightest place are where the story says.
    assert look.peak_on_clue and look.on_clue(look.cheat) > (0.75 if name == "weave" else 0)
    assert without.object.label == label
    assert without.cheat.predictions[0].label != label
    assert borrowed.object.label != label
    assert borrowed.cheat.predictions[0].label == label
    # The honest model sees the very same pictures.
    for shown in (look, without, borrowed):
        assert shown.honest.predictions[0].label == shown.object.label
    assert without.aside.startswith(
        f"{percent(without.on_object(without.cheat))} of its evidence is now on the {label}"
    )
    assert not look.aside and not borrowed.aside
    assert look.on_object(look.honest) > look.on_object(look.cheat)


def test_the_scene_that_a_fresh_machine_shows_is_answered_right() -> None:
    spec = catalog.spec("demo-s")
    things = draw(scene(spec.example)).objects
    found = Explainer(spec.id)(load_bundled(spec.example), per="detection", maps=False).predictions
    left = list(things)
    for one in found:
        assert one.box is not None
        own = [thing for thing in left if intersection_over_union(one.box, thing.box) >= 0.5]
        assert [thing.label for thing in own] == [one.label]
        left.remove(own[0])
    assert not left, "it misses something"
