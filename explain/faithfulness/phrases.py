"""Say what a proof found in one sentence, made of its numbers and of nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explain.faithfulness.proof import NEAR
from explain.phrases import percent

if TYPE_CHECKING:
    from explain.faithfulness.proof import Proof

FAILED = "Hiding what this map shows changes no more than hiding any other place: do not trust it."
HANGS = "Whether this map shows more than random places depends on what hidden pixels are filled with: do not trust it."


def sentence(proof: Proof) -> str:
    """Return what hiding the hottest tenth does, beside random places; or that the map shows nothing of its own."""
    if not proof.difference("random").clear:
        better = [proof.difference("random", filling).clear for filling in proof.fillings]
        return HANGS if any(better) else FAILED
    hidden, (random, _) = proof.at(NEAR)[0], proof.at(NEAR, "random")
    words = (
        f"Hiding the hottest {percent(NEAR)} takes {proof.label} from {percent(proof.start)} to {percent(hidden)}; "
        f"hiding a random {percent(NEAR)} leaves {percent(random)}."
    )
    if "blobs" in proof.controls and not proof.difference("blobs").clear:
        words += " Random places inside the same object do as much: it shows the object, not which part of it matters."
    return words
