"""Trust: whether a map depends on the model, and holds still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.components.choices import sidebar
from sightglass.components.proof import map_tests
from sightglass.components.saving import slides
from sightglass.components.session import page
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape
from sightglass.components.views import areas, panels
from sightglass.explain.faithfulness.badge import VERDICTS
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.faithfulness.scramble import Scramble


@page.guard
def trust() -> None:
    bar, top, main = st.container(), st.container(), st.container()
    choices, explainer = sidebar.draw(bar)
    with page.head(top) as title:
        beside = st.container(width=260)
    with main:
        explanation = _explain(choices, explainer, title)
        if explanation is None:
            panels.show(choices.image, [panels.plain(choices.image)], key="viewer-trust-picture", height=380)
            return
        explanation, index = explain_job.class_of(explanation, areas.get_class(choices, explainer))
        with beside:
            areas.menu(explanation, index)
        label = explanation.heatmaps[index].target.label
        if explanation.heatmaps[index].state != "ok":
            empty = f"The map of {label} is empty: there is nothing to test."
            title.markdown(f"## {escape(sidebar.add_warning(choices, empty))}")
            panels.show(choices.image, [panels.plain(choices.image)], key="viewer-trust-picture", height=380)
            return
        title.markdown(f"## {escape(sidebar.add_warning(choices, f'Can the map of {label} be trusted?'))}")
        scramble = map_tests.draw_scramble(explanation, index)
        if scramble is not None:
            title.markdown(f"## {escape(sidebar.add_warning(choices, _headline(scramble)))}")
            with st.container(horizontal=True, vertical_alignment="center"):
                draft = slides.of_scramble(explanation, index, scramble, _headline(scramble))
                slides.button("trust", draft)
                slides.draw_added_link("trust")
        map_tests.draw_stability(explanation, index)


def _explain(choices: Choices, explainer: Explainer, title: page.Title) -> Explanation | None:
    """Return an explanation with a map; None after a titled reason."""
    method = METHODS[choices.method].name_for(choices.model.task)
    try:
        if explain_job.is_slow(choices.method):
            explanation = areas.one(choices, explainer, areas.get_class(choices, explainer))
        else:
            explanation = explain_job.explain(choices, explainer)
    except Cancelled:
        title.markdown(f"## {method} was stopped: there is no map to test.")
        explain_job.restart_button()
        return None
    if explanation is None or not explanation.finished:
        title.markdown(f"## {method} is running: its map is tested when it is finished.")
        return None
    if not explanation.heatmaps:
        words = "No box has a high enough score: there is no map to test."
        title.markdown(f"## {sidebar.add_warning(choices, words)}")
        return None
    return explanation


def _headline(scramble: Scramble) -> str:
    return f"{METHODS[scramble.method].name}'s map of {scramble.label} {VERDICTS[scramble.verdict]}"


trust()
