"""Scenes with a known cause: the same each time, and their masks are what was painted."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest

from sightglass.models.demo import pictures
from training.demo.__main__ import draw as draw_stored
from training.demo.__main__ import frames
from training.demo.scenes import (
    Spec,
    blank,
    draw,
    rival,
    sample,
    swap,
    without,
)

SEEDS = range(8)


def sharp(seed: int, **asked: str) -> Spec:
    return replace(sample(seed, **asked), blur=0.0)


def changed(one: Spec, other: Spec) -> np.ndarray:
    return (draw(one).pixels != draw(other).pixels).any(-1)


def test_a_seed_still_gives_the_scene_that_the_shipped_models_were_trained_on() -> None:
    spec = sample(0)
    assert [(thing.kind, round(thing.x), round(thing.y), round(thing.length)) for thing in spec.things] == [
        ("rod-ring", 146, 142, 77),
        ("ball-dots", 24, 131, 35),
        ("plate-square", 67, 85, 43),
        ("moon-inside", 78, 172, 36),
        ("plate-triangle", 116, 84, 84),
    ]
    scene = draw(spec)
    assert scene.objects[0].box == pytest.approx((108, 121, 184, 164), abs=1)
    assert scene.pixels.mean((0, 1)) == pytest.approx([124.1, 126.9, 116.1], abs=1)  # as photographs decode elsewhere


@pytest.mark.parametrize("seed", SEEDS)
def test_removing_a_thing_changes_its_pixels_and_no_others(seed: int) -> None:
    spec = sharp(seed)
    scene = draw(spec)
    for seen in scene.objects:
        difference = changed(spec, without(spec, seen.thing))
        assert not (difference & ~seen.mask).any()
        assert difference[seen.mask].mean() > 0.9  # the rest are pixels of the colour of what is behind


@pytest.mark.parametrize("seed", SEEDS)
def test_a_swapped_or_removed_mark_changes_pixels_of_the_cause_and_no_others(seed: int) -> None:
    spec = sharp(seed)
    scene = draw(spec)
    for seen in scene.objects:
        if rival(seen.label) is None:
            assert (seen.cause == seen.mask).all()
            continue
        other = swap(spec, seen.thing)
        twin = next(one for one in draw(other).objects if one.thing == seen.thing)
        assert twin.label == rival(seen.label)
        assert (twin.cause == seen.cause).all()
        assert not (changed(spec, other) & ~seen.cause).any()
        assert changed(spec, other)[seen.cause].mean() > 0.04
        bare = blank(spec, seen.thing)
        assert all(one.thing != seen.thing for one in draw(bare).objects)
        assert not (changed(spec, bare) & ~seen.cause).any()
        assert changed(spec, bare)[seen.cause].mean() > 0.1


@pytest.mark.parametrize("name", [*pictures.DRAWN, *pictures.SETS])
def test_the_packaged_pictures_are_what_is_drawn(name: str) -> None:
    stored, drawn = (np.concatenate(each).astype(int) for each in (pictures.pictures(name), draw_stored(name)))
    # Processors round differently: a few values in a million are off.
    assert np.abs(stored - drawn).max() <= 3 and (stored != drawn).mean() < 1e-4


def test_the_packaged_clip_shows_the_drawn_frames() -> None:
    with av.open(pictures.CLIP) as file:
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    errors = [np.abs(one - drawn.astype(float)).mean() for one, drawn in zip(shown, frames(), strict=True)]
    assert max(errors) < 4
