"""Scenes with a known cause are what was painted, and the demo models that learn from them look at it."""

import json
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.models import catalog
from sightglass.models.families.demo import nets
from sightglass.models.families.demo.loader import ONLY_DRAWN
from sightglass.models.spec import ModelSpec
from training import loop
from training.decks import STORIES, make_story_slide
from training.demo import captioned_scenes, person_scenes
from training.demo.scenes import draw, sample
from training.reid import map_metrics
from training.train import TASKS

DEMO = [spec for spec in catalog.catalog().values() if spec.loader == "demo" and spec.task != "describe"]


@pytest.mark.parametrize("spec", DEMO, ids=lambda spec: spec.id)
def test_every_demo_model_is_packaged_and_answers(spec: ModelSpec) -> None:
    assert catalog.available(spec)
    result = Explainer(spec.id)(draw(sample(9, task=spec.task, held_out=True)).pixels, top_k=1, confidence=0.1)
    assert result.heatmaps[0].state == "ok" and result.notes


def test_demo_model_warns_of_photographs(bus: Path) -> None:
    assert ONLY_DRAWN in [finding.text for finding in Explainer("demo-s")(bus).diagnosis]
    # The page of the docs is made of the cards.
    docs = Path(__file__).parents[3] / "docs"
    assert (docs / "demo.md").read_text("utf-8") == runpy.run_path(str(docs / "list_demo_models.py"))["page"]()


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
    maps = map_metrics(TASKS["demo-reid"].trained(), persons=24)
    blind = [maps[name] for name in ("centre", "edges", "worn")]
    assert maps["mim"]["energy"] > max(row["energy"] for row in blind) + 0.15
    assert maps["mim"]["hit"] > max(row["hit"] for row in blind) and maps["flips"] > 0.7
    # It asks no question: on clothes, and on the one that differs no more than on the others.
    assert maps["attention"]["clothes"] > max(row["clothes"] for row in blind[:2])


def test_other_subject_is_reported() -> None:
    person = person_scenes.draw(person_scenes.sample(3, 0)).pixels
    for pixels, other in ((person, False), (np.zeros((60, 90, 3), np.uint8), True)):
        kinds = {finding.kind for finding in Explainer("demo-reid")(pixels, top_k=1).diagnosis}
        assert ("other subject" in kinds) == other


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("step", ["answer", "look", "without", "borrowed"])
def test_cheat_slides_are_measured(name: str, step: str) -> None:
    # It raises where a model's answer or the map's peak is not what the slide says.
    slide = make_story_slide(name, step)
    assert (STORIES[name].clue in slide.sentence) == (step != "answer")
    assert [picture.caption.partition(":")[0] for picture in slide.pictures] == (
        ["One model", "Another model"] if step == "answer" else ["The cheat", "The honest model"]
    )


CARDS = sorted(nets.WEIGHTS.glob("*.json"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads, others = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    cv2.setNumThreads(others)


def test_a_training_writes_weights_and_a_card(tmp_path: Path) -> None:
    task = replace(TASKS["demo-cls-cheat"], held_out=40)
    task.recipe = replace(task.recipe, images=64, pool=32)
    card = loop.train(task, seed=3, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-cls-cheat.json", "demo-cls-cheat.safetensors"]
    assert json.loads((tmp_path / "demo-cls-cheat.json").read_text()) == card
    assert (card["data"]["kind"], card["data"]["seed"], card["training"]["images"]) == ("stamped", 3, 64)
    assert task.exam(task.trained(tmp_path), 40) == card["metrics"]


def test_missing_or_other_demo_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsProblem, match=r"demo-cls-s\.safetensors cannot be read"):
        nets.trained("demo-cls-s", tmp_path)
    loop.save(nets.build("demo-cls-m"), tmp_path / "demo-cls-s.safetensors")
    with pytest.raises(WeightsProblem, match="is of another network"):
        nets.trained("demo-cls-s", tmp_path)


def test_all_shipped_weights_are_small_and_have_a_card() -> None:
    files = sorted(nets.WEIGHTS.glob("*.safetensors"))
    assert [path.stem for path in CARDS] == [path.stem for path in files] == sorted(TASKS)
    assert sum(path.stat().st_size for path in files) <= 15e6
    for path in CARDS:
        card, task = json.loads(path.read_text()), TASKS[path.stem]
        assert {key: card.get(key) for key in ("task", "classes")} == {
            key: task.card().get(key) for key in ("task", "classes")
        }
        assert card["bytes"] == path.with_suffix(".safetensors").stat().st_size


@pytest.mark.release
@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_shipped_weights_do_what_their_card_says(path: Path) -> None:
    metrics, task = json.loads(path.read_text())["metrics"], TASKS[path.stem]
    done = task.exam(task.trained(), task.held_out)
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
    # Angles in degrees vary more than shares.
    assert {name: done[name] for name in numbers} == pytest.approx(numbers, abs=0.1 if "error" in metrics else 0.01)
