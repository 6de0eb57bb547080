"""Test whether a map can be trusted: checks, proofs, findings; what pages and recipes name without torch."""

from dataclasses import dataclass
from typing import Literal

from sightglass.common.lazy import defer_imports

defer_imports(__name__)

Mark = Literal["yes", "no", "cannot be told"]
"""The answer of a test to its question."""

Filling = Literal["blur", "mean", "linear"]
FILLINGS: dict[Filling, str] = {
    "blur": "a strong blur of the picture",
    "mean": "the picture's mean colour",
    "linear": "colours interpolated from what is left, with noise (ROAD)",
}
"""What each sets hidden pixels to, in words."""


LEVELS = ("serious", "caution", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """A limitation of a map: `serious` (meaningless), `caution`, or `note`."""

    kind: str
    level: Literal["serious", "caution", "note"]
    text: str


Verdict = Literal["depends", "unclear", "survives", "edges", "centre", "box"]
"""What the randomisation test says of a map."""
SHOWS: dict[Verdict, str] = {
    "survives": "what it would show without training",
    "edges": "the picture's edges",
    "centre": "the middle of the picture",
}
"""What a map shows instead of what the model has learnt."""
_PATTERN = "Whether its pattern matters to the answer is another check."
MEANINGS: dict[Verdict, str] = {
    "depends": f"With other weights the map would be elsewhere. That does not make it right. {_PATTERN}",
    "unclear": "The test has no answer here, so it speaks neither for the map nor against it. Other layers or another "
    "method may be clearer.",
    "survives": "The map would look much the same if the model had learnt nothing. Do not take it for what it uses.",
    "edges": "Outlines look convincing on any object: do not take this map for what the model uses.",
    "centre": "Photographs have their object in the middle, so a map that is always there looks right.",
    "box": "The method reaches only places around the box, whatever the weights: that the map lies on the object is no "
    f"evidence. Where it is hot inside the box depends on the model. {_PATTERN}",
}
"""What each verdict does and does not say, in plain words."""
