"""Show what hiding the hottest place does to an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.choices import sidebar
from sightglass.components.session import page, state
from sightglass.components.session.markdown import escape, sentence
from sightglass.evaluation.errors.hiding import HiddenPlace, hide_hottest
from sightglass.evaluation.errors.tile import draw_tile
from sightglass.explain.methods import METHODS
from sightglass.models import catalog
from sightglass.pages.errors import opening
from sightglass.pages.errors.runs import ErrorsView

if TYPE_CHECKING:
    from sightglass.evaluation.errors.unit import ErrorUnit
    from sightglass.pages.errors.runs import LabelledRun

SHAPE = (640, 480)


def ask(run: LabelledRun, unit: ErrorUnit) -> None:
    """Open the dialog of an error, in a button's callback."""
    state.of(ErrorsView).hiding = run.stamp, unit


def close() -> None:
    """Close the dialog."""
    state.of(ErrorsView).hiding = None


def draw(run: LabelledRun) -> None:
    """Draw the dialog of the error that was asked about; nothing without one."""
    stamp, unit = state.of(ErrorsView).hiding or (run.stamp, None)
    if unit is None or stamp != run.stamp:
        close()
        return

    @st.dialog("Hide the hottest place", width="large", icon=":material/hide_source:", on_dismiss=close)
    def show() -> None:
        try:
            _draw_result(run, unit)
        except Exception as failure:
            if isinstance(failure, Problem):
                st.error(sentence(failure), icon=":material/error:")
            else:
                page.show_failure(failure, "hiding a place failed")

    show()


def _draw_result(run: LabelledRun, unit: ErrorUnit) -> None:
    place = st.empty()
    with place.container():
        st.caption(":material/hourglass_top: The model looks at the picture again, with its hottest place covered…")
    found = state.latest("errors-hidden", (run.stamp, unit.id), lambda: _hide(run, unit))
    with place.container():
        st.markdown(f"**{escape(found.sentence)}** {found.verdict}")
        left, right = st.columns(2, gap="small")
        with left:
            st.image(
                draw_tile(found.before.image.pixels, unit, SHAPE),
                width="stretch",
                alt=f"{unit.words}: as it is, with the map",
                caption="As it is",
            )
        with right:
            st.image(
                draw_tile(found.after.image.pixels, unit, SHAPE, mapped=False),
                width="stretch",
                alt=f"{unit.words}: with the hottest place covered",
                caption="Hottest place covered",
            )
        if st.button(
            "Open it, with its tests",
            icon=":material/visibility:",
            key="errors-hidden-open",
            on_click=_open,
            args=(run, unit),
            help="The same picture and the same map on a page of their own, with Prove it and What if.",
        ):
            st.rerun()


def _open(run: LabelledRun, unit: ErrorUnit) -> None:
    """Open an error elsewhere, in a button's callback; whoever comes back finds the page without the dialog."""
    close()
    opening.take(run, unit)


def _hide(run: LabelledRun, unit: ErrorUnit) -> HiddenPlace:
    image = run.open(unit.picture.key)
    recipe = opening.make_recipe(run, unit, image)
    spec = catalog.spec(run.evaluation.model)
    if not METHODS[recipe.method].quick:
        raise Problem(f"{METHODS[recipe.method].name} takes too long for this: open the picture, then What if.")
    explainer = sidebar.load(spec.id)
    return hide_hottest(explainer, image, unit, recipe)
