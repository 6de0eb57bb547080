"""Show how to start monitoring."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import page, state
from sightglass.components.session.jobs import background, explain_job, monitoring
from sightglass.explain.phrases import plural
from sightglass.models import catalog
from sightglass.pages.watch import log
from sightglass.pages.watch.log import Watching
from sightglass.pages.watch.trial import Trial, example

if TYPE_CHECKING:
    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer
    from sightglass.monitor import Monitor

LIBRARY = """from sightglass import Explainer
from sightglass.monitor import Monitor

explainer = Explainer()
monitor = Monitor({folder})
monitor.watch(explainer("a.jpg"))"""
API = """curl -F image=@a.jpg \\
  -F monitor=true \\
  {at}/api/explain"""
FOLDER = """sightglass batch pictures/ \\
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
        help="Runs the sidebar's model on the bundled photographs or scenes, first as they are, then blurred and "
        "noisy. The log is deleted when the session ends.",
    )


def _request() -> None:
    state.of(Watching).start_trial = True


def wants_example() -> bool:
    """Return whether an example is to be shown, since nothing is monitored yet."""
    watching = state.of(Watching)
    return watching.trial is None and not (watching.left or watching.start_trial) and log.empty()


def start_example(choices: Choices, explainer: Explainer) -> None:
    """Show the example with the sidebar's model, unless every map would take minutes."""
    watching = state.of(Watching)
    if explainer.resident.gradients:
        watching.trial, watching.turn_to = example(choices.model.id, catalog.whose(choices.model)), "trial"
    else:
        watching.left = True


def leave_outdated() -> None:
    """Leave the example once the server's log has something to show."""
    watching = state.of(Watching)
    if watching.trial is not None and watching.trial.shared and not log.empty() and watching.turn_to is None:
        _leave()


def start_requested(choices: Choices) -> None:
    """Start the trial that was requested, now that the model is known."""
    watching = state.of(Watching)
    if not watching.start_trial:
        return
    watching.start_trial = False
    _stop(watching)
    # A slow method would take minutes.
    options = {} if explain_job.is_slow(choices.method) else {"method": choices.method, **choices.options}
    watching.trial = Trial(choices.model, options)
    # The choice of the log was drawn in this run: the next one switches it.
    watching.turn_to = "trial"
    st.rerun()


def progress(trial: Trial) -> None:
    """Draw how far the trial is, and the buttons that stop or leave it."""
    if not trial.finished():
        label = f"{'An example' if trial.shared else 'A trial'} with {trial.model.id}: "
        stop = "" if trial.shared else "Stop after the current picture; finished ones stay."
        background.progress(trial, label=label, help=stop)
        return
    if trial.status.failure is not None:
        page.show_failure(trial.status.failure, "a trial failed")
        # Made anew at the next visit; those of others stay.
        example.clear(trial.model.id, catalog.whose(trial.model))
    with st.container(horizontal=True, vertical_alignment="center"):
        stopped = " until it was stopped" if trial.cancel.is_set() else ""
        st.caption(
            f":material/science: **{'An example' if trial.shared else 'A trial'}**: {trial.model.id} on "
            f"{plural(trial.status.done, 'picture')}{stopped}, bundled ones as they are, then blurred and noisy. "
            f"The first half is the reference. {_end(trial)}",
            width="content",
        )
        st.button(
            "Monitor your own model" if trial.shared else "Leave the trial",
            icon=":material/add_chart:" if trial.shared else ":material/logout:",
            type="tertiary",
            on_click=_leave,
            help="How to add explanations of your own."
            if trial.shared
            else "Back to the server's log; the trial is deleted.",
        )


def _end(trial: Trial) -> str:
    return "Nothing of yours is monitored yet." if trial.shared else "It is deleted when the session ends."


def _leave() -> None:
    watching = state.of(Watching)
    _stop(watching)
    watching.trial, watching.turn_to, watching.left = None, "server", True


def _stop(watching: Watching) -> None:
    if watching.trial is not None and not watching.trial.shared:
        watching.trial.cancel.set()
