"""Test a map: hide what it shows, or keep nothing else, and compare the model's answer with that for control maps."""

from __future__ import annotations

from typing import Literal

# Here, because recipes name a filling without torch.
Filling = Literal["blur", "mean", "linear"]
FILLINGS: dict[Filling, str] = {
    "blur": "a strong blur of the picture",
    "mean": "the picture's mean colour",
    "linear": "colours interpolated from what is left, with noise (ROAD)",
}
"""What each sets hidden pixels to, in words."""
