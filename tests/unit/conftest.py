"""What unit tests of several folders share."""

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def halves() -> np.ndarray:
    """Left half red, right half blue."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16, 0], pixels[:, 16:, 2] = 255, 255
    return pixels


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the maps that are checked, of which none takes a pass."""
    from sightglass.explain import explanation
    from sightglass.explain.trust.checks import Check, Checks

    labels: list[str] = []

    def mark(result: Any, index: int = 0, **_: Any) -> Checks:
        label = result.heatmaps[index].target.label
        labels.append(label)
        marks = (
            Check("model", "no", "It shows the box.", 0.9, 0.2, shows="the box"),
            Check("answer", "yes", "It matters.", float("inf"), 1.0),
            Check("stable", "cannot be told", "Nobody knows."),
        )
        return Checks(label, marks)

    monkeypatch.setattr(explanation, "run_checks", mark)
    return labels
