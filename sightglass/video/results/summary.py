"""What a run over a clip returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.common.files import Json
    from sightglass.video.results.moments import Moment

CLIP = "overlay.mp4"
"""Name of the drawn clip in its folder."""


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    folder: Path
    frames: int
    """Number drawn."""
    looked: int
    """Number that the model saw."""
    skipped: int
    """Number that could not be decoded."""
    seconds: float
    """Of this run."""
    resumed: bool
    """Whether an earlier run had done a part of it."""
    cancelled: bool = False
    """Stopped before the end; nothing but its parts is written, and the next run goes on from these."""
    moments: tuple[Moment, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    @property
    def clip(self) -> Path:
        """The drawn clip."""
        return self.folder / CLIP

    @property
    def words(self) -> str:
        """`250 frames explained; 2 could not be decoded; 3 moments`."""
        if self.cancelled:
            return f"Stopped after {plural(self.looked, 'frame')}: run it again to go on"
        of = f"{plural(self.frames, 'frame')} explained"
        if self.looked < self.frames:
            of = f"{plural(self.looked, 'frame')} explained, {self.frames:,} drawn"
        more = [f"{self.skipped:,} could not be decoded"] if self.skipped else []
        return "; ".join([of, *more, plural(len(self.moments), "moment")])

    @property
    def facts(self) -> Json:
        """The numbers, for a file."""
        return {"frames": self.frames, "looked": self.looked, "skipped": self.skipped, "notes": self.notes}
