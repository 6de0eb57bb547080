"""Settings of a run over a clip, and its result as its folder has it."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json
from sightglass.common.files.keeping import reading
from sightglass.explain.phrases import plural
from sightglass.explain.rendering.style import Style, lut
from sightglass.video.timeline import AGAIN, TIMELINE_CSV, TIMELINE_JSON, Moment

CLIP = "overlay.mp4"
"""Name of the drawn clip in its folder."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a clip is explained and drawn. Raises ModelProblem for a value out of its range."""

    every: int = 1
    """The model looks at every frame, or at every n-th; the frames between get the two maps around them mixed."""
    start: float = 0.0
    end: float | None = None
    """The range in seconds since the start of the clip; None: to its end."""
    smooth: float = 0.1
    """Seconds by which maps are smoothed over time, at most 2; 0: not smoothed."""
    objects: int = 3
    """Maximum objects of a detector that get a map in a frame, those followed longest."""
    only: int | None = None
    """Number of a detector's one object to follow."""
    labels: bool = True
    """Draw boxes, names and scores."""
    side: int = 1280
    """Pixels of the longer side of a drawn frame, never enlarged; 0: the clip's own."""
    style: Style = field(default_factory=Style)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ModelProblem(f"every is {self.every}: 1 is every frame, 2 every second one.")
        if not 0 <= self.smooth <= 2:
            raise ModelProblem(f"smooth is {self.smooth:g} s: give 0 (off) to 2 seconds.")
        if not 0 <= self.start < math.inf:
            raise ModelProblem(f"The range starts at {self.start:g} s: give 0 or more.")
        if self.end is not None and not self.end > self.start:
            raise ModelProblem(f"The range ends at {self.end:g} s, not after its start at {self.start:g} s.")
        if self.objects < 1 or (self.only is not None and self.only < 1):
            raise ModelProblem("Objects are counted from 1: ask for one at least.")
        if self.side and self.side < 32:
            raise ModelProblem(f"side is {self.side}: give 32 pixels at least, or 0 for the clip's own size.")
        lut(self.style.colormap)

    @property
    def facts(self) -> Json:
        """The settings as plain values, for the journal."""
        names = ("every", "start", "end", "smooth", "objects", "only", "labels", "side")
        styling = {name: getattr(self.style, name) for name in ("mode", "colormap", "alpha", "threshold", "boxes")}
        return {name: getattr(self, name) for name in names} | styling


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    folder: Path
    frames: int = 0
    """Frames drawn."""
    explained: int = 0
    """Frames explained."""
    skipped: int = 0
    """Frames that could not be decoded."""
    seconds: float = 0.0
    """Duration of this run in seconds."""
    resumed: bool = False
    """Whether an earlier run had done a part of it."""
    cancelled: bool = False
    """Stopped before the end; nothing but its parts is written, and the next run goes on from these."""
    moments: tuple[Moment, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    run: Json = field(default_factory=dict, repr=False)
    """The settings that the results depend on."""

    @property
    def clip(self) -> Path:
        """The drawn clip."""
        return self.folder / CLIP

    @property
    def words(self) -> str:
        """`250 frames explained; 2 could not be decoded; 3 moments`."""
        if self.cancelled:
            return f"Stopped after {plural(self.explained, 'frame')}: run it again to go on"
        text = f"{plural(self.frames, 'frame')} explained"
        if self.explained < self.frames:
            text = f"{plural(self.explained, 'frame')} explained, {self.frames:,} drawn"
        details = [f"{self.skipped:,} could not be decoded"] if self.skipped else []
        return "; ".join([text, *details, plural(len(self.moments), "moment")])

    @property
    def facts(self) -> Json:
        """The counts and notes, by their names in `timeline.json`."""
        return {"frames": self.frames, "looked": self.explained, "skipped": self.skipped, "notes": self.notes}


def read_result(folder: Path) -> Summary:
    """Return a finished run's result.

    Raises Unreadable, ModelProblem where a file of it is missing.
    """
    path = folder / TIMELINE_JSON
    missing = [name for name in (TIMELINE_JSON, CLIP, TIMELINE_CSV) if not (folder / name).is_file()]
    if TIMELINE_JSON not in missing:
        with reading(path, AGAIN):
            result = json.loads(path.read_text("utf-8"))
            summary = Summary(
                folder,
                frames=result["frames"],
                explained=result["looked"],
                skipped=result["skipped"],
                resumed=True,
                moments=tuple(Moment(**moment) for moment in result["moments"]),
                notes=tuple(result["notes"]),
                run=result["run"],
            )
    if missing:
        raise ModelProblem(f"{missing[0]} in {folder} is missing: {AGAIN}.")
    return summary
