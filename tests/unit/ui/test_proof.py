"""The panel of a proof: what the browser hides is what the engine hides, and its texts are the proof's numbers."""

from __future__ import annotations

import numpy as np

from sightglass.explain.trust.proof import Curve, Proof, Trace, rows
from sightglass.report import charts as proof_view


def trace(*scores: float) -> Trace:
    array = np.array(scores)
    return Trace(array, array, array > 0.25)


def curve(name: str, hidden: Trace, kept: Trace, number: int = 0) -> Curve:
    return Curve(name, number, "blur", hidden, kept)


def test_curves_of_several_seeds_are_their_mean_and_the_table_has_every_control():
    own = curve("map", trace(0.8, 0.1, 0.0), trace(0.0, 0.7, 0.8))
    random = [curve("random", trace(0.8, one, 0.0), trace(0.0, one, 0.8), i) for i, one in enumerate((0.3, 0.5))]
    middle = curve("centre", trace(0.8, 0.2, 0.0), trace(0.0, 0.6, 0.8))
    made = Proof("dog", "class", (own, *random, middle), ("blur",), 0.8)
    lines = proof_view.describe_proof(made).curves
    assert [line.name for line in lines] == ["map", "random", "centre"]
    assert lines[1].hidden == (0.8, 0.4, 0.0) and lines[2].title == "Middle of the picture"
    assert [row[1:3] for row in rows(made)] == [("0.25", "0.55"), ("0.40", "0.40"), ("0.30", "0.50")]
