"""Choose a detector's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import streamlit as st

from sightglass.components import widgets
from sightglass.components.session import state, url_state
from sightglass.explain.findings import randomisation
from sightglass.explain.findings.reliability import reliability, subject_of
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import listing
from sightglass.explain.questions import Question, answers_why, settings
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Part
from sightglass.models.catalog import is_packaged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sightglass.explain import Explainer
    from sightglass.explain.findings.reliability import Reliability
    from sightglass.explain.questions import Preset
    from sightglass.models.spec import ModelSpec

T = TypeVar("T")
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
WITHIN = {
    "picture": "the whole picture",
    "inside": "inside the boxes only",
    "shared": "inside, rescaled together",
    "each": "inside, each box rescaled",
}
TAGS = {"number": "numbers", "name": "names", "score": "names and scores"}
QUESTIONS = {"where": "Where is it?", "why": "Why this class?"}
MASKED = ("class", "box", "all")
"""The parts that a method which masks the picture can explain."""


@dataclass
class Popover:
    """The state of the popover `More`."""

    open: bool = False
    just_opened: bool = False


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


def lens() -> str:
    """Choose the view: one box, all boxes or all layers."""
    return url_state.widget(
        st.segmented_control,
        "What is shown",
        {"one": "One box", "all": "All boxes", "layers": "Layers"},
        "one",
        key="lens",
        name="lens",
        label_visibility="collapsed",
        help="One box's map, every box's map, or one box at every layer; Compare has one object in several models.",
    )


def question(explainer: Explainer, method: str, options: dict[str, Any]) -> Question | None:
    """Choose a predefined question: a part, a method and layers at once.

    `options`: what the sidebar has so far.
    """
    spec, widgets = explainer.model, st.session_state
    ready = questions(explainer)
    if len(ready) < 2:
        return None
    part = options.get("part") or url_state.recall_value("part", PARTS, "class", name="part")
    if state.of(Popover).open:
        part = widgets.get("part", part)
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
        width="stretch",
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
    family = randomisation.family_of(explainer.model.task, explainer.resident)
    return {method for method in METHODS if randomisation.is_independent(family, _question(), method)}


def describe_dependence(explainer: Explainer, method: str) -> str:
    """Describe how often a method's map depended on the model, if measured."""
    family = randomisation.family_of(explainer.model.task, explainer.resident)
    return randomisation.describe_method(family, _question(), method) if _is_measured(explainer) else ""


def _is_measured(explainer: Explainer) -> bool:
    """Return whether figures of methods hold at the chosen layers."""
    if not task_of(explainer.model).randomised or not is_packaged(explainer.model):
        return False
    paths, key = {layer.path for layer in explainer.layers}, f"layers-{explainer.model.id}"
    remembered = url_state.recall_value(key, paths, [], name="layers", read=lambda text: text.split(","))
    # The control is drawn below the menu of methods: what is remembered is of the last run.
    return randomisation.asks_at(explainer.resident, _question(), st.session_state.get(key, remembered))


def _question() -> str:
    return randomisation.question_of(url_state.recall_value("part", PARTS, "class", name="part"))


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
    """Choose the rare options in a popover. `masks`: the method masks pictures."""
    adapter = explainer.resident.adapter
    popover = st.popover(
        "More",
        icon=":material/tune:",
        key="more",
        on_change="rerun",
        help="Which output to explain, and which boxes are shown.",
    )
    # A slider drawn before it is visible starts at its lowest value and reports that to Python: the contents are drawn
    # once the popover is open, and set anew in that run.
    menu = state.of(Popover)
    menu.just_opened, menu.open = bool(popover.open) and not menu.open, bool(popover.open)
    options: dict[str, Any] = {}
    with popover:
        parts = {
            part: PARTS[part] for part in get_args(Part) if part in adapter.parts and (part in MASKED or not masks)
        }
        options["part"] = _hidden(st.selectbox, "What is explained", parts, "class", key="part",
            help="Which output of the model for the chosen box to explain.")  # fmt: skip
        options["per"] = _hidden(st.selectbox, "One map for", PER, "detection", key="per",
            help="One box, all boxes of a class together, or everything the model found likely anywhere.")  # fmt: skip
        if options["per"] == "picture":
            options["ratio"] = _ratio()
        options["within"] = _hidden(st.selectbox, "Show the map in", WITHIN, "picture", key="within",
            help="Only changes the display: the map is computed everywhere.")  # fmt: skip
        options["classes"] = _only(f"only-{explainer.model.id}", sorted(set(adapter.labels)))
        options["iou"] = _overlap()
        tags = _hidden(st.selectbox, "Box labels", TAGS, "number", key="tags",
            help="What is written at a box that is not chosen.")  # fmt: skip
    return BoxOptions(options, tags)


def _hidden(
    draw: Callable[..., T | None],
    label: str,
    options: Collection[Any],
    first: T,
    *,
    key: str,
    name: str = "",
    read: Callable[[str], Any] = str,
    **about: Any,
) -> T:
    """Draw a widget in the open popover and return its value.

    While it is closed nothing is set: the value of a widget that is not drawn would come up again after it was removed.
    """
    value: T = url_state.recall_value(key, options, first, name=name or key, read=read)
    menu = state.of(Popover)
    if menu.just_opened or (menu.open and key not in st.session_state):
        st.session_state[key] = value
    if menu.open:
        # In a callback too: the popover may be closed before the run that draws the new value reaches this line.
        about |= {"on_change": lambda: url_state.keep(key, st.session_state.get(key))}
        chosen = url_state.draw_widget(draw, label, options, key=key, **about)
        value = first if chosen is None else chosen
    url_state.keep(key, value, first, name=name or key)
    return value


def _ratio() -> float:
    share = _hidden(
        st.select_slider,
        "Strongest candidates",
        {share: f"{share:g} %" for share in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)},
        2.0,
        key="ratio",
        read=float,
        help="The map sums this share of all raw candidates, strongest first, whether shown as boxes or not.",
    )
    return share / 100


def _only(key: str, labels: list[str]) -> tuple[str, ...]:
    only: list[str] = _hidden(
        st.multiselect,
        "Only these classes",
        labels,
        [],
        key=key,
        name="only",
        read=lambda text: text.split(","),
        placeholder="all classes",
        help="Hide the boxes of all other classes.",
    )
    return tuple(only)


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


def _overlap() -> float:
    most = _hidden(
        st.slider,
        "Maximum overlap",
        range(5, 101),
        70,
        key="iou",
        read=int,
        min_value=5,
        max_value=100,
        step=5,
        format="%d %%",
        help="Of two boxes of a class that overlap more than this, the weaker one is removed. "
        "No effect on models that need no such step.",
    )
    return most / 100


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
