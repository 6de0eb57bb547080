"""Draw score and map of a clip over time, and the choice of a moment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.components.views.charts import ACCENT
from sightglass.video.results import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.video.results import AnswerCurve, Moment, Point


DASHES = ("solid", "dash", "dot", "longdash", "dashdot", "longdashdot")
GAP, FAR = 0.5, 3
"""Seconds without a point over which no line is drawn, at least; and in mean distances of points."""


def draw(curves: Sequence[AnswerCurve], moments: Sequence[Moment], *, seconds: float, score: str, key: str) -> None:
    """Draw the chart of a clip of this length, and the choice of a moment; a click puts its time into `<key>-at`.

    `score`: the title of the upper curves. All times are in seconds since the start of the drawn clip.
    """
    st.plotly_chart(
        figure(curves, moments, seconds=seconds, score=score),
        key=f"{key}-chart",
        on_select=partial(_follow_point, key),
        selection_mode="points",
        config={"displayModeBar": False, "scrollZoom": False},
        alt=f"{score} of {', '.join(curve.name for curve in curves)} over {clock(seconds)}",
    )
    if moments:
        st.selectbox(
            "Go to a moment",
            range(len(moments)),
            index=None,
            format_func=lambda i: f"{clock(moments[i].seconds)} {moments[i].words}",
            key=f"{key}-moment",
            on_change=partial(_follow_moment, key, [moment.seconds for moment in moments]),
            help="Where the answer or the place of the evidence changes: the player starts at the second before it.",
        )


def figure(curves: Sequence[AnswerCurve], moments: Sequence[Moment], *, seconds: float, score: str) -> Any:
    """Return the plotly figure: the scores above, below them the area with half of the evidence."""
    from plotly.subplots import make_subplots

    chart = make_subplots(
        2,
        1,
        shared_xaxes=True,
        row_heights=[2, 1],
        vertical_spacing=0.16,
        subplot_titles=[score, "Half of the evidence is on"],
    )
    for place, curve in enumerate(curves):
        points = broken(curve.points, seconds)
        for row, values in enumerate(([p and p.score for p in points], [p and p.area for p in points]), start=1):
            chart.add_scatter(
                x=[None if p is None else p.seconds for p in points],
                y=values,
                name=curve.name,
                legendgroup=curve.name,
                showlegend=row == 1 and len(curves) > 1,
                mode="lines+markers",
                marker={"size": 3},
                line={
                    "dash": DASHES[place % len(DASHES)],
                    "color": curve.color or ACCENT,
                    "width": 1 if place else 2.5,
                },
                hovertemplate="%{y:.0%}",
                row=row,
                col=1,
            )
    chart.add_scatter(
        x=[moment.seconds for moment in moments],
        y=[1.0] * len(moments),
        text=[f"{clock(moment.seconds)} {moment.words}" for moment in moments],
        mode="markers",
        marker={"symbol": "triangle-down", "size": 11, "color": ACCENT},
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        cliponaxis=False,
        row=1,
        col=1,
    )
    chart.update_traces(unselected={"marker": {"opacity": 1}})
    chart.update_xaxes(range=[0, seconds], ticksuffix=" s")
    chart.update_yaxes(rangemode="tozero", tickformat=".0%", nticks=3)
    chart.update_yaxes(range=[0, 1], row=1, col=1)
    chart.update_layout(
        height=280,
        margin={"l": 0, "r": 0, "t": 24, "b": 0},
        dragmode=False,
        clickmode="event+select",
        legend={"orientation": "h", "y": -0.2},
    )
    return chart


def broken(points: Sequence[Point], seconds: float) -> list[Point | None]:
    """Return the points with a None wherever nothing was seen for a while, so that no line is drawn there."""
    gap = max(GAP, FAR * seconds / max(1, len(points)))
    parts: list[Point | None] = []
    for i, point in enumerate(points):
        if i and point.seconds - points[i - 1].seconds > gap:
            parts.append(None)
        parts.append(point)
    return parts


def _follow_point(key: str) -> None:
    chosen = st.session_state[f"{key}-chart"].selection.points
    if chosen:
        st.session_state[f"{key}-at"] = max(0.0, float(chosen[0]["x"]))


def _follow_moment(key: str, times: Sequence[float]) -> None:
    chosen = st.session_state[f"{key}-moment"]
    if chosen is not None:
        st.session_state[f"{key}-at"] = times[chosen]
