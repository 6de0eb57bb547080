"""Draw a clip's timeline: scores and areas of its answers, and its moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.video.results import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.video.results import AnswerCurve, Moment, Point

ACCENT = "#1C8D97"
"""The accent of both themes, for charts."""
DASHES = ("solid", "dash", "dot", "longdash", "dashdot", "longdashdot")
GAP, FAR = 0.5, 3
"""Seconds without a point over which no line is drawn, at least; and in mean distances of points."""


def timeline_figure(curves: Sequence[AnswerCurve], moments: Sequence[Moment], *, seconds: float, score: str) -> Any:
    """Return the figure: scores above, area of half the evidence below."""
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
    """Return the points with None in gaps, for interrupted lines."""
    gap = max(GAP, FAR * seconds / max(1, len(points)))
    parts: list[Point | None] = []
    for i, point in enumerate(points):
        if i and point.seconds - points[i - 1].seconds > gap:
            parts.append(None)
        parts.append(point)
    return parts
