"""The answers of a model without boxes: classes, regions or numbers, one row and one map each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import state, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.views import charts, panels
from sightglass.components.widgets import HOT, rows
from sightglass.explain.comparison.models import score_of_map
from sightglass.explain.trust.diagnosis import describe
from sightglass.pages.explore import areas

if TYPE_CHECKING:
    from collections.abc import Collection

    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import Box, Map, View
    from sightglass.explain import Explainer, Explanation


class Classes:
    """The answers of a model without boxes for one run of the page."""

    viewer = "viewer"
    asks = False
    base: Explanation | None = None

    def __init__(self, choices: Choices, explainer: Explainer) -> None:
        self.choices, self.explainer = choices, explainer
        self.label = _get_class(choices, explainer)

    def explain(self, *, quiet: bool = False) -> Explanation | None:
        """Return the maps, with that of the chosen class; None while running."""
        if explain_job.is_slow(self.choices.method):
            return self._explain_one()
        explanation = areas.explain(self.choices, self.explainer, quiet=quiet)
        return None if explanation is None else self.complete(explanation)

    def complete(self, explanation: Explanation) -> Explanation:
        """Return an explanation with the map of the chosen class."""
        return explain_job.class_of(explanation, self.label)[0]

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
        index = self.find_map(explanation) or 0
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
        _choose(None if chosen == 0 else labels[chosen])
        _draw_another(explanation, labels)
        if labels[chosen] not in mapped:
            # Its map may get another place: a new list starts at the class chosen here.
            state.of(state.ChosenClass).generation += 1
            st.rerun()
        return mapped.index(labels[chosen])

    def headline(self, explanation: Explanation, index: int) -> str:
        """Return the sentence over the picture."""
        return describe(explanation, HOT, index).short

    def maps(self, explanation: Explanation) -> tuple[Map, ...]:
        """Return the maps, in the order of the explanation."""
        return tuple(panels.heat(explanation, i) for i in range(len(explanation.heatmaps)))

    def marks(self, explanation: Explanation, index: int) -> tuple[Box, ...]:
        return panels.boxes(explanation, index)

    def draw_below(self, explanation: Explanation, index: int, view: View) -> None:
        """Draw the choices for a click on a segmentation."""
        if explanation.task.gives_pixels:
            areas.controls(explanation, index)

    def draw_numbers(self, explanation: Explanation, index: int) -> None:
        """Draw the map's most important numbers."""
        with st.container(horizontal=True):
            charts.numbers(explanation, index)
        charts.numbers_button(explanation, index)


def _get_class(choices: Choices, explainer: Explainer) -> str | None:
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


def _choose(label: str | None) -> None:
    chosen = state.of(state.ChosenClass)
    if chosen.label != label:
        # A run that closely follows another may see an address that looks right but never reached the browser.
        st.query_params["class"] = label or ""
    chosen.label = label
    url_state.write("class", label)


def _draw_another(explanation: Explanation, listed: Collection[str]) -> None:
    """Draw the menu of all classes not yet `listed`."""
    key, labels = "another-class", set(explanation.evidence.resident.adapter.labels)
    if labels <= set(listed):
        return

    def take() -> None:
        _choose(st.session_state[key])
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
