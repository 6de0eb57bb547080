"""Which class is looked at: the list of answers to click, any other class by name, and the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from components.answer_list import Row, rows
from components.session import explain_job, url_state
from explain.phrases import percent

if TYPE_CHECKING:
    from components.choices.sidebar import Choices
    from explain import Explainer, Explanation, Image


def wanted(image: Image) -> str | None:
    """The class that was chosen for this picture, first of all by the address; None: the model's best."""
    state = st.session_state
    if state.get("class_of") != image.sha256:
        state["class"] = None if "class_of" in state else st.query_params.get("class")
        state["class_of"] = image.sha256
    chosen: str | None = state["class"]
    return chosen


def one(choices: Choices, explainer: Explainer, label: str | None) -> Explanation | None:
    """For a slow method: only the class that is looked at. None while it is in the making."""
    if label not in (choices.options.get("vocabulary") or explainer.labels):
        said = explainer(choices.image, maps=False, **choices.options)
        if not said.predictions:
            return said
        label = said.predictions[0].label
    return explain_job.explained(choices, explainer, targets=(label,))


def answers(explanation: Explanation, index: int) -> int:
    """What the model said, to click; returns the place of the chosen class among the explanation's maps.

    A click on a class whose map is not held (a slow method makes one at a time) starts the page again for it.
    """
    scores: dict[str, list[float]] = {}
    for prediction in explanation.predictions:
        scores.setdefault(prediction.label, []).append(prediction.score)
    held = [heatmap.target.label for heatmap in explanation.heatmaps]
    # Rows in the order of the maps, so that a click finds its map in the browser by its place.
    order = [*scores, *held] if len(held) == 1 else [*held, *scores]
    labels = list(dict.fromkeys(order))
    at = labels.index(held[index])
    key = f"rows-{st.session_state.setdefault('rows', 0)}-{explanation.image.sha256[:12]}-{explanation.model.id}"
    chosen = rows([_row(label, scores.get(label, [])) for label in labels], key=f"{key}-{len(labels)}", chosen=at)
    _choose(None if chosen == 0 else labels[chosen])
    _another(explanation)
    if labels[chosen] not in held:
        # Its map may come to another place: the list starts anew, at the class that was chosen here.
        st.session_state["rows"] += 1
        st.rerun()
    return held.index(labels[chosen])


def _row(label: str, scores: list[float]) -> Row:
    best = max(scores, default=0.0)
    return Row(f"{len(scores)} × {label}" if len(scores) > 1 else label, best, percent(best) if scores else "–")


def _choose(label: str | None) -> None:
    if st.session_state.get("class") != label:
        # A run that follows fast on another is told of an address that the other's has not reached: it may seem right.
        st.query_params["class"] = label or ""
    st.session_state["class"] = label
    url_state.write("class", label)


def _another(explanation: Explanation) -> None:
    """A class by name, as a command: chosen, it becomes a row, and the box is empty again."""
    key, labels = "another-class", set(explanation.evidence.resident.adapter.labels)
    if not labels:
        return

    def take() -> None:
        _choose(st.session_state[key])
        st.session_state[key] = None
        # A list with another name starts at the class that was chosen here.
        st.session_state["rows"] += 1

    st.selectbox(
        "Another class",
        sorted(labels),
        index=None,
        key=key,
        on_change=take,
        placeholder="Another class",
        label_visibility="collapsed",
        help="Any class that the model knows: what in the picture would speak for it?",
    )
