"""Say whose session this is: everything that Streamlit runs for it works for that person."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from common import users
from components.session import state


@dataclass
class Person:
    """Whose session this is."""

    user: users.User = users.LOCAL


def enter(user: users.User) -> None:
    """Make this session a person's, at the start of a run; one that was somebody else's forgets everything."""
    if users.owner(state.of(Person).user) != users.owner(user):
        # Their pictures, maps and choices; work in threads is cancelled with the objects that hold it.
        st.session_state.clear()
    state.of(Person).user = user


@users.asks
def _of_session() -> users.User | None:
    if get_script_run_ctx(suppress_warning=True) is None:
        return None
    # Not state.of, which would make one: whoever only asks changes nothing.
    held = st.session_state.get(state.key(Person))
    return held.user if isinstance(held, Person) else None
