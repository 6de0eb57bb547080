"""Which measures agree with the known cause: correlations by hand, and sections that are written by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.report import with_section
from benchmarks.truth import agreement
from benchmarks.truth.agreement import ALL, Agreement, ranks, spearman
from benchmarks.truth.numbers import MEASURES
from benchmarks.truth.proved import ProvedMap
from sightglass.explain.maps.statistics import Agreement as Alike
from sightglass.explain.proof.curves import Curve, Trace
from sightglass.explain.proof.measures import SHOWN
from sightglass.explain.proof.proof import Proof


def proof(area: float) -> Proof:
    """Return a proof whose map loses `1 - area` of the score at once, and is else like its control."""

    def trace(*values: float) -> Trace:
        return Trace(np.array(values), np.array(values), np.array(values) > 0.25)

    own = Curve("map", 0, "blur", trace(1, area, 0), trace(0, 0.5, 1))
    random = Curve("random", 0, "blur", trace(1, 0.5, 0), trace(0, 0.5, 1))
    return Proof("dog", "class", (own, random), ("blur",), 1.0, Alike(0.4, 0.3, 0.2), "cat")


def proved(number: int, hit: float, area: float, spread: float = 0.1, **given: Any) -> ProvedMap:
    return ProvedMap(
        **{"model": "m", "question": "where", "line": ("gradcam", "layer4", "class"), "energy": hit} | given,
        number=number,
        hit=hit,
        proof=proof(area),
        spread=spread,
    )


def test_a_rank_correlation_shares_ranks_among_equals() -> None:
    from scipy import stats

    assert ranks(np.array([3.0, 1.0, 3.0, 9.0])).tolist() == [1.5, 0, 1.5, 3]
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 50.0])) == pytest.approx(1)
    # By hand: ranks 0 1 2 3 and 1 0 3 2 differ by 1 each, 1 - 6 * 4 / (4 * 15).
    assert spearman(np.arange(4.0), np.array([2.0, 1.0, 4.0, 3.0])) == pytest.approx(1 - 24 / 60)
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 5, (2, 40)).astype(float)
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_a_measure_agrees_whose_interval_is_above_zero_and_it_is_turned_so_that_more_is_better() -> None:
    # The map that hits makes the score fall, and spreads more; the order between the maps of one object is the same.
    maps = [proved(i, float(hit), 0.4 - 0.3 * hit, 0.1 + 0.1 * hit) for i in range(8) for hit in (0, 1)]
    found = {one.measure: one for one in agreement.agreement({"Nets": maps, "None of them": []})}
    assert set(found) == {*MEASURES, agreement.STABILITY}
    assert found["random"].hits["Nets"] == pytest.approx((1, 1, 1)) and found["random"].agrees
    assert found["deletion-random"].agrees and found["necessity"].agrees
    assert found[agreement.STABILITY].hits[ALL] == pytest.approx((-1, -1, -1))
    assert not found[agreement.STABILITY].agrees
    # Always the same, or not there at all: no correlation, and no agreement.
    assert not found["similarity"].agrees and not found["blobs"].agrees and not found["insertion-random"].agrees


def test_an_interval_is_over_scenes_and_the_mean_of_families_counts_each_once() -> None:
    good = [proved(i, float(hit), 0.4 - 0.3 * hit) for i in range(6) for hit in (0, 1)]
    bad = [proved(i, float(hit), 0.1 + 0.3 * hit) for i in range(20) for hit in (0, 1)]
    (one,) = (one for one in agreement.agreement({"A": good, "B": bad}) if one.measure == "random")
    assert one.hits["A"][0] == pytest.approx(1) and one.hits["B"][0] == pytest.approx(-1)
    assert one.hits[ALL][0] == pytest.approx(0) and not one.agrees
    # Four maps of an object at least are ordered among themselves.
    four = [proved(0, step / 3, 0.4 - 0.1 * step, energy=step / 3) for step in range(4)]
    (between,) = (one.between for one in agreement.agreement({"A": four}) if one.measure == "random")
    assert between[0] == pytest.approx(1)


def test_the_section_names_what_is_shown_and_what_does_not_agree() -> None:
    text = agreement.section({"Nets": [proved(i, float(hit), 0.4 - 0.3 * hit) for i in range(8) for hit in (0, 1)]})
    assert text.startswith("## Which measures agree") and "nets 8 objects with 16 maps (50% hit)" in text
    (row,) = (line for line in text.splitlines() if f"| {MEASURES['random'].words} |" in line)
    assert row.startswith("| shown |") == ("random" in SHOWN) and "**+1.00 [+1.00, +1.00]**" in row
    assert "spread under small changes" in text.splitlines()[-1]


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Any) -> None:
    file = tmp_path / "TRUTH.md"
    for name, text in (("measures", "old\n"), ("scenes", "# Scenes\n"), ("measures", "new\n")):
        file.write_text(with_section(file, name, text))
    assert file.read_text() == "<!-- scenes -->\n# Scenes\n\n<!-- measures -->\nnew\n"


def test_every_shown_measure_is_one_that_the_published_table_says_agrees() -> None:
    from benchmarks.truth.run import TRUTH

    table = TRUTH.read_text("utf-8").partition("## Which measures agree")[2].splitlines()
    for name, words in agreement.WORDS.items():
        (row,) = (line for line in table if f"| {words} |" in line)
        assert ("**" in row) == row.startswith("| shown |") == (name in SHOWN), name


def test_an_agreement_needs_its_lower_end_above_zero() -> None:
    nothing = (0.0, 0.0, 0.0)
    assert not Agreement("random", {ALL: (0.3, -0.01, 0.6)}, nothing, nothing).agrees
    assert Agreement("random", {ALL: (0.3, 0.01, 0.6)}, nothing, nothing).agrees
