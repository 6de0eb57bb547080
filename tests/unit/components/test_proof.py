"""The panel of a proof: what the browser hides is what the engine hides, and its texts are the proof's numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch

from sightglass.common.files.packing import unpack_data
from sightglass.components import proof as panel
from sightglass.explain import Explainer
from sightglass.explain.maps.statistics import Agreement
from sightglass.explain.phrases import NBSP
from sightglass.explain.trust import proof as measures
from sightglass.explain.trust.controls import ranking
from sightglass.explain.trust.proof import CONTROLS, SHARES, Curve, Effect, Proof, Support, Trace, without_hidden
from sightglass.export.proof import chart as proof_view

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.explanation import Explanation


def picture(file: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=2)


def trace(*scores: float, stays: tuple[bool, ...] | None = None) -> Trace:
    array = np.array(scores)
    return Trace(array, array, np.array(stays or array > 0.25))


def proof(*curves: Curve, part: str = "class", fillings: tuple[Any, ...] = ("blur",)) -> Proof:
    return Proof("dog", part, curves, fillings, 0.8, None, "cat")


def curve(name: str, hidden: Trace, kept: Trace, number: int = 0, filling: Any = "blur") -> Curve:
    return Curve(name, number, filling, hidden, kept)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("filling", ["blur", "mean"])
def test_what_the_browser_composes_is_the_engines_picture(explained, keeps, filling):
    from sightglass.explain.trust.perturber import make_fill

    evidence, heatmap = explained.evidence, explained.heatmaps[0]
    left, top, right, bottom = evidence.geometry.content
    real = evidence.tensor[..., top:bottom, left:right].detach()
    places = torch.from_numpy(ranking(heatmap.content))
    head, (file, soft, order) = unpack_data(panel.pack(explained, 0)[1])
    grid = np.frombuffer(order, np.uint8).reshape(head["grid"])
    size = grid.shape[::-1]
    shown = cv2.resize(picture(file), size, interpolation=cv2.INTER_AREA)
    fill = cv2.resize(picture(soft), size) if filling == "blur" else np.array(head["mean"], np.float32)
    adapter = evidence.resident.adapter.preprocessing
    mean, std = (np.array(values, np.float32) * 255 for values in (adapter.mean, adapter.std))
    for share in (0.05, 0.3, 0.75):
        inside = places < share if keeps else places >= share
        engine = torch.where(inside, real, make_fill(real, filling))[0].permute(1, 2, 0).numpy() * std + mean
        hidden = (grid < 200 * share) != keeps
        browser = np.where(hidden[..., None], fill, shown)
        # Which pixels are hidden is the same in all but the few on a boundary of levels; colours to JPEG accuracy.
        assert (hidden != ~inside.numpy()).mean() < 1e-3
        assert np.abs(engine - browser).mean() < 5
    # And the other way round it would be far off.
    assert np.abs(engine - np.where(hidden[..., None], shown, fill)).mean() > 15


def test_a_fine_order_comes_on_few_cells_and_every_step_still_hides_its_share():
    places = ranking(np.random.default_rng(0).random((640, 400)).astype(np.float32).cumsum(0))
    assert places is not None
    found = proof_view.levels(places)
    assert found.shape == (320, 200)
    for percent in (5, 50, 95):
        assert (found < 2 * percent).mean() == pytest.approx(percent / 100, abs=0.01)


def test_curves_of_several_seeds_are_their_mean_and_the_table_has_every_control():
    own = curve("map", trace(0.8, 0.1, 0.0), trace(0.0, 0.7, 0.8))
    random = [curve("random", trace(0.8, one, 0.0), trace(0.0, one, 0.8), i) for i, one in enumerate((0.3, 0.5))]
    runner = curve("runner-up", trace(0.8, 0.2, 0.0), trace(0.0, 0.6, 0.8))
    found = panel.curves(proof(own, *random, runner), detects=False, of="x", whole=True)
    assert [one["name"] for one in found["curves"]] == ["map", "random", "runner-up"]
    assert found["curves"][1]["hidden"] == [0.8, 0.4, 0.0]
    assert found["curves"][2]["title"] == "Map of cat"
    assert [row[1:3] for row in found["every_row"]] == [("0.25", "0.55"), ("0.40", "0.40"), ("0.30", "0.50")]


def test_measures_that_do_not_agree_with_known_causes_are_shown_only_when_asked_for(monkeypatch):
    own = curve("map", trace(0.8, 0.1, 0.0), trace(0.0, 0.7, 0.8))
    controls = [curve(name, trace(0.8, 0.5, 0.0), trace(0.0, 0.3, 0.8)) for name in ("random", "runner-up")]
    made = replace(proof(own, *controls), similarity=Agreement(0.4, 0.3, 0.25))
    found = panel.curves(made, detects=False, of="x", whole=True)
    assert [row[0] for row in found["table"]] == ["this map", CONTROLS["random"]]
    assert [row[0] for row in found["every_row"]] == ["this map", CONTROLS["random"], CONTROLS["runner-up"]]
    assert "is 0.30" in found["every_line"] and "is 0.30" not in found["line"]
    assert measures.lines(made) == measures.lines(made, every=True)[:2]
    # The one list decides, for texts as for rows.
    hidden = {"random", "runner-up", "sufficiency", "necessity", "similarity"}
    monkeypatch.setattr("sightglass.explain.trust.proof.HIDDEN", hidden)
    assert (proof_view.shares(made, detects=False), measures.lines(made)) == ("", [])
    answer = without_hidden(made.summary())
    assert answer["differences"] == {} and answer["sufficiency"] is None is answer["runner_up_ssim"]
    assert answer["left_out"] == ["random", "runner-up", "sufficiency", "necessity", "similarity"]


def test_nothing_is_concluded_before_the_verdict_is_there():
    own = curve("map", trace(0.8, 0.1, 0.0), trace(0.0, 0.7, 0.8))
    random = curve("random", trace(0.8, 0.3, 0.0), trace(0.0, 0.3, 0.8))
    centre = curve("centre", trace(0.8, 0.3, 0.0), trace(0.0, 0.3, 0.8))
    assert panel.curves(None, detects=False, of="x", whole=False)["curves"] == []
    early = panel.curves(proof(own), detects=False, of="x", whole=False)
    assert (early["sentence"], early["line"], early["table"]) == ("", "", [])
    assert panel.curves(proof(own, random, centre), detects=False, of="x", whole=False)["sentence"] == ""
    # The verdict needs none of them.
    effect = Effect("this map", SHARES, (0.2,) * 4, (0.6,) * 4)
    tested = Support("dog", False, 0.8, effect, (effect,) * 10, ())
    early = panel.curves(replace(proof(own), support=tested), detects=False, of="x", whole=False)
    assert early["sentence"] == tested.sentence


@pytest.mark.parametrize(
    ("hidden", "kept", "part", "detects", "expected"),
    [
        (
            (0.8, 0.7, 0.2, 0.1, 0.0),
            (0.0, 0.3, 0.6, 0.75, 0.8),
            *(
                "class",
                False,
                "Hiding the hottest 50 % flips the answer; the hottest 75 % alone keeps 90 % of the score.",
            ),
        ),
        (
            (0.8, 0.2, 0.0),
            (0.0, 0.1, 0.8),
            *(
                "contrast",
                True,
                "Hiding the hottest 50 % loses the box; nothing less than the whole picture keeps 90 % of ",
            ),
        ),
        (
            (0.8, 0.8, 0.8),
            (-0.2, -0.1, -0.1),
            "class",
            False,
            "Whatever share is hidden, the answer stays; there is no score to keep.",
        ),
        ((0.1, 0.1, 0.0), (0.0, 0.1, 0.1), "class", False, "It is not the model's answer, so hiding cannot flip it; "),
    ],
)
def test_sufficiency_and_necessity_in_plain_words(hidden, kept, part, detects, expected):
    found = proof_view.shares(proof(curve("map", trace(*hidden), trace(*kept)), part=part), detects=detects)
    assert found.startswith(expected.replace(" %", f"{NBSP}%"))


def test_a_map_with_nothing_to_prove_says_why(explained):
    heatmap = explained.heatmaps[0]
    assert panel.nothing_to_prove(heatmap) is None
    for state, why in (("flat", "the same everywhere"), ("no evidence", "speaks for it"), ("not a number", "numbers")):
        sentence = panel.nothing_to_prove(replace(heatmap, state=state))
        assert sentence is not None
        assert sentence.startswith("There is nothing to prove about the map of minibus: ") and why in sentence
