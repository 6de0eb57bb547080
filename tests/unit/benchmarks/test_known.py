"""The cause of a picture is what decides, halves share no picture, and controls never count."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchcam")

from benchmarks.__main__ import main
from benchmarks.known import photographs
from benchmarks.known import run as known
from benchmarks.known.architectures import ARCHITECTURES
from benchmarks.known.contenders import METHODS, explain, explainer
from benchmarks.known.controls import COMPONENTS, CONTROL, CONTROLS, consensus, shuffled
from benchmarks.known.drawn import DRAWN, WITHOUT, channels_first, pair, token
from benchmarks.known.halves import HALVES
from benchmarks.known.items import answer
from benchmarks.known.patterns import figure, single_deletion
from benchmarks.known.protocols import numbered
from benchmarks.known.report import corrected_chances, sizes, table
from benchmarks.known.scenes import boxes_in_grids, faithfulness, grid
from benchmarks.truth.columns import BASELINE, Column
from sightglass.common.errors import ModelProblem
from sightglass.models.layers import WHOLE


def test_removed_part_changes_the_picture_in_its_patch_alone() -> None:
    whole, label, patches = figure(5)
    bare, same, _ = figure(5, (2,))
    changed = (whole != bare).any(0)
    assert label == same and changed[patches[2]].any() and not changed[~patches[2]].any()
    heat = sum((place + 1) * patch.astype(np.float32) for place, patch in enumerate(patches))
    assert single_deletion(patches, np.arange(4, dtype=np.float32), heat) == {"single deletion": pytest.approx(1)}


def test_deletion_of_the_box_first_is_faithful() -> None:
    box, tensor = torch.tensor([[0.0, 0.0, 8.0, 8.0]]), torch.zeros(1, 3, 32, 32)
    tensor[..., :8, :8] = 1

    def answer(pictures: torch.Tensor) -> Any:
        scores = pictures[:, 0, :8, :8].mean((1, 2))[:, None, None]
        return SimpleNamespace(boxes=box.expand(len(pictures), 1, 4), scores=scores)

    model: Any = SimpleNamespace(run=answer)
    first, last = (faithfulness(model, tensor, box, 0, heat) for heat in (tensor[0, 0].numpy(), None))
    assert first["deletion"] < 0.1 < last["deletion"] and first["insertion"] > 0.9


@pytest.mark.parametrize("column", DRAWN)
def test_label_changes_the_cause_alone_and_the_rest_does_not(column: str) -> None:
    draw = DRAWN[column]
    (first, mask), (second, same), (other, at) = draw(3, 0, 0), draw(3, 1, 0), draw(3, 0, 1)
    assert np.array_equal(mask, same)
    changed, spare = (first != second).any(2), (first != other).any(2)
    assert changed[mask].any() and not changed[~mask].any()
    assert spare[~mask].any() and not spare[mask & at].any()


def test_object_is_removed_from_its_own_pixels() -> None:
    (both, masks), (alone, _) = pair(5, (0, 2)), pair(5, (0, 2), (0,))
    changed = (both != alone).any(2)
    assert changed[masks[1]].any() and not changed[~masks[1]].any() and not (masks[0] & masks[1]).any()


def test_photograph_in_a_grid_decides_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "CROPS", 24)
    found = [*photographs.photographs(2)]
    for item in found:
        (mask, _) = item.causes["photograph"]
        inside = torch.from_numpy(mask)
        assert mask.mean() == 0.25
        assert answer(item.network, torch.where(inside, item.picture, 0)) == item.target
        assert answer(item.network, torch.where(inside, 0, item.picture)) != item.target
    assert not {*photographs.IN_HALF["development"]} & {*photographs.IN_HALF["test"]}


def test_box_in_a_grid_lies_in_its_cell() -> None:
    (item,) = boxes_in_grids(1)
    (mask, _) = item.causes["box's cell"]
    logits = item.network.module(item.picture)[0].sigmoid()
    assert mask.mean() == 0.25 and logits.argmax() == item.target and logits.max() >= 0.25


@pytest.mark.parametrize("protocol", ["handmade", "triggers", "tokens", "two objects"])
def test_halves_are_equal_and_share_no_picture(protocol: str) -> None:
    items = [*numbered(protocol, 4)]
    pictures = [{each.item.pixels.tobytes() for each in items if each.half == half} for half in HALVES]
    assert len(pictures[0]) == len(pictures[1]) and not pictures[0] & pictures[1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_method_explains_every_architecture(architecture: str) -> None:
    torch.manual_seed(0)
    network = ARCHITECTURES[architecture].build()
    network.module.eval()
    picture = torch.from_numpy(channels_first(token(3, 1, 0)[0]))[None]
    for line, method in (METHODS | CONTROLS).items():
        if line not in WITHOUT.get(architecture, ()):
            values = explain(method, network, picture, 1)
            assert values is None or values.shape == picture.shape[2:], line


def test_refused_picture_is_missed() -> None:
    def refuse(*arguments: Any) -> Any:
        raise ModelProblem("There is no map of this picture: choose another method.")

    network = ARCHITECTURES["mean"].build()
    assert explain(refuse, network, torch.zeros(1, 3, 48, 48), 0) is None


def test_control_is_neither_bold_nor_counted() -> None:
    method, control, baseline = ("library", "method"), (CONTROL, "Grad-CAM, shuffled weights"), (BASELINE, "edges")
    column = Column()
    for place in range(20):
        row = {method: [1.0] * 4, control: [1.0] * 4, baseline: [0.0] * 4}
        column.add(row, half=HALVES[place % 2], share=0.01 if place < 10 else 0.3)
    columns = {"spot": column}
    corrected = corrected_chances(columns)
    lines = table(columns, corrected).splitlines()
    assert lines[2:5] == [
        "| library | method | **100** | 1 |",
        "| control | Grad-CAM, shuffled weights | 100 |  |",
        "| no network | edges | 0 |  |",
    ]
    # What shuffled weights hit says nothing of a method.
    assert "| library | method | – | – | – | – | – |" in sizes(columns, corrected)
    rows = [{line: of for line, of in row.items() if line != control} for row in column.values]
    other = {"spot": Column(rows, kinds=column.kinds, halves=column.halves, shares=column.shares)}
    assert "| library | method | 100 | – | 100 | 100 | 100 |" in sizes(other, corrected_chances(other))


def test_shuffled_network_has_the_same_numbers_elsewhere() -> None:
    network = ARCHITECTURES["mean"].build()
    other = shuffled(network)
    pairs = [*zip(network.module.parameters(), other.module.parameters(), strict=True)]
    assert all(torch.equal(mine.flatten().sort().values, theirs.flatten().sort().values) for mine, theirs in pairs)
    assert not any(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_consensus_is_where_most_maps_are_strongest() -> None:
    here, there = np.zeros((2, 10, 10), np.float32)
    here[:2], there[-2:] = 3.0, 1.0
    maps = dict(zip(COMPONENTS, (here, here, there, None, 0 * here), strict=False))
    joined = consensus(maps)
    assert joined is not None and joined.shape == here.shape
    assert joined[0, 0] > 2 > joined[-1, -1] > 1 > joined[5, 5] == 0
    assert consensus({}) is None


def test_known_causes_of_hand_set_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        known, "PROTOCOLS", {name: known.PROTOCOLS[name] for name in ("handmade", "tetrominoes", "tokens")}
    )
    monkeypatch.setattr(known, "SHORT", 1)
    assert main(["known", "--short", "--json", str(tmp_path / "out.json")]) == 0
    hits = json.loads((tmp_path / "out.json").read_text())["hits"]
    assert [*hits] == ["pattern", "tetromino 8x8", "token"]
    # Where the slope is 0 and only a removal tells, no gradient of the layer finds the pattern.
    assert hits["pattern"]["pytorch-grad-cam LayerCAM"][0] == hits["pattern"]["Sightglass LayerCAM"][0] == 0.8
    assert "Nothing is better than the best baseline on: pattern" in capsys.readouterr().out


def test_a_layer_of_a_grid_keeps_its_place() -> None:
    """Marks in it are widely spread, and show no other place."""
    for item in grid(8):
        explanation = explainer(item.network)(item.picture[0], targets=item.target, method="gradcam")
        assert explanation.evidence.layers[0].cover == WHOLE
