"""Packaged results that pages show as examples; `make examples` makes them anew."""

from pathlib import Path

CLASSES = "classes"
"""Runs of three classifiers over `pictures` in class folders: `run`, and a folder for each other model."""
CLIP = "clip"
"""The result of a video run."""
DECKS = "decks"
"""Files of decks."""


def find(name: str) -> Path:
    """Return the folder of an example."""
    return Path(__file__).with_name(name)
