"""Which log the Watch screen reads: the server's own, a trial of this session, or one in a folder of the operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import streamlit as st

from components.session import url_state
from explain.monitor import trend
from explain.phrases import megabytes, percent
from pages.batch.source import folders, permitted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from explain.monitor import Monitor, Observation
    from pages.watch.trial import Trial

T = TypeVar("T")
WAYS = {"server": "This server's", "trial": "The trial", "folder": "Another"}
SPANS = {
    "hour": ("Hour", "in the last hour", timedelta(hours=1)),
    "day": ("Day", "in the last 24 hours", timedelta(days=1)),
    "week": ("Week", "in the last 7 days", timedelta(days=7)),
    "all": ("All", "", None),
}
MOST = 10_000
"""Lines that are looked at: more take longer than a look at a screen."""


@dataclass(frozen=True)
class Chosen:
    """A log, and what of it is looked at."""

    monitor: Monitor
    way: str
    model: str | None
    source: str | None
    span: str
    now: datetime
    """In the reader's zone."""

    @property
    def folder(self) -> Path | None:
        return self.monitor.folder

    @property
    def since(self) -> datetime | None:
        span = SPANS[self.span][2]
        return self.now - span if span else None

    @property
    def own(self) -> bool:
        """Whether it may be written to: a folder that an operator let people read is only read."""
        return self.way != "folder"


def trial() -> Trial | None:
    """This session's trial."""
    found: Trial | None = st.session_state.get("watch-trial")
    return found


def choose_log(place: Any) -> tuple[Monitor, str]:
    """The log, chosen in a popover, and which way it came; raises Problem where it cannot be read."""
    ways = [way for way in WAYS if (way != "trial" or trial()) and (way != "folder" or folders())]
    _turn()
    url_state.recall("watch-log", ways, "server", name="log")
    with place.popover(
        "Log",
        icon=":material/database:",
        # Under another key it is another one, and closed: what a button in it leads to is not behind it.
        key=f"watch-popover-{st.session_state.setdefault('watch-turns', 0)}",
        help="Which log this is, and what else can be watched.",
    ):
        if len(ways) > 1:
            way = st.segmented_control(
                "Log",
                ways,
                format_func=WAYS.__getitem__,
                key="watch-log",
                required=True,
                help="The server's own is what SIGHTGLASS_MONITOR names; a trial goes with the session.",
            )
        else:
            way = "server"
        url_state.keep("watch-log", way, "server", name="log")
        monitor = _monitor(way or "server")
        _about(monitor)
        # What else is to be said here, by the screen.
        st.session_state["watch-popover"] = st.container()
    return monitor, way or "server"


def _turn() -> None:
    """To a log that a button leads to, with nothing left of what was asked of the other one."""
    if (way := st.session_state.pop("watch-turn", None)) is None:
        return
    st.session_state["watch-turns"] = st.session_state.get("watch-turns", 0) + 1
    st.session_state["watch-log"] = way
    url_state.keep("watch-log", way)
    for name in ("watch-model", "watch-source", "watch-why", "watch-entry"):
        st.session_state[name] = ""
        url_state.keep(name, "")
    url_state.write("entry", None)


def _monitor(way: str) -> Monitor:
    from explain.monitor import Monitor, default

    held = trial()
    if way == "trial" and held is not None:
        return held.monitor
    if way != "folder":
        return default()
    allowed = folders()
    url_state.recall("watch-folder", None, str(allowed[0]), name="log-folder")
    text = st.text_input(
        "Folder of the log",
        key="watch-folder",
        help=f"Below {' or '.join(map(str, allowed))}. It is only read.",
    )
    url_state.keep("watch-folder", text, str(allowed[0]), name="log-folder")
    return Monitor(permitted(text.strip() or str(allowed[0]), allowed)[0], threshold=default().threshold)


def _about(monitor: Monitor) -> None:
    if monitor.folder is None:
        st.caption("The server's monitor is switched off (SIGHTGLASS_MONITOR is off).")
        return
    held = monitor.state()
    below = f"Below {percent(monitor.threshold)} a picture is unsure. " if monitor.threshold else ""
    pictures = "Pictures are kept." if monitor.pictures else "This server keeps maps, names and numbers, not pictures."
    st.caption(
        f"{monitor.folder}  \n{megabytes(held.bytes)} of {megabytes(held.most_bytes)} at most; then the oldest goes. "
        f"{below}{pictures}"
    )


def choose_what(monitor: Monitor, way: str) -> Chosen:
    """Model, source and span."""
    changed = trend.signature(monitor.folder)
    lines: list[Observation] = kept("every", (monitor.folder, changed), lambda: monitor.observations(limit=MOST))
    models = ["", *sorted({one.model for one in lines})]
    sources = ["", *sorted({one.source for one in lines})]
    model = _menu("Model", models, "watch-model", "watched", "Only what this model said.")
    source = _menu(
        "From", sources, "watch-source", "from", "Where the pictures came from: the library, the API, a folder run."
    )
    # A log of its own is as long as it is.
    first = "all" if way == "trial" else "day"
    url_state.recall_own(f"watch-span-{way}", SPANS, first, name="span")
    span = st.segmented_control(
        "Span",
        list(SPANS),
        format_func=lambda name: SPANS[name][0],
        key=f"watch-span-{way}",
        required=True,
        help="How far back everything on this screen looks.",
    )
    url_state.keep_own(f"watch-span-{way}", span, SPANS, first, name="span")
    return Chosen(monitor, way, model or None, source or None, span or first, datetime.now(zone()))


def _menu(label: str, options: list[str], key: str, name: str, help: str) -> str:
    url_state.recall(key, options, "", name=name)
    chosen = st.selectbox(
        label,
        options,
        format_func=lambda one: one or "all",
        key=key,
        width=180,
        help=help,
    )
    url_state.keep(key, chosen, "", name=name)
    return chosen or ""


def zone() -> tzinfo:
    """Of the reader's clock, as the browser says; else the world's."""
    try:
        named = st.context.timezone
        return ZoneInfo(named) if named else UTC
    except Exception:
        # A browser may name a zone that this machine does not know.
        return UTC


def kept(name: str, key: Any, make: Callable[[], T]) -> T:
    """What was read of a log, until the log changes: a screen runs at every click."""
    held = st.session_state.setdefault("watch-kept", {})
    if name not in held or held[name][0] != key:
        held[name] = (key, make())
    found: T = held[name][1]
    return found
