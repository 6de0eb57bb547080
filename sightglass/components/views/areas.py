"""Choose the class, and the segmentation layer of Explore: its classes, clicks and controls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.components.session import page, state, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.state import SPAN, ChosenArea
from sightglass.components.viewer import Pane
from sightglass.components.views import panels
from sightglass.components.widgets import rows
from sightglass.explain.comparison.models import score_of_map
from sightglass.explain.options import Options, parse_other_place
from sightglass.explain.phrases import quantity
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.rendering.segments import draw_numbers, draw_segments, ends_of
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.segment import is_background

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import View
    from sightglass.explain import Explainer, Explanation
    from sightglass.models.adapters.segmenter import Segmenter


def get_class(choices: Choices, explainer: Explainer) -> str | None:
    """Return the class chosen for this picture; None: the model's best."""
    image = choices.image
    chosen = state.of(state.ChosenClass)
    if chosen.picture != image.sha256:
        chosen.label = st.query_params.get("class") if chosen.picture is None else None
        chosen.picture = image.sha256
        known = {label.casefold() for label in choices.options.get("vocabulary") or explainer.labels}
        if chosen.label and not chosen.label.isdecimal() and chosen.label.casefold() not in known:
            url_state.leave_out("class", chosen.label)
            chosen.label = None
    return chosen.label


def forget() -> None:
    """Forget the chosen class: the list starts anew at the first map."""
    _choose_class(None)
    state.of(state.ChosenClass).generation += 1


def one(choices: Choices, explainer: Explainer, label: str | None) -> Explanation | None:
    """Explain only the shown class, if slow; None while running."""
    if label not in (choices.options.get("vocabulary") or explainer.labels):
        predicted = explain_job.predict(choices, explainer)
        if not predicted.predictions:
            return predicted
        label = predicted.predictions[0].label
    return explain_job.explain(choices, explainer, targets=(label,))


def answers(explanation: Explanation, index: int) -> int:
    """Draw the answers and return the chosen one's map index.

    A click on a class that has no map yet (a slow method makes one at a time) runs the page again for it.
    """
    scores: dict[str, list[float]] = {}
    for prediction in explanation.predictions:
        scores.setdefault(prediction.label, []).append(prediction.score)
    mapped = [heatmap.target.label for heatmap in explanation.heatmaps]
    # Rows in the order of the maps: a click finds its map in the browser by its place.
    labels = list(dict.fromkeys([*scores, *mapped] if len(mapped) == 1 else [*mapped, *scores]))
    generation = state.of(state.ChosenClass).generation
    key = f"rows-{generation}-{explanation.image.sha256[:12]}-{explanation.model.id}-{len(labels)}"
    for place, label in enumerate(mapped):
        if label not in scores and (score := score_of_map(explanation, place)) is not None:
            scores[label] = [score]
    task, unit_of = explanation.task, explanation.model.unit_of
    items = [task.row(label, scores.get(label, ()), unit_of(label)) for label in labels]
    chosen = rows(items, key=key, chosen=labels.index(mapped[index]))
    _choose_class(None if chosen == 0 else labels[chosen])
    _another(explanation, labels)
    if labels[chosen] not in mapped:
        # Its map may get another place: a new list starts at the class chosen here.
        state.of(state.ChosenClass).generation += 1
        st.rerun()
    return mapped.index(labels[chosen])


def _choose_class(label: str | None) -> None:
    chosen = state.of(state.ChosenClass)
    if chosen.label != label:
        # A run that closely follows another may see an address that looks right but never reached the browser.
        st.query_params["class"] = label or ""
    chosen.label = label
    url_state.write("class", label)


def _another(explanation: Explanation, listed: Collection[str]) -> None:
    """Draw the menu of all classes not yet `listed`."""
    key, labels = "another-class", set(explanation.evidence.resident.adapter.labels)
    if labels <= set(listed):
        return

    def take() -> None:
        _choose_class(st.session_state[key])
        st.session_state[key] = None
        # A new list starts at the class chosen here.
        state.of(state.ChosenClass).generation += 1

    st.selectbox(
        "Another class",
        sorted(labels),
        index=None,
        key=key,
        on_change=take,
        placeholder="Another class",
        label_visibility="collapsed",
        help="Any class the model knows: what in the picture speaks for it?",
    )


SPANS = {"region": "Region", "pixel": "Pixel"}
"""What a click asks about."""
HEIGHT = 380
"""Of either picture in a window of 900 pixels: two are side by side."""
ENDS = {"place": "The place", "other": "The place to compare with"}
"""Which of two places on a depth a click chooses."""
END = "depth-end"
AT, AGAINST = "at", "rival"
"""Names in the address."""
STEP = 10
"""Places are rounded down to a tenth of a pixel: an address has room for them."""


def explain(choices: Choices, explainer: Explainer, **how: Any) -> Explanation | None:
    """Explain the picture's chosen place or classes; None while running.

    What a link names and this model refuses is left out, in a line that can be dismissed.
    """
    _find_reopened(choices, explainer)
    asked = _options(choices, explainer)
    try:
        return explain_job.explain(choices, explainer, **how, **asked)
    except ModelProblem:
        area = state.of(ChosenArea)
        if not (asked and area.linked):
            raise
        if area.against is not None:
            url_state.leave_out(AGAINST, area.against)
            area.against = None
        else:
            url_state.leave_out(AT, _to_text(area.at) or "")
            area.at = ()
        area.linked = area.against is not None
    return explain(choices, explainer, **how)


def _find_reopened(choices: Choices, explainer: Explainer) -> None:
    """Choose the place and class of a reopened pixel's map."""
    area = state.of(ChosenArea)
    (pixel, area.pixel), chosen = (area.pixel, None), (choices.image.sha256, choices.model.id)
    if pixel is None or not task_of(choices.model).spans or (area.picture, area.model) != chosen:
        return
    evidence = explain_job.predict(choices, explainer).evidence
    adapter = cast("Segmenter", evidence.resident.adapter)
    (place, index), classes = pixel, evidence.outputs.classes
    if not place < classes.size:
        return
    if not area.at:
        area.at = _round_down(adapter.find_point(evidence.outputs, evidence.geometry, place), choices.image)
    area.wanted = index if index != classes.flat[place] and index < len(adapter.labels) else None


def _options(choices: Choices, explainer: Explainer) -> dict[str, Any]:
    """Return the options of the picture's chosen place; none without one."""
    area = state.of(ChosenArea)
    task = task_of(explainer.resident.adapter)
    if not task.gives_pixels:
        _write(None, None)
        return {}
    if area.picture is None:
        _take_link(area, choices, explainer)
    elif (area.picture, area.model) != (choices.image.sha256, choices.model.id):
        area.at, area.against, area.wanted = (), None, None
    if area.against is not None and area.against not in explainer.labels and area.against.isdecimal():
        # A recipe may have its index.
        area.against = dict(enumerate(explainer.labels)).get(int(area.against))
    _write(_to_text(area.at), area.against if area.at else None)
    if not area.at:
        return {}
    per = _span() if task.spans and len(area.at) == 2 else "class"
    against = {} if area.against is None else {"against": area.against}
    choice = {} if area.wanted is None else {"targets": (area.wanted,)}
    return {"at": area.at, "per": per, **against, **choice}


def _write(at: str | None, against: str | None) -> None:
    url_state.write(AT, at)
    url_state.write(AGAINST, against)


def _to_text(at: tuple[float, ...]) -> str | None:
    return ",".join(f"{coordinate:g}" for coordinate in at) or None


def _take_link(area: ChosenArea, choices: Choices, explainer: Explainer) -> None:
    """Choose the address's place and class, if valid here."""
    area.picture, area.model = choices.image.sha256, choices.model.id
    at, against = st.query_params.get(AT), st.query_params.get(AGAINST)
    try:
        place = Options.parse({AT: at or ()}).at
    except ModelProblem:
        place = ()
    sides = choices.image.width, choices.image.height

    def is_inside(place: tuple[float, ...]) -> bool:
        return bool(place) and all(0 <= coordinate < sides[i % 2] for i, coordinate in enumerate(place))

    if at and is_inside(place):
        area.at, area.linked = place, True
    elif at:
        url_state.leave_out(AT, at)
    places = task_of(explainer.resident.adapter).compares_places
    known = is_inside(parse_other_place(against) or ()) if places else against in explainer.labels
    if against and area.at and known:
        area.against = against
    elif against:
        url_state.leave_out(AGAINST, against)


def _span() -> str:
    # Before its control is drawn a link may name it.
    return str(url_state.recall_value(SPAN, SPANS, "region", name="span"))


def show_pixels(explanation: Explanation) -> None:
    """Draw the class or number of each pixel, explained by a click."""
    labels, chosen = (
        explanation.evidence.resident.adapter.labels,
        explanation.area() if explanation.options.at else None,
    )
    if (classes := explanation.segmentation) is not None:
        plain = [
            prediction.index for prediction in explanation.predictions if is_background(explanation, prediction.index)
        ]
        drawn = draw_segments(explanation.image.pixels, classes, labels, plain=plain, chosen=chosen)
        key, title, line = "classes", "Classes", "Click a region, or mark an area: why this class?"
    else:
        numbers = explanation.depth
        assert numbers is not None
        label, unit = labels[0].capitalize(), explanation.model.unit_of(labels[0])
        low, high = (quantity(end, unit) for end in ends_of(numbers))
        drawn = draw_numbers(numbers, (low, high), chosen=chosen, other=explanation.other_area())
        key, title = "depth", f"{label}{'' if unit else ', relative'}"
        scale = f"from {low}, dark, to {high}, bright{'' if unit else '; without a unit, relative'}"
        line = f"{label} {scale}. Click a place: why this number?"
    view = panels.show(Picture.open(drawn), [Pane(title=title)], key=key, height=HEIGHT, area=True, line=line)
    take_click(view, explanation)
    # Nothing is measured here: a marked area is asked about as well.
    if view.region is not None and (at := view.region) != state.of(ChosenArea).marked:
        state.of(ChosenArea).marked = at
        _choose(explanation, at)


def controls(explanation: Explanation, index: int, view: View) -> None:
    """Draw the choices for a click and the way back."""
    area, spans = state.of(ChosenArea), explanation.task.spans
    chosen = bool(area.at and explanation.options.at)
    if not (spans or chosen):
        st.caption("Click a place in the picture to see what makes its number.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="areas"):
        if spans:
            help = "A region is all connected pixels of one class; a pixel is the one under the pointer."
            url_state.widget(
                st.segmented_control, "A click explains", SPANS, "region", key=SPAN, name="span", help=help
            )
        else:
            help = "The place that is explained, or another one: what makes the number larger here than there?"
            url_state.widget(st.segmented_control, "A click chooses", ENDS, "place", key=END, name="end", help=help)
        if chosen and spans:
            _against(explanation, index)
        elif not spans and area.against is not None:
            help = "Explain the number of the place alone."
            st.button(
                "Leave the other place out", icon=":material/close:", key="explore-alone", on_click=_alone, help=help
            )
        if chosen:
            help = "Show the maps of the whole picture again."
            st.button(
                "Back to the whole picture", icon=":material/undo:", key="explore-whole", on_click=_forget, help=help
            )
        if spans and view.region is not None:
            help = "Why do the pixels in the marked area have their class?"
            if st.button("Explain the area", icon=":material/crop_free:", key="explore-area", help=help):
                _choose(explanation, view.region)


def _alone() -> None:
    state.of(ChosenArea).against = None


def take_click(view: View, explanation: Explanation) -> None:
    """Explain the clicked place and redraw the page."""
    if view.point is not None:
        _choose(explanation, view.point)


def _choose(explanation: Explanation, at: tuple[float, ...]) -> None:
    area = state.of(ChosenArea)
    area.picture, area.model, area.linked = explanation.image.sha256, explanation.model.id, False
    area.wanted, place = None, _round_down(at, explanation.image)
    places = explanation.task.compares_places
    if places and area.at and url_state.recall_value(END, ENDS, "place", name="end") == "other":
        area.against = _to_text(place)
    else:
        area.at, area.against = place, area.against if places else None
    forget()
    st.rerun()


def _round_down(at: Iterable[float], image: Picture) -> tuple[float, ...]:
    # The edge of the last pixel belongs to no pixel.
    inside = (min(max(value, 0.0), (image.height if i % 2 else image.width) - 0.001) for i, value in enumerate(at))
    return tuple(math.floor(value * STEP) / STEP for value in inside)


def _against(explanation: Explanation, index: int) -> None:
    """Choose the class to weigh against the explained one."""
    explained = explanation.heatmaps[index].target.label if explanation.heatmaps else ""
    area, key = state.of(ChosenArea), "explore-against"
    st.session_state[key] = area.against

    def take() -> None:
        area.against, area.linked = st.session_state[key], False

    st.selectbox(
        "And not",
        [label for label in sorted(explanation.evidence.resident.adapter.labels) if label != explained],
        index=None,
        key=key,
        on_change=take,
        placeholder="another class",
        width=200,
        help="Why this class here and not that one: what speaks for one and against the other, in the same pixels.",
    )


def _forget() -> None:
    area = state.of(ChosenArea)
    area.at, area.against, area.wanted = (), None, None
    forget()
    page.clear_waiting()
