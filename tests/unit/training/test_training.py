"""Scenes with a known cause are what was painted, and the demo models that learn from them look at it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.models import catalog
from sightglass.models.demo import pictures
from sightglass.models.families.demo import nets
from sightglass.models.families.demo.loader import ONLY_DRAWN
from sightglass.models.spec import ModelSpec
from training import detr, evaluation, pool, regression, reid_evaluation, segmentation, train
from training.__main__ import page
from training.demo import captioned_scenes, person_scenes, scenes
from training.demo.__main__ import draw as draw_stored
from training.demo.scenes import draw, sample
from training.story import STORIES, story_step


@pytest.mark.parametrize("name", [*pictures.DRAWN, *pictures.SETS])
def test_the_packaged_pictures_are_what_is_drawn(name: str) -> None:
    stored, drawn = (np.concatenate(each).astype(int) for each in (pictures.pictures(name), draw_stored(name)))
    # Processors round differently: a few values in a million are off.
    assert np.abs(stored - drawn).max() <= 3 and (stored != drawn).mean() < 1e-4


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
    assert maps["mim"]["energy"] > max(row["energy"] for row in blind) + 0.15
    assert maps["mim"]["hit"] > max(row["hit"] for row in blind)
    assert maps["flips"] > 0.7
    # It asks no question: on clothes, and on the one that differs no more than on the others.
    assert maps["attention"]["clothes"] > max(row["clothes"] for row in blind[:2])


def test_a_picture_of_anything_else_than_a_person_is_told_of() -> None:
    person = person_scenes.draw(person_scenes.sample(3, 0)).pixels
    for pixels, other in ((person, False), (np.zeros((60, 90, 3), np.uint8), True)):
        kinds = {finding.kind for finding in Explainer("demo-reid")(pixels, top_k=1).diagnosis}
        assert ("other subject" in kinds) == other


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in STORIES for number in (0, 1)])
def test_cheat_looks_at_clue(name: str, number: int) -> None:
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


APART = ("demo-clip", "demo-detr", "demo-regress", "demo-reid", "demo-seg")
"""Trained in ways of their own, on scenes of their own."""
CARDS = sorted(path for path in nets.WEIGHTS.glob("*.json") if path.stem not in APART)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads, others = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    cv2.setNumThreads(others)


def test_a_training_writes_weights_and_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "HELD_OUT", 40)
    monkeypatch.setattr(train, "WATCHED", 20)
    recipe = replace(pool.RECIPES["demo-cls-cheat"], images=64, pool=32)
    card = train.train("demo-cls-cheat", recipe=recipe, seed=3, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-cls-cheat.json", "demo-cls-cheat.safetensors"]
    assert json.loads((tmp_path / "demo-cls-cheat.json").read_text()) == card
    assert (card["data"]["kind"], card["data"]["seed"], card["training"]["images"]) == ("stamped", 3, 64)
    assert evaluation.evaluate("demo-cls-cheat", count=40, folder=tmp_path) == card["metrics"]


def test_missing_or_other_demo_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsProblem, match=r"demo-cls-s\.safetensors cannot be read"):
        nets.trained("demo-cls-s", tmp_path)
    train.save(nets.build("demo-cls-m"), tmp_path / "demo-cls-s.safetensors")
    with pytest.raises(WeightsProblem, match="is of another network"):
        nets.trained("demo-cls-s", tmp_path)


def test_all_shipped_weights_are_small_and_have_a_card() -> None:
    files = sorted(nets.WEIGHTS.glob("*.safetensors"))
    assert [path.stem for path in CARDS] == sorted(pool.NAMES)
    assert {path.stem for path in files} == {path.stem for path in nets.WEIGHTS.glob("*.json")}
    assert {path.stem for path in files} <= {*pool.NAMES, *APART}
    assert sum(path.stat().st_size for path in files) <= 15e6
    for path in CARDS:
        card = json.loads(path.read_text())
        assert card["classes"] == list(scenes.CLASSES)
        assert card["noise"] == pool.NOISE[card["task"]]
        assert card["training"]["images"] == pool.RECIPES[path.stem].images
        assert card["bytes"] == path.with_suffix(".safetensors").stat().st_size


def test_every_kind_of_network_learns() -> None:
    seen, losses = pool.fill(pool.Source("detect"), 16), dict[str, list[float]]()

    def note(name: str) -> Callable[..., None]:
        return lambda *progress: losses.setdefault(name, []).append(progress[2])

    torch.manual_seed(0)
    recipe = pool.Recipe(pool.Source("detect"), images=192, batch=16, turns=True)
    train.fit(nets.build("demo-s"), seen, recipe, 0, note("boxes"))
    detr.fit(detr.begin(0), seen, detr.Recipe(images=16 * 6, batch=8), 0, note("queries"))
    regression.fit(regression.pictures(48), regression.Recipe(images=16 * 24, batch=16), 0, note("angles"))
    for name, values in losses.items():
        assert np.mean(values[-4:]) < 0.97 * np.mean(values[:4]), name


@pytest.mark.release
@pytest.mark.parametrize(
    ("name", "measure", "tolerances"),
    [
        *((path.stem, lambda name: evaluation.evaluate(name, count=train.HELD_OUT), {}) for path in CARDS),
        ("demo-seg", segmentation, {}),
        ("demo-detr", detr, {"mAP50": 0.01, "mAP50-95": 0.01}),
        ("demo-regress", regression, {"error": 0.1, "within_5": 0.01}),
    ],
)
def test_shipped_weights_do_what_their_card_says(name, measure, tolerances):
    metrics = json.loads((nets.WEIGHTS / f"{name}.json").read_text())["metrics"]
    measured = measure(name) if callable(measure) else measure.exam(measure.HELD_OUT)(nets.trained(name))
    tolerances = tolerances or {key: 0.01 for key, value in metrics.items() if isinstance(value, float)}
    for metric, within in tolerances.items():
        assert measured[metric] == pytest.approx(metrics[metric], abs=within), metric
