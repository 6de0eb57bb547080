"""Numbers in sentences."""

from __future__ import annotations

from sightglass.explain.phrases import signed


def test_a_negative_number_has_a_true_minus_and_nothing_is_less_than_zero():
    assert signed(-0.456) == "\N{MINUS SIGN}0.46"
    assert [signed(value, "+.2f") for value in (0.3, -0.3)] == ["+0.30", "\N{MINUS SIGN}0.30"]
    assert signed(-0.001) == "0.00"
