"""Choose a detector's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import streamlit as st

from sightglass.components import widgets
from sightglass.components.session import state, url_state
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import listing
from sightglass.explain.questions import Question, answers_why, settings
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.reliability import (
    asks_at,
    describe_method,
    family_of,
    is_independent,
    question_of,
    reliability,
    subject_of,
)
from sightglass.models.adapter import Part
from sightglass.models.catalog import is_packaged

if TYPE_CHECKING:
    from sightglass.explain import Explainer
    from sightglass.explain.questions import Preset
    from sightglass.explain.trust.reliability import Reliability
    from sightglass.models.spec import ModelSpec

PARTS: dict[str, str] = {
    "class": "its class",
    "contrast": "why this class and not another",
    "box": "its box",
    "left": "its left side",
    "top": "its top side",
    "right": "its right side",
    "bottom": "its bottom side",
    "objectness": "that there is an object",
    "mask": "its mask",
    "all": "everything about it",
    "signed": "what raises it and what lowers it",
    "lowers": "what lowers it",
}
PER = {"detection": "one box", "class": "all boxes of a class", "picture": "the whole picture"}
WITHIN = ("picture", "inside", "shared", "each")
TAGS = ("number", "name", "score")
RATIOS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Shares of all raw candidates that the map of a whole picture sums, in percent."""
QUESTIONS = {"where": "Where", "why": "Why"}
MASKED = ("class", "box", "all")
"""The parts that a method which masks the picture can explain."""


@dataclass
class QuestionControl:
    """The control that asks a question, as it was drawn last."""

    key: str = ""


@dataclass(frozen=True)
class BoxOptions:
    """The options of a detector beyond the sidebar's."""

    options: dict[str, Any]
    """Keyword arguments of an Explainer."""
    tags: str
    """What is written at a box that is not chosen: `number`, `name` or `score`."""

    @property
    def per(self) -> str:
        return str(self.options["per"])


def question(explainer: Explainer, method: str, options: dict[str, Any]) -> Question | None:
    """Choose a predefined question: a part, a method and layers at once.

    `options`: what the sidebar has so far.
    """
    spec, widgets = explainer.model, st.session_state
    ready = questions(explainer)
    if len(ready) < 2:
        return None
    recalled = url_state.recall_value("part", PARTS, "class", name="part")
    part = options.get("part") or widgets.get("part") or recalled
    now = {"part": part, "method": method, "layers": tuple(options.get("layers", ()))}
    question = next((name for name, choice in ready.items() if choice == now), None)
    # Another widget for each answer: a click that was on its way while the answer changed asks nothing; nor does a
    # request that still brings the value of a control that is gone.
    key = state.of(QuestionControl).key = f"question-{question or 'own'}"

    def ask() -> None:
        asks = state.of(QuestionControl).key == key and widgets[key] != question
        if asks and (choice := ready.get(widgets[key])) is not None:
            widgets[f"method-{spec.task}"], widgets[f"layers-{spec.id}"] = choice["method"], list(choice["layers"])
            url_state.put("part", choice["part"], drawn_only=True)

    st.segmented_control(
        "Question",
        [*ready],
        format_func=QUESTIONS.__getitem__,
        default=question,
        required=True,
        key=key,
        on_change=ask,
        label_visibility="collapsed",
        width="content",
        help="Where is it: what raises the class's score. Why this class: what sets it apart from the other classes. "
        "Neither is marked once you choose a method, layers or a part yourself.",
    )
    return question


def questions(explainer: Explainer) -> dict[Question, Preset]:
    """Return the part, method and layers of each question for a model."""
    resident = explainer.resident
    return {name: settings(resident, name) for name in get_args(Question)} if answers_why(resident) else {}


def reliabilities(model: ModelSpec, *, queries: bool = False) -> dict[str, Reliability]:
    """Return each method's reliability on drawn scenes for the current question.

    `queries`: of a detector whose boxes are queries.
    """
    if not is_packaged(model):
        return {}
    measured = {method: reliability(subject_of(model.task, queries=queries), _question(), method) for method in METHODS}
    return {method: result for method, result in measured.items() if result is not None}


def independent(explainer: Explainer) -> set[str]:
    """Return the methods with nearly the same map under random weights."""
    if not _is_measured(explainer):
        return set()
    family = family_of(explainer.model.task, explainer.resident)
    return {method for method in METHODS if is_independent(family, _question(), method)}


def describe_dependence(explainer: Explainer, method: str) -> str:
    """Describe how often a method's map depended on the model, if measured."""
    family = family_of(explainer.model.task, explainer.resident)
    return describe_method(family, _question(), method) if _is_measured(explainer) else ""


def _is_measured(explainer: Explainer) -> bool:
    """Return whether figures of methods hold at the chosen layers."""
    if not task_of(explainer.model).randomised or not is_packaged(explainer.model):
        return False
    paths, key = {layer.path for layer in explainer.layers}, f"layers-{explainer.model.id}"
    remembered = url_state.recall_value(key, paths, [], name="layers", read=lambda text: text.split(","))
    # The control is drawn below the menu of methods: what is remembered is of the last run.
    return asks_at(explainer.resident, _question(), st.session_state.get(key, remembered))


def _question() -> str:
    return question_of(url_state.recall_value("part", PARTS, "class", name="part"))


def part(explainer: Explainer) -> Part:
    """Choose the explained part of a class, on pages without the popover."""
    parts = explainer.resident.adapter.parts
    # A model that starts with another part (for prompts, the contrast) remembers its own.
    key = "part" if parts[0] == "class" else f"part-{parts[0]}"
    return url_state.widget(
        st.selectbox,
        "What is explained",
        {part: "what raises it" if "lowers" in parts and part == "class" else PARTS[part] for part in parts},
        parts[0],
        key=key,
        name="part",
        help="Which output of the model to explain.",
    )


def more(explainer: Explainer, *, masks: bool) -> BoxOptions:
    """Choose the rare options in a popover. `masks`: the method masks pictures.

    The rarest are read from the address alone: `within`, `iou` and `tags`, and `ratio` for the whole picture.
    """
    parts = {
        part: PARTS[part]
        for part in get_args(Part)
        if part in explainer.resident.adapter.parts and (part in MASKED or not masks)
    }
    with st.popover(
        "More", icon=":material/tune:", key="more", help="Which output to explain, and which boxes are shown."
    ):
        options: dict[str, Any] = {
            "part": url_state.widget(
                st.selectbox,
                "What is explained",
                parts,
                "class",
                key="part",
                name="part",
                help="Which output of the model for the chosen box to explain.",
            ),
            "per": url_state.widget(
                st.selectbox,
                "One map for",
                PER,
                "detection",
                key="per",
                name="per",
                help="One box, all boxes of a class together, or everything the model found likely anywhere.",
            ),
        }
        only: list[str] = url_state.widget(
            st.multiselect,
            "Only these classes",
            sorted(set(explainer.resident.adapter.labels)),
            [],
            key=f"only-{explainer.model.id}",
            name="only",
            read=lambda text: text.split(","),
            placeholder="all classes",
            help="Hide the boxes of all other classes.",
        )
    options["classes"] = tuple(only)
    options["within"] = url_state.recall_value("within", WITHIN, "picture", name="within")
    options["iou"] = url_state.recall_value("iou", range(5, 101), 70, name="iou", read=int) / 100
    if options["per"] == "picture":
        options["ratio"] = url_state.recall_value("ratio", RATIOS, 2.0, name="ratio", read=float) / 100
    return BoxOptions(options, url_state.recall_value("tags", TAGS, "number", name="tags"))


def filter_chip(explainer: Explainer, request: BoxOptions) -> None:
    """Show the class filter, if any, as a button for its removal."""
    if only := request.options["classes"]:
        st.button(
            f"Only {listing(list(only))}",
            icon=":material/close:",
            icon_position="right",
            key="filter-chip",
            on_click=url_state.put,
            args=(f"only-{explainer.model.id}", []),
            kwargs={"drawn_only": True},
            help="Boxes of other classes are hidden, in the next pictures too. Press it to show all classes again.",
        )


def confidence() -> float:
    """Choose the minimum score of the boxes, 0..1."""
    share = url_state.widget(
        st.slider,
        "Show boxes above",
        range(1, 96),
        25,
        key="confidence",
        name="confidence",
        read=int,
        min_value=1,
        max_value=95,
        format="%d %%",
        help=widgets.TERMS["score threshold"],
    )
    return share / 100


def remembered(explainer: Explainer) -> dict[str, Any]:
    """Return the score threshold and part of a view that has no controls for them."""
    share = url_state.recall_value("confidence", range(1, 96), 25, name="confidence", read=int)
    part = url_state.recall_value("part", explainer.resident.adapter.parts, "class", name="part")
    return {"confidence": share / 100, "part": part}


def parse_place(text: str, width: int, height: int) -> tuple[float, float, float, float] | None:
    """Parse a place, `x,y` or `x0,y0,x1,y1`; None outside the picture."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        return None
    if len(numbers) not in (2, 4):
        return None
    x0, y0, x1, y1 = (numbers * 2)[:4]
    return (x0, y0, x1, y1) if 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height else None


def write(place: tuple[float, float, float, float]) -> str:
    """Write a place for the address; a point as two numbers."""
    numbers = [f"{edge:.0f}" for edge in place]
    return ",".join(numbers[:2] if place[:2] == place[2:] else numbers)
