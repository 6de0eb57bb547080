"""Explore: where a model looked in a picture, how sure it is, and what changes its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.explain.evidence.layers import stages
from sightglass.explain.tasks import task_of
from sightglass.pages.explore import view as map_view
from sightglass.pages.explore import whatif
from sightglass.ui import painter
from sightglass.ui.choices import controls, image_picker
from sightglass.ui.session import page, url_state
from sightglass.ui.session.pictures import image_source
from sightglass.ui.views import panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.ui.session.state import Choices

    View = Callable[[Choices, Explainer, DeltaGenerator, DeltaGenerator], None]


@page.show_errors
def explore() -> None:
    # No st.empty: its content would vanish at once and everything below jump up, even while somebody draws.
    bar, row, main = (st.container(key=name) for name in ("controls", "headline", "explore"))
    image = image_picker.choose()
    new = controls.for_new_picture(image)
    choices, explainer = new or controls.draw(bar, image)
    if image_source.adapt_to_model(choices.model):
        st.rerun()
    drawn = choices
    try:
        _draw(choices, explainer, row, main)
    finally:
        # After the picture: they show what they did before, and a browser takes longer for them than for a map.
        if new is not None:
            drawn, _ = controls.draw(bar, image)
    if drawn != choices:
        st.rerun()


def _draw(choices: Choices, explainer: Explainer, row: DeltaGenerator, main: DeltaGenerator) -> None:
    title, side = row.columns(panels.COLUMNS, gap="medium", vertical_alignment="center")
    with side:
        view = whatif.draw if whatif.is_open(choices.image) else choose_view(explainer)
    if painter.needs_repaint(explainer):
        st.rerun()
    canvas = None
    # A model of drawings, or Draw was pressed.
    if explainer.loaded.adapter.paper is not None or url_state.memory("draw"):
        canvas, main = main.columns([2, 5], gap="medium")
    try:
        if explainer.loaded.adapter.takes_words and not (explainer.labels or choices.options.get("vocabulary")):
            with main:
                st.markdown("## What should it look for?")
                st.markdown(":material/text_fields: Enter it at the top, in words.")
                panels.draw_viewer(choices.image, [panels.plain_pane(choices.image)], key="viewer-examples")
        else:
            view(choices, explainer, title, main)
    finally:
        # Also where there is no map: the next stroke may bring one.
        if canvas is not None:
            with canvas:
                painter.draw_canvas(explainer)


def choose_view(explainer: Explainer) -> View:
    """Draw the views that the model has, and return the chosen one."""
    if not (task_of(explainer.model).explains("detection") and stages(explainer.loaded)):
        return map_view.draw
    titles, help = {"map": "Boxes", "layers": "Layers"}, "The map, or the map at every layer."
    look: dict[str, Any] = {"key": "view", "name": "view", "label_visibility": "collapsed", "help": help}
    chosen = url_state.widget(st.segmented_control, "View", titles, "map", **look)
    return map_view.draw_layers if chosen == "layers" else map_view.draw


explore()
