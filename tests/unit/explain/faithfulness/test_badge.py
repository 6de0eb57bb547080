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


def test_another_persons_tests_are_not_counted():
    with users.acting("anna"):
        badge.note("abc", "gradcam", (), "bus", "depends")
        assert badge.verdicts("abc", "gradcam", ()) == ["depends"]
    with users.acting("ben"):
        assert badge.verdicts("abc", "gradcam", ()) == []
