"""Ask a detector why something is missing, and give it visual prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.choices import detection_options
from sightglass.components.session import state, url_state
from sightglass.components.session.markdown import escape
from sightglass.components.session.pictures import image_source
from sightglass.components.views import detections, panels
from sightglass.components.views.detections import Lookup, MissedPlace
from sightglass.explain.phrases import article

if TYPE_CHECKING:
    from sightglass.components.choices.detection_options import BoxOptions
    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import View
    from sightglass.components.views.detections import ListedBox
    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.evidence.missing import Missing
    from sightglass.models.geometry import Box


@dataclass
class Example:
    """The area that the model looks for."""

    of: tuple[str, str] | None = None
    """SHA-256 of its picture, and the id of the model."""
    box: Box | None = None


def add_example(choices: Choices, explainer: Explainer) -> Choices:
    """Return the choices with the picture's marked example area, if any."""
    example = state.of(Example)
    if example.box is None or example.of != (choices.image.sha256, explainer.model.id):
        return choices
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("It looks for what you marked.", width="content")
        st.button(
            "Stop that",
            icon=":material/undo:",
            type="tertiary",
            on_click=_look_for,
            args=(None, None),
            help="Back to your words, or to the model's own classes.",
        )
    return replace(choices, options=choices.options | {"examples": ((example.box, "like the marked area"),)})


def _look_for(of: tuple[str, str] | None, box: Box | None) -> None:
    example = state.of(Example)
    example.of, example.box = of, box
    state.of(Lookup).place = None
    state.of(state.ChosenBox).pair = None


def lacks_prompt(choices: Choices, explainer: Explainer) -> bool:
    """Return whether the model still needs a prompt."""
    prompt = choices.options.get("vocabulary") or choices.options.get("examples")
    return explainer.resident.adapter.takes_words and not explainer.labels and not prompt


def ask_for_prompt(choices: Choices, explainer: Explainer) -> None:
    """Draw the picture for marking an example."""
    image = choices.image
    view = panels.show(image, [panels.plain(image)], key="viewer-examples", area=True)
    marks = explainer.resident.adapter.takes_examples
    st.markdown(
        ":material/ink_selection: Mark what to look for with the rectangle, or enter it on the left."
        if marks
        else ":material/text_fields: Enter on the left what to look for."
    )
    if view.region is not None and marks:
        _button((image.sha256, explainer.model.id), view.region)


def offer_prompt(explanation: Explanation, where: Box) -> None:
    """Draw the button for finding a marked area, if examples are supported."""
    x0, y0, x1, y1 = where
    if explanation.evidence.resident.adapter.takes_examples and x1 - x0 >= 1 and y1 - y0 >= 1:
        _button((explanation.image.sha256, explanation.model.id), where)


def _button(of: tuple[str, str], where: Box) -> None:
    st.button(
        "Look for more like this",
        icon=":material/image_search:",
        on_click=_look_for,
        args=(of, where),
        help="Look for everything in this picture that resembles the marked area.",
    )


def read_address(base: Explanation) -> None:
    """Take the address's place once a session; its box stays chosen."""
    lookup, query = state.of(Lookup), st.query_params
    if lookup.read:
        return
    lookup.read = True
    label, where = (
        query.get("ask-for"),
        detection_options.parse_place(query.get("ask", ""), base.image.width, base.image.height),
    )
    if where is not None:
        label = label if label in base.evidence.resident.adapter.labels else None
        lookup.place = replace(_round_place(base, where, label), fresh="box" not in query)


def _round_place(explanation: Explanation, where: tuple[float, ...], label: str | None) -> MissedPlace:
    x0, y0, x1, y1 = (float(round(edge)) for edge in where)
    return MissedPlace((explanation.image.sha256, explanation.model.id), (x0, y0, x1, y1), label)


def write_address(place: MissedPlace | None) -> None:
    """Write the place to the address of a linkable picture."""
    named = place is not None and not image_source.is_own()
    url_state.write("ask", detection_options.write(place.where) if place and named else None)
    url_state.write("ask-for", place.label if place and named else None)


def find_place(explanation: Explanation) -> MissedPlace | None:
    """Return the place in question for this picture and model."""
    place = state.of(Lookup).place
    return place if place is not None and place.of == (explanation.image.sha256, explanation.model.id) else None


def missing_box(base: Explanation, request: BoxOptions) -> Missing | None:
    """Return the candidate at the place in question; choose it once."""
    place = find_place(base)
    if place is None or request.per != "detection":
        return None
    missing = base.missing(place.where, place.label)
    if missing is not None and place.fresh:
        place.fresh = False
        detections.choose(detections.pair_of(missing.candidate), new_list=True)
    return missing


def about_places(
    view: View, explanation: Explanation, listed: list[ListedBox], index: int, missing: Missing | None
) -> None:
    """Take a new question about a place, or answer the last one."""
    _ask_about(view, explanation)
    if (place := find_place(explanation)) is None:
        return
    looked_up = [item for item in listed if missing and item.pair == detections.pair_of(missing.candidate)]
    if looked_up and listed[index] not in looked_up:
        _looked_up(looked_up[0])
    else:
        _about_missing(missing, place, explanation)


def _ask_about(view: View, explanation: Explanation) -> None:
    """Ask about the best candidate at a place that was clicked beside the boxes, or in a marked area."""
    lookup, where = state.of(Lookup), None
    if view.point is not None and view.box is None:
        where = (*view.point, *view.point)
    # The viewer reports a click once, and this run starts anew right after it.
    new, lookup.question = where != lookup.question, where
    help = "The strongest candidate for a box in the marked area, and why it is not shown."
    if view.region is not None and st.button("Why no box here?", icon=":material/help_center:", help=help):
        where, new = view.region, True
    if where is not None and new:
        before = find_place(explanation)
        lookup.place = _round_place(explanation, where, before.label if before else None)
        st.rerun()


def _about_missing(missing: Missing | None, place: MissedPlace, explanation: Explanation) -> None:
    """Explain the missing candidate; ask for another class or go back."""

    def other() -> None:
        place.label, place.fresh = st.session_state["missing-class"], True

    words = missing.words if missing is not None else "There is no candidate at this place."
    with st.container(gap="xsmall"):
        st.markdown(f":material/search: {escape(words)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.session_state["missing-class"] = place.label
            st.selectbox(
                "Candidate for",
                sorted(set(explanation.evidence.resident.adapter.labels)),
                index=None,
                key="missing-class",
                placeholder="of any class",
                label_visibility="collapsed",
                on_change=other,
                width=200,
                help="The strongest candidate of this class at that place.",
            )
            offer_prompt(explanation, place.where)
            _back()


def _looked_up(item: ListedBox) -> None:
    """Keep the candidate within reach while another box is shown."""
    with st.container(horizontal=True, vertical_alignment="center"):
        words = f"You looked up {escape(article(item.label))}: choose {item.number} in the list."
        st.caption(words, width="content")
        _back()


def _back() -> None:
    def back() -> None:
        state.of(Lookup).place = None
        detections.choose(None, new_list=True)

    st.button("Back to the boxes", icon=":material/undo:", on_click=back, help="Forget this candidate.")
