"""The demo models' training: it learns, it keeps boxes true, and it leaves whole files or none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch

from sightglass.common.errors import WeightsProblem
from sightglass.models.families.demo import nets
from training import detr, evaluation, pool, regression, segmentation, train
from training.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


@pytest.mark.parametrize("way", range(8))
def test_boxes_turn_with_their_pixels(way: int) -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[2:6, 5:17] = 255
    box = train.turned_boxes(np.array([[5, 2, 17, 6]], np.float32) / 20, way)[0] * 20
    rows, columns = np.nonzero(train.turned(pixels, way)[..., 0])
    assert box.tolist() == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=1e-4)


def test_a_box_counts_once_and_for_its_own_class() -> None:
    true = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [20, 20, 30, 26]], np.float32)
    hits = evaluation.matched(found, np.array([1, 1, 2, 3], np.float32), true, np.array([1, 3]))
    assert hits[:, 0].tolist() == [True, False, False, True]
    # An overlap of 0.6 is one at 0.5, 0.55 and 0.6.
    assert hits[3].sum() == 3


def test_a_training_writes_weights_and_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "HELD_OUT", 40)
    monkeypatch.setattr(train, "WATCHED", 20)
    recipe = replace(pool.RECIPES["demo-cls-cheat"], images=64, pool=32)
    card = train.train("demo-cls-cheat", recipe=recipe, seed=3, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-cls-cheat.json", "demo-cls-cheat.safetensors"]
    assert json.loads((tmp_path / "demo-cls-cheat.json").read_text()) == card
    assert (card["data"]["kind"], card["data"]["seed"], card["training"]["images"]) == ("stamped", 3, 64)
    assert evaluation.evaluate("demo-cls-cheat", count=40, folder=tmp_path) == card["metrics"]


def test_weights_that_are_missing_or_of_another_net_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsProblem, match=r"python -m training\.train demo-cls-s\.$"):
        nets.trained("demo-cls-s", tmp_path)
    train.save(nets.build("demo-cls-m"), tmp_path / "demo-cls-s.safetensors")
    with pytest.raises(WeightsProblem, match=r"python -m training\.train demo-cls-s\.$"):
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


@pytest.mark.release
@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_shipped_weights_do_what_their_card_says(path: Path) -> None:
    said = json.loads(path.read_text())["metrics"]
    done = evaluation.evaluate(path.stem, count=train.HELD_OUT)
    numbers = {name: value for name, value in said.items() if isinstance(value, float)}
    assert {name: done[name] for name in numbers} == pytest.approx(numbers, abs=0.01)


def test_every_kind_of_network_learns() -> None:
    seen, losses = pool.fill(pool.Source("detect"), 16), dict[str, list[float]]()

    def note(name: str) -> Callable[..., None]:
        return lambda *progress: losses.setdefault(name, []).append(progress[2])

    torch.manual_seed(0)
    recipe = pool.Recipe(pool.Source("detect"), images=160, batch=16, turns=True)
    train.fit(nets.build("demo-s"), seen, recipe, 0, note("boxes"))
    detr.fit(detr.begin(0), seen, detr.Recipe(images=16 * 6, batch=8), 0, note("queries"))
    regression.fit(regression.pictures(48), regression.Recipe(images=16 * 24, batch=16), 0, note("angles"))
    for name, values in losses.items():
        assert np.mean(values[-4:]) < 0.97 * np.mean(values[:4]), name


def test_an_angle_turns_with_its_picture() -> None:
    pool_seen = regression.pictures(4)
    pixels, angles, cells = regression.turn_rows(pool_seen, np.array([0, 0]), np.array([4, 6]))
    assert angles.tolist() == [-pool_seen[1][0]] * 2 and (pixels[0] == pool_seen[0][0][:, ::-1]).all()
    assert (cells[0].numpy() == pool_seen[2][0][:, ::-1]).all()
    said = regression.targets_of(torch.tensor([15.0, -60.0]), torch.tensor([[[True, False]]] * 2))
    assert said[0, :, 0, 0].nonzero()[:, 0].tolist() == [8, 9] and said[1, 1, 0, 0] == 1
    assert (said.sum(1) == 1).all() and (said[:, 0, 0, 1] == 1).all()


@pytest.mark.release
@pytest.mark.parametrize(
    ("name", "module", "tolerances"),
    [
        ("demo-seg", segmentation, {}),
        ("demo-detr", detr, {"mAP50": 0.01, "mAP50-95": 0.01}),
        ("demo-regress", regression, {"error": 0.1, "within_5": 0.01}),
    ],
)
def test_networks_of_their_own_training_do_what_their_card_says(
    name: str, module: Any, tolerances: dict[str, float]
) -> None:
    said = json.loads((nets.WEIGHTS / f"{name}.json").read_text())["metrics"]
    done = module.exam(module.HELD_OUT)(nets.trained(name))
    for metric, within in (
        tolerances or {key: 0.01 for key, value in said.items() if isinstance(value, float)}
    ).items():
        assert done[metric] == pytest.approx(said[metric], abs=within), metric
