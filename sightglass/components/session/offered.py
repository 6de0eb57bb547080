"""Hide controls that a role may not use.

What a role may do is checked again where it is done: a page that does not offer it is a courtesy.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from sightglass.common import users


def button(label: str, **more: Any) -> bool:
    """Draw a button, as `st.button`; nothing for a viewer."""
    return users.may_save() and st.button(label, **more)


def say_not(what: str) -> None:
    """Say to a viewer what is not offered here, as `start a batch`, and whom to ask for it; nothing to others."""
    if not users.may_save():
        st.caption(f":material/visibility: {users.refusal(what)}")
