"""Segmentation layer of Explore: its classes, clicks and controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.components.choices import class_picker
from sightglass.components.session import page, state, url_state
from sightglass.components.viewer import Pane
from sightglass.components.views import panels
from sightglass.explain.findings.areas import is_background
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.rendering.segments import draw_segments

if TYPE_CHECKING:
    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import View
    from sightglass.explain import Explanation

SPANS = {"region": "Region", "pixel": "Pixel"}
"""What a click asks about."""
HEIGHT = 380
"""Of either picture in a window of 900 pixels: two are side by side."""


@dataclass
class ChosenArea:
    """The place that was clicked on a segmentation."""

    picture: str = ""
    model: str = ""
    at: tuple[float, ...] = ()
    """A point, or a rectangle xyxy, in original pixels; empty: the maps are of whole classes."""
    against: str | None = None


def options(choices: Choices) -> dict[str, Any]:
    """Return the options of the place that was clicked on this picture; none for other models, and without one."""
    area = state.of(ChosenArea)
    if not choices.model.segments or not area.at:
        return {}
    if (area.picture, area.model) != (choices.image.sha256, choices.model.id):
        area.at, area.against = (), None
        return {}
    per = "class" if len(area.at) == 4 else _span()
    return {"at": area.at, "per": per, **({} if area.against is None else {"against": area.against})}


def _span() -> str:
    return str(st.session_state.get("explore-span") or "region")


def show_classes(explanation: Explanation) -> None:
    """Draw the class of each pixel over the picture, in colours, hatching and names; a click explains what is there."""
    classes = explanation.segmentation
    assert classes is not None
    labels = explanation.evidence.resident.adapter.labels
    plain = [one.index for one in explanation.predictions if is_background(explanation, one.index)]
    chosen = explanation.area() if explanation.options.at else None
    drawn = draw_segments(explanation.image.pixels, classes, labels, plain=plain, chosen=chosen)
    layer = Picture.open(drawn)
    view = panels.show(
        layer, [Pane(title="Classes")], key="classes", height=HEIGHT, area=True, line="Click a region: why this class?"
    )
    take_click(view, explanation)


def take_click(view: View, explanation: Explanation) -> None:
    """Explain the place that was clicked, and draw the page anew."""
    if view.point is not None:
        _choose(explanation, view.point)


def _choose(explanation: Explanation, at: tuple[float, ...]) -> None:
    width, height = explanation.image.width, explanation.image.height
    # The edge of the last pixel belongs to no pixel.
    inside = tuple(min(max(one, 0.0), (height if i % 2 else width) - 0.001) for i, one in enumerate(at))
    area = state.of(ChosenArea)
    area.picture, area.model, area.at = explanation.image.sha256, explanation.model.id, inside
    area.against = None
    class_picker.forget()
    st.rerun()


def controls(explanation: Explanation, index: int, view: View) -> None:
    """Draw what a click asks about, the class to weigh against, and the way back to whole classes."""
    area = state.of(ChosenArea)
    with st.container(horizontal=True, vertical_alignment="bottom", key="areas"):
        url_state.widget(
            st.segmented_control,
            "A click explains",
            SPANS,
            "region",
            key="explore-span",
            name="span",
            help="A region is all connected pixels of one class; a pixel is the one under the pointer.",
        )
        if area.at and explanation.options.at:
            _against(explanation, index)
            st.button(
                "Back to the classes",
                icon=":material/undo:",
                key="explore-classes",
                on_click=_forget,
                help="Show the maps of whole classes again.",
            )
        if view.region is not None and view.region.kind == "rectangle":
            xyxy = view.region.xyxy
            if st.button(
                "Explain the rectangle",
                icon=":material/crop_free:",
                key="explore-rectangle",
                help="Why do the pixels in the marked rectangle have their class?",
            ):
                _choose(explanation, xyxy)


def _against(explanation: Explanation, index: int) -> None:
    """Choose the class that the explained one is weighed against in the same pixels."""
    own = explanation.heatmaps[index].target.label if explanation.heatmaps else ""
    area, key = state.of(ChosenArea), "explore-against"
    st.session_state[key] = area.against

    def take() -> None:
        area.against = st.session_state[key]

    st.selectbox(
        "And not",
        [label for label in sorted(explanation.evidence.resident.adapter.labels) if label != own],
        index=None,
        key=key,
        on_change=take,
        placeholder="another class",
        width=200,
        help="Why this class here and not that one: what speaks for one and against the other, in the same pixels.",
    )


def _forget() -> None:
    state.of(ChosenArea).at = ()
    class_picker.forget()
    page.clear_waiting()
