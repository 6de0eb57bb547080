"""Verdicts on right and on wrong maps are counted, and so is which methods' maps depend on the model."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks import verdict
from benchmarks.truth import scrambled
from sightglass.explain.methods import METHODS


def test_every_kind_of_map_is_tested_and_the_goals_are_of_all_wrong_ones() -> None:
    result = verdict.verdict(["demo-cls-s"], None, 2)
    (model,) = result["models"]
    tests = {one["kind"]: sum(one["proof"].values()) for one in model["kinds"]}
    assert tests == {one["kind"]: sum(one["seal"].values()) for one in model["kinds"]}
    # There is no picture before the first.
    assert tests == {verdict.OWN: 2, verdict.WRONG[0]: 1} | dict.fromkeys(verdict.WRONG[1:], 2)
    text = verdict.markdown(result)
    assert "**demo-cls-s**: supported are" in text and "| its map, mirrored | 2 |" in text


def test_goals_are_met_by_the_counts_and_their_intervals() -> None:
    def said(right: int, wrong: int) -> str:
        kinds = [
            {"kind": kind, "proof": {"supported": yes, "not supported": 0, "cannot be told": of - yes}}
            for kind, yes, of in ((verdict.OWN, right, 40), (verdict.WRONG[0], wrong, 100))
        ]
        return verdict._compare_with_goal({"model": "m", "task": "classify", "kinds": kinds}, "proof")

    assert said(24, 4).count(": met)") == 2
    # 5 of 100 may be 11 in truth.
    assert said(23, 5).count("not met") == 2


def test_wrong_maps_are_put_in_place_of_the_right_one() -> None:
    from sightglass.explain import Explainer

    explainer = Explainer("demo-s")
    case = next(verdict._cases(explainer, None, 1))
    changed = case.with_map(np.zeros_like(case.own))
    assert not changed.heatmaps[0].content[case.part].any() and case.own.max() > 0
    maps = dict(verdict._maps(case, None, 1))
    assert maps[verdict.WRONG[0]] is None and all(
        one.shape == case.own.shape for one in maps.values() if one is not None
    )
    assert np.array_equal(maps["its map, mirrored"][:, ::-1], case.own)


def test_marks_of_every_quick_method_are_counted_by_family() -> None:
    found = scrambled.scrambled(["demo-cls-s"], 1)
    assert {method for _, _, method in found} == {one.id for one in METHODS.values() if one.quick}
    assert {(family, question) for family, question, _ in found} == {("classifier", "where"), ("classifier", "why")}
    assert all(of.total() == 1 for of in found.values())
    text = scrambled.section({("detector", "where", "hirescam"): Counter({"yes": 1, "no": 4, "cannot be told": 2})})
    assert "| detector | where | HiResCAM | 7 | 1 | 4 | 2 |" in text
