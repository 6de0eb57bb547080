"""The chart of the compared models' times over their sizes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.evaluation import figures
from sightglass.evaluation.figures import ModelPoint
from sightglass.explain.comparison.times import NOT_MEASURABLE
from sightglass.ui.choices import model_picker
from sightglass.ui.session import url_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.explain.comparison.models import Comparison

KEY = "compare-chart"


def draw(comparison: Comparison, choose: Callable[[int], None]) -> None:
    """Draw each model's time over its size.

    A click on a point calls `choose` with the model's index.
    """
    help = "A point for each model: the time of one pass over the size of its file."
    look: dict[str, Any] = {"key": f"{KEY}-open", "name": "chart", "help": help}
    if not url_state.widget(st.toggle, "Time and size as a chart", None, False, **look):
        return
    if comparison.timings and not comparison.steady:
        st.caption(f"The times are {NOT_MEASURABLE}: *Measure again* when the machine does little else.")
        return
    points = _list_points(comparison)
    drawn = [place for place, point in points.items() if point.milliseconds is not None]
    st.plotly_chart(
        figures.size_and_time_figure(list(points.values())),
        key=KEY,
        on_select=partial(_follow, drawn, choose),
        selection_mode="points",
        config={"displayModeBar": False},
        alt=f"The time of one pass over the size of the weights of {', '.join(comparison.names)}.",
    )
    st.caption("A larger point: its map overlaps more with the first one's. A click shows the model large.")
    if lacking := figures.describe_untimed(list(points.values())):
        st.caption(lacking)


def _list_points(comparison: Comparison) -> dict[int, ModelPoint]:
    """Return a point for each model whose size is known, by its place."""
    points = {}
    for place, explanation in enumerate(comparison.explanations):
        megabytes = model_picker.megabytes(explanation.model)
        if megabytes is None:
            continue
        agreement = comparison.agreement(0, place)
        median = comparison.timings[place].median if comparison.timings else None
        overlap = None if agreement is None else agreement.iou_top20
        points[place] = ModelPoint(comparison.names[place], median, megabytes, overlap)
    return points


def _follow(drawn: list[int], choose: Callable[[int], None]) -> None:
    """Choose the model whose point was clicked."""
    for point in st.session_state[KEY].selection.points[:1]:
        choose(drawn[point["point_index"]])
