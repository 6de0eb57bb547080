"""A place in the picture that a person asks about: what is missing there, or why it has its class or number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import Options, parse_other_place
from sightglass.explain.phrases import capital, quantity
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.rendering.marks import draw_numbers, draw_segments, ends_of
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.segment import is_background
from sightglass.ui.session import state, url_state
from sightglass.ui.session.control_table import PER, Page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.state import Choices, ChosenArea
from sightglass.ui.viewer import Pane, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.tasks.detect import Missing
    from sightglass.models.adapter import Prediction
    from sightglass.models.adapters.segmenter import Segmenter

Pair = tuple[int, int]
"""An answer's identity: its candidate, -1 for what is no box, and its class."""


def pair_of(prediction: Prediction) -> Pair:
    """Return an answer's identity."""
    return (-1 if prediction.anchor is None else prediction.anchor, prediction.index)


@dataclass
class MissedPlace(state.Kept):
    """A place in the picture where a person missed a box."""

    of: tuple[str, str] | None = None
    """SHA-256 of the picture, and the id of the model; None without a place."""
    where: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """xyxy in pixels of the picture, rounded to whole ones; of a point both corners are that."""
    label: str | None = None
    """The class that is missing; None: any."""
    fresh: bool = True
    """Whether its candidate is still to be chosen in the list."""
    question: tuple[float, ...] | None = None
    """The last click in the viewer, as `where`: it asks once."""


def find_place(explanation: Explanation) -> MissedPlace | None:
    """Return the place in question for this picture and model."""
    place = state.of(MissedPlace)
    return place if place.of == (explanation.image.sha256, explanation.model.id) else None


def find_missing(base: Explanation) -> Missing | None:
    """Return the candidate at the place in question; choose it once."""
    if (place := find_place(base)) is None:
        return None
    missing = base.missing(place.where, place.label)
    if missing is not None and place.fresh:
        place.fresh = False
        chosen = state.of(state.ChosenAnswer)
        chosen.pair, chosen.model, chosen.generation = pair_of(missing.candidate), base.model.id, chosen.generation + 1
    return missing


def ask_about_places(view: View, explanation: Explanation, missing: Missing | None) -> None:
    """Answer the question about a place that was clicked beside the boxes, or in a marked area."""
    place, where = state.of(MissedPlace), None
    if view.point is not None and view.box is None:
        where = (*view.point, *view.point)
    # The viewer reports a click once, and this run starts anew right after it.
    new, place.question = where != place.question, where
    help = "The strongest candidate for a box in the marked area, and why it is not shown."
    if view.region is not None and st.button("Why no box here?", icon=":material/help_center:", help=help):
        where, new = view.region, True
    if where is not None and new:
        of = (explanation.image.sha256, explanation.model.id)
        place.of, place.label, place.fresh = of, place.label if place.of == of else None, True
        x0, y0, x1, y1 = (float(round(edge)) for edge in where)
        place.where = (x0, y0, x1, y1)
        st.rerun()
    if find_place(explanation) is not None:
        _draw_missing(missing, place, explanation)


def _draw_missing(missing: Missing | None, place: MissedPlace, explanation: Explanation) -> None:
    """Explain the missing candidate; ask for another class or go back."""

    def choose_class() -> None:
        place.label, place.fresh = st.session_state["missing-class"], True

    words = missing.words if missing is not None else "There is no candidate at this place."
    with st.container(gap="xsmall"):
        st.markdown(f":material/search: {escape(words)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.session_state["missing-class"] = place.label
            st.selectbox(
                "Candidate for",
                sorted(set(explanation.evidence.loaded.adapter.labels)),
                index=None,
                key="missing-class",
                placeholder="of any class",
                label_visibility="collapsed",
                on_change=choose_class,
                width=200,
                help="The strongest candidate of this class at that place.",
            )
            st.button("Back to the boxes", icon=":material/undo:", on_click=_forget, help="Forget this candidate.")


def _forget() -> None:
    place, chosen = state.of(MissedPlace), state.of(state.ChosenAnswer)
    place.of, place.label = None, None
    chosen.pair, chosen.generation = None, chosen.generation + 1


AT, AGAINST = "at", "against"
"""Names in the address."""
STEPS = 10
"""Steps of a pixel to which places are rounded down: an address has room for tenths."""


def _find_reopened(choices: Choices, explainer: Explainer) -> None:
    """Choose the place and class of a reopened pixel's map."""
    area = state.of(ChosenArea)
    reopened, area.pixel = area.pixel, None
    same = (area.picture, area.model) == (choices.image.sha256, choices.model.id)
    if reopened is None or not same or not task_of(choices.model).explains("region"):
        return
    evidence = explain_job.predict(choices, explainer).evidence
    adapter = cast("Segmenter", evidence.loaded.adapter)
    (pixel, index), classes = reopened, evidence.outputs.classes
    if not pixel < classes.size:
        return
    if not area.at:
        area.at = _round_down(adapter.find_point(evidence.outputs, evidence.geometry, pixel), choices.image)
    area.class_index = index if index != classes.flat[pixel] and index < len(adapter.labels) else None


def forget_area() -> None:
    """Remove a pixel's place from the address of a model without pixels' classes."""
    for name in (AT, AGAINST, PER.name):
        url_state.drop(name)


def area_options(choices: Choices, explainer: Explainer) -> dict[str, Any]:
    """Return the options of the picture's chosen place; none without one."""
    _find_reopened(choices, explainer)
    area, task = state.of(ChosenArea), task_of(explainer.loaded.adapter)
    if not task.explains("pixel"):
        forget_area()
        return {}
    if area.picture is None:
        _read_area(area, choices, explainer.labels)
    elif (area.picture, area.model) != (choices.image.sha256, choices.model.id):
        area.at, area.against, area.class_index = (), None, None
    if area.against is not None and area.against not in explainer.labels and area.against.isdecimal():
        # A recipe may have its index.
        area.against = dict(enumerate(explainer.labels)).get(int(area.against))
    _write_area(area)
    if not area.at:
        return {}
    options: dict[str, Any] = {"at": area.at, "per": "class"}
    if task.explains("region") and len(area.at) == 2:
        # Before its control is drawn a link may name it.
        options["per"] = PER.value(Page(explainer))
    if area.against is not None:
        options["against"] = area.against
    if area.class_index is not None:
        options["targets"] = (area.class_index,)
    return options


def _read_area(area: ChosenArea, choices: Choices, labels: Sequence[str]) -> None:
    """Take the place that the address names, and say what is not offered."""
    area.picture, area.model = choices.image.sha256, choices.model.id
    at = st.query_params.get(AT, "")
    area.at, area.against = _parse_place(at, choices.image), st.query_params.get(AGAINST)
    if at and not area.at:
        url_state.leave_out(AT, at)
    if area.against and area.against not in labels and parse_other_place(area.against) is None:
        url_state.leave_out(AGAINST, area.against)
        area.against = None


def _write_area(area: ChosenArea) -> None:
    """Write the chosen place to the address: a point as two numbers."""
    numbers = area.at[:2] if area.at[:2] == area.at[2:] else area.at
    url_state.set_url(AT, ",".join(str(number).removesuffix(".0") for number in numbers) or None)
    url_state.set_url(AGAINST, area.against if area.at else None)


def _parse_place(text: str, image: Picture) -> tuple[float, ...]:
    """Parse a point, a rectangle or an area of the address; empty outside the picture."""
    try:
        place = Options.parse({"at": text or ()}).at
    except ModelProblem:
        return ()
    inside = all(0 <= number <= (image.height if i % 2 else image.width) for i, number in enumerate(place))
    return place if inside else ()


def pixel_pane(explanation: Explanation) -> Pane:
    """Return the class or number of each pixel, explained by a click."""
    labels = explanation.evidence.loaded.adapter.labels
    chosen = explanation.area() if explanation.options.at else None
    if (classes := explanation.segmentation) is not None:
        plain = [answer.index for answer in explanation.predictions if is_background(explanation, answer.index)]
        drawn = draw_segments(explanation.image.pixels, classes, labels, plain=plain, chosen=chosen)
        title, note = "Classes", "click a region: why this class?"
    else:
        numbers = explanation.depth
        assert numbers is not None
        label, unit = capital(labels[0]), explanation.model.unit_of(labels[0])
        low, high = (quantity(end, unit) for end in ends_of(numbers))
        drawn = draw_numbers(numbers, (low, high), chosen=chosen, other=explanation.other_area())
        title, note = f"{label}{'' if unit else ', relative'}", "click a place: why this number?"
    return Pane(title=title, note=note, picture=Picture.open(drawn))


def explain_click(view: View, explanation: Explanation) -> None:
    """Explain the clicked place and redraw the page."""
    if view.point is not None:
        _choose_place(explanation, _round_down(view.point, explanation.image))
        st.rerun()


def draw_area_choices(explanation: Explanation, explainer: Explainer) -> None:
    """Draw the choices for a click on what each pixel has, and the way back."""
    spans, chosen = explanation.task.explains("region"), bool(state.of(ChosenArea).at and explanation.options.at)
    if not (spans or chosen):
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="areas"):
        if spans:
            PER.choose(Page(explainer))
        if chosen:
            help, icon = "Show the maps of the whole picture again.", ":material/undo:"
            look: dict[str, Any] = {"key": "explore-whole", "on_click": _choose_place, "args": (explanation, ())}
            st.button("Back to the whole picture", icon=icon, help=help, **look)


def _choose_place(explanation: Explanation, at: tuple[float, ...]) -> None:
    """Choose the explained place, none for the whole picture; the list starts anew at the first map."""
    area, chosen = state.of(ChosenArea), state.of(state.ChosenAnswer)
    area.picture, area.model = explanation.image.sha256, explanation.model.id
    area.at, area.against, area.class_index = at, None, None
    chosen.label = None
    chosen.generation += 1


def _round_down(at: Iterable[float], image: Picture) -> tuple[float, ...]:
    """Return a place inside the picture, in steps of a pixel."""
    # The edge of the last pixel belongs to no pixel.
    inside = (min(max(value, 0.0), (image.height if i % 2 else image.width) - 0.001) for i, value in enumerate(at))
    return tuple(math.floor(value * STEPS) / STEPS for value in inside)
