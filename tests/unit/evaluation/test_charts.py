"""The numbers of charts are those of the evaluation, and each mark stands for exactly its pictures."""

import json
import math
from collections import Counter
from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy.stats import binomtest

from sightglass.batch import finished, labels, run_charts
from sightglass.evaluation import charts, figures
from sightglass.evaluation.charts import NumberPoint, Numbers, find_selection
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.intervals import Estimate
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
from sightglass.models.adapter import Prediction
from sightglass.pages.pictures.job import open_example

CLASSES = ("cat", "dog", "bird")


def classified(*rows: tuple[str, str, float]) -> ErrorReport:
    """Pictures 0, 1, ... with their label, the answer and its score."""
    pictures = tuple(
        EvaluatedPicture(str(number), (8, 8), truth=truth, predictions=(Prediction(answer, 0, score),))
        for number, (truth, answer, score) in enumerate(rows)
    )
    names = tuple(dict.fromkeys(name for truth, answer, _ in rows for name in (truth, answer)))
    return ErrorReport(Evaluation("a", "a", "classify", names, 0.0, pictures=pictures))


def test_scores_are_counted_in_ten_ranges_and_each_bar_has_its_pictures() -> None:
    rows = [("cat", "cat", 0.05), ("cat", "dog", 0.3), ("dog", "dog", 0.3), ("dog", "cat", 0.7), ("cat", "cat", 1.0)]
    report = classified(*rows, ("cat", "cat", 0.9))
    bins = charts.bin_scores(report.units)
    counted = [(place, len(each.right), len(each.wrong)) for place, each in enumerate(bins) if each.units]
    assert counted == [(0, 1, 0), (3, 1, 1), (7, 0, 1), (9, 2, 0)]
    assert bins[9].confidence == pytest.approx(0.95) and bins[3].share.value == 0.5
    chart = charts.ScoreHistogram(bins)
    right, wrong = figures.draw(chart).data
    assert (right.y, wrong.y) == ((1, 0, 0, 1, 0, 0, 0, 0, 0, 2), (0, 0, 0, 1, 0, 0, 0, 1, 0, 0))
    assert right.marker.pattern.shape != wrong.marker.pattern.shape, "they differ by more than a colour"
    chosen = chart.select(("wrong", "3"))
    assert chosen is not None and chosen.pictures == {"1"}
    assert chosen.holds("1") and not chosen.holds("2") and chosen.holds("", "1#picture-0")
    assert chart.select(("right", "9")).pictures == {"4", "5"}
    for unknown in (("right", "10"), ("both", "1"), ("right",), ()):
        assert chart.select(unknown) is None


def test_reliability_is_that_of_scikit_learn_with_exact_intervals() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    dice = np.random.default_rng(3)
    scores = dice.random(60)
    right = dice.random(60) < scores
    names = ["cat" if good else "dog" for good in right]
    report = classified(*zip(names, ["cat"] * 60, scores.tolist(), strict=True))
    error = kind_of("classify").measure(report.evaluation).scores["calibration_error"]
    chart = charts.Reliability(charts.bin_scores(report.units), error)
    shares, means = calibration.calibration_curve(right, scores, n_bins=10)
    weights = np.histogram(scores, 10, (0, 1))[0] / 60
    assert error.value == pytest.approx((weights * np.abs(shares - means)).sum())
    points = figures.draw(chart).data[1]
    assert points.x == pytest.approx(means) and points.y == pytest.approx(shares)
    assert sum(int(text) for text in points.text) == 60
    for place, (text, above, below) in enumerate(
        zip(points.text, points.error_y.array, points.error_y.arrayminus, strict=True)
    ):
        count, share = int(text), points.y[place]
        exact = binomtest(round(share * count), count).proportion_ci(method="exact")
        assert (share - below, share + above) == pytest.approx((exact.low, exact.high), abs=1e-6)
    assert not any(figures.draw(replace(chart, intervals=False)).data[1].error_y.array)


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    dice = np.random.default_rng(5)
    truths = dice.choice(CLASSES, 80, p=(0.7, 0.2, 0.1))
    answers = np.where(dice.random(80) < 0.6, truths, dice.choice(CLASSES, 80))
    report = classified(*zip(truths.tolist(), answers.tolist(), [0.5] * 80, strict=True))
    score = kind_of("classify").measure(report.evaluation).scores["balanced_accuracy"]
    assert score.value == pytest.approx(metrics.balanced_accuracy_score(truths, answers))
    assert 0 < score.low < score.value < score.high < 1 and score.pictures == 80


def test_confusion_is_that_of_scikit_learn_and_says_what_it_leaves_out() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    dice = np.random.default_rng(4)
    names = [f"class {number:02}" for number in range(30)]
    truths = dice.choice(names, 300)
    answers = np.where(dice.random(300) < 0.7, truths, dice.choice(names, 300))
    report = classified(*((str(truth), str(answer), 0.5) for truth, answer in zip(truths, answers, strict=True)))
    whole = charts.confuse(report.units, 30)
    expected = metrics.confusion_matrix(truths, answers, labels=names)
    counts = [[len(whole.cells.get((truth, answer), ())) for answer in names] for truth in names]
    assert counts == expected.tolist() and "left out" not in whole.note
    chart = charts.confuse(report.units)
    wrong = Counter(name for pair in zip(truths, answers, strict=True) if pair[0] != pair[1] for name in pair)
    assert len(chart.classes) == 12 and min(wrong[name] for name in chart.classes) >= max(
        wrong[name] for name in names if name not in chart.classes
    )
    shown = sum(len(units) for (truth, answer), units in chart.cells.items() if truth != answer)
    assert f"left out: 18 others, {int((truths != answers).sum()) - shown} wrong answers" in chart.note
    truth, answer = next(pair for pair in chart.cells if pair[0] != pair[1])
    chosen = chart.select((truth, answer))
    assert chosen.words == f"{truth} taken for {answer}"
    assert chosen.pictures == {str(i) for i in range(300) if (truths[i], answers[i]) == (truth, answer)}
    assert chart.select((answer, "no class")) is None
    figure = figures.draw(chart, (truth, answer))
    (cells,) = figure.data
    outlined = [tuple(mark[1:]) for mark, width in zip(cells.customdata, cells.marker.line.width, strict=True) if width]
    assert outlined == [(truth, answer)]
    assert sorted(int(text.text) for text in figure.layout.annotations) == sorted(map(len, chart.cells.values()))


def test_classes_have_the_scores_of_the_stored_evaluation() -> None:
    result = finished.read(open_example().ready)
    for model, plan in enumerate(result.plans):
        stored = json.loads((plan.folder / labels.SUMMARY).read_text("utf-8"))["summary"]["by_class"]
        (chart,) = (each for each in run_charts.read_charts(result, model) if isinstance(each, charts.ClassScores))
        drawn = {each.name: astuple(each.score) for each in chart.scores}
        assert drawn == {name: tuple(score.values()) for name, score in stored.items()}
        (points,) = figures.draw(chart).data
        assert points.x == tuple(100 * stored[mark[1]]["value"] for mark in points.customdata)
        assert all(points.error_x.array[place] is not None for place in range(len(chart.scores)))
        for each in chart.scores:
            truths = result.frames[model].set_index("picture")["truth"]
            assert each.selection.pictures == {*truths.index[truths == each.name]}
            assert len(each.selection.pictures) == each.labelled


def test_lowest_classes_come_first_and_the_others_are_counted() -> None:
    report = classified(
        *((f"class {number:02}", "class 00", 0.5) for number in range(40) for _ in range(number % 3 * 5))
    )
    by_class = kind_of("classify").measure(report.evaluation).by_class
    by_class = {name: replace(score, value=int(name[-2:]) / 40) for name, score in by_class.items()}
    by_class["class 39"] = Estimate(math.nan, math.nan, math.nan, 0)
    chart = charts.rank_classes(report.evaluation, report, by_class)
    assert [each.name for each in chart.scores] == sorted(by_class)[:20]
    assert f"The 20 lowest; left out: {len(by_class) - 21} with higher ones. Without a number: 1 class." in chart.note


def detected() -> Evaluation:
    """Two pictures with a cat each, of which one is found twice and one with another box that is surer, and a dog."""
    cat, dog = TrueBox("cat", (0, 0, 10, 10)), TrueBox("dog", (20, 0, 30, 10))

    def answer(label: str, score: float, box: tuple[float, float, float, float]) -> Prediction:
        return Prediction(label, CLASSES.index(label), score, box)

    first = (answer("cat", 0.9, cat.box), answer("cat", 0.4, cat.box), answer("dog", 0.3, dog.box))
    second = (answer("cat", 0.8, (50.0, 0.0, 60.0, 10.0)), answer("cat", 0.6, cat.box))
    pictures = (
        EvaluatedPicture("first", (100, 100), (cat, dog), predictions=first),
        EvaluatedPicture("second", (100, 100), (cat,), predictions=second),
        EvaluatedPicture("third", (100, 100), (), predictions=(answer("dog", 0.2, dog.box),)),
    )
    return Evaluation("a", "a", "detect", CLASSES, 0.5, pictures=pictures)


def test_points_of_a_curve_stand_for_the_boxes_that_reach_them() -> None:
    evaluation = detected()
    report = ErrorReport(evaluation)
    metrics = kind_of("detect").measure(evaluation)
    precision, classes = charts.list_charts(evaluation, report, metrics)
    assert precision.shown == ("cat", "dog")
    curve = precision.curves["cat"]
    assert curve.precision[[0, 50, 51, 100]] == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert curve.scores[[50, 51]] == pytest.approx([0.9, 0.6])
    assert (curve.boxes[51], curve.right[51], curve.objects) == (3, 2, 2)
    assert precision.mean.mean() == pytest.approx(metrics.scores["ap50"].value)
    assert precision.select(("cat", "50")).pictures == {"first"}
    chosen = precision.select(("cat", "51"))
    assert (
        chosen.pictures == {"first", "second"} and "second#box-0" in chosen.units and "first#box-1" not in chosen.units
    )
    # In the mean of both classes every dog box from .3 on counts, too.
    assert precision.select(("", "0")).pictures == {"first"}
    for unknown in (("bird", "3"), ("cat", "101"), ("cat", "x"), ("cat",)):
        assert precision.select(unknown) is None
    names = [curve.name for curve in figures.draw(precision).data]
    assert names == ["mean of 2 classes", "cat", "dog"]
    assert len({(trace.line.dash, trace.line.color) for trace in figures.draw(precision).data}) == 3
    chosen = find_selection((precision, classes), "classes", ("dog",))
    assert chosen.pictures == {"first"}, "the dog of the third picture is below the threshold"
    assert find_selection((precision, classes), "confusion", ("cat", "dog")) is None


def test_areas_are_chosen_by_mask_and_answer() -> None:
    pictures = (
        EvaluatedPicture("0", (8, 8), pairs=((0, 0, 50), (0, 1, 14))),
        EvaluatedPicture("1", (8, 8), pairs=((2, 2, 64),)),
        EvaluatedPicture("2", (8, 8), pairs=((1, 0, 64),)),
    )
    evaluation = Evaluation("a", "a", "segment", CLASSES, 0.0, stopped=True, pictures=pictures)
    (chart,) = charts.list_charts(evaluation, None, kind_of("segment").measure(evaluation))
    assert [(each.name, each.score.value) for each in chart.scores] == [("dog", 0.0), ("cat", 50 / 128), ("bird", 1.0)]
    assert chart.select(("dog",)).pictures == {"0", "2"} and chart.select(("bird",)).pictures == {"1"}
    assert "95 %" not in chart.note, "the pictures of a stopped run are no random sample"


def test_numbers_are_drawn_over_the_true_ones() -> None:
    chart = Numbers((NumberPoint("a.png", 1.0, 2.5), NumberPoint("b,<b>.png", -3.0, -2.0)), "°")
    line, points = figures.draw(chart, ("a.png",)).data
    assert (line.x, line.y) == ((-3.0, 2.5), (-3.0, 2.5))
    assert (points.x, points.y, points.selectedpoints) == ((1.0, -3.0), (2.5, -2.0), (0,))
    assert points.hovertext[1] == "b,&lt;b&gt;.png<br>−2°, true: −3°"
    assert chart.select(("b,<b>.png",)).pictures == {"b,<b>.png"} and chart.select(("c.png",)) is None
