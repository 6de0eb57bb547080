"""The table of truth counts what it says on painted maps, and on scenes with a known cause the defaults find it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.truth import report
from benchmarks.truth.maps import default, layers_of, maps, resident, subjects
from benchmarks.truth.measures import BLIND, EMPTY, MEASURES, box_of, measured, near
from benchmarks.truth.scores import Rows, Scores
from benchmarks.truth.verdict import PARTLY, Judged, labels_of, table
from sightglass.explain.findings import reliability
from sightglass.explain.methods import METHODS
from sightglass.models.catalog import available, spec
from sightglass.models.families.demo.nets import WEIGHTS
from tests.late import late

if TYPE_CHECKING:
    pass

late("pytorch_grad_cam")
MASK = np.zeros((20, 30), bool)
MASK[4:8, 10:15] = True
BOX = (slice(3, 9), slice(10, 16))
DEFAULT = ("hirescam", "all neck outputs", "class")
OTHER = ("gradcam", "all neck outputs", "class")


def needs(*models: str) -> None:
    for model in models:
        if not available(spec(model)):
            pytest.skip(f"{model} has not been trained")


def test_a_map_that_is_the_mask_is_perfect_and_an_empty_one_is_a_miss() -> None:
    assert measured(MASK.astype(np.float32), (MASK, None)) == [[1, 1, 1, 1]]
    nothing = np.zeros(MASK.shape, np.float32)
    assert measured(None, (MASK, None)) == measured(nothing, (MASK, None)) == [list(EMPTY)]


def test_equally_hot_pixels_count_by_their_share() -> None:
    ((hit, energy, iou, ranked),) = measured(np.ones(MASK.shape, np.float32), (MASK, None))
    share = MASK.mean()
    assert (hit, ranked) == (0, 0.5)
    assert energy == pytest.approx(share)
    assert iou == pytest.approx(share / (2 - share))


def test_half_of_the_mask_and_as_much_beside_it() -> None:
    values = np.zeros(MASK.shape, np.float32)
    values[4:6, 10:15], values[12:14, 10:15] = 2, 1
    ((hit, energy, iou, _),) = measured(values, (MASK, None))
    assert (hit, energy) == (1, pytest.approx(2 / 3))
    # Ten of the twenty hottest are on it.
    assert iou == pytest.approx(10 / 30)


def test_ranking_is_that_of_every_pair_and_only_in_its_region() -> None:
    values = np.random.default_rng(0).integers(0, 6, MASK.shape).astype(np.float32)
    everywhere, boxed = measured(values, (MASK, None), (MASK, BOX))
    assert everywhere[3] == pytest.approx(by_pairs(values, MASK))
    assert boxed[3] == pytest.approx(by_pairs(values[BOX], MASK[BOX]))
    assert everywhere[:3] == boxed[:3]


def by_pairs(values: np.ndarray, mask: np.ndarray) -> float:
    inside, rest = values[mask][:, None], values[~mask][None]
    return float(((inside > rest) + 0.5 * (inside == rest)).mean())


def test_a_box_covers_whole_pixels() -> None:
    assert box_of((9.6, 3.4, 16.2, 9.0), MASK.shape) == BOX
    assert box_of((40.0, 40.0, 41.0, 41.0), MASK.shape) == (slice(19, 41), slice(29, 41))


def test_what_is_near_a_mask() -> None:
    wide = near(MASK, 2)
    assert wide[2:10, 10:15].all()
    assert not wide[1].any()
    assert not wide[2, 8]


def painted(better: float) -> Scores:
    """Forty objects of which every second is hit, `better` where the default looks."""
    rng = np.random.default_rng(0)
    wrong = (DEFAULT[0], DEFAULT[1], "wrong class")
    lines = [DEFAULT, OTHER, wrong, *((name, "", "") for name in BLIND)]
    values = np.repeat((rng.random((40, 1, len(MEASURES))) < 0.5).astype(np.float32) / 2, len(lines), 1)
    values[:, 0] += better
    labels = ["rod-ring", "star"] * 20
    return Scores(
        "demo-s", "detect", {"where": DEFAULT}, lines, list(range(40)), labels, [True] * 40, {"where": values}
    )


def test_a_method_fails_that_is_better_than_the_best_baseline_in_nothing() -> None:
    found = table([painted(0.3), painted(0.3)], "where")
    assert {row["line"][0]: row["fails"] for row in found["methods"]} == {"hirescam": False, "gradcam": True}
    assert (found["default"]["place"], found["of"]) == (1, 2)
    assert found["over"]["hit"] == pytest.approx((0.3, 0.3, 0.3))
    assert found["wrong"]["to"]["auc"][1] > 0
    said = report.words(found)
    assert "It is the default." in said
    assert "Fail on these layers: GradCAM." in said
    assert [row["line"][0] for row in found["told"]] == ["edges in its box", "box fill"]
    assert table([painted(-0.2)], "where")["default"]["place"] == 2


def test_why_is_asked_of_classes_that_a_part_makes() -> None:
    assert labels_of(*PARTLY) == {
        "rod-ring", "rod-cross", "plate-square", "plate-triangle", "moon-inside", "moon-outside",
    }  # fmt: skip
    assert Judged([painted(0.1)], "where", labels_of(*PARTLY)).objects == [20]


def test_a_finding_is_one_sentence_with_its_figure() -> None:
    made = reliability.Reliability(
        "detect", "where", "hirescam", 300, 900, (0.97, 0.95, 0.99), (0.9, 0.8, 1.0), "edges", 0.41, False
    )
    said = made.sentence.replace("\N{NO-BREAK SPACE}", " ")
    assert said == ("Finds the object in 97 % of 900 tests (edges alone: 41 %).")
    failed = reliability.Reliability(
        "classify", "why", "gradcam", 300, 900, (0.12, 0.1, 0.2), (0.5, 0.4, 0.6), "edges in its box", 0.41, True
    )
    assert failed.sentence.startswith("Failed: finds the part that defines the class in 12")
    assert reliability.reliability("detect", "where", "no such method") is None


def test_every_published_finding_is_of_a_method_and_has_its_sentence() -> None:
    found = [reliability.reliability(*key) for key in reliability._load_published()]
    for one in found:
        assert one is not None
        assert one.method in METHODS
        assert one.hit[1] <= one.hit[0] <= one.hit[2]
        assert one.sentence.endswith(".")
        assert one.scenes <= one.objects


@pytest.mark.parametrize(("model", "question"), [("demo-s", "where"), ("demo-l", "why"), ("demo-cls-l", "why")])
def test_the_defaults_map_beats_every_baseline_by_the_cards_margin_on_scenes_never_seen(
    model: str, question: str
) -> None:
    needs(model)
    margins = json.loads((WEIGHTS / f"{model}.json").read_text(encoding="utf-8"))["margins"][question]
    assert set(margins) == set(MEASURES)
    rows, layers = Rows(model, None), layers_of(model)
    method, name, part = default(resident(model), question)
    for given in subjects(model, None, range(50), layers[name]):
        rows.add(given, maps(given.evidence, {name: layers[name]}, {part: given.targets[part]}, [METHODS[method]]))
    judged = Judged([rows.scores()], question, labels_of(*PARTLY) if question == "why" else None)
    assert judged.objects[0] > 15
    for measure, margin in margins.items():
        best = judged.strongest(measure)
        assert judged.mean(judged.default, measure) > judged.mean(best, measure) + margin, (measure, best)
