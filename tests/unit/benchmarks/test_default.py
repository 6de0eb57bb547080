"""Which way of explaining a box depends on the weights, and shows the part of it that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks import inside
from benchmarks.detectors import default
from benchmarks.detectors.default import BLOBS, CAUSE, DEFAULT, DEPENDS
from sightglass.explain import Explainer
from sightglass.explain.faithfulness.scramble import final

if TYPE_CHECKING:
    from benchmarks.report import Row


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("demo-s", device="cpu")


@pytest.fixture(scope="module")
def box(explainer: Explainer) -> default.Box:
    return next(default._boxes(explainer, default._scenes(), 1))


def test_the_default_s_map_and_its_test_are_the_product_s(explainer: Explainer, box: default.Box) -> None:
    ways = default._ways(explainer.resident)
    made = default._draw(explainer.resident, box, ways)
    shown = box.explanation.heatmaps[0]
    assert np.array_equal(made[DEFAULT].at_input, shown.at_input)
    contrast = explainer(
        box.explanation.image, per="detection", targets=box.explanation.options.targets, question="why"
    )
    np.testing.assert_array_equal(made[inside.PRESET].at_input, contrast.heatmaps[0].at_input)
    work, tested = default._Work(explainer.resident, {DEFAULT: ways[DEFAULT]}), final(box.explanation)
    found = work._dependence(box, {DEFAULT: made[DEFAULT]}, {})
    assert found[DEFAULT, DEPENDS] == (tested.mark == "yes")
    assert found[DEFAULT, default.ALIKE] == pytest.approx(tested.similarity, abs=1e-6)


def test_a_map_that_random_weights_draw_leaves_nothing_of_itself(box: default.Box) -> None:
    heatmap = box.explanation.heatmaps[0]
    nothing = default._with_values(heatmap, heatmap.at_input - heatmap.at_input)
    assert nothing.state == "no evidence" and not nothing.at_input.any()
    half = default._with_values(heatmap, heatmap.at_input - 0.5)
    assert half.at_input.max() == 1 and (half.at_input > 0).sum() == (heatmap.at_input > 0.5).sum()


def test_only_the_box_is_hidden_and_a_flat_map_has_no_effect(box: default.Box) -> None:
    shape = box.explanation.heatmaps[0].content.shape
    outside = np.random.default_rng(0).random(shape, np.float32)
    outside[box.part] = 1
    found = default.effects(box, {"flat in the box": outside, **default._blobs(box)}, ("mean",))
    assert found["flat in the box", "mean"] == 0 and set(found) == {("flat in the box", "mean"), (BLOBS, "mean")}


def test_the_share_on_the_cause_is_of_the_strongest_in_the_box() -> None:
    cause = np.zeros((20, 20), bool)
    cause[5:15, 5:8] = True
    left = np.repeat(np.linspace(1, 0, 20, dtype=np.float32)[None], 20, 0)
    found = default.on_cause(cause, (slice(5, 15), slice(5, 15)), {"left": left, "flat": np.ones_like(left)})
    assert found == {(BLOBS, CAUSE): pytest.approx(0.3), ("left", CAUSE): 1.0}


def _boxes(depends: int, effect: float, cause: float) -> list[dict[tuple[str, str], float]]:
    found = []
    for number in range(20):
        one = {(name, filling): 0.0 for name in (DEFAULT, BLOBS) for filling in inside.FILLINGS}
        one |= {("new", filling): effect + number / 100 for filling in inside.FILLINGS}
        one |= {("new", DEPENDS): float(number < depends), (DEFAULT, DEPENDS): 0.0}
        one |= {(name, measure): 0.1 for name in ("new", DEFAULT) for measure in (default.ALIKE, default.ALIKE_INSIDE)}
        found.append(one | {(BLOBS, CAUSE): 0.2, ("new", CAUSE): cause, (DEFAULT, CAUSE): 0.2})
    return found


@pytest.mark.parametrize(
    ("depends", "effect", "cause", "fails"),
    [(15, 0.1, 0.3, []), (14, 0.1, 0.3, ["weights"]), (20, -0.2, 0.3, ["inside"]), (20, 0.1, 0.1, ["cause"])],
)
def test_a_way_passes_by_the_intervals_of_all_three(
    depends: int, effect: float, cause: float, fails: list[str]
) -> None:
    names = [str(number // 2) for number in range(20)]
    own, new = default.rows(names, _boxes(depends, effect, cause), {DEFAULT: "model.15"})
    assert {own["way"], new["way"]} == {DEFAULT, "new"}
    row = new if new["way"] == "new" else own
    assert (
        default.failures(row) == fails
        and row["passes"] is not bool(fails)
        and row["depends"] == depends
        and row["boxes"] == 20
    )


def test_a_way_becomes_the_default_only_where_it_passes_at_two_trained_detectors() -> None:
    def model(name: str, new: bool) -> Row:
        rows = [{"way": DEFAULT, "passes": False}, {"way": "new", "passes": new}]
        return {"model": name, "rows": rows}

    models = [model("yolo11n", new=True), model("yolo26n", new=True), model("demo-s", new=False)]
    assert default.choice(models).startswith("**New** passes where today's default fails: at yolo11n, yolo26n")
    models = [model("yolo11n", new=True), model("yolo26n", new=False), model("demo-s", new=True)]
    said = default.choice(models)
    assert said.startswith("**No way passes at yolo11n and at another trained detector.**")
    assert "which object, not which part of it" in said and said.endswith("*new* at yolo11n.")
