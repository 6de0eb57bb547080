"""Show trainings that were watched, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.callbacks import film, sentences, watched
from sightglass.common import users
from sightglass.common.errors import ModelProblem
from sightglass.common.files import file_stem
from sightglass.common.settings import settings
from sightglass.components.session import state, url_state
from sightglass.components.session.history_store import exact
from sightglass.components.session.markdown import escape, sentence, shorten
from sightglass.components.views import charts
from sightglass.explain.phrases import percent, plural

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.callbacks.watched import WatchedEpoch, WatchedRun

WIDE, NARROW = 168, 120
"""Pixels of a picture of one epoch, and of one among all epochs."""


@dataclass
class OpenTraining:
    """The training that this session looks at."""

    folder: Path | None = None


def choose() -> None:
    """Draw this person's trainings, the one that was watched last first, each with a button that opens it."""
    runs = watched.list_runs(users.folder(settings().batches))
    if not runs:
        return
    with st.expander(f"Trainings watched: {len(runs)}", icon=":material/model_training:", expanded=True):
        for run in runs:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{escape(run.training.name)}**: {_describe(run)}", width="content")
                st.button(
                    "Open",
                    icon=":material/visibility:",
                    key=f"training-open-{run.folder.name}",
                    help="Show where it looked at each epoch.",
                    on_click=_open,
                    args=(run.folder,),
                )


def _open(folder: Path | None) -> None:
    state.of(OpenTraining).folder = folder


def _describe(run: WatchedRun) -> str:
    pictures = plural(len(run.training.pictures), "picture")
    return escape(f"{plural(len(run.epochs), 'epoch')}, {pictures}, {exact(run.training.started)}")


def is_open() -> bool:
    """Return whether a training is looked at."""
    return state.of(OpenTraining).folder is not None


def draw(top: DeltaGenerator) -> None:
    """Draw the training that is open, its heading into `top`."""
    folder = state.of(OpenTraining).folder
    assert folder is not None
    try:
        run = watched.read(folder)
    except ModelProblem as problem:
        top.error(sentence(problem), icon=":material/error:")
        _draw_back()
        return
    with top, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"## Training watched: {plural(len(run.epochs), 'epoch')}", width="content")
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            _draw_downloads(run)
            _draw_back()
    with top:
        st.caption(f"{escape(run.training.name)}: {_describe(run)}. {sentences.describe_cost(run)}")
    for missed in run.problems:
        st.warning(f"An epoch could not be watched: {sentence(missed)}", icon=":material/error:")
    if not run.epochs:
        st.info("No epoch was watched yet.", icon=":material/hourglass_empty:")
        return
    if said := sentences.describe_run(run):
        st.markdown(escape(" ".join(said)))
    _draw_epoch(run)
    _draw_picture(run)


def _draw_back() -> None:
    st.button(
        "Other runs", icon=":material/arrow_back:", help="Back to all pictures and runs.", on_click=_open, args=(None,)
    )


def _draw_downloads(run: WatchedRun) -> None:
    stem = file_stem(run.training.name, otherwise="training", max_length=40)
    with st.popover("Download", icon=":material/download:", help="A film of the epochs, a sheet, and the numbers"):
        offers: tuple[tuple[str, str, Any, str], ...] = (
            ("A film, .mp4", f"{stem}.mp4", partial(film.make_film, run, "mp4"), "A moment for each epoch."),
            ("A film, .gif", f"{stem}.gif", partial(film.make_film, run, "gif"), "A moment for each epoch."),
            ("A sheet, .png", f"{stem}.png", partial(film.draw_sheet, run), "A row a picture, a column an epoch."),
            ("The numbers, .csv", f"{stem}.csv", partial(film.write_table, run), "A row for each picture and epoch."),
        )
        for label, file, make, help in offers:
            charts.download(label, make, file, key=f"training-{file}", help=help, width="stretch", type="tertiary")


def _draw_epoch(run: WatchedRun) -> None:
    """Draw all pictures as they were at one epoch."""
    st.markdown("### All pictures at one epoch")
    numbers = [epoch.number for epoch in run.epochs]
    number = numbers[-1]
    if len(numbers) > 1:
        number = url_state.widget(
            st.select_slider,
            "Epoch",
            numbers,
            numbers[-1],
            key="batch-epoch",
            name="epoch",
            read=int,
            help="Move it to see how the maps changed while the network was trained.",
        )
    epoch = run.epochs[numbers.index(number)]
    with st.container(horizontal=True, gap="small"):
        for index, picture in enumerate(run.training.pictures):
            _draw_map(run, epoch, index, WIDE, f"**{escape(shorten(picture.name, 20))}**  \n")


def _draw_picture(run: WatchedRun) -> None:
    """Draw one picture at every epoch."""
    st.markdown("### One picture, epoch by epoch")
    index, pictures = 0, run.training.pictures
    if len(pictures) > 1:
        index = url_state.widget(
            st.selectbox,
            "Picture",
            {place: f"{place + 1}. {one.name}" for place, one in enumerate(pictures)},
            0,
            key="batch-epoch-picture",
            name="watched",
            read=int,
            width=300,
            help="The picture that is shown at each epoch.",
        )
    _draw_curve(run, index)
    epochs = film.spread_epochs(run)
    with st.container(horizontal=True, gap="small"):
        for epoch in epochs:
            _draw_map(run, epoch, index, NARROW, f"**Epoch {epoch.number}**  \n")
    if len(epochs) < len(run.epochs):
        st.caption(f"{len(epochs)} of {len(run.epochs):,} epochs, evenly spread; the slider and the film have all.")


def _draw_map(run: WatchedRun, epoch: WatchedEpoch, index: int, width: int, before: str) -> None:
    answer = epoch.answers[index]
    said = sentences.describe_answer(answer)
    with st.container(width=width, gap="xxsmall"):
        try:
            pixels = run.locate(index, epoch.number).read_bytes()
            alt = f"{run.training.pictures[index].name} under its map at epoch {epoch.number}: {said}"
            st.image(pixels, width=width, alt=alt)
        except OSError:
            st.caption("The map's image was deleted.")
        inside = "" if answer.inside is None else f"  \n{percent(answer.inside)} inside"
        st.markdown(f":small[{before}{escape(said)}{inside}]")


def _draw_curve(run: WatchedRun, index: int) -> None:
    """Draw the share of the evidence inside the rectangle over the epochs, where there is one."""
    shares = sentences.measure_inside(run, index)
    if len(shares) < 2:
        return
    import plotly.graph_objects as go

    epochs, values = zip(*shares, strict=True)
    chart = go.Figure(go.Scatter(x=epochs, y=values, mode="lines+markers", line={"color": charts.ACCENT, "width": 2}))
    chart.update_layout(height=190, margin={"l": 0, "r": 0, "t": 8, "b": 0}, dragmode=False)
    chart.update_xaxes(title="epoch", fixedrange=True)
    chart.update_yaxes(range=[0, 1], tickformat=".0%", fixedrange=True)
    st.caption(f"Evidence inside {escape(run.training.place)}, by epoch")
    ends = f"{percent(values[0])} at epoch {epochs[0]}, {percent(values[-1])} at epoch {epochs[-1]}"
    alt = f"Evidence inside {run.training.place}: {ends}"
    st.plotly_chart(chart, config={"displayModeBar": False}, key="training-curve", alt=alt)
