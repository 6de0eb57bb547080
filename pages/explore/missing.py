"""Ask a detector why something is missing at a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import Options
from sightglass.ui.session import state
from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from sightglass.explain import Explainer, Explanation, Image
    from sightglass.explain.tasks.detect import Missing
    from sightglass.models.adapter import Prediction
    from sightglass.ui.session.state import Choices
    from sightglass.ui.viewer import View


Pair = tuple[int, int]
"""A box's identity: its candidate and its class."""


def pair_of(prediction: Prediction) -> Pair:
    """Return a box's identity."""
    return (-1 if prediction.anchor is None else prediction.anchor, prediction.index)


def choose(pair: Pair | None, *, new_list: bool = False) -> None:
    """Remember the chosen box. `new_list`: start a new list at it."""
    chosen = state.of(state.ChosenBox)
    chosen.pair = pair
    chosen.generation += new_list


@dataclass
class MissedPlace:
    """A place in the picture where a person missed a box."""

    of: tuple[str, str]
    """SHA-256 of the picture, and the id of the model."""
    where: tuple[float, float, float, float]
    """xyxy in whole pixels; a point twice."""
    label: str | None = None
    """The class that is missing; None: any."""
    fresh: bool = True
    """Whether its candidate is still to be chosen in the list."""


@dataclass
class Lookup:
    """The session's question about a place, and the last question in the viewer."""

    place: MissedPlace | None = None
    question: tuple[float, float, float, float] | None = None


def lacks_prompt(choices: Choices, explainer: Explainer) -> bool:
    """Return whether the model still needs a prompt."""
    return explainer.resident.adapter.takes_words and not explainer.labels and not choices.options.get("vocabulary")


def parse_place(text: str, image: Image) -> tuple[float, ...]:
    """Parse a point, a rectangle or an area of the address; empty outside the picture."""
    try:
        place = Options.parse({"at": text or ()}).at
    except ModelProblem:
        return ()
    inside = all(0 <= number <= (image.height if i % 2 else image.width) for i, number in enumerate(place))
    return place if inside else ()


def write_place(place: tuple[float, ...]) -> str | None:
    """Write a place for the address; a point as two numbers, None for no place."""
    numbers = place[:2] if place[:2] == place[2:] else place
    return ",".join(str(number).removesuffix(".0") for number in numbers) or None


def find_place(explanation: Explanation) -> MissedPlace | None:
    """Return the place in question for this picture and model."""
    place = state.of(Lookup).place
    return place if place is not None and place.of == (explanation.image.sha256, explanation.model.id) else None


def missing_box(base: Explanation) -> Missing | None:
    """Return the candidate at the place in question; choose it once."""
    place = find_place(base)
    if place is None:
        return None
    missing = base.missing(place.where, place.label)
    if missing is not None and place.fresh:
        place.fresh = False
        choose(pair_of(missing.candidate), new_list=True)
    return missing


def about_places(view: View, explanation: Explanation, missing: Missing | None) -> None:
    """Answer the question about a place that was clicked beside the boxes, or in a marked area."""
    lookup, place, where = state.of(Lookup), find_place(explanation), None
    if view.point is not None and view.box is None:
        where = (*view.point, *view.point)
    # The viewer reports a click once, and this run starts anew right after it.
    new, lookup.question = where != lookup.question, where
    help = "The strongest candidate for a box in the marked area, and why it is not shown."
    if view.region is not None and st.button("Why no box here?", icon=":material/help_center:", help=help):
        where, new = view.region, True
    if where is not None and new:
        x0, y0, x1, y1 = (float(round(edge)) for edge in where)
        of, label = (explanation.image.sha256, explanation.model.id), place.label if place else None
        lookup.place = MissedPlace(of, (x0, y0, x1, y1), label)
        st.rerun()
    if place is not None:
        _about_missing(missing, place, explanation)


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
            st.button("Back to the boxes", icon=":material/undo:", on_click=_forget, help="Forget this candidate.")


def _forget() -> None:
    state.of(Lookup).place = None
    choose(None, new_list=True)
