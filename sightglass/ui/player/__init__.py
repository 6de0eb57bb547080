"""What Streamlit's player lacks: exact times, a line on the clip's chart, its moments, the frame that is shown.

The video and the chart are drawn by Streamlit; the script finds them in the container of a key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.ui.declare import declare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.video.timeline import Moment

_component = declare("player", __file__, states=("at",), events=("open",))


@dataclass(frozen=True)
class Played:
    """What the browser says of a player, in seconds of its video."""

    at: float | None = None
    """The frame at which the player stands; None until it has played or gone to one."""
    opened: float | None = None
    """The frame that a person opens: for one run only."""


def follow(place: str, moments: Sequence[Moment], *, seconds: float, begin: float, late: float, hidden: bool) -> Played:
    """Draw the moments and the button beside a video and its chart.

    `seconds`: of the video; `begin`: where it stands at first; `late`: after a change, at most, lies its moment, which
    is said where the moments are pointed at; `hidden`: the video is out of sight, and stands.
    """
    listed = [{"seconds": moment.seconds, "words": moment.words} for moment in moments]
    note = f"Moments of changes: each lies at most {late:.2g} s after its change."
    head = {"place": place, "begin": begin, "end": None, "seconds": seconds, "hidden": hidden}
    head |= {"moments": listed, "note": note}
    sent = _component(key=f"{place}-player", data=head)
    return Played(_read_seconds(sent.at), _read_seconds(sent.open))


def cut(place: str, begin: float, end: float | None) -> None:
    """Have a video begin and end at these seconds.

    `place`: key of its container; `end`: None for the video's own.
    """
    head = {"place": place, "begin": begin, "end": end, "seconds": 0.0, "hidden": False}
    head |= {"moments": None, "note": ""}
    _component(key=f"{place}-player", data=head)


def _read_seconds(sent: Any) -> float | None:
    if isinstance(sent, (int, float)) and math.isfinite(sent):
        return max(0.0, float(sent))
    return None
