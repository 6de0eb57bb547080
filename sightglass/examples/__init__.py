"""Packaged results that pages show as examples; `make examples` makes them anew."""

from __future__ import annotations

from pathlib import Path

BOXES, CLASSES = "boxes", "classes"
"""Batch runs with labels, of a detector and of a classifier: `pictures` and `run`."""
SCORECARD = "scorecard"
"""Runs of several models over the same pictures, a folder each."""
CLIP = "clip"
"""The result of a video run."""
DECKS = "decks"
"""Files of decks."""


def find(name: str) -> Path:
    """Return the folder of an example."""
    return Path(__file__).with_name(name)
