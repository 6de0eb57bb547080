"""The answers of a model, one row and one map each: classes, boxes, regions or numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import listing, percent
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import box_sentence, describe_boxes, row_title
from sightglass.explain.trust.diagnosis import describe, describe_independent
from sightglass.models.adapter import Prediction
from sightglass.pages.explore import places
from sightglass.pages.explore.places import pair_of
from sightglass.ui.session import state, url_state
from sightglass.ui.session.control_table import AXIS, JOINT, Page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import Box, Map, View
from sightglass.ui.views import charts, panels
from sightglass.ui.widgets import rows, ticked_pair

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.tasks.detect import Missing
    from sightglass.pages.explore.places import Pair
    from sightglass.ui.session.state import Choices

MAX_MAPS = 12
"""Boxes whose maps are computed at once; any other's is computed when it is chosen."""
TICKED = "ticked"
"""Name in the address."""


@dataclass(frozen=True)
class Row:
    """One answer: its row, its rectangle if it has a box, and its map if that was computed."""

    prediction: Prediction
    number: str = ""
    """A box's number among those shown, from 1; `?` for a candidate that is not shown."""
    map: int | None = None
    """The index of its map."""

    @property
    def name(self) -> str:
        """Return `person 4`, or `? person` of a hidden candidate."""
        label = self.prediction.label
        return f"? {label}" if self.number == "?" else f"{label} {self.number}".strip()

    @property
    def title(self) -> str:
        return row_title(self.number, self.prediction.label)


class Answers:
    """The answers of a model for one run of the page."""

    pair: tuple[int, int] | None = None
    """The maps of the two ticked answers, once the list is drawn."""
    missing: Missing | None = None
    """The candidate at the place in question."""
    base: Explanation
    """The answers with the best ones' maps; set by `predict`."""

    def __init__(self, choices: Choices, explainer: Explainer) -> None:
        """Draw what changes the answers: the joint of a pose."""
        self.boxes, self.slow = task_of(explainer.model).explains("detection"), not METHODS[choices.method].quick
        shown, options = Page(explainer, chosen={"method": choices.method}), dict[str, Any]()
        joint, axis = JOINT.choose(shown), AXIS.choose(shown)
        if self.boxes:
            places.forget_area()
            options = {"per": "detection"}
            if axis is not None:
                options |= {"joint": f"{joint} {axis}", "part": "signed"}
        elif not self.slow:
            options = places.area_options(choices, explainer)
        self.choices, self.explainer = replace(choices, options=choices.options | options), explainer

    def predict(self) -> Explanation:
        """Return the answers, by a quick method with the best ones' maps."""
        if self.slow:
            self.base = explain_job.predict(self.choices, self.explainer)
        else:
            most: dict[str, Any] = {"top_k": MAX_MAPS} if self.boxes else {}
            explanation = explain_job.explain(self.choices, self.explainer, wait=True, **most)
            assert explanation is not None  # waited for
            self.base = explanation
        _restore(self.base, boxes=self.boxes)
        self.missing = places.find_missing(self.base)
        return self.base

    def explain(self) -> Explanation | None:
        """Return the maps of the best, chosen and missing answers; None while running."""
        base = self.predict()
        if not self.slow and not self.boxes:
            return self.complete(base)
        shown, chosen = [pair_of(p) for p in base.predictions], _chosen_pair(base)
        known = shown if self.missing is None else [*shown, pair_of(self.missing.candidate)]
        if self.slow:
            if chosen is not None and not self.boxes:
                known = [chosen]
            if not known:
                return base
            pair = known[_index_of(chosen, known)]
            return explain_job.explain(self.choices, self.explainer, targets=(pair if self.boxes else pair[1],))
        best = shown[:MAX_MAPS]
        extra = [pair for pair in (chosen, *known[len(shown) :]) if pair in known and pair not in best]
        if not extra:
            return base
        return explain_job.explain(self.choices, self.explainer, top_k=MAX_MAPS, targets=(*best, *dict.fromkeys(extra)))

    def complete(self, explanation: Explanation) -> Explanation:
        """Return an explanation with the map of the chosen class."""
        return explain_job.select_class(explanation, None if self.boxes else state.of(state.ChosenAnswer).label)[0]

    def find_map(self, explanation: Explanation) -> int | None:
        """List the answers; return the index of the chosen one's map, None without one."""
        self.listed = list_rows(explanation, None if self.missing is None else self.missing.candidate)
        self.chosen = _index_of(_chosen_pair(explanation), [pair_of(row.prediction) for row in self.listed])
        return self.listed[self.chosen].map if self.listed else None

    def draw_list(self, explanation: Explanation) -> int | None:
        """Draw the answers; return the index of the chosen one's map, None without one.

        A click on an answer that has no map yet runs the page again for it.
        """
        st.markdown(f"### {'Boxes' if self.boxes else 'Predictions'}")
        self.find_map(explanation)
        if not self.listed:
            hint = " Click a place to ask what is missing there." if self.boxes else ""
            st.caption(f"No box has a high enough score.{hint}")
            return None
        content = repr([(pair_of(row.prediction), row.number) for row in self.listed])
        digest = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
        # A choice that the page made itself is another list, which starts there.
        generation = state.of(state.ChosenAnswer).generation
        key = f"rows-{generation}-{explanation.image.sha256[:12]}-{explanation.model.id}-{digest}"
        mapped = [] if self.boxes else url_state.distinct(each.target.label for each in explanation.heatmaps)
        ticks = len(mapped) if len(mapped) > 1 else 0
        if mapped and (linked := url_state.read_pair_once(TICKED, mapped)) is not None:
            url_state.remember(f"{TICKED}-{key}", linked)
        first, before = url_state.memory(f"{TICKED}-{key}"), self.chosen
        answers = explanation.task.wording.answers(explanation, [row.prediction for row in self.listed])
        items = [replace(answer, label=row.title) for answer, row in zip(answers, self.listed, strict=True)]
        self.chosen = rows(items, key=key, chosen=before, ticks=ticks, ticked=first)
        self.pair = ticked_pair(key, ticks, first)
        url_state.set_url(TICKED, [mapped[place] for place in self.pair] if self.pair else None)
        row = self.listed[self.chosen]
        self._remember(row)
        if not self.boxes:
            _draw_another(explanation, [each.title for each in self.listed])
        if row.map is None and self.chosen != before:
            st.rerun()
        return row.map

    def _remember(self, row: Row) -> None:
        """Remember the chosen row, and write it to the address."""
        chosen, default = state.of(state.ChosenAnswer), row is self.listed[0]
        if not self.boxes:
            _choose_class(None if default else row.prediction.label)
        elif not default or chosen.pair is not None:
            chosen.pair, chosen.model = pair_of(row.prediction), self.base.model.id
        number = row.number if row.number.isdecimal() else None
        url_state.set_url("box", number, None if any(each.number == "?" for each in self.listed) else "1")

    def headline(self, explanation: Explanation, index: int | None) -> str:
        """Return the sentence over the picture."""
        if self.pair is not None:
            return panels.difference_title(explanation, self.pair)
        if not self.boxes:
            return describe(explanation, VIEWER_STYLE.hot, index or 0).headline
        only = self.choices.options["classes"] if self.base.predictions else ()
        filtered = f"Showing only {listing(list(only))}." if only else ""
        known = "" if index is None else describe_independent(explanation, index)
        return " ".join(filter(None, (describe_boxes(self.base), filtered, known)))

    def maps(self, explanation: Explanation) -> tuple[Map, ...]:
        """Return the maps; a box's has its number, and its score or its joint's number."""
        titles: dict[int | None, str | None] = {row.map: row.title for row in self.listed}
        maps = []
        for i, heatmap in enumerate(explanation.heatmaps):
            number = explanation.task.wording.number(explanation, i) if self.boxes else ""
            note = f"{heatmap.target.label} {number}" if number else None
            maps.append(panels.to_map(explanation, i, title=titles.get(i), note=note, half=False))
        return tuple(maps)

    def marks(self, explanation: Explanation) -> tuple[Box, ...]:
        """Return the viewer's rectangles in list order; the chosen one is marked only without maps."""
        boxes = []
        for i, row in enumerate(self.listed):
            prediction, chosen = row.prediction, i == self.chosen and not explanation.heatmaps
            if prediction.box is not None:
                marks = explanation.task.wording.marks(explanation, prediction)
                if row.number == "?":
                    # A hidden candidate's are dashed.
                    marks = tuple(replace(mark, hollow=True) if mark.kind == "polygon" else mark for mark in marks)
                label = f"{row.title} {percent(prediction.score)}"
                boxes.append(Box(prediction.box, label, i, chosen, tag=row.number, marks=marks))
        return tuple(boxes)

    def draw_below(self, explanation: Explanation, index: int | None, view: View) -> None:
        """Draw what goes with a clicked place, and where the chosen box's evidence is."""
        if not self.boxes:
            places.draw_area_choices(explanation, self.explainer)
            return
        places.ask_about_places(view, explanation, self.missing)
        numbers = None if index is None else explanation.box_numbers(index)
        # Else the instruments say it all.
        if index is not None and numbers is not None and numbers.in_others:
            sentence = box_sentence(explanation, index, escape(self.listed[self.chosen].name))
            st.markdown(f":material/filter_center_focus: {sentence}")

    def draw_numbers(self, explanation: Explanation, index: int) -> None:
        """Draw what the instruments do not show of a map.

        The number itself with its scale, and what raises it; nothing for boxes.
        """
        if not self.boxes:
            with st.container(horizontal=True):
                charts.draw_numbers(explanation, index)


def list_rows(explanation: Explanation, candidate: Prediction | None = None) -> list[Row]:
    """Return all answers: mapped ones first, then the rest, so that a click finds its map in the browser by its place.

    The only map of a class stays in its place. `candidate`: what was looked up; it can be chosen before it has a map.
    """
    boxes, predictions = explanation.task.explains("detection"), explanation.predictions
    listed: dict[Pair, Row] = {}
    for number, prediction in enumerate(predictions, 1):
        listed.setdefault(pair_of(prediction), Row(prediction, str(number) if boxes else ""))
    if candidate is not None:
        listed.setdefault(pair_of(candidate), Row(candidate, "?"))
    mapped: dict[Pair, Row] = {}
    # The last explanation may be of another page, whose maps are of classes.
    for i, heatmap in enumerate(explanation.heatmaps if not boxes or explanation.options.per == "detection" else ()):
        if boxes:
            new = Row(explanation.own(i)[0], "?")
        else:
            target, score = heatmap.target, explanation.task.scorer.score(explanation, i)
            # An embedding has no index.
            new = Row(Prediction(target.label, -1 if target.index is None else target.index, score or 0.0))
        pair = pair_of(new.prediction)
        mapped[pair] = replace(listed.get(pair, new), map=i)
    return list((listed | mapped if len(mapped) == 1 and not boxes else mapped | listed | mapped).values())


def _chosen_pair(explanation: Explanation) -> Pair | None:
    """Return the chosen answer; None for the best one."""
    chosen, labels = state.of(state.ChosenAnswer), explanation.evidence.loaded.adapter.labels
    if explanation.task.explains("detection"):
        return chosen.pair if chosen.model == explanation.model.id else None
    return (-1, labels.index(chosen.label)) if chosen.label in labels else None


def _index_of(chosen: Pair | None, pairs: Sequence[Pair]) -> int:
    """Return the index of the chosen answer, else of the first of its class, else 0."""
    alike = [i for i, pair in enumerate(pairs) if chosen is not None and pair[1] == chosen[1]]
    return pairs.index(chosen) if chosen in pairs else next(iter(alike), 0)


def _restore(base: Explanation, *, boxes: bool) -> None:
    """Take the answer of the address, and forget that of another picture."""
    chosen, predictions = state.of(state.ChosenAnswer), base.predictions
    if chosen.picture == base.image.sha256:
        return
    linked, chosen.picture, chosen.pair, chosen.label = chosen.picture is None, base.image.sha256, None, None
    number, label = (st.query_params.get(name, "") if linked else "" for name in ("box", "class"))
    if boxes and number.isdecimal() and 0 < int(number[:9]) <= len(predictions):
        chosen.pair, chosen.model = pair_of(predictions[int(number) - 1]), base.model.id
    elif label and not boxes:
        try:
            chosen.label = base.task.decoder.find_label(label, base.evidence.loaded.adapter.labels)
        except Problem:
            url_state.leave_out("class", label)


def _choose_class(label: str | None) -> None:
    state.of(state.ChosenAnswer).label = label
    url_state.set_url("class", label)


def _draw_another(explanation: Explanation, listed: Collection[str]) -> None:
    """Draw the menu of all classes not yet `listed`."""
    key, labels = "another-class", set(explanation.evidence.loaded.adapter.labels)
    if labels <= set(listed):
        return

    def show_chosen() -> None:
        _choose_class(st.session_state[key])
        st.session_state[key] = None
        # A new list starts at the class chosen here.
        state.of(state.ChosenAnswer).generation += 1

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
