"""Numbers in sentences."""

from __future__ import annotations

from sightglass.explain.phrases import kinds, plural, signed


def test_a_negative_number_has_a_true_minus_and_nothing_is_less_than_zero():
    assert signed(-0.456) == "\N{MINUS SIGN}0.46"
    assert [signed(value, "+.2f") for value in (0.3, -0.3)] == ["+0.30", "\N{MINUS SIGN}0.30"]
    assert signed(-0.001) == "0.00"


def test_several_persons_are_people():
    assert [plural(number, "person") for number in (1, 4)] == ["1 person", "4 people"]
    assert kinds([("person", 4), ("bus", 1)], 2) == "4 people and 1 bus"
    assert plural(2, "traffic person") == "2 traffic people"
    assert plural(2, "epoch") == "2 epochs"
