"""Say in a line how a map was made: model, method, layers and question."""

from __future__ import annotations

from collections.abc import Sequence

from explain.methods import METHODS
from explain.phrases import listing

ASKED = {
    "class": "Where is it?",
    "contrast": "Why this class?",
    "box": "Why this box?",
    "left": "Why its left side?",
    "top": "Why its top side?",
    "right": "Why its right side?",
    "bottom": "Why its bottom side?",
    "objectness": "Why an object?",
    "mask": "Why this mask?",
    "all": "Why this box and class?",
}
"""The question that a map of each part of a target answers."""


def made_with(model: str, method: str, layers: Sequence[str], part: str = "") -> str:
    """Return `demo-cls-m, GradCAM at layer4 (Where is it?)`; methods that only use a model's outputs have no layers."""
    found = METHODS.get(method)
    at = f" at {listing(list(layers))}" if layers and (found is None or found.family != "mask") else ""
    asked = f" ({ASKED[part]})" if part in ASKED else ""
    return f"{model}, {found.name if found else method}{at}{asked}"
