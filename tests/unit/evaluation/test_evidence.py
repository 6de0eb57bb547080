"""Mean maps are the means of the maps of a class's right and wrong answers, in the picture or around the boxes."""

import numpy as np
import pytest

from sightglass.evaluation import evidence, figures
from sightglass.evaluation.charts import RIGHT, WRONG
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
from sightglass.explain.maps.heatmap import CELLS
from sightglass.models.adapter import Prediction

CLASSES = ("cat", "dog")


def spot(x: int, y: int) -> np.ndarray:
    """A map with one hot cell."""
    cells = np.zeros((CELLS, CELLS), np.uint8)
    cells[y, x] = 255
    return cells


def test_pictures_are_averaged_as_they_are() -> None:
    answers = {"a": ("cat", "cat"), "b": ("cat", "cat"), "c": ("cat", "dog"), "d": ("dog", "dog")}
    maps = {"a": spot(0, 0), "b": spot(31, 31), "c": spot(5, 7)}
    pictures = tuple(
        EvaluatedPicture(key, (64, 32), truth=truth, predictions=(Prediction(answer, 0, 0.9),))
        for key, (truth, answer) in answers.items()
    )
    report = ErrorReport(Evaluation("a", "a", "classify", CLASSES, 0.0, pictures=pictures))
    chart = evidence.average(report.units, lambda unit: maps.get(unit.picture.key))
    assert chart is not None and not chart.aligned
    assert chart.classes == ("cat",) and [*chart.maps] == [("cat", RIGHT), ("cat", WRONG)]
    right, wrong = (mean.values for mean in chart.maps.values())
    assert np.argwhere(right).tolist() == [[0, 0], [31, 31]] and right.max() == 0.5
    assert np.argwhere(wrong).tolist() == [[7, 5]] and wrong.max() == 1
    chosen = chart.select(("cat", RIGHT))
    assert chosen is not None and chosen.pictures == {"a", "b"} and chart.select(("dog", RIGHT)) is None
    figure = figures.draw(chart, ("cat", WRONG))
    assert [tuple(mark[1:]) for mark in figure.data[-1].customdata] == [("cat", RIGHT), ("cat", WRONG)]
    assert figure.data[-1].text == ("2", "1"), "how many answers each map is of"
    # The first row of a map is the upper one.
    assert figure.data[0].z[0][-1] == figure.data[0].z[-1][0] == 0.5
    assert evidence.average(report.units, lambda unit: None) is None


def test_boxes_are_averaged_around_their_middles() -> None:
    def found(key: str, box: tuple[float, float, float, float], cell: tuple[int, int]) -> EvaluatedPicture:
        truth, answer = TrueBox("cat", box), Prediction("cat", 0, 0.9, box)
        return EvaluatedPicture(key, (320, 320), truths=(truth,), predictions=(answer,), maps={0: spot(*cell)})

    # A cell of a map is 10 pixels: the middle of either box is hot, at two sizes and places.
    pictures = found("a", (45, 45, 105, 105), (7, 7)), found("b", (225, 205, 245, 245), (23, 22))
    report = ErrorReport(Evaluation("a", "a", "detect", CLASSES, 0.25, pictures=pictures))
    chart = evidence.average(report.units, lambda unit: unit.picture.maps.get(unit.found))
    assert chart is not None and chart.aligned and "aligned by boxes" in chart.note
    values = chart.maps["cat", RIGHT].values
    hottest = np.argwhere(values >= 0.9 * values.max()).mean(0)
    assert hottest == pytest.approx([(CELLS - 1) / 2] * 2, abs=1)
    assert len(figures.draw(chart).layout.shapes) == 1


def test_what_is_beside_the_picture_does_not_count() -> None:
    box = (0.0, 0.0, 160.0, 160.0)
    hot = {0: np.full((CELLS, CELLS), 255, np.uint8)}
    truth, answer = TrueBox("cat", box), Prediction("cat", 0, 0.9, box)
    picture = EvaluatedPicture("a", (320, 320), truths=(truth,), predictions=(answer,), maps=hot)
    report = ErrorReport(Evaluation("a", "a", "detect", CLASSES, 0.25, pictures=(picture,)))
    chart = evidence.average(report.units, lambda unit: unit.picture.maps.get(unit.found))
    assert chart is not None
    values = chart.maps["cat", RIGHT].values
    assert values[CELLS // 4 + 1 :, CELLS // 4 + 1 :].min() > 0.99 and values[: CELLS // 4 - 1].max() == 0
