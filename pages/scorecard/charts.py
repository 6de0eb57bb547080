"""Draw speed against AP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.views.charts import ACCENT
from sightglass.evaluation.scorecard.files import describe_range, points
from sightglass.explain.phrases import milliseconds

if TYPE_CHECKING:
    from sightglass.evaluation.scorecard.card import Scorecard

CONFIG = {"displayModeBar": False}
HEIGHT = 280
GREY = "#8A8A8A"
"""Seen on a light and on a dark page."""


def draw_pareto(card: Scorecard) -> None:
    """Draw each model's AP or accuracy over its time, with intervals; a line joins those that none beats in both."""
    import plotly.graph_objects as go

    rows = sorted(
        (row for row in card.rows if row.speed is not None), key=lambda row: row.speed.p50 if row.speed else 0
    )
    if not rows:
        st.caption("How fast they are was not measured in these runs.")
        return
    x = [row.speed.p50 for row in rows if row.speed]
    y = [100 * row.score.value for row in rows]
    best = [i for i, row in enumerate(rows) if card.is_efficient(row)]
    figure = go.Figure()
    figure.add_scatter(
        x=[x[i] for i in best],
        y=[y[i] for i in best],
        mode="lines",
        line={"color": ACCENT, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers+text",
        text=[row.model for row in rows],
        textposition="bottom right",
        marker={
            "size": 11,
            "color": [ACCENT if i in best else GREY for i in range(len(rows))],
            "symbol": ["star" if i in best else "circle" for i in range(len(rows))],
        },
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [100 * (row.score.high - row.score.value) for row in rows],
            "arrayminus": [100 * (row.score.value - row.score.low) for row in rows],
            "thickness": 1,
            "color": GREY,
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [row.speed.p75 - row.speed.p50 for row in rows if row.speed],
            "arrayminus": [row.speed.p50 - row.speed.p25 for row in rows if row.speed],
            "thickness": 1,
            "color": GREY,
        },
        hovertemplate="%{text}: %{y:.1f} at %{x:.0f} ms<extra></extra>",
        showlegend=False,
        cliponaxis=False,
    )
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 0, "r": 64, "t": 24, "b": 0},
        xaxis={"title": "milliseconds a picture", "rangemode": "tozero"},
        yaxis={"title": f"points of {rows[0].measure}"},
    )
    told = "; ".join(
        f"{row.model} {points(row.score.value)} ({describe_range(row.score)}) at {milliseconds(row.speed.p50)}"
        for row in rows
        if row.speed
    )
    st.plotly_chart(figure, key="scorecard-pareto", config=CONFIG, alt=f"Time against {rows[0].measure}: {told}")
