"""Curves of a proof: hide pixels and follow the answer."""

from __future__ import annotations

from typing import Literal

from sightglass.common.errors import ModelProblem
from sightglass.common.lazy import defer_imports

defer_imports(__name__)

# Here, because recipes name a filling without torch.
Filling = Literal["blur", "mean", "linear"]
FILLINGS: dict[Filling, str] = {
    "blur": "a strong blur of the picture",
    "mean": "the picture's mean colour",
    "linear": "colours interpolated from what is left, with noise (ROAD)",
}
"""What each sets hidden pixels to, in words."""


def check(filling: str) -> None:
    """Raise ModelProblem for what is no filling."""
    if filling not in FILLINGS:
        raise ModelProblem(f"There is no filling called {filling}: use one of {', '.join(FILLINGS)}.")
