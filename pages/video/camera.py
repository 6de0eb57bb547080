"""The camera in real time, with its maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.explain.methods import METHODS
from sightglass.explain.tasks import task_of
from sightglass.ui import checks, saving
from sightglass.ui import live as canvas
from sightglass.ui.choices import controls
from sightglass.ui.instruments import instruments
from sightglass.ui.session import control_table, reopen, state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.views import charts
from sightglass.video import live

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.ui.live import LiveFrame, Snapshot
    from sightglass.ui.session.state import Choices


def draw(bar: DeltaGenerator, title: DeltaGenerator) -> None:
    """Draw the camera, below the row of controls and the headline."""
    # First: what this sets must be set before the controls are drawn.
    visit = state.of(canvas.LiveVisit)
    # A frame that was handed over in the last run, once.
    frame, visit.frame = visit.frame, None
    if frame is not None:
        _open(frame)
        reopen.go()
    choices, explainer = controls.draw(place=bar)
    with title:
        warning = f"{choices.model.name} knows drawn scenes only: its answers to the camera mean nothing."
        st.markdown(f"## {warning if choices.model.example else 'The camera, frame by frame'}")
        if note := task_of(explainer.model).frame_note:
            st.caption(note)
    if (method := live.find_method_for(explainer.model, choices.method)) != choices.method:
        st.caption(f"{METHODS[choices.method].name} is too slow for a camera: maps here are by {METHODS[method].name}.")
    options = _choose_options(choices, explainer)
    visit.model = choices.model
    canvas.live(choices.model, method, options)
    instruments()
    if visit.snapshot is not None:
        _draw_snapshot(visit.snapshot)
    # Without a map on the screen there is nothing to test or save.
    if (frozen := visit.frozen) is not None and frozen.label is not None:
        _show_frozen(frozen, replace(choices, image=frozen.image, method=method), explainer, options)


def _choose_options(choices: Choices, explainer: Explainer) -> dict[str, Any]:
    """Return the chosen options of a camera's frames."""
    options: dict[str, Any] = {name: choices.options[name] for name in live.OPTIONS if name in choices.options}
    if "half" in explainer.loaded.adapter.preprocessings and options.get("preprocessing", "trained") == "trained":
        # About four times as many frames a second.
        options["preprocessing"] = "half"
    return options


def _draw_snapshot(snapshot: Snapshot) -> None:
    """Say where the last snapshot is, and offer it."""
    saved = f"Saved as {snapshot.name} in the folder {escape(snapshot.folder)} of the machine that runs Sightglass."
    lost = "The folder of heat maps cannot be written to: download the picture, or set SIGHTGLASS_HEATMAPS."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(saved if snapshot.folder else lost, width="content")
        help = "The picture with its map, as it was on the screen."
        charts.download("Download", lambda: snapshot.jpeg, snapshot.name, key="live-snapshot", help=help)


def _show_frozen(frozen: LiveFrame, choices: Choices, explainer: Explainer, options: dict[str, Any]) -> None:
    """Draw the checks of a frozen frame's map, and its files."""
    box: dict[str, Any] = {"per": "detection", "targets": (frozen.pair,)} if frozen.pair else {}
    explanation = explain_job.explain(choices, explainer, **options, **box)
    if explanation is not None:
        explanation, index = explain_job.select_class(explanation, frozen.label)
        checks.draw(explanation, index)
        if explanation.heatmaps:
            saving.save_map("live", explanation, index, view=False)


def _open(frame: LiveFrame) -> None:
    """Open a frame as an uploaded picture, with its map's target."""
    visit = state.of(canvas.LiveVisit)
    image_source.choose_upload(frame.image, frame.data, named=True)
    chosen = state.of(state.ChosenAnswer)
    chosen.label, chosen.pair, chosen.generation = frame.label, frame.pair, chosen.generation + 1
    chosen.picture = frame.image.sha256
    if visit.model is not None and task_of(visit.model).explains("detection"):
        control_table.set_options({"preprocessing": visit.choice["options"].get("preprocessing", "trained")})
        chosen.model = visit.model.id
    reopen.open_explore()
