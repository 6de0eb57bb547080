"""What a person asks about boxes: which are shown, what of them is explained, and where the map is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import streamlit as st

from components.session import url_state
from explain.findings.reliability import reliability
from explain.methods import METHODS
from models.adapter import Part

if TYPE_CHECKING:
    from explain import Explainer
    from explain.findings.reliability import Reliability
    from explain.questions import Question

LENSES = ("one", "all", "layers", "sizes")
_LENSES = {"one": "One box", "all": "All boxes", "layers": "Layers", "sizes": "Sizes"}
PARTS: dict[str, str] = {
    "class": "its class",
    "contrast": "why this class and not another",
    "box": "its box",
    "left": "its left side",
    "top": "its top side",
    "right": "its right side",
    "bottom": "its bottom side",
    "objectness": "that something is there",
    "mask": "its mask",
    "all": "all of it",
}
PER = {"detection": "one box", "class": "all boxes of a class", "picture": "the whole picture"}
WITHIN = {
    "picture": "the whole picture",
    "inside": "inside the boxes only",
    "shared": "inside, rescaled together",
    "each": "inside, each box rescaled",
}
TAGS = {"number": "numbers", "name": "names", "score": "names and scores"}
RATIOS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Percent of all candidates."""
MASKED = ("class", "box", "all")
"""The parts that a method which hides the picture can explain."""


@dataclass(frozen=True)
class Asked:
    """`options` are keyword arguments of an Explainer; `tags` is what stands at a box that is not chosen."""

    options: dict[str, Any]
    tags: str

    @property
    def per(self) -> str:
        return str(self.options["per"])


def lens() -> str:
    """One box, all of them, one through all layers, or one through several models."""
    url_state.recall("lens", LENSES, "one", name="lens")
    chosen = st.segmented_control(
        "What is shown",
        LENSES,
        required=True,
        format_func=_LENSES.__getitem__,
        key="lens",
        label_visibility="collapsed",
        help="One box's map, every box's, one box's map at every layer, or the same object in models of several sizes.",
    )
    url_state.keep("lens", chosen, "one", name="lens")
    return chosen or "one"


def question(explainer: Explainer, method: str, options: dict[str, Any]) -> Question | None:
    """Two ready-made questions, each a part, a method and layers at once; none is marked when something differs.

    `options`: what the sidebar has so far.
    """
    spec, state = explainer.model, st.session_state
    ready = asked_of(explainer)
    if len(ready) < 2:
        return None
    part = options.get("part") or url_state.remembered("part", PARTS, "class", name="part")
    if state.get("more-open"):
        part = state.get("part", part)
    now = {"part": part, "method": method, "layers": tuple(options.get("layers", ()))}
    state["question"] = next((name for name, wanted in ready.items() if wanted == now), None)

    def ask() -> None:
        if (chosen := state["question"]) is not None:
            wanted = ready[chosen]
            state[f"method-{spec.task}"], state[f"layers-{spec.id}"] = wanted["method"], list(wanted["layers"])
            url_state.keep("part", wanted["part"])
            if "part" in state:
                state["part"] = wanted["part"]

    return st.segmented_control(
        "Question",
        list(ready),
        format_func={"where": "Where is it?", "why": "Why this class?"}.__getitem__,
        key="question",
        on_change=ask,
        width="stretch",
        wrap=True,
        help="Where is it: the class score, near the model's output. Why this class: its score against the other "
        "classes, by LayerCAM, early enough in the model for parts of an object.",
    )


def asked_of(explainer: Explainer) -> dict[Question, dict[str, Any]]:
    """What each question that a model can answer stands for; none of a model without layers."""
    from explain.questions import Question, answers_why, settings

    resident = explainer.resident
    return {asked: settings(resident, asked) for asked in get_args(Question)} if answers_why(resident) else {}


def found(task: str) -> dict[str, Reliability]:
    """What drawn scenes said of each method, for what is asked now."""
    part = url_state.remembered("part", PARTS, "class", name="part")
    made = {method: reliability(task, "why" if part == "contrast" else "where", method) for method in METHODS}
    return {method: one for method, one in made.items() if one is not None}


def part(explainer: Explainer) -> Part:
    """What of a class is explained, for the screens that have no more than that to ask."""
    parts = explainer.resident.adapter.parts
    # A model that starts with another part (of prompts, their contrast) remembers its own.
    first, key = parts[0], "part" if parts[0] == "class" else f"part-{parts[0]}"
    url_state.recall(key, parts, first, name="part")
    chosen: Part = st.selectbox(
        "What is explained",
        parts,
        format_func=PARTS.__getitem__,
        key=key,
        help="What the model computed that the map shows the reasons of.",
    )
    url_state.keep(key, chosen, first, name="part")
    return chosen


def more(explainer: Explainer, *, masks: bool) -> Asked:
    """What is seldom changed, in a popover; each choice is in the address. `masks`: the method hides the picture."""
    adapter = explainer.resident.adapter
    popover = st.popover(
        "More",
        icon=":material/tune:",
        key="more",
        on_change="rerun",
        help="What is explained, and which boxes are shown.",
    )
    # A slider that is in the page before it is seen comes up at its lowest value and tells Python so: what is in here
    # is drawn when it is opened, and set anew in that run.
    state = st.session_state
    state["more-opened"], state["more-open"] = popover.open and not state.get("more-open"), popover.open
    options: dict[str, Any] = {}
    with popover:
        parts = [part for part in get_args(Part) if part in adapter.parts and (part in MASKED or not masks)]
        options["part"] = _select("part", parts, "class", PARTS, "What is explained",
            "Of the chosen box: what the model computed that the map explains.")  # fmt: skip
        options["per"] = _select("per", list(PER), "detection", PER, "A map for",
            "One box, all boxes of a class together, or everything the model found likely anywhere.")  # fmt: skip
        if options["per"] == "picture":
            options["ratio"] = _ratio()
        options["within"] = _select("within", list(WITHIN), "picture", WITHIN, "Show the map",
            "A matter of display: what lies outside of the boxes is computed all the same.")  # fmt: skip
        options["classes"] = _only(f"only-{explainer.model.id}", sorted(set(adapter.labels)))
        options["iou"] = _overlap()
        tags = _select("tags", list(TAGS), "number", TAGS, "At the boxes", "What stands at a box that is not chosen.")
    return Asked(options, tags)


def _drawn(key: str, value: Any) -> bool:
    """Whether the popover is open; a widget that comes with it is given its value. A closed one is left alone: what is
    set under the name of a widget that is not there comes up again when the widget has gone."""
    state = st.session_state
    if state["more-opened"] or (state["more-open"] and key not in state):
        state[key] = value
    return bool(state["more-open"])


def _ratio() -> float:
    share: float = url_state.remembered("ratio", RATIOS, 2.0, name="ratio", read=float)
    if _drawn("ratio", share):
        share = st.select_slider(
            "Strongest candidates",
            RATIOS,
            format_func=lambda share: f"{share:g} %",
            key="ratio",
            help="The map sums this share of all raw candidates, the strongest ones, shown as boxes or not.",
        )
    url_state.keep("ratio", share, 2.0, name="ratio")
    return share / 100


def _only(key: str, labels: list[str]) -> tuple[str, ...]:
    only: list[str] = url_state.remembered(key, labels, [], name="only", read=lambda text: text.split(","))
    if _drawn(key, only):
        only = st.multiselect(
            "Only these classes",
            labels,
            key=key,
            placeholder="all classes",
            help="Boxes of other classes are left out.",
        )
    url_state.keep(key, only)
    url_state.write("only", ",".join(only), "")
    return tuple(only)


def _overlap() -> float:
    most: int = url_state.remembered("iou", range(5, 101), 70, name="iou", read=int)
    if _drawn("iou", most):
        most = st.slider(
            "Overlap that is allowed",
            5,
            100,
            step=5,
            format="%d %%",
            key="iou",
            help="Of two boxes of a class that overlap more than this, the weaker one is left out. Models that need no "
            "such step pass it over.",
        )
    url_state.keep("iou", most, 70, name="iou")
    return most / 100


def above() -> float:
    """The score from which boxes are shown, 0..1."""
    url_state.recall("confidence", range(1, 96), 25, name="confidence", read=int)
    share = st.slider(
        "Show boxes above",
        1,
        95,
        format="%d %%",
        key="confidence",
        help="Boxes whose score is lower are left out.",
    )
    url_state.keep("confidence", share, 25, name="confidence")
    return share / 100


def place(text: str, width: int, height: int) -> tuple[float, float, float, float] | None:
    """xyxy of a place as an address has it, `x,y` or `x0,y0,x1,y1` in pixels; None where that is not in the picture."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        return None
    if len(numbers) not in (2, 4):
        return None
    x0, y0, x1, y1 = (numbers * 2)[:4]
    return (x0, y0, x1, y1) if 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height else None


def written(place: tuple[float, float, float, float]) -> str:
    """A place for the address; a point by its two numbers."""
    numbers = [f"{edge:.0f}" for edge in place]
    return ",".join(numbers[:2] if place[:2] == place[2:] else numbers)


def _select(key: str, options: list[str], first: str, words: dict[str, str], label: str, help: str) -> str:
    chosen: str = url_state.remembered(key, options, first, name=key)
    if _drawn(key, chosen):
        chosen = st.selectbox(label, options, format_func=lambda option: words.get(option, option), key=key, help=help)
    url_state.keep(key, chosen, first, name=key)
    return chosen
