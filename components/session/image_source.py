"""Hold the pictures of a session: bundled examples, what was uploaded, and which one is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from common import packaged
from components.session import state, url_state
from explain.picture.examples import EXAMPLES as EXAMPLES
from explain.picture.examples import bundled
from explain.picture.examples import example_named as example_named
from explain.picture.image import Image

FIRST = "bus"
MAX_OWN = 12
"""Pictures of one session that stay in memory; the oldest is dropped first."""


@dataclass
class Pictures:
    """The session's own pictures. Which one is chosen is the value of the widget `picture`, or `example`."""

    own: dict[str, Image] = field(default_factory=dict)
    """By SHA-256, oldest first."""
    problem: str | None = None
    """What was wrong with the last upload."""
    just_given: bool = False
    """Whether a new picture is all that changed since the last run."""
    uploads: int = 0
    """Counts uploads: each gets an uploader of its own."""


def own() -> dict[str, Image]:
    """Return the session's own pictures, by SHA-256, oldest first."""
    return state.of(Pictures).own


example = st.cache_data(show_spinner=False, max_entries=12)(bundled)
"""`bundled`, for pages."""


def is_photograph() -> bool:
    """Return whether a bundled photograph is chosen."""
    return st.session_state.get("picture") is None and st.session_state.example in packaged.PHOTOGRAPHS


def is_own() -> bool:
    """Return whether the chosen picture is none of the examples: an address cannot name it."""
    return st.session_state.get("picture") is not None


def current() -> Image:
    """Return the chosen picture, and write it to the address where the address can name it."""
    chosen = st.session_state.get("picture")
    url_state.keep("picture", chosen)
    if chosen in own():
        url_state.write("example", None)
        return own()[chosen]
    url_state.keep("example", st.session_state.example, FIRST, name="example")
    return example(st.session_state.example)


def just_given() -> Image | None:
    """Return the picture that was just uploaded, once, if it is the reason for this run."""
    pictures = state.of(Pictures)
    new, pictures.just_given = pictures.just_given, False
    return pictures.own.get(st.session_state.picture) if new else None


# The following run in callbacks, before the page is drawn, when the choice of picture may still be set.


def turn_to(image: Image) -> None:
    """Choose a picture that is no example, and keep it with the session's own."""
    pictures = state.of(Pictures)
    pictures.own.pop(image.sha256, None)
    pictures.own[image.sha256] = image
    while len(pictures.own) > MAX_OWN:
        del pictures.own[next(iter(pictures.own))]
    st.session_state.picture, pictures.problem = image.sha256, None


def turn_to_example(name: str) -> None:
    """Choose an example by its name."""
    url_state.put("example", name)
    url_state.put("picture", None)
    state.of(Pictures).problem = None
