"""Show how to start monitoring: three commands to copy, this session, and a trial on the bundled pictures."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import streamlit as st

from components.session import background, explain_job, monitoring, page, state
from explain.phrases import percent, plural
from pages.watch.log import Watching
from pages.watch.trial import Trial

if TYPE_CHECKING:
    from components.session.state import Choices
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
"""Each runs as it is, next to a file a.jpg or a folder pictures."""


def begin(monitor: Monitor, way: str) -> None:
    """Draw the page of an empty log."""
    st.markdown(
        "Monitoring logs a short line per explanation: the prediction, its score, and measurements of its map. Odd "
        "ones, where the model was unsure or looked at the border, are logged in full, with the map. This page shows "
        "the log over time, what has changed, and the worst cases."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        button()
        if monitor.folder is not None and way == "server":
            monitoring.toggle()
    st.markdown("### Add explanations")
    for column, (title, words, code) in zip(st.columns(3, gap="medium"), _doors(monitor), strict=True):
        with column:
            st.markdown(f"**{title}**  \n{words}")
            # Without highlighting: its colours are too pale to read.
            st.code(code, language=None, wrap_lines=True)
    if monitor.folder is None:
        st.caption("The server's monitor is off: set SIGHTGLASS_MONITOR to a folder to monitor what it explains.")
    else:
        st.caption(f"The log is in {monitor.folder}; set SIGHTGLASS_MONITOR to use another folder.")


def _doors(monitor: Monitor) -> list[tuple[str, str, str]]:
    folder = str(monitor.folder or "watched")
    at = (st.context.url or "http://localhost:8501/watch").rsplit("/watch", 1)[0].rstrip("/")
    return [
        ("In your own code", "Add one line after each explanation.", LIBRARY.format(folder=json.dumps(folder))),
        ("Over HTTP", "Send one more field with each picture.", API.format(at=at)),
        ("A folder of pictures", "Add an option to the batch run.", FOLDER.format(folder=shlex.quote(folder))),
    ]


def button() -> None:
    """Draw the button that starts a trial, at the end of the next run, when the sidebar's model is known."""
    st.button(
        "Try it on the bundled pictures",
        icon=":material/science:",
        on_click=_request,
        help="Runs the sidebar's model on the bundled photographs (or scenes, if it was trained on those), first as "
        "they are, then degraded. The log is deleted when the session ends.",
    )


def _request() -> None:
    state.of(Watching).start_trial = True


def start_requested(choices: Choices) -> None:
    """Start the trial that was requested, now that the model is known."""
    watching = state.of(Watching)
    if not watching.start_trial:
        return
    watching.start_trial = False
    if watching.trial is not None:
        watching.trial.cancel.set()
    # A slow method would take minutes.
    options = {} if explain_job.is_slow(choices.method) else {"method": choices.method, **choices.options}
    watching.trial = Trial(choices.model, options)
    # The choice of the log was drawn in this run: the next one switches it.
    watching.turn_to = "trial"
    st.rerun()


def progress(trial: Trial) -> None:
    """Draw how far the trial is, and the buttons that stop or leave it."""
    if not trial.finished():
        label = f"A trial with {trial.model.id}: "
        background.progress(trial, label=label, help="Stop after the current picture; finished ones stay.")
        return
    if trial.status.failure is not None:
        page.show_failure(trial.status.failure, "a trial failed")
    with st.container(horizontal=True, vertical_alignment="center"):
        stopped = " until it was stopped" if trial.cancel.is_set() else ""
        st.caption(
            f":material/science: **A trial**: {trial.model.id} on {plural(trial.status.done, 'picture')}{stopped}, "
            f"bundled ones as they are, then blurred and noisy. {_limit(trial)} It is deleted when the session ends.",
            width="content",
        )
        st.button(
            "Leave the trial",
            icon=":material/logout:",
            type="tertiary",
            on_click=_leave,
            help="Back to the server's log; the trial is deleted.",
        )


def _limit(trial: Trial) -> str:
    if trial.status.since is None or not trial.monitor.threshold:
        return "The first half is the reference."
    return f"Scores below {percent(trial.monitor.threshold)}, the lowest quarter of the first half, count as unsure."


def _leave() -> None:
    watching = state.of(Watching)
    if watching.trial is not None:
        watching.trial.cancel.set()
    watching.trial, watching.turn_to = None, "server"
