"""Chart under a player: score and map over time.

Nothing in it reruns the page but the button that opens the frame in sight on another page.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sightglass.components.declare import declare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.video.results import AnswerCurve, Moment

_component = declare("timeline", __file__)


@dataclass(frozen=True)
class Timeline:
    """What is drawn: all times in seconds since the start of the drawn clip."""

    seconds: float
    rate: float
    """Frames per second, by which the arrow keys step."""
    curves: Sequence[AnswerCurve]
    moments: Sequence[Moment]
    opens: str
    """What the button that opens a frame says."""
    score: str
    """What the upper curves are."""


def draw(timeline: Timeline, *, key: str, on_open: Callable[[], None]) -> None:
    """Draw the chart; `on_open` is called with the time in `st.session_state[key]["frame"]` when a frame is opened."""
    data = {
        "seconds": timeline.seconds,
        "rate": timeline.rate,
        "opens": timeline.opens,
        "score": timeline.score,
        "curves": [
            {"name": curve.name, "color": curve.color, "points": [[p.seconds, p.score, p.area] for p in curve.points]}
            for curve in timeline.curves
        ],
        "moments": [asdict(one) for one in timeline.moments],
    }
    _component(key=key, data=data, on_frame_change=on_open)
