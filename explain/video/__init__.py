"""Explain a clip: where a model looks in each frame of a video, drawn over it, and a timeline of what changes.

    from explain.video import run
    run("clip.mp4", "efficientnet-lite0", "out/")

A run has two stages. The first runs the model and writes what it saw to the disk, in parts of some seconds: answers and
raw maps (`looking`, `track`, `parts`). The second reads these again, smooths and scales them over time (`smooth`,
`strength`), draws them over the frames and encodes (`draw`, `write`). So memory does not grow with the clip, and a run
that was killed goes on from its last whole part (`runner`).

Importing this package is free; torch comes in with the first run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explain.video.runner import run as run
    from explain.video.settings import Settings as Settings
    from explain.video.summary import Summary as Summary

_FROM = {"run": "runner", "Settings": "settings", "Summary": "summary"}
__all__ = ["Settings", "Summary", "run"]


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module 'explain.video' has no attribute {name!r}")
    return getattr(import_module(f"explain.video.{_FROM[name]}"), name)
