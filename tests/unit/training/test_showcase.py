"""The shipped stories: on every scene of theirs the cheat is caught, and the honest model is not."""

from __future__ import annotations

import pytest

from sightglass.explain.phrases import percent
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
