"""Ways to begin to watch: three doors with a line to copy, this session itself, and a trial on the bundled pictures."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import streamlit as st

from common.errors import Problem
from components.session import explain_job, monitoring, page
from explain.phrases import percent, plural
from pages.watch import log
from pages.watch.trial import Trial

if TYPE_CHECKING:
    from components.choices.sidebar import Choices
    from explain.monitor import Monitor

LIBRARY = """from explain import Explainer
from explain.monitor import Monitor

explainer = Explainer()
monitor = Monitor({folder})
monitor.watch(explainer("a.jpg"))"""
API = """curl -F image=@a.jpg \\
  -F monitor=true \\
  {at}/api/explain"""
FOLDER = """python -m explain batch pictures/ \\
  --monitor {folder}"""
"""Each runs as it stands, where there is an a.jpg, or pictures."""


def begin(monitor: Monitor, way: str) -> None:
    """What stands where nothing was watched yet."""
    st.markdown(
        "Every explanation that is watched leaves a short line: what was said, how sure, and what its map measures. "
        "One that is odd, because the model was unsure or looked at the border, is logged whole, with its map. Here "
        "you see all that over time, whether it has changed, and the worst cases."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        button()
        if monitor.folder is not None and way == "server":
            monitoring.toggle()
    st.markdown("##### Feed it")
    for column, (title, words, code) in zip(st.columns(3, gap="medium"), _doors(monitor), strict=True):
        with column:
            st.markdown(f"**{title}**  \n{words}")
            # Without colours: those of a language are too pale to read.
            st.code(code, language=None, wrap_lines=True)
    if monitor.folder is None:
        st.caption(
            "The server's monitor is switched off: set SIGHTGLASS_MONITOR to a folder to watch what it explains."
        )
    else:
        st.caption(f"The log is in {monitor.folder}; SIGHTGLASS_MONITOR names another folder.")


def _doors(monitor: Monitor) -> list[tuple[str, str, str]]:
    folder = str(monitor.folder or "watched")
    at = (st.context.url or "http://localhost:8501/watch").rsplit("/watch", 1)[0].rstrip("/")
    return [
        ("In your own code", "One line after each explanation.", LIBRARY.format(folder=json.dumps(folder))),
        ("Over HTTP", "Ask for it with each picture.", API.format(at=at)),
        ("A folder of pictures", "Each picture of the run.", FOLDER.format(folder=shlex.quote(folder))),
    ]


def button() -> None:
    """Starts a trial, in the run that follows the click: what model the sidebar has is known at its end."""
    st.button(
        "Try it on the bundled pictures",
        icon=":material/science:",
        on_click=lambda: st.session_state.update({"watch-wanted": True}),
        help="The bundled photographs, or scenes for a model that knows those, as they are and then worse, through "
        "the model of the sidebar, into a log that goes with this session.",
    )


def wanted(choices: Choices) -> None:
    """Start the trial that was asked for, now that the model is known."""
    if not st.session_state.pop("watch-wanted", False):
        return
    if (held := log.trial()) is not None:
        held.cancel.set()
    # A slow method would take minutes over these.
    asked = {} if explain_job.is_slow(choices.method) else {"method": choices.method, **choices.options}
    st.session_state["watch-trial"] = Trial(choices.model, asked)
    # The choice of the log is drawn by now: it is turned before it is drawn again.
    st.session_state["watch-turn"] = "trial"
    st.rerun()


def told(held: Trial) -> None:
    """That this is a trial, how far it is, and the ways out of it."""
    if not held.finished():
        with st.container(horizontal=True, vertical_alignment="center"):
            _progress()
            st.button(
                "Stop",
                icon=":material/stop_circle:",
                on_click=held.cancel.set,
                help="Stop after the picture in hand; what is done stays.",
            )
        return
    failure = held.state.failure
    if isinstance(failure, Problem):
        st.error(str(failure), icon=":material/error:")
    elif failure is not None:
        page.LOGGER.error("a trial failed", exc_info=failure)
        st.error(page.SOMETHING_BROKE, icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center"):
        stopped = " until it was stopped" if held.cancel.is_set() else ""
        st.caption(
            f":material/science: **A trial**: {plural(held.state.done, 'picture')} through {held.model.id}{stopped}, "
            f"bundled ones as they are, then the same blurred and noisy. {_limit(held)} It goes with this session.",
            width="content",
        )
        st.button(
            "Leave the trial",
            icon=":material/logout:",
            type="tertiary",
            on_click=_leave,
            help="Back to the server's own log; the trial is deleted.",
        )


def _limit(held: Trial) -> str:
    if held.state.since is None or not held.monitor.threshold:
        return "The first half is the reference."
    return (
        f"What is less sure than three quarters of the first half, below {percent(held.monitor.threshold)}, is unsure."
    )


@st.fragment(run_every=0.5)
def _progress() -> None:
    held = log.trial()
    if held is None:
        return
    if held.finished():
        st.rerun()
    words = "Stopping" if held.cancel.is_set() else f"A trial with {held.model.id}: {held.state.words}"
    st.progress(min(1.0, held.state.share), words)


def _leave() -> None:
    held = log.trial()
    if held is not None:
        held.cancel.set()
    st.session_state.pop("watch-trial", None)
    st.session_state["watch-turn"] = "server"
