"""The shipped stories: on every scene of theirs the cheat is caught, and the honest model is not."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.explain.phrases import percent
from sightglass.explain.whatif.shortcut_story import story_step
from sightglass.models.demo.scenes import draw, sample
from sightglass.models.demo.showcase import SCENES, STORIES, enlarge, scene

STEPS = [
    (name, number) for name, story in STORIES.items() for number in range(max(len(story.seeds), len(story.others)))
]


@pytest.mark.parametrize(("name", "number"), STEPS)
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


def test_nothing_but_the_clue_differs_between_two_steps() -> None:
    look, without = story_step("stamp", "look", 0), story_step("stamp", "without", 0)
    assert look.scene.stamp is not None
    changed = (look.image.pixels != without.image.pixels).any(2)
    np.testing.assert_array_equal(changed & ~look.scene.stamp, False)


@pytest.mark.parametrize("name", SCENES)
def test_examples_are_large_scenes_with_something_in_them(name: str) -> None:
    drawn = draw(scene(name))
    assert drawn.pixels.shape == (576, 576, 3)
    assert drawn.objects


def test_a_scene_drawn_larger_has_its_things_in_the_same_places() -> None:
    spec = sample(3, task="detect", held_out=True)
    small, large = draw(spec), draw(enlarge(spec, 3 * spec.size))
    for one, other in zip(small.objects, large.objects, strict=True):
        assert one.label == other.label
        np.testing.assert_allclose(np.array(other.box) / 3, one.box, atol=2.5)
