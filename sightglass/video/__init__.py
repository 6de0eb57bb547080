"""Explain a clip frame by frame, with a timeline.

    from sightglass.video import run
    run("scene.mp4", "demo-s", "out/")

A run has two stages, one behind the other. The first runs the model and writes what it saw to the disk, in parts of
some seconds: answers and raw maps (`frames`, `records`). The second takes these as they come, smooths them over time,
draws them over the frames and encodes (`draw`). So memory does not grow with the clip, and a run that was
killed keeps what the model saw up to its last whole part (`runner`). `live` explains the frames of a camera.

Importing this package is free; torch comes in with the first run.
"""

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.video.results import Settings as Settings
    from sightglass.video.results import Summary as Summary
    from sightglass.video.runner import run as run

defer_imports(__name__, {"runner": ["run"], "results": ["Settings", "Summary"]})
