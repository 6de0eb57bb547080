"""The boxes of a detector: their list and maps, the joints of a pose, and why a missing one is not shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.phrases import listing, percent
from sightglass.explain.tasks.detect import box_sentence, describe_boxes, row_title
from sightglass.explain.tasks.wording import Answer
from sightglass.explain.trust.diagnosis import describe_independent
from sightglass.ui.session import state, url_state
from sightglass.ui.session.control_table import AXIS, JOINT, Page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import Box, Map, View
from sightglass.ui.views import charts, panels
from sightglass.ui.views.charts import NOTHING, draw_metric
from sightglass.ui.widgets import TERMS, rows

if TYPE_CHECKING:
    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.tasks.detect import Missing
    from sightglass.models.adapter import Prediction
    from sightglass.ui.session.state import Choices

MAX_MAPS = 12
"""Boxes whose maps are computed at once; any other's is computed when it is chosen."""


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


@dataclass(frozen=True)
class ListedBox:
    """One row, one rectangle and, if computed, one map: all with the same index in their lists."""

    prediction: Prediction
    number: str
    """Its number among the boxes shown, from 1; `?` for a candidate that is not shown."""

    @property
    def name(self) -> str:
        """Return `person 4`, or `? person` of a hidden candidate."""
        label = self.prediction.label
        return f"? {label}" if self.number == "?" else f"{label} {self.number}".strip()

    @property
    def title(self) -> str:
        return row_title(self.number, self.prediction.label)


class Boxes:
    """The answers of a detector for one run of the page."""

    viewer = "viewer-boxes"
    pair = None
    asks = True
    """Whether an empty place can be asked about."""

    def __init__(self, choices: Choices, explainer: Explainer) -> None:
        """Draw what changes the boxes: the joint of a pose."""
        shown, options = Page(explainer, chosen={"method": choices.method}), {"per": "detection"}
        joint, axis = JOINT.choose(shown), AXIS.choose(shown)
        if axis is not None:
            options |= {"joint": f"{joint} {axis}", "part": "signed"}
        self.choices, self.explainer = replace(choices, options=choices.options | options), explainer
        self.slow = explain_job.is_slow(choices.method)
        if self.slow:
            self.base = explain_job.predict(self.choices, explainer)
        else:
            explanation = explain_job.explain(self.choices, explainer, top_k=MAX_MAPS)
            assert explanation is not None  # only slow methods run in a thread
            self.base = explanation
        chosen, of = state.of(state.ChosenBox), (self.base.image.sha256, self.base.model.id)
        if chosen.source != of:
            # The best box of a new picture, or the address's.
            text = st.query_params.get("box", "") if chosen.source is None else ""
            number, predictions = int(text[:9]) if text.isdecimal() else 0, self.base.predictions
            chosen.pair = pair_of(predictions[number - 1]) if 0 < number <= len(predictions) else None
            chosen.source = of
        self.missing = find_missing(self.base)

    def explain(self) -> Explanation | None:
        """Return the maps of the best, chosen and missing boxes; None while running."""
        candidate = None if self.missing is None else pair_of(self.missing.candidate)
        pair, pairs = state.of(state.ChosenBox).pair, [pair_of(p) for p in self.base.predictions]
        if self.slow:
            known = [*pairs, candidate] if candidate else pairs
            if not known:
                return self.base
            chosen = pair if pair in known else next((p for p in pairs if pair and p[1] == pair[1]), known[0])
            return explain_job.explain(self.choices, self.explainer, targets=(chosen,))
        best = pairs[:MAX_MAPS]
        extra = [p for p in (pair, candidate) if p is not None and p not in best and (p in pairs or p == candidate)]
        if not extra:
            return self.base
        targets = (*best, *dict.fromkeys(extra))
        return explain_job.explain(self.choices, self.explainer, top_k=MAX_MAPS, targets=targets)

    def complete(self, explanation: Explanation) -> Explanation:
        return explanation

    def find_map(self, explanation: Explanation) -> int | None:
        """List the boxes; return the index of the chosen one's map, None without one."""
        self.listed = list_boxes(explanation, None if self.missing is None else self.missing.candidate)
        pair, pairs = state.of(state.ChosenBox).pair, [pair_of(item.prediction) for item in self.listed]
        alike = [i for i, item in enumerate(pairs) if pair is not None and item[1] == pair[1]]
        # The chosen box, else the first of its class, else the first.
        self.chosen = pairs.index(pair) if pair in pairs else next(iter(alike), 0)
        # The last explanation may be of another page, whose maps are of classes.
        mapped = explanation.options.per == "detection" and self.chosen < len(explanation.heatmaps)
        return self.chosen if mapped else None

    def draw_list(self, explanation: Explanation) -> int:
        """Draw the list of boxes; return the index of the chosen one's map."""
        st.markdown("### Boxes", help=TERMS["score"])
        pair, _ = state.of(state.ChosenBox).pair, self.find_map(explanation)
        if self.listed:
            content = repr([(pair_of(item.prediction), item.number, item.prediction.score) for item in self.listed])
            digest = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
            # A choice that the page made itself is another list, which starts there.
            generation = state.of(state.ChosenBox).generation
            key = f"boxes-{generation}-{explanation.image.sha256[:12]}-{explanation.model.id}-{digest}"
            answers = [
                Answer(item.title, percent(item.prediction.score), item.prediction.score) for item in self.listed
            ]
            self.chosen = rows(answers, key=key, chosen=self.chosen)
        else:
            st.caption("No box has a high enough score. Click a place to ask what is missing there.")
        shown = [pair_of(item.prediction) for item in self.listed]
        if shown and shown[self.chosen] != (pair or shown[0]):
            choose(shown[self.chosen])
            if self.chosen >= len(explanation.heatmaps):
                st.rerun()
        number = self.listed[self.chosen].number if self.listed else ""
        first = None if any(item.number == "?" for item in self.listed) else "1"
        url_state.set_url("box", number if number.isdecimal() else None, first)
        return self.chosen

    def headline(self, explanation: Explanation, index: int) -> str:
        """Return the sentence over the picture."""
        only = self.choices.options["classes"] if self.base.predictions else ()
        filtered = f"Showing only {listing(list(only))}." if only else ""
        known = describe_independent(explanation, index) if index < len(explanation.heatmaps) else ""
        return " ".join(filter(None, (describe_boxes(self.base), filtered, known)))

    def maps(self, explanation: Explanation) -> tuple[Map, ...]:
        """Return the maps, in the order of the list, each with its joint's number or its box's score."""
        maps = []
        for i, (heatmap, item) in enumerate(zip(explanation.heatmaps, self.listed, strict=False)):
            number = explanation.task.wording.number(explanation, i)
            note = f"{heatmap.target.label} {number}" if number else percent(item.prediction.score)
            maps.append(panels.to_map(explanation, i, title=item.title, note=note, half=False))
        return tuple(maps)

    def marks(self, explanation: Explanation, index: int) -> tuple[Box, ...]:
        """Return the viewer's rectangles in list order; the chosen one is marked only without maps."""
        chosen, boxes = None if explanation.heatmaps else self.chosen, []
        for i, item in enumerate(self.listed):
            if item.prediction.box is not None:
                marks = explanation.task.wording.marks(explanation, item.prediction)
                if item.number == "?":
                    # A hidden candidate's are dashed.
                    marks = tuple(replace(mark, hollow=True) if mark.kind == "polygon" else mark for mark in marks)
                label = f"{item.title} {percent(item.prediction.score)}"
                boxes.append(Box(item.prediction.box, label, i, i == chosen, tag=item.number, marks=marks))
        return tuple(boxes)

    def draw_below(self, explanation: Explanation, index: int, view: View) -> None:
        """Draw what is missing at a place, and where the chosen box's evidence is."""
        _ask_about_places(view, explanation, self.missing)
        if index >= len(explanation.heatmaps):
            return
        if (sentence := box_sentence(explanation, index, escape(self.listed[index].name))) is not None:
            st.markdown(f":material/filter_center_focus: {sentence}")

    def draw_numbers(self, explanation: Explanation, index: int) -> None:
        """Draw the main number of the map and its boxes."""
        st.markdown("### What the map says", help=TERMS["evidence"])
        measured, several = explanation.box_numbers(index), len(explanation.own(index)) > 1
        with st.container(horizontal=True):
            if measured is not None:
                title, unit = f"Evidence inside {'the boxes' if several else 'its box'}", percent(measured.area)
                help = (
                    "The share inside, also where other boxes overlap; below it, the box's share of the visible area."
                )
                draw_metric(title, measured.printed_inside, f"on {unit} of the picture", help)
            elif explanation.heatmaps[index].state != "ok":
                st.caption(NOTHING)
        charts.numbers_button(explanation, index)


def list_boxes(explanation: Explanation, candidate: Prediction | None = None) -> list[ListedBox]:
    """Return all choices: mapped boxes first, then the rest.

    `candidate`: what was looked up; it can be chosen before it has a map.
    """
    predictions = explanation.predictions
    numbers = {pair_of(p): str(i) for i, p in enumerate(predictions, 1)}
    boxes = [*(explanation.own(i)[0] for i in range(len(explanation.heatmaps)) if explanation.own(i)), *predictions]
    if candidate is not None:
        boxes.append(candidate)
    once = {pair_of(p): p for p in reversed(boxes)}
    return [ListedBox(once[pair], numbers.get(pair, "?")) for pair in dict.fromkeys(map(pair_of, boxes))]


# What is missing at a place


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


def find_place(explanation: Explanation) -> MissedPlace | None:
    """Return the place in question for this picture and model."""
    place = state.of(Lookup).place
    return place if place is not None and place.of == (explanation.image.sha256, explanation.model.id) else None


def find_missing(base: Explanation) -> Missing | None:
    """Return the candidate at the place in question; choose it once."""
    place = find_place(base)
    if place is None:
        return None
    missing = base.missing(place.where, place.label)
    if missing is not None and place.fresh:
        place.fresh = False
        choose(pair_of(missing.candidate), new_list=True)
    return missing


def _ask_about_places(view: View, explanation: Explanation, missing: Missing | None) -> None:
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
                sorted(set(explanation.evidence.loaded.adapter.labels)),
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
