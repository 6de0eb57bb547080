"""Draw error types as bars that can be clicked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.components.session import state, url_state
from sightglass.components.views.charts import ACCENT
from sightglass.evaluation.error_types import ABOUT_COSTS
from sightglass.evaluation.errors.report import ALL
from sightglass.explain.phrases import NBSP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.evaluation.errors.report import ErrorGroup
    from sightglass.pages.errors.runs import LabelledRun

KEY, LENS, TYPE = "errors-chart", "errors-lens", "errors-type"
QUIET = "rgba(28, 141, 151, 0.35)"
"""Of bars that are not chosen; visible on light and dark pages."""
ROW, ROOM = 27, 12
"""Pixels of a bar, and around all of them."""


@dataclass
class ClickedBar:
    """The bar that was clicked last in this session."""

    last: str = ALL


def format_cost(cost: float) -> str:
    """Return `4.2 points of AP`."""
    return f"{100 * cost:.1f}{NBSP}points of AP"


def draw(run: LabelledRun, groups: Sequence[ErrorGroup], chosen: str) -> None:
    """Draw a bar for each type that occurs, the most frequent first; a click chooses it, a second click all."""
    import plotly.graph_objects as go

    shown = sorted((one for one in groups if one.count), key=lambda one: one.count)
    most = max(one.count for one in shown)
    texts = [_describe(one) for one in shown]
    bars = go.Bar(
        y=[one.name for one in shown],
        x=[one.count for one in shown],
        customdata=[one.id for one in shown],
        orientation="h",
        text=texts,
        textposition="outside",
        cliponaxis=False,
        marker={"color": [ACCENT if chosen in (one.id, ALL) else QUIET for one in shown], "line": {"width": 0}},
        # Colour tells the chosen one: plotly's own fading would hide the others.
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        hovertext=[f"{one.name}: {one.meaning}" for one in shown],
        hoverinfo="text",
    )
    figure = go.Figure(bars)
    figure.update_layout(
        height=ROW * len(shown) + ROOM,
        margin={"l": 0, "r": 0, "t": 4, "b": 4},
        # Room for the words after the longest bar.
        xaxis={"visible": False, "range": [0, most * 2.2], "fixedrange": True},
        yaxis={"fixedrange": True, "automargin": True, "ticks": "", "showgrid": False},
        bargap=0.3,
        dragmode=False,
        clickmode="event+select",
        showlegend=False,
    )
    told = "; ".join(f"{one.name} {text}" for one, text in zip(reversed(shown), reversed(texts), strict=True))
    st.plotly_chart(
        figure,
        key=f"{KEY}-{run.folder.name}",
        config={"displayModeBar": False, "scrollZoom": False},
        alt=f"Errors by type: {told}. The buttons below choose one, too.",
        on_select=lambda: _take_click(f"{KEY}-{run.folder.name}"),
        selection_mode="points",
    )


def _describe(one: ErrorGroup) -> str:
    cost = f", costs {format_cost(one.cost)}" if one.cost is not None and one.cost >= 0.0005 else ""
    return f"{one.count:,}{cost}"


def read_click(event: Any) -> str | None:
    """Return the group of the bar that was clicked; None of none."""
    try:
        found = event["selection"]["points"][-1]["customdata"]
    except (IndexError, KeyError, TypeError):
        return None
    # Streamlit wraps it, or not.
    return str(found[0] if isinstance(found, list | tuple) and found else found)


def _take_click(key: str) -> None:
    """Choose the bar that was clicked, in the chart's callback; a click on the chosen bar chooses all."""
    clicked = state.of(ClickedBar)
    kind = read_click(st.session_state.get(key))
    before = url_state.memory(TYPE)
    if kind is None:
        # Plotly drops its selection at a second click on a bar.
        kind = ALL if before == clicked.last else clicked.last
    clicked.last = kind if kind != ALL else clicked.last
    url_state.put(TYPE, kind)
    url_state.put(LENS, "types")


def describe_group(one: ErrorGroup) -> str:
    """Return what a group is, and what it costs, in one to three sentences."""
    words = f"{one.count:,}: {one.meaning}."
    if one.cost is None:
        return words
    cost = format_cost(one.cost)
    return f"{words} Without this type AP at an overlap of a half would be {cost} higher. {ABOUT_COSTS}"
