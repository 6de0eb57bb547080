"""Say what of a link could not be used."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from sightglass.common import removed
from sightglass.components.session import state
from sightglass.components.session.markdown import escape, shorten

MAX_VALUE = 40
"""Characters that are shown of a value."""


@dataclass
class Unused:
    """Sentences on what was left out of this session's links."""

    waiting: list[str] = field(default_factory=list)
    said: set[str] = field(default_factory=set)


def leave_out(name: str, value: str) -> None:
    """Note that a parameter of the address has a value that nothing here is called."""
    shown = shorten(" ".join(value.split()), MAX_VALUE)
    _note(f"The link's {name.replace('-', ' ')} “{escape(shown)}” is not offered here: it was left out.")


def miss_page() -> None:
    """Note that no page is at the address."""
    _note("There is no page at this address: this is Explore.")


def miss_removed_page(name: str) -> None:
    """Note what to use instead of a page that was removed."""
    _note(removed.PAGES[name])


def say() -> None:
    """Say what was left out, once, in a line that stays until it is dismissed and moves nothing."""
    unused = state.of(Unused)
    for words in unused.waiting:
        st.toast(words, icon=":material/link_off:", duration="infinite")
    unused.said.update(unused.waiting)
    unused.waiting.clear()


def _note(words: str) -> None:
    unused = state.of(Unused)
    if words not in unused.said and words not in unused.waiting:
        unused.waiting.append(words)
