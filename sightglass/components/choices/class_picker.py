"""Choose the class whose map is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import state, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.widgets import Row, rows
from sightglass.explain.comparison.models import score_of_map
from sightglass.explain.phrases import describe_score

if TYPE_CHECKING:
    from collections.abc import Collection

    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer, Explanation
    from sightglass.models.spec import ModelSpec


def get_class(choices: Choices, explainer: Explainer) -> str | None:
    """Return the class chosen for this picture, at first the address's; None: the model's best."""
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
    _choose(None)
    state.of(state.ChosenClass).generation += 1


def one(choices: Choices, explainer: Explainer, label: str | None) -> Explanation | None:
    """Explain only the class that is shown, for a slow method; None while that is running."""
    if label not in (choices.options.get("vocabulary") or explainer.labels):
        predicted = explain_job.predict(choices, explainer)
        if not predicted.predictions:
            return predicted
        label = predicted.predictions[0].label
    return explain_job.explain(choices, explainer, targets=(label,))


def answers(explanation: Explanation, index: int) -> int:
    """Draw the list of answers, and return the index of the chosen one's map.

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
    items = [_row(label, scores.get(label, []), explanation.model) for label in labels]
    chosen = rows(items, key=key, chosen=labels.index(mapped[index]))
    _choose(None if chosen == 0 else labels[chosen])
    _another(explanation, labels)
    if labels[chosen] not in mapped:
        # Its map may get another place: a new list starts at the class chosen here.
        state.of(state.ChosenClass).generation += 1
        st.rerun()
    return mapped.index(labels[chosen])


def _row(label: str, scores: list[float], model: ModelSpec) -> Row:
    best = max(scores, default=0.0)
    # A number is no share of anything, which a bar would show.
    share = None if model.measures else best
    # Two classes of one name, as ImageNet has, are not one class found twice.
    boxes = len(scores) if model.task == "detect" else 1
    return Row(row_label(label, boxes), share, describe_score(best, model, label) if scores else "–")


def row_label(label: str, boxes: int) -> str:
    """Return what the list calls a class; `boxes`: how often it was found."""
    return f"{boxes} × {label}" if boxes > 1 else label


def _choose(label: str | None) -> None:
    chosen = state.of(state.ChosenClass)
    if chosen.label != label:
        # A run that closely follows another may see an address that looks right but never reached the browser.
        st.query_params["class"] = label or ""
    chosen.label = label
    url_state.write("class", label)


def _another(explanation: Explanation, listed: Collection[str]) -> None:
    """Draw the menu of all classes, unless all are `listed`; one chosen becomes a row, and the menu is empty again."""
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


def menu(explanation: Explanation, index: int) -> None:
    """Draw a menu of the classes that have a map, for a page without their list; it starts at the map at `index`."""
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    key = f"map-of-{explanation.image.sha256[:12]}-{explanation.model.id}"
    st.session_state[key] = labels[index]

    def take() -> None:
        _choose(st.session_state[key])
        # The list on another page starts at the class chosen here.
        state.of(state.ChosenClass).generation += 1

    st.selectbox(
        "Map of",
        labels,
        key=key,
        on_change=take,
        label_visibility="collapsed",
        help="The class whose map is tested. Any other class can be chosen on Explore.",
    )
