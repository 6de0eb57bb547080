"""Choose the log to read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import streamlit as st

from sightglass import monitor
from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.settings import MIB
from sightglass.components.choices import permitted_folders
from sightglass.components.session import state, url_state
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import megabytes
from sightglass.monitor import trend

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.monitor import Monitor, Observation
    from sightglass.pages.watch.trial import Trial

WAYS = {"server": "This server's", "trial": "The bundled pictures", "folder": "A folder"}
SPANS = {
    "hour": ("Hour", "in the last hour", timedelta(hours=1)),
    "day": ("Day", "in the last 24 hours", timedelta(days=1)),
    "week": ("Week", "in the last 7 days", timedelta(days=7)),
    "all": ("All", "", None),
}
MAX_LINES = 10_000
"""Lines that are read: more would take too long for a page."""
_LINE = 2000
"""Bytes of a line in memory, or of an entry, at least."""
_lines: ByteCache[list[Any]] = ByteCache(15 * MIB, lambda lines: _LINE * len(lines))
"""What was read of logs."""
T = TypeVar("T")


@dataclass
class Watching:
    """State of the page between its runs."""

    trial: Trial | None = None
    start_trial: bool = False
    left: bool = False
    """Whether the example was left: it does not come up again."""
    turn_to: str | None = None
    """The log to switch to before the choice of the log is drawn."""
    turns: int = 0
    """Counts these switches: a popover under a new key is closed."""
    entry: str | None = None
    """Id of the entry that is open, empty for none; None before the address was read."""
    problem: str = ""
    """What was wrong with the reference that was chosen."""
    entry_problem: str = ""
    brush: tuple[datetime, datetime] | None = None
    """The span of time that was dragged over on the chart."""
    brushes: int = 0
    """Counts those that were ended: the chart under a new key has none."""
    drawn: Any = None
    """Signature of the log when the page was drawn."""


@dataclass(frozen=True)
class Chosen:
    """A log, and what of it is shown."""

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
        """Whether it may be written to: a permitted folder is only read, an example is everybody's, and a viewer
        changes nothing."""
        running = trial() if self.way == "trial" else None
        return users.may_save() and self.way != "folder" and not (running is not None and running.shared)

    @property
    def stamp(self) -> tuple[Any, ...]:
        """What the entries shown depend on; it changes once a minute where old ones drop out."""
        minute = None if self.since is None else int(self.now.timestamp() // 60)
        return (self.folder, trend.signature(self.folder), self.model, self.source, self.span, minute)


def trial() -> Trial | None:
    """Return this session's trial."""
    return state.of(Watching).trial


def empty() -> bool:
    """Return whether the server's own log, which is shown unless another is chosen, has nothing in it."""
    folder = monitor.default().folder
    if url_state.recall_value("watch-log", WAYS, "server", name="log") == "folder" or trend.signature(folder):
        return False
    try:
        # One that cannot be read is no empty one: that is said.
        return folder is None or trend.health(folder).words == ()
    except Problem:
        return False


def choose_log(place: DeltaGenerator) -> tuple[Monitor, str, DeltaGenerator]:
    """Choose the log in a popover; return it, how it was chosen, and the popover. Raises Problem if unreadable."""
    there = {"server": True, "trial": trial() is not None, "folder": bool(permitted_folders.folders())}
    ways = {way: label for way, label in WAYS.items() if there[way]}
    _turn()
    with place.popover(
        "Log",
        icon=":material/database:",
        # A new key closes it, so that it does not cover what its buttons lead to.
        key=f"watch-popover-{state.of(Watching).turns}",
        help="Which log is shown.",
    ) as popover:
        if len(ways) > 1:
            way = url_state.widget(
                st.segmented_control,
                "Log",
                ways,
                "server",
                key="watch-log",
                name="log",
                help="The server's own log is the one SIGHTGLASS_MONITOR names; a trial is deleted when the session "
                "ends.",
            )
        else:
            way = "server"
            url_state.keep("watch-log", way, "server", name="log")
        monitor = _monitor(way)
        _about(monitor)
    return monitor, way, popover


def _turn() -> None:
    """Switch to the log that a button leads to, and drop what was chosen for the other one."""
    watching = state.of(Watching)
    if watching.turn_to is None:
        return
    url_state.put("watch-log", watching.turn_to)
    for name in ("watch-model", "watch-source", "watch-why"):
        url_state.put(name, "")
    watching.turn_to, watching.entry = None, ""
    watching.turns += 1
    url_state.write("entry", None)


def _monitor(way: str) -> Monitor:
    if way == "trial" and (running := trial()) is not None:
        return running.monitor
    if way != "folder":
        return monitor.default()
    named = permitted_folders.ask(
        "Folder of the log", key="watch-folder", name="log-folder", help="A folder with a log, which is only read"
    )
    return monitor.Monitor(named[0] if named else permitted_folders.folders()[0], threshold=monitor.default().threshold)


def _about(monitor: Monitor) -> None:
    if monitor.folder is None:
        st.caption("The server's monitor is off (SIGHTGLASS_MONITOR is off).")
        return
    storage = monitor.state()
    pictures = "Pictures are saved." if monitor.pictures else "Maps, names and numbers are saved, pictures are not."
    st.caption(
        f"{monitor.folder}  \n{megabytes(storage.bytes)} of {megabytes(storage.most_bytes)} used; when it is full, the "
        f"oldest entries are deleted. {pictures}"
    )


def lines(monitor: Monitor) -> list[Observation]:
    """Return the newest lines of a log, oldest first, read again when it has changed."""
    changed = (monitor.folder, trend.signature(monitor.folder))
    return read(("every", *changed), lambda: monitor.observations(limit=MAX_LINES))


def read(key: Hashable, lines: Callable[[], list[T]]) -> list[T]:
    """Return what was read of a log, shared by all sessions; `key`: all that it depends on."""
    return _lines.get_or_make(key, lines)


def choose_what(monitor: Monitor, way: str) -> Chosen:
    """Choose model, source and time span."""
    every = lines(monitor)
    models = ["", *sorted({one.model for one in every})]
    sources = ["", *sorted({one.source for one in every})]
    model = _menu("Model", models, "watch-model", "watched", "Only this model.")
    source = _menu(
        "From", sources, "watch-source", "from", "Only pictures from here: the library, the API, a batch run."
    )
    # A trial is short: all of it.
    first = "all" if way == "trial" else "day"
    url_state.recall_own(f"watch-span-{way}", SPANS, first, name="span")
    span = st.segmented_control(
        "Span",
        list(SPANS),
        format_func=lambda name: SPANS[name][0],
        key=f"watch-span-{way}",
        required=True,
        help="The time span of everything on this page.",
    )
    url_state.keep_own(f"watch-span-{way}", span, SPANS, first, name="span")
    return Chosen(monitor, way, model or None, source or None, span or first, datetime.now(zone()))


def _menu(label: str, options: list[str], key: str, name: str, help: str) -> str:
    return url_state.widget(
        st.selectbox,
        label,
        options,
        "",
        key=key,
        name=name,
        format_func=lambda one: one or "all",
        width=180,
        help=help,
    )


def zone() -> tzinfo:
    """Return the time zone of the browser, else UTC."""
    try:
        named = st.context.timezone
        return ZoneInfo(named) if named else UTC
    except Exception:
        # The browser may name a zone that this machine does not know.
        return UTC
