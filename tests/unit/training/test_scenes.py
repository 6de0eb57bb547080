"""Scenes with a known cause are what was painted, and the packaged demo models look at it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.models import catalog
from sightglass.models.demo import pictures
from sightglass.models.families.demo import nets
from sightglass.models.families.demo.loader import ONLY_DRAWN
from sightglass.models.spec import ModelSpec
from training import reid, reid_evaluation, train
from training.__main__ import page
from training.demo import captioned_scenes, person_scenes
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
from training.story import STORIES, story_step

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


DEMO = [spec for spec in catalog.catalog().values() if spec.loader == "demo"]


@pytest.mark.parametrize("spec", DEMO, ids=lambda spec: spec.id)
def test_every_demo_model_is_packaged_and_answers(spec: ModelSpec) -> None:
    assert catalog.available(spec)
    scene = draw(sample(9, task=spec.task, held_out=True))
    result = Explainer(spec.id)(scene.pixels, top_k=1, confidence=0.1)
    assert result.heatmaps[0].state == "ok"
    assert result.notes


def test_what_it_says_of_a_photograph_is_said_to_mean_nothing(bus: Path) -> None:
    assert ONLY_DRAWN in [finding.text for finding in Explainer("demo-s")(bus).diagnosis]
    # The page of the docs is made of the cards.
    assert (Path(__file__).parents[3] / "docs" / "demo.md").read_text("utf-8") == page()


NAMES = [thing.phrase for thing in captioned_scenes.example().named]


def test_the_example_is_named_thing_by_thing() -> None:
    scene = captioned_scenes.draw(captioned_scenes.example(), 384)
    absent = ["blue ball", "red square", "yellow star", "green heart"]
    result = Explainer("demo-clip")(scene.pixels, vocabulary=[*NAMES, *absent], top_k=4)
    assert {prediction.label for prediction in result.predictions} == set(NAMES) == set(scene.masks)
    for heatmap in result.heatmaps:
        assert points_at(scene, heatmap.target.label, heatmap.values), heatmap.target.label
    assert ONLY_DRAWN in result.notes


def test_a_lone_prompt_points_too_however_it_is_put() -> None:
    scene = captioned_scenes.draw(captioned_scenes.example(), 384)
    result = Explainer("demo-clip")(scene.pixels, vocabulary="a star that is red")
    assert points_at(scene, "red star", result.heatmaps[0].values)
    assert any("set against" in note for note in result.notes)


def test_words_that_it_was_not_taught_are_named() -> None:
    scene = captioned_scenes.draw(captioned_scenes.example()).pixels
    with pytest.raises(ModelProblem, match="does not know the word 'zebra'"):
        Explainer("demo-clip")(scene, vocabulary="a zebra")
    result = Explainer("demo-clip")(scene, vocabulary="red star, green bar, zebra, blue star")
    # The rest is answered as if only it had been asked for.
    alone = Explainer("demo-clip")(scene, vocabulary="red star, blue star")
    assert [(p.label, p.score) for p in result.predictions] == [(p.label, p.score) for p in alone.predictions]
    left_out = [note for note in result.notes if "is left out" in note]
    assert [note.split(". ")[0] for note in left_out] == ["'green bar' is left out", "'zebra' is left out"]
    with pytest.raises(ModelProblem, match="in fewer"):
        nets.tokenize(["a " * 12])


def points_at(scene: captioned_scenes.CaptionedScene, label: str, values: np.ndarray) -> bool:
    """Whether the hottest pixel is at most 16 pixels from what was named."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    return bool(scene.masks[label][max(row - 16, 0) : row + 17, max(column - 16, 0) : column + 17].any())


def test_the_map_of_a_person_is_on_the_garment_that_differs() -> None:
    torch.set_num_threads(1)
    maps = reid_evaluation.map_metrics(reid_evaluation.trained(), persons=24)
    blind = [maps[name] for name in ("centre", "edges", "worn")]
    assert maps["mim"]["energy"] > max(one["energy"] for one in blind) + 0.15
    assert maps["mim"]["hit"] > max(one["hit"] for one in blind)
    assert maps["flips"] > 0.7
    # It asks no question: on clothes, and on the one that differs no more than on the others.
    assert maps["attention"]["clothes"] > max(one["clothes"] for one in blind[:2])


def test_a_training_of_persons_is_read_back(tmp_path: Path) -> None:
    recipe = reid.Recipe(persons=6, pictures=2, pairs=2, each=2, steps=3)
    pool = torch.from_numpy(reid_evaluation.pictures(range(6), range(2)))
    net, steps = reid.fit(pool, recipe, 0)
    assert steps == 3
    train.save(net, tmp_path / "demo-reid.safetensors")
    again = reid_evaluation.trained(tmp_path)
    x = torch.zeros(1, 3, *person_scenes.SIZE)
    assert torch.allclose(again(x).embedding, net(x).embedding, atol=0.05)


def test_a_picture_of_anything_else_than_a_person_is_told_of() -> None:
    person = person_scenes.draw(person_scenes.sample(3, 0)).pixels
    for pixels, other in ((person, False), (np.zeros((60, 90, 3), np.uint8), True)):
        kinds = {finding.kind for finding in Explainer("demo-reid")(pixels, top_k=1).diagnosis}
        assert ("other subject" in kinds) == other


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
