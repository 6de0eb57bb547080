"""What unit tests of several folders share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def halves() -> np.ndarray:
    """Left half red, right half blue."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16, 0], pixels[:, 16:, 2] = 255, 255
    return pixels


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The labels of the maps that are sealed, of which none takes a pass."""
    from sightglass.explain.trust import checks
    from sightglass.explain.trust.checks import CACHE, Check, Checks

    labels: list[str] = []

    def mark(explanation: Any, index: int = 0, **_: Any) -> Checks:
        label = explanation.heatmaps[index].target.label
        labels.append(label)
        marks = (
            Check("model", "no", "It shows the box.", 0.9, 0.2, shows="the box"),
            Check("answer", "yes", "It matters.", float("inf"), 1.0),
            Check("still", "cannot be told", "Nobody knows."),
        )
        result = Checks(label, marks)
        checks.CACHE.put(explanation.checks_key(index), result)
        return result

    CACHE.clear()
    monkeypatch.setattr(checks, "run_checks", mark)
    yield labels
    CACHE.clear()
