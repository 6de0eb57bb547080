"""Scorecard: which of two to six models can be shipped."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Cancelled, Problem
from sightglass.components.session import page, state, url_state
from sightglass.components.session.jobs import background
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.views import charts
from sightglass.components.views import tables as views
from sightglass.evaluation import errors
from sightglass.evaluation.scorecard import TOLERANCE, files
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.explain.phrases import listing, milliseconds, plural
from sightglass.pages.scorecard import source
from sightglass.pages.scorecard.source import ScorecardPage, ScoreJob, open_example

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.evaluation.scorecard.card import Kind, Scorecard, Verdict

ICONS: dict[Kind, str] = {
    "ship": ":green[:material/check_circle:]",
    "do not ship": ":red[:material/cancel:]",
    "cannot be told": ":gray[:material/help:]",
}
TITLE = "## Which model can be shipped?"
HEIGHT = 280
GREY = "#8A8A8A"
"""Seen on a light and on a dark page."""


@page.guard
def scorecard() -> None:
    title = st.container(gap="xsmall")
    job = state.of(ScorecardPage).job
    if job is not None:
        _draw(job, title)
        return
    title.markdown(TITLE)
    with st.expander("Your own pictures and models", icon=":material/add_chart:", expanded=False):
        _choose()
    _draw(open_example(), st.container(gap="xsmall"))


def _choose() -> None:
    plan = None
    try:
        plan = source.choose()
    except Problem as problem:
        st.error(sentence(problem), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Score the models",
            icon=":material/play_arrow:",
            disabled=plan is None,
            help="Runs each model on each picture, one at a time, in the background. It can be stopped.",
        ):
            assert plan is not None
            state.of(ScorecardPage).job = ScoreJob(plan)
            st.rerun()
        if plan is None:
            st.caption("Choose at least two models with labelled pictures, or two runs.")


def _draw(job: ScoreJob, title: DeltaGenerator) -> None:
    """Draw a job's progress, failure or scorecard."""
    if not job.finished():
        title.markdown(f"## Which can be shipped: {listing([*job.plan.models])}?")
        background.progress(job, help="Nothing is shown of a scorecard that was stopped.", estimate=True)
        st.caption("Each model takes one picture at a time, so that times can be compared. It goes on if you leave.")
        return
    if job.status.failure is not None or job.status.card is None:
        if not job.example:
            title.markdown(TITLE)
        if isinstance(job.status.failure, Cancelled):
            st.info("Stopped before all models were done.", icon=":material/pause_circle:")
        elif job.status.failure is not None:
            page.show_failure(job.status.failure, "a scorecard failed")
        _draw_again(job)
        return
    _draw_card(job, job.status.card, title)
    source.list_problems(job.status.left_out)
    count = plural(len(job.status.card.rows[0].evaluation.pictures), "labelled picture")
    how = "from runs with labels" if job.plan.runs else "measured on this machine, one at a time"
    with st.container(horizontal=True, vertical_alignment="center"):
        words = f"{count}, drawn scenes; times are those of another machine." if job.example else f"{count}, {how}."
        st.caption(words, width="content")
        _draw_again(job)


def _draw_again(job: ScoreJob) -> None:
    if job.example:
        return
    if st.button("Other pictures or models", icon=":material/folder_open:", help="Choose others; this one is dropped."):
        job.cancel.set()
        state.forget(ScorecardPage)
        st.rerun()


def _draw_card(job: ScoreJob, scores: Scorecard, title: DeltaGenerator) -> None:
    """Draw a scorecard, its verdict as the heading in `title`."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = _choose_card(scores)
        verdict = _choose_pair(card)
        _draw_downloads(card)
    with title:
        if job.example:
            page.draw_example_badge()
        st.markdown(f"{'###' if job.example else '##'} {escape(verdict.headline)}")
        st.markdown(f"{ICONS[verdict.kind]} **{escape(verdict.advice)}**")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown(
            "### Models", help="All on the same labelled pictures. A star: none here is both faster and better."
        )
        rows = files.list_rows(card)
        views.table(rows, right=[*rows[0]][1:], help=files.HELP)
        for row in card.rows:
            if words := row.evaluation.left_out:
                st.caption(f":material/help: {escape(words)}")
    with right:
        st.markdown(
            "### Time and quality",
            help="Up and to the left is better. Lines: the 95 % interval, and the middle half of the times.",
        )
        _draw_pareto(card)


def _draw_pareto(card: Scorecard) -> None:
    """Draw score over time with intervals; join the Pareto-optimal models."""
    import pandas as pd
    import plotly.express as px

    timed = [(row, row.speed) for row in card.rows if row.speed is not None]
    if not timed:
        st.caption("How fast they are was not measured in these runs.")
        return
    frame = pd.DataFrame(
        {
            "model": row.model,
            "ms": speed.p50,
            "right": speed.p75 - speed.p50,
            "left": speed.p50 - speed.p25,
            "points": 100 * row.score.value,
            "up": 100 * (row.score.high - row.score.value),
            "down": 100 * (row.score.value - row.score.low),
            "efficient": card.is_efficient(row),
        }
        for row, speed in timed
    ).sort_values("ms")
    errors = {"error_x": "right", "error_x_minus": "left", "error_y": "up", "error_y_minus": "down"}
    looks = {
        "color_discrete_map": {True: charts.ACCENT, False: GREY},
        "symbol_map": {True: "star", False: "circle"},
    }
    figure = px.scatter(frame, "ms", "points", text="model", color="efficient", symbol="efficient", **errors, **looks)
    figure.update_traces(
        textposition="bottom right",
        marker_size=11,
        error_x={"thickness": 1, "color": GREY},
        error_y={"thickness": 1, "color": GREY},
        hovertemplate="%{text}: %{y:.1f} at %{x:.0f} ms<extra></extra>",
        cliponaxis=False,
    )
    best = frame[frame["efficient"]]
    line = {"color": charts.ACCENT, "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=best["ms"], y=best["points"], mode="lines", line=line, hoverinfo="skip")
    figure.update_layout(
        height=HEIGHT,
        showlegend=False,
        margin={"l": 0, "r": 64, "t": 24, "b": 0},
        xaxis={"title": "milliseconds a picture", "rangemode": "tozero"},
        yaxis={"title": f"points of {card.largest.measure}"},
    )
    told = "; ".join(
        f"{row.model} {row.score.points} ({row.score.range}) at {milliseconds(speed.p50)}" for row, speed in timed
    )
    alt = f"Time against {card.largest.measure}: {told}"
    st.plotly_chart(figure, key="scorecard-pareto", config={"displayModeBar": False}, alt=alt)


def _choose_card(scores: Scorecard) -> Scorecard:
    """Draw tolerance and replaced model; return the scorecard with these."""
    tolerance = url_state.widget(
        st.number_input,
        "Tolerance, points",
        None,
        100 * TOLERANCE,
        key="scorecard-tolerance",
        name="tolerance",
        read=float,
        min_value=0.1,
        max_value=20.0,
        step=0.5,
        format="%.1f",
        width=150,
        help=f"How many points of {scores.largest.measure} may be lost. Shipping is advised only where the interval's "
        "upper end is within it.",
    )
    names = [row.model for row in scores.rows]
    against = url_state.widget(
        st.selectbox,
        "Instead of",
        names,
        scores.largest.model,
        key=f"scorecard-against-{'-'.join(names)}",
        name="against",
        width=200,
        help="The model in use, or the larger one: the others are compared with it.",
    )
    return scorecards.compare(scores.rows, tolerance=tolerance / 100, against=against)


def _choose_pair(card: Scorecard) -> Verdict:
    """Draw the choice of the replacing model; return its verdict."""
    assert card.verdict is not None
    by_name = {verdict.first.model: verdict for verdict in card.verdicts}
    name = url_state.widget(
        st.selectbox,
        "Can I ship",
        [*by_name],
        card.verdict.first.model,
        key=f"scorecard-candidate-{card.largest.model}-{'-'.join(by_name)}",
        name="candidate",
        width=200,
        help="At first the fastest model that can be shipped, or else the fastest.",
    )
    return by_name[name]


def _draw_downloads(card: Scorecard) -> None:
    with st.popover("Download", icon=":material/download:", help="The numbers, and each object as a row."):
        objects = partial(files.list_objects, card)
        for label, make, name, about in (
            (
                "All numbers, .json",
                lambda: json.dumps(files.to_json(card), indent=1),
                "scorecard.json",
                "As on this page.",
            ),
            (
                "Each object, .csv",
                lambda: errors.write_table(objects(), "csv"),
                "scorecard.csv",
                "Right or wrong by each model.",
            ),
            (
                "Each object, .parquet",
                lambda: errors.write_table(objects(), "parquet"),
                "scorecard.parquet",
                "The same for pandas.",
            ),
        ):
            charts.download(label, make, name, key=f"scorecard-{name}", help=about)


scorecard()
