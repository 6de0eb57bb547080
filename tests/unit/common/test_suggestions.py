"""A name that was mistyped is answered with the one that was meant."""

from __future__ import annotations

from sightglass.common.errors import did_you_mean, nearest


def test_the_nearest_names() -> None:
    assert nearest("Infern", ["viridis", "inferno"]) == ["inferno"]
    assert nearest("GRADCAN", ["GradCAM", "LayerCAM"]) == ["GradCAM"]
    assert nearest("resnet19", ["resnet18", "resnet101", "vgg"], n=3) == ["resnet18", "resnet101"]
    assert nearest("resnet19", ["resnet18", "resnet101"], n=3, cutoff=0.85) == ["resnet18"]
    assert nearest("zebra", []) == []


def test_the_end_of_a_sentence() -> None:
    assert did_you_mean("resnet19", ["resnet18", "resnet101"], n=2) == "did you mean resnet18 or resnet101?"
    assert did_you_mean("zebra", ["a"], "choose one of a.") == "choose one of a."
    assert did_you_mean("zebra", ["a"]) == ""
