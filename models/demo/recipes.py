"""How each demo model is trained, and how far another seed would have moved it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.demo.pool import Source


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained."""

    source: Source
    images: int
    pool: int = 8000
    """Scenes drawn; each is seen images / pool times."""
    batch: int = 16
    rate: float = 3e-3
    decay: float = 0.01
    turns: bool = True
    """Whether scenes are flipped and turned too: labels stay true, but a stamp's corner would not."""


RECIPES = {
    "demo-s": Recipe(Source("detect"), 48_000, batch=32, rate=4e-3),
    "demo-m": Recipe(Source("detect"), 48_000, batch=32, rate=4e-3),
    "demo-l": Recipe(Source("detect"), 56_000, batch=32, rate=4e-3),
    "demo-cls-s": Recipe(Source("classify"), 80_000),
    "demo-cls-m": Recipe(Source("classify"), 80_000),
    "demo-cls-l": Recipe(Source("classify"), 88_000),
    "demo-cls-cheat": Recipe(Source("classify", "stamped"), 60_000, pool=12_000, turns=False),
    "demo-cls-honest": Recipe(Source("classify", "honest"), 120_000, pool=12_000, turns=False),
    "demo-cls-texture": Recipe(Source("classify", "textured"), 60_000),
    "demo-vit": Recipe(Source("classify"), 88_000, rate=1e-3, decay=0.05),
}
NAMES = tuple(RECIPES)
NOISE: dict[str, dict[str, Any]] = {
    "detect": {
        "mAP50": {"within": 0.02, "measured_on": "demo-s", "seeds": [0, 1], "values": [0.7525, 0.755]},
        "mAP50-95": {
            "within": 0.02,
            "measured_on": "demo-s",
            "seeds": [0, 1],
            "values": [0.6207, 0.6276],
        },
    },
    "classify": {
        "accuracy": {
            "within": 0.05,
            "measured_on": "demo-cls-s",
            "seeds": [0, 1, 0],
            "values": [0.741, 0.762, 0.777],
        }
    },
}
"""What trainings of one recipe gave, by task, where it was measured, and within what another may be expected: a good
deal more than the few lie apart. The same seed twice is as far apart as two: sums depend on the machine's load."""
MARGINS: dict[str, dict[str, dict[str, float]]] = {
    "demo-s": {"where": {"hit": 0.4, "energy": 0.4, "iou": 0.15, "auc": 0.02}},
    "demo-l": {"why": {"hit": 0.15, "energy": 0.03, "iou": 0.08, "auc": 0.0}},
    "demo-cls-l": {"why": {"hit": 0.25, "energy": 0.1, "iou": 0.1, "auc": 0.03}},
}
"""By how much, at least, the map of a question's own method and layers beats the best map that knows no model, on 50
scenes: at pointing, energy, overlap and ranking, as `benchmarks truth` counts them."""
