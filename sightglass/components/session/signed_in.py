"""Resolve the page's signed-in user."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from sightglass.common import users
from sightglass.common.access import policy, rates, visit
from sightglass.components.session import provider, state
from sightglass.components.session.markdown import shorten
from sightglass.components.streamlit_internals import script_context

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from sightglass.common.users import User

MAX_NAME = 24
"""Characters of a name in the bar."""


@dataclass
class Owner:
    """Whose session this is."""

    id: str = ""


def install() -> None:
    """Ask here for whom callbacks, fragments and dialogs run, which no block of the script reaches."""
    users.resolve_with(_resolve if policy.in_use().asks else None)


def _resolve() -> User:
    if script_context() is None:
        return users.NOBODY
    return who() or users.NOBODY


def who() -> User | None:
    """Return who opened this page; None after signing out in another tab, or once taken off the list."""
    if not policy.in_use().asks:
        return users.LOCAL
    found = visit.unseal(st.context.headers.get(visit.HEADER))
    return found.user() if found else None


@contextmanager
def running() -> Iterator[User]:
    """Run a page for whoever opened it; stops with a sentence where that is nobody any more."""
    user = who()
    if user is None:
        _stop("You are signed out.", f"[Sign in]({provider.base_path()}/sign-in)")
    if policy.in_use().way != "local":
        address = rates.of_address(st.context.ip_address or "")
        if wait := rates.of_person(user.id if policy.in_use().asks else f"{address} pages"):
            _stop(f"You are opening pages faster than this server allows: reload this one in {wait} s.")
    owner = state.of(Owner)
    if owner.id not in ("", user.id):
        # A connection of somebody else has taken over this session: nothing of it may show, and threads that work for
        # it end with the objects that hold them.
        st.session_state.clear()
    state.of(Owner).id = user.id
    with users.acting(user):
        yield user


def menu(user: User, others: Container[str]) -> dict[str, dict[str, tuple[str, str, str]]]:
    """Return the menu of whoever is signed in, named after this person, with its page; none where nobody signs in."""
    if not policy.in_use().asks:
        return {}
    name = shorten(" ".join(user.name.split()) or "Account", MAX_NAME)
    help = f"Signed in as {name}: sign out, and make tokens for programs."
    return {f"{name} (you)" if name in others else name: {"account": ("Account", "person", help)}}


def _stop(sentence: str, link: str = "") -> NoReturn:
    st.info(f"{sentence} {link}", icon=":material/lock:")
    st.stop()
