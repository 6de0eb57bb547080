"""How each demo model is trained, and how much its results vary by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.demo.pool import Source


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training."""

    source: Source
    images: int
    pool: int = 8000
    """Number of scenes; each is seen images / pool times."""
    batch: int = 16
    rate: float = 3e-3
    decay: float = 0.01
    turns: bool = True
    """Whether scenes are flipped and turned: labels stay correct, but a stamp would leave its corner."""


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
"""Results of trainings with one recipe, by task, and the tolerance for another one: well above the spread of the few.
The same seed twice varies as much as two seeds: sums depend on the machine's load."""
MARGINS: dict[str, dict[str, dict[str, float]]] = {
    "demo-s": {"where": {"hit": 0.4, "energy": 0.4, "iou": 0.15, "auc": 0.02}},
    "demo-l": {"why": {"hit": 0.15, "energy": 0.03, "iou": 0.08, "auc": 0.0}},
    "demo-cls-l": {"why": {"hit": 0.25, "energy": 0.1, "iou": 0.1, "auc": 0.03}},
}
"""Minimum lead of a question's default map over the best baseline without a model, on 50 scenes: at pointing, energy,
overlap and ranking, as `benchmarks truth` measures them."""
