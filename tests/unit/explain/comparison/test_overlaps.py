"""What is said of where several models' maps are strongest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from sightglass.explain.comparison.models import Comparison

if TYPE_CHECKING:
    from sightglass.explain.maps.statistics import Agreement

NAMES = ("small", "medium", "large")


@pytest.mark.parametrize(
    ("overlaps", "said"),
    [
        ({}, ""),
        ({(0, 1): 0.73}, "The maps of small and medium highlight the same place (73 % overlap)."),
        (
            {(0, 1): 0.25, (0, 2): 0.2, (1, 2): 0.64},
            "The maps of medium and large highlight the same place (64 % overlap); "
            "small highlights another (at most 25 %).",
        ),
        (
            {(0, 1): 0.7, (0, 2): 0.6, (1, 2): 0.64},
            "The maps of small, medium and large highlight the same place (at least 60 % overlap).",
        ),
        (
            {(0, 1): 0.1, (0, 2): 0.2, (1, 2): 0.3},
            "The maps of small, medium and large highlight different places (at most 30 % overlap).",
        ),
        # Alike one after another, and the ends not.
        (
            {(0, 1): 0.6, (0, 2): 0.2, (1, 2): 0.6},
            "Overlap of the strongest evidence: small and medium 60 %, small and large 20 % and medium and large 60 %.",
        ),
    ],
)
def test_overlaps_are_a_sentence(
    overlaps: dict[tuple[int, int], float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agreement(_: Comparison, first: int, second: int) -> Agreement | None:
        share = overlaps.get((first, second))
        return None if share is None else cast("Agreement", SimpleNamespace(iou_top20=share))

    monkeypatch.setattr(Comparison, "agreement", agreement)
    assert Comparison((), NAMES, ()).overlaps.replace("\N{NO-BREAK SPACE}", " ") == said
