"""Draw the scorecard's charts: speed against AP, and the four sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.views.charts import ACCENT
from sightglass.evaluation.scorecard.pairs import SETS
from sightglass.evaluation.scorecard.tables import describe_range, points
from sightglass.explain.phrases import milliseconds, percent

if TYPE_CHECKING:
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.evaluation.scorecard.pairs import ModelPair, Which

CONFIG = {"displayModeBar": False}
HEIGHT = 280
GREY = "#8A8A8A"
"""Seen on a light and on a dark page."""
COLOURS: dict[Which, str] = {"both": ACCENT, "only_first": "#D9A441", "only_second": "#C9641B", "neither": GREY}
"""They differ in lightness too, and every part has its name in it or below."""
HATCHED = {"size": 6, "solidity": 0.2, "fillmode": "overlay"}
PATTERNS: dict[Which, str] = {"both": "", "only_first": "/", "only_second": "\\", "neither": "."}


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


def name_sets(pair: ModelPair) -> dict[Which, str]:
    """Return what each of the four sets is called."""
    first, second = pair.first.model, pair.second.model
    return {"both": "Both", "only_first": f"Only {first}", "only_second": f"Only {second}", "neither": "Neither"}


def draw_sets(pair: ModelPair) -> None:
    """Draw what both models, one alone, or neither gets right as one bar of four parts."""
    import plotly.graph_objects as go

    names, total = name_sets(pair), max(len(pair.units), 1)
    figure = go.Figure()
    for which in SETS:
        count = len(pair.sets[which])
        share = 100 * count / total
        figure.add_bar(
            x=[share],
            y=[""],
            orientation="h",
            name=names[which],
            marker={"color": COLOURS[which], "pattern": {"shape": PATTERNS[which], **HATCHED}},
            text=[f"{count:,}"] if share >= 4 else [""],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertemplate=f"{names[which]}: {count:,}<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        height=112,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        xaxis={"visible": False, "range": [0, 100]},
        yaxis={"visible": False},
        legend={"orientation": "h", "y": -0.1, "yanchor": "top", "x": 0, "traceorder": "normal"},
    )
    told = ", ".join(f"{names[which]} {percent(len(pair.sets[which]) / total)}" for which in SETS)
    st.plotly_chart(figure, key="scorecard-sets", config=CONFIG, alt=f"Found or right: {told}")
