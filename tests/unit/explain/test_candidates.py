"""Boxes, the maps made of them, and boxes that are missing."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explanation import Explanation, explain
from sightglass.explain.maps import boxes
from sightglass.explain.maps.boxes import confine, coverage, parse_place
from sightglass.explain.methods.gradient import add_evenly
from sightglass.explain.options import Options
from sightglass.explain.phrases import NBSP
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Prediction, Target
from sightglass.models.adapters.detector import Detections, Detector
from sightglass.models.demo.pictures import pictures
from sightglass.models.geometry import Geometry, ModelInput, picture_cells
from sightglass.models.spec import ModelSpec
from tests.weights import picture, real

LABELS = ("cat", "dog", "kite")
SIDE, CELL = 64, 8
CELLS = SIDE // CELL
# Per candidate: its cell (row, column), box in pixels of the input, scores of cat, dog and kite.
WRITTEN = {
    (2, 2): ((8, 8, 32, 32), (0.9, 0.2, 0.01)),
    (2, 3): ((9, 8, 33, 32), (0.8, 0.1, 0.01)),
    (5, 5): ((40, 32, 60, 60), (0.3, 0.7, 0.01)),
    (6, 1): ((4, 44, 20, 62), (0.1, 0.05, 0.02)),
    (1, 6): ((44, 4, 62, 20), (0.01, 0.01, 0.15)),
}


class Drawn(nn.Module):
    """Two layers over a picture; the second one's channels are added to the logits that are written down."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, CELL, CELL)
        self.neck = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(4, len(LABELS) + 4, 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for parameter in self.parameters():
                nn.init.normal_(parameter, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.neck(self.stem(x).relu()).relu())


class Written(Detector):
    def __init__(self) -> None:
        spec = ModelSpec("written", "written", "s", "none", "written", "detect", "none", method="hirescam")
        super().__init__(spec, Drawn(), LABELS, "0" * 64)
        self.logits = torch.full((1, len(LABELS), CELLS, CELLS), -9.0)
        self.boxes = torch.zeros(1, 4, CELLS, CELLS)
        rows, columns = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
        self.centres = torch.stack((columns, rows), 2).view(-1, 2).float() * CELL + CELL / 2
        self.boxes[0] = torch.cat((self.centres - 4, self.centres + 4), 1).T.view(4, CELLS, CELLS)
        for (row, column), (box, scores) in WRITTEN.items():
            self.boxes[0, :, row, column] = torch.tensor(box, dtype=torch.float32)
            self.logits[0, :, row, column] = torch.tensor(scores).logit()

    def prepare(self, pixels: np.ndarray, preprocessing: str) -> ModelInput:
        tensor = torch.from_numpy(cv2.resize(pixels, (SIDE, SIDE))).permute(2, 0, 1)[None].float() / 255
        (height, width), place = pixels.shape[:2], (0.0, 0.0)
        return ModelInput(tensor, Geometry((height, width), (SIDE, SIDE), (SIDE / height, SIDE / width), place))

    def run(self, tensor: Tensor) -> Detections:
        raw = self.module(tensor)
        felt = raw - raw.detach()

        def boxes(regressions: tuple[Tensor, ...]) -> Tensor:
            return regressions[0].flatten(2).transpose(1, 2)

        levels, regressions = self.logits + felt[:, : len(LABELS)], self.boxes + felt[:, len(LABELS) :]
        return Detections((levels,), (regressions,), boxes, self.centres, torch.full((CELLS**2,), float(CELL)))


def anchor(row: int, column: int) -> int:
    return row * CELLS + column


def explained(**options: Any) -> Explanation:
    loaded = LoadedModel(Written(), torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 255, (2 * SIDE, 2 * SIDE, 3), np.uint8)
    model_input = loaded.adapter.prepare(pixels, "trained")
    layers = layers_at(loaded, options.pop("layers", ("neck",)))
    return explain(Image(pixels), Evidence(loaded, model_input, layers), Options(**options), milliseconds={})


def test_the_boxes_that_are_shown() -> None:
    result = explained()
    assert [(p.label, round(p.score, 2), p.box, p.anchor) for p in result.predictions] == [
        ("cat", 0.9, (16.0, 16.0, 64.0, 64.0), anchor(2, 2)),
        ("dog", 0.7, (80.0, 64.0, 120.0, 120.0), anchor(5, 5)),
    ]
    assert [p.label for p in explained(classes=("dog",)).predictions] == ["dog"]
    assert len(explained(iou=0.95).predictions) == 3


@pytest.mark.parametrize(
    ("where", "label", "only", "words"),
    [
        ((40, 40), None, (), "is already shown: it is box 1 (cat)"),
        ((65.5, 40), None, (), "box 1 (cat) covers it with 92 % overlap"),
        ((88, 88), "cat", (), "dog at 70 % scores higher at the same place: box 2 (dog)"),
        ((24, 104), None, (), "A cat at 10 % is the strongest candidate here"),
        ((24, 104), "kite", (), "A kite at 2 % is the strongest"),
        ((90, 10, 122, 38), None, (), "A kite at 15 % is the strongest"),
        ((40, 40), None, ("dog",), "A cat at 90 % is not shown: the class filter hides it."),
        ((65.5, 40), None, ("dog",), "is not shown: a cat at 90 % hidden by the class filter covers it with 92 %"),
        ((88, 88), "cat", ("dog",), "dog at 70 % scores higher at the same place: box 1 (dog)"),
    ],
)
def test_a_missing_box_says_what_it_is_and_why(where, label, only, words):
    assert words in (explained(classes=only) if only else explained()).missing(where, label).words.replace(NBSP, " ")


def test_filtered_class_that_loses_its_place_is_said() -> None:
    result = Explainer("demo-s")(next(iter(pictures("references"))), classes=("moon-outside",), confidence=0.01)
    sentence = result.task.wording.nothing(result).replace(NBSP, " ")
    assert sentence.startswith("A moon-outside at 3 % is not shown because moon-inside at 42 % scores higher")


def test_the_whole_picture_sums_the_strongest_candidates() -> None:
    result = explained(per="picture", ratio=3 / CELLS**2)
    (heatmap,) = result.heatmaps
    assert set(heatmap.target.anchors) == {anchor(2, 2), anchor(2, 3), anchor(5, 5)}
    parts = explained(per="detection", iou=0.95)
    np.testing.assert_allclose(sum(h.raw[0] for h in parts.heatmaps), heatmap.raw[0], atol=1e-7)
    assert result.recipe.targets == (-1,) and len(result.own(0)) == 2


def test_parts_of_a_box() -> None:
    detector = Written()
    outputs = detector.run(torch.zeros(1, 3, SIDE, SIDE))

    def scalar(part: Any, index: int | None = 0) -> float:
        return float(detector.scalar(outputs, Target(index, "", (anchor(2, 2),), part)))

    # Box 8, 8, 32, 32 around the cell's centre (20, 20), in cells of 8.
    assert [scalar(side) for side in ("left", "top", "right", "bottom")] == pytest.approx([1.5] * 4)
    assert scalar("box") == pytest.approx(6)
    logits = torch.tensor(WRITTEN[2, 2][1]).logit()
    assert scalar("class") == scalar("class", None) == pytest.approx(float(logits[0]), abs=1e-5)
    assert scalar("contrast") == pytest.approx(float(logits[0] - logits[1:].logsumexp(0)), abs=1e-5)
    assert scalar("contrast", 1) == pytest.approx(float(logits[1] - logits[[0, 2]].logsumexp(0)), abs=1e-5)
    assert scalar("all") == pytest.approx(scalar("class") + 6, abs=1e-5)
    with pytest.raises(ModelProblem, match="written cannot explain mask: use one of class, contrast"):
        scalar("mask")
    with pytest.raises(ModelProblem, match="64 candidates, and 99 is not"):
        detector.scalar(outputs, Target(0, "", (99,)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"per": "detection", "targets": (7,)}, "There is no box 7: 2 are shown"),
        ({"per": "detection", "targets": ((999, 0),)}, "There is no candidate 999"),
        ({"per": "detection", "targets": ("cap",)}, "did you mean cat"),
        ({"classes": ("dg",)}, "did you mean dog"),
    ],
)
def test_what_is_not_there_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelProblem, match=sentence):
        explained(**options)


def test_the_four_shares_of_overlapping_boxes_sum_to_one() -> None:
    result = explained(per="detection")
    left, top, right, bottom = result.heatmaps[0].geometry.extent

    def prediction_at(cells: tuple[float, float, float, float]) -> Prediction:
        """A box by its edges in cells."""
        x0, x1 = (left + (right - left) * cells[i] / SIDE for i in (0, 2))
        y0, y1 = (top + (bottom - top) * cells[i] / SIDE for i in (1, 3))
        return Prediction("", 0, 1.0, (x0, y0, x1, y1))

    values = np.zeros((SIDE, SIDE), np.float32)
    values[4:8, 4:8] = 1.0  # its own box only
    values[16:20, 16:24] = 1.0  # both boxes
    values[36:40, 36:40] = 1.0  # the other only
    values[56:60, 56:60] = 1.0  # none
    heatmap = replace(result.heatmaps[0], at_input=values)
    numbers = boxes.measure(heatmap, [prediction_at((0, 0, 30, 30))], [prediction_at((14, 14, 50, 50))], 0.0)
    four = (numbers.own_only, numbers.shared, numbers.elsewhere, numbers.outside)
    np.testing.assert_allclose(four, (0.2, 0.4, 0.2, 0.2), atol=1e-3)
    assert numbers.inside == pytest.approx(0.6, abs=1e-3)
    assert numbers.describe("its own box")[1].replace(NBSP, " ") == "40 % shared with other boxes"
    # Edges that cut cells leave nothing out and count nothing twice.
    cut = boxes.measure(
        heatmap,
        [prediction_at((0, 0, 17.3, 19.1))],
        [prediction_at((16.6, 2.2, 57.7, 58.4)), prediction_at((0, 5, 9.5, 7))],
        0.0,
    )
    assert cut.own_only + cut.shared + cut.elsewhere + cut.outside == pytest.approx(1)
    assert sum(cut.printed.values()) == 100


def test_a_box_that_cuts_cells_and_a_turned_box() -> None:
    upright = Prediction("", 0, 1.0, (10.0, 0.0, 30.0, 40.0))
    np.testing.assert_allclose(coverage((4, 4), (0, 0, 40, 40), [upright])[0], [0, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(coverage((2, 2), (0, 0, 40, 40), [upright]), 0.5, atol=1e-6)
    turned = Prediction("", 0, 1.0, (0.0, 0.0, 80.0, 80.0), corners=((40, 0), (80, 40), (40, 80), (0, 40)))
    assert coverage((80, 80), (0, 0, 80, 80), [turned]).mean() == pytest.approx(0.5, abs=0.02)


def test_maps_kept_to_their_boxes() -> None:
    values = np.zeros((SIDE, SIDE))
    values[8:32, 8:32] = np.linspace(0.2, 0.4, 24)
    values[50:60, 45:55] = 1.0
    result = explained(per="detection")
    heatmap, boxes = replace(result.heatmaps[0], at_input=values.astype(np.float32)), result.own(0)
    result = replace(result, heatmaps=(heatmap, result.heatmaps[1]))
    inside = confine(heatmap, boxes, "inside").at_input
    assert inside.max() == pytest.approx(0.4) and not inside[50:60, 45:55].any()
    shared, each = (confine(heatmap, [*boxes, *result.own(1)], way).at_input for way in ("shared", "each"))
    assert shared[8:32, 8:32].max() == pytest.approx(0.4)
    assert each[8:32, 8:32].max() == each[50:60, 45:55].max() == 1
    assert confine(heatmap, boxes, "picture") is heatmap
    confined = replace(result, heatmaps=(confine(heatmap, boxes, "each"), result.heatmaps[1]))
    assert confined.box_numbers(0) == result.box_numbers(0), "a number changed with what is shown"
    assert confined.statistics[0] == result.statistics[0]


@pytest.mark.parametrize("name", ["demo-s", *map(real, ("yolo11n", "yolo26n", "yolo11n-seg", "yolox_nano"))])
def test_every_box_is_hottest_in_itself(name: str) -> None:
    result = Explainer(name)(picture(name), per="detection", confidence=0.5)
    assert len(result.predictions) >= (3 if name == "demo-s" else 4)
    numbers = [result.box_numbers(i) for i in range(len(result.heatmaps))]
    # An even map would have 1.
    assert all(number is not None and number.hit and number.ratio > 1.5 for number in numbers)


@pytest.mark.parametrize(
    ("where", "says"),
    [(where, r"^The place is .*: give a point") for where in ((1, 2, 3), (), (1, float("nan")), "dog", [(1, 2)])]
    + [(where, "is not in the picture: it is 100 px wide") for where in ((101, 5), (-9, 0, -1, 40))],
)
def test_what_is_no_place_is_one_sentence(where: Any, says: str) -> None:
    with pytest.raises(ModelProblem, match=says):
        parse_place(where, 100, 50)


EVEN = Geometry((2, 2), (2, 2), (1, 1), (0, 0))


def test_boxes_are_added_with_the_same_peak_by_hand() -> None:
    a, b = torch.tensor([[4.0, 0.0], [-2.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    # Peaks 4 and 1, both brought to 2.5.
    torch.testing.assert_close(add_evenly(torch.stack([a, b]), EVEN), torch.tensor([[2.5, 2.5], [-1.25, 0.625 - 2.5]]))
    # One without a peak is left out beside others; alone all are added as they are.
    torch.testing.assert_close(add_evenly(torch.stack([a, -b.abs()]), EVEN), a)
    torch.testing.assert_close(add_evenly(torch.stack([-a.abs(), -b.abs()]), EVEN), -a.abs() - b.abs())
    assert not add_evenly(torch.stack([torch.full((2, 2), float("nan")), torch.ones(2, 2)]), EVEN).isfinite().any()
    # A peak on the bar of a letterbox, the upper half of the input here, is none.
    barred = Geometry((1, 2), (2, 2), (1, 1), (1, 0))
    a, b = torch.tensor([[90.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(add_evenly(torch.stack([a, b]), barred)[1], torch.ones(2))


@pytest.mark.parametrize(("name", "label"), [("demo-s", "ball-dots"), real("yolo11n", "person")])
def test_a_class_is_the_even_sum_of_its_boxes(name: str, label: str) -> None:
    alone = Explainer(name)(picture(name), targets=(label,), method="hirescam", per="detection")
    assert len(alone.heatmaps) > 1
    (heatmap_of_class,) = alone.with_options(per="class").heatmaps
    for place, raw in enumerate(heatmap_of_class.raw):
        y0, y1, x0, x1 = picture_cells(heatmap_of_class.geometry, *raw.shape)
        peaks = [heatmap.raw[place][y0:y1, x0:x1].max() for heatmap in alone.heatmaps]
        positive = [i for i, peak in enumerate(peaks) if peak > 0]
        level = sum(peaks[i] for i in positive) / max(len(positive), 1)
        expected = sum(alone.heatmaps[i].raw[place] * (level / peaks[i]) for i in positive)
        np.testing.assert_allclose(raw, expected, atol=1e-5 * abs(raw).max() + 1e-6)
