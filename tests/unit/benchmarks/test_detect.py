"""What the detectors' report counts is what it says; how long anything takes is not tested."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pytorch_grad_cam")

from benchmarks import timing
from benchmarks.detectors import pointing
from benchmarks.detectors import speed as detect
from benchmarks.detectors.annotated import Photograph, dataset, match
from benchmarks.detectors.case import level, scale
from benchmarks.report import machine, with_section
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.models.adapter import Prediction, Target
from sightglass.models.geometry import Geometry
from tests.weights import weight

if TYPE_CHECKING:
    from pathlib import Path

# A picture of 80x60 in an input of 80x80: ten rows of bars above and below.
GEOMETRY = Geometry((60, 80), (80, 80), (1.0, 1.0), (10.0, 0.0))
OWN = Prediction("cat", 3, 0.8, (20.0, 10.0, 40.0, 30.0), 0)


def heatmap(at_input: np.ndarray, state: Any = "ok") -> Heatmap:
    raw = (at_input.astype(np.float32),)
    return Heatmap(Target(3, "cat"), "hirescam", ("layer",), raw, raw[0], GEOMETRY, "own", state)


def filled() -> np.ndarray:
    out = np.zeros((80, 80), np.float32)
    out[20:40, 20:40] = 1
    return out


def test_a_box_filled_evenly_has_all_its_energy_in_the_box() -> None:
    found = pointing.measured(heatmap(filled()), OWN, [])
    assert found["hit"] == 1
    assert found["inside"] == pytest.approx(1)
    assert found["ratio"] == pytest.approx(60 * 80 / 400)
    assert found["elsewhere"] == 0


def test_heat_in_another_objects_box_is_elsewhere_and_an_empty_map_is_a_miss() -> None:
    other = Prediction("dog", -1, 1.0, (60.0, 10.0, 70.0, 30.0))
    heat = filled()
    heat[20:40, 60:70] = 2
    found = pointing.measured(heatmap(heat), OWN, [other])
    assert found["hit"] == 0
    assert found["inside"] == found["elsewhere"] == pytest.approx(0.5)
    assert pointing.measured(heatmap(heat, "no evidence"), OWN, [other])["empty"] == 1


def test_baselines_know_the_box_and_nothing_else() -> None:
    made = pointing.baseline_maps(GEOMETRY, OWN, OWN, np.random.default_rng(0))
    found = {name: pointing.measured(one, OWN, []) for (name, _, _), one in made.items()}
    assert found["box fill"]["inside"] == pytest.approx(1)
    assert found["box fill"]["hit"] == found["random in box"]["hit"] == 1
    assert found["random map"]["ratio"] == pytest.approx(1, abs=0.5)
    rows, _ = np.nonzero(made["random map", "", "class"].at_input)
    assert rows.min() >= 10
    assert rows.max() < 70


def test_the_hottest_are_as_many_as_asked_for_also_among_equals() -> None:
    mask = pointing.hottest(heatmap(filled()), 100)
    assert mask.sum() == 100
    assert mask[20:40, 20:40].sum() == 100
    assert pointing.hottest(heatmap(np.ones((80, 80))), 9999).sum() == 60 * 80


def test_what_is_lost_is_the_share_of_the_score_where_the_map_was_hot() -> None:
    box = torch.tensor([[[20.0, 20.0, 40.0, 40.0]]])

    def run(tensor: torch.Tensor) -> SimpleNamespace:
        """A model whose score is how much of the box is not grey."""
        seen = tensor[:, 0, 20:40, 20:40].mean((1, 2)) * 0.8
        return SimpleNamespace(scores=seen[:, None, None].expand(-1, 4, 1), boxes=box.expand(len(tensor), 1, 4))

    resident: Any = SimpleNamespace(move_input=lambda tensor: tensor, adapter=SimpleNamespace(run=run))
    evidence: Any = SimpleNamespace(
        geometry=GEOMETRY, outputs=SimpleNamespace(boxes=box), tensor=torch.ones(1, 3, 80, 80)
    )
    away = np.zeros((80, 80), np.float32)
    away[50:60, 60:75] = 1
    maps = {
        ("a", "l", "class"): heatmap(filled()),
        ("b", "l", "class"): heatmap(away),
        ("c", "l", "class"): heatmap(filled(), "flat"),
        ("a", "l", "contrast"): heatmap(filled()),
    }
    found = pointing.lost(resident, evidence, torch.zeros(1, 3, 80, 80), OWN, OWN, maps)
    assert {line: row["drop"] for line, row in found.items()} == {
        ("a", "l", "class"): pytest.approx(pointing.SHARE),
        ("b", "l", "class"): pytest.approx(0, abs=1e-6),
        ("c", "l", "class"): 0,
    }


def scores(better: float) -> pointing.Scores:
    made = pointing.Scores()
    for number in range(40):
        made.pictures.append(f"{number}.jpg")
        measured = {"hit": number % 2, "inside": 0.5, "drop": 0.1 if number < 20 else float("nan")}
        made.add((*pointing.DEFAULT, "class"), **measured)
        made.add((*pointing.DEFAULT, "contrast"), hit=1.0, inside=0.5)
        made.add(("layercam", "neck P5", "contrast"), hit=1.0, inside=0.5)
        made.add(("random in box", "", "class"), hit=1.0, inside=1.0, drop=0.1)
        made.add(("layercam", "neck P5", "class"), **{name: value + better for name, value in measured.items()})
    return made


def test_an_interval_holds_its_mean_and_leaves_out_what_was_not_measured() -> None:
    made = scores(0.0)
    line = (*pointing.DEFAULT, "class")
    found = pointing.samples([made])
    mean, low, high = found.interval(line, "hit")
    assert low < mean == 0.5 < high
    assert found.interval(line, "drop") == pytest.approx((0.1, 0.1, 0.1))


def test_the_verdict_names_what_is_better_and_says_where_it_cannot_tell() -> None:
    best = pointing.verdict([scores(0.2), scores(0.2)])
    assert best["first"][0]["line"] == ("layercam", "neck P5")
    assert best["to_default"]["hit"] == pytest.approx((0.2, 0.2, 0.2))
    assert "worse in nothing" in pointing.words(best)
    assert "It is the present default" in pointing.words(pointing.verdict([scores(0.0)]))


def test_a_box_is_an_annotated_object_by_label_and_overlap_and_each_object_is_taken_once() -> None:
    photograph = Photograph(__file__, (("cat", (20, 10, 40, 30)), ("dog", (0, 0, 10, 10))))  # type: ignore[arg-type]
    shown = [
        Prediction("cat", 3, 0.9, (20, 10, 40, 29)),
        Prediction("cat", 3, 0.8, (20, 10, 40, 30)),
        Prediction("cat", 3, 0.7, (0, 0, 10, 10)),
    ]
    assert match(shown, photograph) == [(shown[0], 0)]


def test_a_dataset_as_yolo_has_it_is_read(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (100, 50)).save(tmp_path / "images" / "a.jpg")
    Image.new("RGB", (100, 50)).save(tmp_path / "images" / "not annotated.jpg")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4\n79 0.1 0.1 0.2 0.2\n")
    (found,) = dataset(tmp_path)
    assert [label for label, _ in found.objects] == ["person", "toothbrush"]
    assert found.objects[0][1] == pytest.approx((40, 15, 60, 35))


def test_the_scale_of_a_candidate() -> None:
    levels = [torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)]
    assert [level(levels, anchor) for anchor in (0, 63, 64, 79, 80, 83)] == [0, 0, 1, 1, 2, 2]
    assert scale(levels, 64) == "P4"
    with pytest.raises(ValueError, match="84"):
        level(levels, 84)


def test_each_command_writes_its_own_section_of_the_report(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    for name, text in (("detect", "# Speed\n"), ("pointing", "# Maps\n"), ("detect", "# Faster\n")):
        path.write_text(with_section(path, name, text))
    assert [line for line in path.read_text().splitlines() if line] == [
        "<!-- pointing -->", "# Maps", "<!-- detect -->", "# Faster",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.weights("yolo11n.pt")
def test_every_line_of_a_detector_is_timed_and_its_maps_are_the_references(
    bus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(weight("yolo11n.pt").parent))
    monkeypatch.setattr(timing, "WARM_UP", 0)
    monkeypatch.setattr(detect, "SLOW", 1)
    monkeypatch.setattr(detect, "pictures", list)
    made = detect.speed("yolo11n", bus, 1)
    timed = {row["id"] for row in made["rows"]}
    assert timed >= {"bare", "ours", "class", "whole", "ten", "pass", "maps", "seven", "grad_cam", "visualize"}
    assert len(made["goals"]) == 6
    assert "bus P5" in made["how"]
    assert max(made["difference"]) < 1e-3
    text = detect.markdown(
        {
            "machine": machine(1, "cpu", ()) | {"load_after": 0.0},
            "lines": [{"title": "yolo11n", **made}, {"title": "other", "failed": "it broke"}],
        }
    )
    assert "| other | could not be measured: it broke |  | **miss** |" in text
    assert json.dumps(made)


def test_every_line_of_memory_has_a_name_of_its_own() -> None:
    assert len(set(detect.WEIGHTS_OF.values())) == len(detect.WEIGHTS_OF)


def test_a_class_map_s_goal_grows_with_its_boxes() -> None:
    assert detect.class_limit(1) == 1.25 and detect.class_limit(4) == pytest.approx(1.7)
