"""The charts of a run, and the pictures that a person chose in one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.batch import run_charts
from sightglass.evaluation import figures
from sightglass.evaluation.charts import find_selection
from sightglass.explain.phrases import plural
from sightglass.ui.session import url_state
from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.batch.finished import Result
    from sightglass.evaluation.charts import Chart, Selection

CHOSEN = "pictures-chosen"
"""Key of the chosen mark in the session: its chart and its name, as the address has them."""
ADDRESS = "chosen"
FILTERS = {"pictures-label": None, "pictures-answer": None, "pictures-unsure": False}
"""Filters that a click on a chart takes back, so that all of its pictures are shown."""

ROW: dict[str, Any] = {"horizontal": True, "vertical_alignment": "center"}


@dataclass(frozen=True)
class _Marks:
    """The marks of charts, as texts of the address."""

    charts: Sequence[Chart]

    def __contains__(self, text: object) -> bool:
        return self.find(str(text)) is not None

    def find(self, text: str) -> Selection | None:
        """Return what a mark stands for; None of an unknown one."""
        name, *mark = url_state.read_list(text)
        return find_selection(self.charts, name, tuple(mark))


@dataclass(frozen=True)
class Chosen:
    """What a person chose in a chart, and where the page says so.

    The line says what was chosen, and has the button for all pictures.
    """

    selection: Selection
    line: DeltaGenerator

    def describe(self, pictures: int) -> None:
        """Draw how many pictures are shown, and what they have in common.

        With it comes the button that shows all pictures again.
        """
        with self.line:
            words = f"**{plural(pictures, 'picture')}**: {escape(self.selection.words)}"
            st.markdown(words, width="content")
            help = "Show all pictures again, without the choice in the chart."
            icon = ":material/close:"
            st.button("Show all", icon=icon, key="pictures-show-all", help=help, on_click=_choose_none)


def draw(result: Result, model: int, top: DeltaGenerator, place: DeltaGenerator) -> Chosen | None:
    """Draw a switch and, once it is on, the charts of a model.

    `model`: its index; `top`, `place`: where the switch and the charts are. Return what is chosen in a chart; None
    for all pictures.
    """
    if not run_charts.has_charts(result, model):
        return None
    with top:
        help = "Charts of the scores, classes and errors: a click on a mark shows its pictures."
        opened = url_state.widget(st.toggle, "Charts", None, False, key="pictures-charts", name="charts", help=help)
    linked = bool(url_state.memory(CHOSEN) or st.query_params.get(ADDRESS))
    if not (opened or linked):
        return None
    charts = run_charts.read_charts(result, model)
    marks = _Marks(charts)
    chosen: str = url_state.recall_value(CHOSEN, marks, "", name=ADDRESS)
    url_state.remember(CHOSEN, chosen, "", name=ADDRESS)
    with place:
        if opened:
            _draw_charts(charts, chosen, result.names[model])
        line = st.container(**ROW, key="pictures-line")
    selection = marks.find(chosen)
    return None if selection is None else Chosen(selection, line)


def _draw_charts(charts: Sequence[Chart], chosen: str, name: str) -> None:
    """Draw the choice of a chart, and that chart, of a model."""
    with st.container(border=True, key="pictures-chart"):
        with st.container(**ROW, horizontal_alignment="distribute"):
            chart = _choose_chart(charts, chosen)
            st.markdown(f"Answers of **{escape(name)}**", width="content")
        _draw_chart(chart, chosen, name)


def _choose_chart(charts: Sequence[Chart], chosen: str) -> Chart:
    """Draw the choice of a chart, at first the one of the chosen mark."""
    by_name = {chart.name: chart for chart in charts}
    if len(charts) == 1:
        return charts[0]
    of_mark, *_ = url_state.read_list(chosen)
    first = of_mark if of_mark in by_name else charts[0].name
    titles = {chart.name: chart.title for chart in charts}
    look: dict[str, Any] = {"key": f"pictures-chart-{'-'.join(titles)}", "name": "chart"}
    look |= {"label_visibility": "collapsed", "help": "A click on a mark of a chart shows its pictures below."}
    return by_name[url_state.widget(st.segmented_control, "Chart", titles, first, **look)]


def _draw_chart(chart: Chart, chosen: str, name: str) -> None:
    of_mark, *mark = url_state.read_list(chosen)
    key = f"pictures-figure-{chart.name}"
    st.plotly_chart(
        figures.draw(chart, tuple(mark) if of_mark == chart.name else ()),
        key=key,
        on_select=partial(_choose, key),
        selection_mode="points",
        config={"displayModeBar": False, "scrollZoom": False},
        alt=f"{chart.title} of {name}. {chart.note}",
    )
    st.caption(escape(chart.note))


def _choose(key: str) -> None:
    """Show the pictures of the mark that was clicked, in a callback.

    Where no mark is chosen any more, all pictures are shown again.
    """
    points = st.session_state[key].selection.points
    if not points:
        _choose_none()
        return
    url_state.remember(CHOSEN, url_state.to_text(points[0]["customdata"]), "", name=ADDRESS)
    url_state.link(view="all")
    for name, without in FILTERS.items():
        url_state.remember(name, without)
        st.session_state[name] = without


def _choose_none() -> None:
    """Show all pictures again, in a callback."""
    url_state.remember(CHOSEN, "", "", name=ADDRESS)
