"""Tour of the start page."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import streamlit as st

from sightglass.components.declare import declare
from sightglass.components.glossary import TERMS
from sightglass.components.session import state

_component = declare("tour", __file__)


@dataclass(frozen=True)
class TourStep:
    """What the card says, and where it points."""

    title: str
    text: str
    """`{score}` is a term of the glossary, explained on hover."""
    at: tuple[str, ...]
    """CSS selectors of the page; the first that is there and visible is framed."""


STEPS = (
    TourStep(
        "Your picture",
        "Drop a picture here, paste or upload one, or take an example. The model looks at it at once; the "
        "sidebar has others.",
        (".st-key-picture-bar",),
    ),
    TourStep(
        "What the model says",
        "Its answers, the surest first, each with its {score}. Choose one to see what speaks for it.",
        ('[class*="st-key-rows-"]', ".st-key-another-class"),
    ),
    TourStep(
        "Where it looked",
        "The {map} shows the {evidence} for that answer. The bar of colours below it keeps only the hottest part.",
        (".st-key-viewer",),
    ),
    TourStep(
        "Is that true?",
        "Three marks say whether the map depends on the model, matters to the answer and holds still. "
        "{maps of other pictures} are what it is compared with.",
        (".st-key-seal", ".st-key-prove-it"),
    ),
    TourStep(
        "There is more",
        "The menus have boxes, several models side by side, many pictures, and the camera. A question mark explains "
        "what it stands beside.",
        ('[data-testid="stTopNav"]', '[data-testid="stExpandSidebarButton"]'),
    ),
)


@dataclass
class TourRequests:
    """How often this session asked for the tour."""

    clicks: int = 0


def tour() -> None:
    """Draw the tour on the start page: in a browser that never had it, and wherever `door` was pressed."""
    used = {term: TERMS[term] for step in STEPS for term in re.findall(r"\{([\w ]+)\}", step.text)}
    data = {"steps": [asdict(step) for step in STEPS], "terms": used, "clicks": state.of(TourRequests).clicks}
    _component(key="tour", data=data, height=1)


def door() -> None:
    """Draw the button that shows the tour again, on the start page."""
    if state.of(state.Navigation).page == "explore":
        st.button(
            "Show the tour",
            icon=":material/tour:",
            type="tertiary",
            key="show-tour",
            on_click=_ask,
            help="Five steps that say what is where.",
        )


def _ask() -> None:
    state.of(TourRequests).clicks += 1
