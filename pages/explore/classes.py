"""The answers of a model without boxes: classes, regions or numbers, one row and one map each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import Options, parse_other_place
from sightglass.explain.phrases import quantity
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.rendering.marks import draw_numbers, draw_segments, ends_of
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.segment import is_background
from sightglass.explain.tasks.wording import Answer
from sightglass.explain.trust.diagnosis import describe
from sightglass.ui.session import state, url_state
from sightglass.ui.session.control_table import PER, Page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.state import Choices, ChosenArea
from sightglass.ui.viewer import Box, Map, Pane, View
from sightglass.ui.views import charts, panels
from sightglass.ui.widgets import HIGHLIGHT_HELP, rows, ticked_pair

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sightglass.explain import Explainer, Explanation
    from sightglass.models.adapters.segmenter import Segmenter


class Classes:
    """The answers of a model without boxes for one run of the page."""

    viewer = "viewer"
    asks = False
    base: Explanation | None = None
    pair: tuple[int, int] | None = None
    """The maps of the two ticked answers, once the list is drawn."""

    def __init__(self, choices: Choices, explainer: Explainer) -> None:
        self.choices, self.explainer = choices, explainer
        chosen, picture = state.of(state.ChosenClass), choices.image.sha256
        if chosen.picture != picture:
            chosen.label = st.query_params.get("class") if chosen.picture is None else None
            chosen.picture = picture
            known = {label.casefold() for label in choices.options.get("vocabulary") or explainer.labels}
            if chosen.label and not chosen.label.isdecimal() and chosen.label.casefold() not in known:
                url_state.leave_out("class", chosen.label)
                chosen.label = None
        self.label = chosen.label
        """The class chosen for this picture; None: the model's best."""

    def explain(self) -> Explanation | None:
        """Return the maps, with that of the chosen class; None while running."""
        if explain_job.is_slow(self.choices.method):
            return self._explain_one()
        _find_reopened(self.choices, self.explainer)
        options = _options(self.choices, self.explainer)
        explanation = explain_job.explain(self.choices, self.explainer, **options)
        return None if explanation is None else self.complete(explanation)

    def complete(self, explanation: Explanation) -> Explanation:
        """Return an explanation with the map of the chosen class."""
        return explain_job.select_class(explanation, self.label)[0]

    def _explain_one(self) -> Explanation | None:
        """Explain only the shown class by a slow method."""
        label = self.label
        if label not in (self.choices.options.get("vocabulary") or self.explainer.labels):
            predicted = explain_job.predict(self.choices, self.explainer)
            if not predicted.predictions:
                return predicted
            label = predicted.predictions[0].label
        return explain_job.explain(self.choices, self.explainer, targets=(label,))

    def find_map(self, before: Explanation) -> int | None:
        """Return the index of the class's map in the explanation by another method; None without one."""
        labels = [heatmap.target.label for heatmap in before.heatmaps]
        return labels.index(self.label) if self.label in labels else 0 if labels else None

    def draw_list(self, explanation: Explanation) -> int:
        """Draw the answers and return the chosen one's map index.

        A click on a class that has no map yet (a slow method makes one at a time) runs the page again for it.
        """
        st.markdown("### Predictions")
        if not explanation.heatmaps:
            st.caption("No box has a high enough score.")
            return 0
        index, task, unit_of = self.find_map(explanation) or 0, explanation.task, explanation.model.unit_of
        scores: dict[str, float] = {}
        for prediction in explanation.predictions:
            scores.setdefault(prediction.label, prediction.score)
        mapped = [heatmap.target.label for heatmap in explanation.heatmaps]
        # Rows in the order of the maps: a click finds its map in the browser by its place.
        labels = list(dict.fromkeys([*scores, *mapped] if len(mapped) == 1 else [*mapped, *scores]))
        generation = state.of(state.ChosenClass).generation
        key = f"rows-{generation}-{explanation.image.sha256[:12]}-{explanation.model.id}-{len(labels)}"
        for place, label in enumerate(mapped):
            if label not in scores and (score := task.scorer.score(explanation, place)) is not None:
                scores[label] = score
        texts = {label: task.wording.text(score, unit_of(label)) for label, score in scores.items()}
        items = [Answer(each, texts.get(each, "–"), task.wording.bar(scores.get(each, 0.0))) for each in labels]
        ticks = len(mapped) if len(mapped) > 1 else 0
        if (linked := url_state.read_pair_once(TICKED, mapped)) is not None:
            url_state.remember(f"{TICKED}-{key}", linked)
        first = url_state.memory(f"{TICKED}-{key}")
        chosen = rows(items, key=key, chosen=labels.index(mapped[index]), ticks=ticks, ticked=first)
        self.pair = ticked_pair(key, ticks, first)
        url_state.set_url(TICKED, [mapped[place] for place in self.pair] if self.pair else None)
        _choose(None if chosen == 0 else labels[chosen])
        _draw_another(explanation, labels)
        if labels[chosen] not in mapped:
            # Its map may get another place: a new list starts at the class chosen here.
            state.of(state.ChosenClass).generation += 1
            st.rerun()
        return mapped.index(labels[chosen])

    def headline(self, explanation: Explanation, index: int) -> str:
        """Return the sentence over the picture."""
        if self.pair is not None:
            return panels.difference_title(explanation, self.pair)
        return describe(explanation, HIGHLIGHT_HELP, index).short

    def maps(self, explanation: Explanation) -> tuple[Map, ...]:
        """Return the maps, in the order of the explanation."""
        return tuple(panels.to_map(explanation, i, half=False) for i in range(len(explanation.heatmaps)))

    def marks(self, explanation: Explanation, index: int) -> tuple[Box, ...]:
        return panels.boxes(explanation, index)

    def draw_below(self, explanation: Explanation, index: int, view: View) -> None:
        """Draw the choices for a click on what each pixel has, and the way back."""
        spans, chosen = explanation.task.explains("region"), bool(state.of(ChosenArea).at and explanation.options.at)
        if not (spans or chosen):
            return
        with st.container(horizontal=True, vertical_alignment="bottom", key="areas"):
            if spans:
                PER.choose(Page(self.explainer))
            if chosen:
                help, icon = "Show the maps of the whole picture again.", ":material/undo:"
                look: dict[str, Any] = {"key": "explore-whole", "on_click": _choose_place, "args": (explanation, ())}
                st.button("Back to the whole picture", icon=icon, help=help, **look)

    def draw_numbers(self, explanation: Explanation, index: int) -> None:
        """Draw the map's most important numbers."""
        with st.container(horizontal=True):
            charts.draw_numbers(explanation, index)
        charts.numbers_button(explanation, index)


def _choose(label: str | None) -> None:
    state.of(state.ChosenClass).label = label
    url_state.set_url("class", label)


def _draw_another(explanation: Explanation, listed: Collection[str]) -> None:
    """Draw the menu of all classes not yet `listed`."""
    key, labels = "another-class", set(explanation.evidence.loaded.adapter.labels)
    if labels <= set(listed):
        return

    def show_chosen() -> None:
        _choose(st.session_state[key])
        st.session_state[key] = None
        # A new list starts at the class chosen here.
        state.of(state.ChosenClass).generation += 1

    st.selectbox(
        "Another class",
        sorted(labels),
        index=None,
        key=key,
        on_change=show_chosen,
        placeholder="Another class",
        label_visibility="collapsed",
        help="Any class the model knows: what in the picture speaks for it?",
    )


AT, AGAINST, TICKED = "at", "against", "ticked"
"""Names in the address."""
STEP = 10
"""Places are rounded down to a tenth of a pixel: an address has room for them."""


def _find_reopened(choices: Choices, explainer: Explainer) -> None:
    """Choose the place and class of a reopened pixel's map."""
    area = state.of(ChosenArea)
    (pixel, area.pixel), chosen = (area.pixel, None), (choices.image.sha256, choices.model.id)
    if pixel is None or not task_of(choices.model).explains("region") or (area.picture, area.model) != chosen:
        return
    evidence = explain_job.predict(choices, explainer).evidence
    adapter = cast("Segmenter", evidence.loaded.adapter)
    (place, index), classes = pixel, evidence.outputs.classes
    if not place < classes.size:
        return
    if not area.at:
        area.at = _round_down(adapter.find_point(evidence.outputs, evidence.geometry, place), choices.image)
    area.class_index = index if index != classes.flat[place] and index < len(adapter.labels) else None


def _options(choices: Choices, explainer: Explainer) -> dict[str, Any]:
    """Return the options of the picture's chosen place; none without one."""
    area, task = state.of(ChosenArea), task_of(explainer.loaded.adapter)
    if not task.explains("pixel"):
        url_state.set_url(AT, None)
        url_state.set_url(AGAINST, None)
        return {}
    if area.picture is None:
        area.picture, area.model = choices.image.sha256, choices.model.id
        at = st.query_params.get(AT, "")
        area.at, area.against = _parse_place(at, choices.image), st.query_params.get(AGAINST)
        if at and not area.at:
            url_state.leave_out(AT, at)
        if area.against and area.against not in explainer.labels and parse_other_place(area.against) is None:
            url_state.leave_out(AGAINST, area.against)
            area.against = None
    elif (area.picture, area.model) != (choices.image.sha256, choices.model.id):
        area.at, area.against, area.class_index = (), None, None
    if area.against is not None and area.against not in explainer.labels and area.against.isdecimal():
        # A recipe may have its index.
        area.against = dict(enumerate(explainer.labels)).get(int(area.against))
    url_state.set_url(AT, _write_place(area.at))
    url_state.set_url(AGAINST, area.against if area.at else None)
    if not area.at:
        return {}
    # Before its control is drawn a link may name it.
    span = PER.value(Page(explainer))
    per = span if task.explains("region") and len(area.at) == 2 else "class"
    against = {} if area.against is None else {"against": area.against}
    choice = {} if area.class_index is None else {"targets": (area.class_index,)}
    return {"at": area.at, "per": per, **against, **choice}


def _parse_place(text: str, image: Picture) -> tuple[float, ...]:
    """Parse a point, a rectangle or an area of the address; empty outside the picture."""
    try:
        place = Options.parse({"at": text or ()}).at
    except ModelProblem:
        return ()
    inside = all(0 <= number <= (image.height if i % 2 else image.width) for i, number in enumerate(place))
    return place if inside else ()


def _write_place(place: tuple[float, ...]) -> str | None:
    """Write a place for the address; a point as two numbers, None for no place."""
    numbers = place[:2] if place[:2] == place[2:] else place
    return ",".join(str(number).removesuffix(".0") for number in numbers) or None


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
        label, unit = labels[0].capitalize(), explanation.model.unit_of(labels[0])
        low, high = (quantity(end, unit) for end in ends_of(numbers))
        drawn = draw_numbers(numbers, (low, high), chosen=chosen, other=explanation.other_area())
        title, note = f"{label}{'' if unit else ', relative'}", "click a place: why this number?"
    return Pane(title=title, note=note, picture=Picture.open(drawn))


def explain_click(view: View, explanation: Explanation) -> None:
    """Explain the clicked place and redraw the page."""
    if view.point is not None:
        _choose_place(explanation, _round_down(view.point, explanation.image))
        st.rerun()


def _choose_place(explanation: Explanation, at: tuple[float, ...]) -> None:
    """Choose the explained place, none for the whole picture; the list starts anew at the first map."""
    area, chosen = state.of(ChosenArea), state.of(state.ChosenClass)
    area.picture, area.model = explanation.image.sha256, explanation.model.id
    area.at, area.against, area.class_index = at, None, None
    chosen.label = None
    chosen.generation += 1


def _round_down(at: Iterable[float], image: Picture) -> tuple[float, ...]:
    # The edge of the last pixel belongs to no pixel.
    inside = (min(max(value, 0.0), (image.height if i % 2 else image.width) - 0.001) for i, value in enumerate(at))
    return tuple(math.floor(value * STEP) / STEP for value in inside)
