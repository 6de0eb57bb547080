"""The boxes of a detector: their list and maps, the joints of a pose, and why a missing one is not shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import streamlit as st

from sightglass.explain.comparison.detections import box_sentence, describe_boxes
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import listing, percent
from sightglass.explain.tasks.task import Answer
from sightglass.explain.trust.diagnosis import describe_independent
from sightglass.models.adapter import Axis, Prediction
from sightglass.pages.explore import missing
from sightglass.pages.explore.missing import Pair, choose, pair_of
from sightglass.ui.session import state, url_state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import Box, Map, View
from sightglass.ui.views import charts, panels
from sightglass.ui.views.charts import NOTHING, draw_metric
from sightglass.ui.widgets import TERMS, rows

if TYPE_CHECKING:
    from sightglass.explain import Explainer, Explanation
    from sightglass.ui.session.state import Choices

NONE = "none"
KEY, AXIS = "joint", "number"
"""Keys of the two controls of a joint, and their names in the address."""
MAX_MAPS = 12
"""Boxes whose maps are computed at once; any other's is computed when it is chosen."""


@dataclass(frozen=True)
class ListedBox:
    """One row, one rectangle and, if computed, one map: all with the same index in their lists."""

    pair: Pair
    """The candidate and its class, which identify a box."""
    label: str
    score: float
    number: str
    """Its number among the boxes shown, from 1; `?` for a candidate that is not shown."""
    prediction: Prediction

    @property
    def name(self) -> str:
        """Return `person 4`, or `? person` of a hidden candidate."""
        return f"? {self.label}" if self.number == "?" else f"{self.label} {self.number}".strip()

    @property
    def title(self) -> str:
        return f"{self.number}  {self.label}".strip()


class Boxes:
    """The answers of a detector for one run of the page."""

    viewer = "viewer-boxes"
    pair = None
    asks = True
    """Whether an empty place can be asked about."""

    def __init__(self, choices: Choices, explainer: Explainer) -> None:
        """Draw what changes the boxes: the joint of a pose."""
        joint = _choose_joint(explainer, masks=METHODS[choices.method].family == "mask")
        self.choices, self.explainer = replace(choices, options=choices.options | joint), explainer
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
        self.missing = missing.missing_box(self.base)

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
        pair, pairs = state.of(state.ChosenBox).pair, [item.pair for item in self.listed]
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
            content = repr([(item.pair, item.number, item.score) for item in self.listed])
            digest = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
            # A choice that the page made itself is another list, which starts there.
            generation = state.of(state.ChosenBox).generation
            key = f"boxes-{generation}-{explanation.image.sha256[:12]}-{explanation.model.id}-{digest}"
            answers = [Answer(item.title, percent(item.score), item.score) for item in self.listed]
            self.chosen = rows(answers, key=key, chosen=self.chosen)
        else:
            st.caption("No box has a high enough score. Click a place to ask what is missing there.")
        if self.listed and self.listed[self.chosen].pair != (pair or self.listed[0].pair):
            choose(self.listed[self.chosen].pair)
            if self.chosen >= len(explanation.heatmaps):
                st.rerun()
        number = self.listed[self.chosen].number if self.listed else ""
        first = None if any(item.number == "?" for item in self.listed) else "1"
        url_state.write("box", number if number.isdecimal() else None, first)
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
            number = explanation.task.number(explanation, i)
            note = f"{heatmap.target.label} {number}" if number else percent(item.score)
            maps.append(panels.to_map(explanation, i, title=item.title, note=note, half=False))
        return tuple(maps)

    def marks(self, explanation: Explanation, index: int) -> tuple[Box, ...]:
        """Return the viewer's rectangles in list order; the chosen one is marked only without maps."""
        chosen, boxes = None if explanation.heatmaps else self.chosen, []
        for i, item in enumerate(self.listed):
            if item.prediction.box is not None:
                marks = explanation.task.marks(explanation, item.prediction)
                if item.number == "?":
                    # A hidden candidate's are dashed.
                    marks = tuple(replace(mark, hollow=True) if mark.kind == "polygon" else mark for mark in marks)
                label = f"{item.number}  {item.label} {percent(item.score)}"
                boxes.append(Box(item.prediction.box, label, i, i == chosen, tag=item.number, marks=marks))
        return tuple(boxes)

    def draw_below(self, explanation: Explanation, index: int, view: View) -> None:
        """Draw what is missing at a place, and where the chosen box's evidence is."""
        missing.about_places(view, explanation, self.missing)
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
    return [
        ListedBox(pair, once[pair].label, once[pair].score, numbers.get(pair, "?"), once[pair])
        for pair in dict.fromkeys(map(pair_of, boxes))
    ]


# Joints


def _choose_joint(explainer: Explainer, *, masks: bool) -> dict[str, Any]:
    """Choose a joint and its number; return its options, none for boxes.

    `masks`: the method hides parts of the picture, and explains boxes alone.
    """
    adapter = explainer.resident.adapter
    if not adapter.joints or masks:
        return {}
    labels = {NONE: "none: its box", **{name: name for name in adapter.joints}}
    help = "Ask about one number of a joint of the chosen box: red raises it, blue in dashed lines lowers it."
    joint = url_state.widget(st.selectbox, "Joint", labels, NONE, key=KEY, name=KEY, help=help)
    if joint == NONE:
        url_state.write(AXIS, None)
        return {}
    help = "x grows to the right, y downwards. Visibility is how sure the model is that the joint can be seen."
    axes, key = {axis: axis for axis in get_args(Axis)}, f"{KEY}-{AXIS}"
    axis = url_state.widget(st.segmented_control, "Its number", axes, "x", key=key, name=AXIS, help=help)
    return {"joint": f"{joint} {axis}", "part": "signed", "per": "detection"}
