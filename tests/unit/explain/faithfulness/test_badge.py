"""What is remembered of scrambled weights: for each model, method and layers, every map once."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from sightglass.common import users
from sightglass.explain.faithfulness import badge


@pytest.fixture(autouse=True)
def _none(monkeypatch):
    monkeypatch.setattr(badge, "_tests", OrderedDict())


def test_a_verdict_is_of_its_weights_method_and_layers_and_a_map_counts_once():
    for test, verdict in (("bus", "depends"), ("bus", "depends"), ("cat", "edges")):
        badge.note("abc", "gradcam", ("blocks.6",), test, verdict)
    assert badge.verdicts("abc", "gradcam", ["blocks.6"]) == ["depends", "edges"]
    for other in (("abd", "gradcam", ("blocks.6",)), ("abc", "hirescam", ("blocks.6",)), ("abc", "gradcam", ())):
        assert badge.verdicts(*other) == []


def test_it_is_one_phrase_with_its_count():
    assert badge.describe_verdicts([]) == ""
    assert (
        badge.describe_verdicts(["edges"] * 2) == "shows the picture's edges, not what the model learnt (2 maps tested)"
    )
    assert badge.describe_verdicts(["depends", "edges", "box"]) == "depends on the model in 1 of 3 maps tested"
    assert badge.describe_verdicts(["unclear"]) == "may or may not depend on the model (1 map tested)"
    said = "depends on the model in 1 of 3 maps tested, 1 cannot be told"
    assert badge.describe_verdicts(["depends", "unclear", "box"]) == said


def test_another_persons_tests_are_not_counted():
    with users.acting("anna"):
        badge.note("abc", "gradcam", (), "bus", "depends")
        assert badge.verdicts("abc", "gradcam", ()) == ["depends"]
    with users.acting("ben"):
        assert badge.verdicts("abc", "gradcam", ()) == []
