"""The table of findings that rest on a proof."""

from __future__ import annotations

from benchmarks.truth.causes import HONEST
from benchmarks.truth.warned import Warned, section, share


def test_flags_of_cheats_and_of_their_twin_are_counted_apart() -> None:
    cheat = [Warned("cheat", "stamped", "why", frozenset({"patch at the edge"}))] * 3
    cheat.append(Warned("cheat", "stamped", "why", frozenset({"border"})))
    twin = [Warned(HONEST, "stamped", "why", frozenset())] * 2
    text = section([*cheat, *twin])
    assert "| cheat | stamped | why | 4 | 1 | 3 | 0 | 3 of 4 (75%) |" in text
    assert "3 of 4 (75%) of the cheats' maps" in text and "0 of 2 (0%) of the twin's" in text


def test_a_share_of_none_is_nothing() -> None:
    assert share([]) == "0 of 0 (0%)"
