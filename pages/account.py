"""Account: sign-in, tokens, and the list of people."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

import streamlit as st

from sightglass.common import users
from sightglass.common.access import attempts, passwords, people, policy
from sightglass.common.errors import Problem
from sightglass.common.users import Role
from sightglass.components.session import page, provider, state
from sightglass.components.session.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = get_args(Role)
MEANING = {
    "admin": "administrator: everything, and this list",
    "user": "user: explores and saves",
    "viewer": "viewer: explores, and saves nothing",
}


@dataclass
class Shown:
    """A token that was just made, which is shown once."""

    token: str = ""


@page.guard
def account() -> None:
    user = users.current()
    with st.container(width=720):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader(f"Signed in as {escape(user.name)}", anchor=False, width="content")
            if policy.in_use().way != "proxy":
                # A link, because only the server's own answer can take the cookie away.
                _link("Sign out", f"{provider.base_path()}/sign-out")
        st.caption(f"Your role is {MEANING[user.role]}.")
        person = people.find(user.id)
        if person is not None and person.has_password:
            _password(user.id)
        if user.id != policy.SHARED:
            _tokens(user.id)
        if user.role == "admin":
            _people(user.id)


@contextmanager
def _show_problems() -> Iterator[None]:
    """Show a problem where it arose: the rest of the page stays."""
    try:
        yield
    except Problem as problem:
        page.show_failure(problem, "an account")


def _link(text: str, path: str) -> None:
    """A link that stays in this tab, in the look of a button."""
    look = (
        "color: inherit; text-decoration: none; border: 1px solid color-mix(in srgb, currentColor 40%, transparent); "
    )
    look += "border-radius: 6px; padding: 8px 12px; display: inline-block; font-size: 14px"
    st.html(f'<a href="{path}" target="_self" id="sign-out" style="{look}">{text}</a>', width="content")


def _password(id_: str) -> None:
    with st.expander("Change the password"), st.form("password", border=False):
        old = st.text_input("Current password", type="password", autocomplete="current-password")
        help = f"At least {passwords.MIN_LENGTH} characters. You sign in again with it, everywhere."
        new = st.text_input("New password", type="password", autocomplete="new-password", help=help)
        if st.form_submit_button("Change"):
            with _show_problems():
                _change(id_, old, new)
                st.success("The password is changed: sign in again.")


def _change(id_: str, old: str, new: str) -> None:
    """Change the password; raises Problem. An attempt at the old one counts like one at the sign-in."""
    address = st.context.ip_address or "127.0.0.1"
    if wait := attempts.count(address, id_):
        raise Problem(f"Too many attempts: try again in {wait} s.")
    if attempts.with_password(id_, old) is None:
        raise Problem("This is not the current password: try again.")
    attempts.give_back(address, id_)
    people.set_password(id_, new)


def _tokens(id_: str) -> None:
    st.subheader("Tokens", anchor=False, help="A token lets a program use the API as you: `Authorization: Bearer …`.")
    made = state.of(Shown)
    if made.token:
        st.success("Copy it now: it is not shown again.")
        st.code(made.token, language=None)
        made.token = ""
    for token in people.tokens(id_):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            day = datetime.fromtimestamp(token.made, UTC).strftime("%d %B %Y")
            st.markdown(f"{escape(token.label) or 'unnamed'} · {day}", width="content")
            help = "Programs that use it are refused from now on."
            if st.button("Revoke", key=f"revoke-{token.number}", help=help):
                people.revoke_token(id_, token.number)
                st.rerun()
    with st.form("token", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.text_input("Name of a new token", max_chars=80, help="To tell it from others: the program's name.")
        if st.form_submit_button("Create token"):
            with _show_problems():
                made.token = people.issue_token(id_, label)
                st.rerun()


def _people(own: str) -> None:
    users.require_admin("change the list of people")
    help = "Who may sign in. Those who come by a provider or a proxy need no password here."
    st.subheader("People", anchor=False, help=help)
    for person in people.everybody():
        with st.container(horizontal=True, vertical_alignment="bottom"):
            role = st.selectbox(
                escape(person.name if person.name == person.id else f"{person.name}, {person.id}"),
                ROLES,
                ROLES.index(person.role),
                # By the role, too: what this page showed before another administrator changed it is no choice.
                key=f"role-{person.role}-{person.id}",
                format_func=lambda role: MEANING[role],
                disabled=person.id == own,
                help="Takes effect at once." if person.id != own else "Another administrator changes yours.",
            )
            if role != person.role:
                people.set_role(person.id, role)
                st.rerun()
            with st.popover("Remove", key=f"sure-{person.id}", disabled=person.id == own):
                st.markdown("This signs the person out and ends all tokens; what was saved stays.")
                if st.button(f"Remove {escape(person.name)}", key=f"remove-{person.id}"):
                    people.remove(person.id)
                    st.rerun()
    _forgotten(own)
    with st.expander("Add somebody"), st.form("person", border=False, clear_on_submit=True):
        help = "A name to sign in with; for a provider or a proxy, the e-mail address or id that it gives."
        id_ = st.text_input("Name or e-mail address", max_chars=people.MAX_ID, help=help)
        role = st.selectbox("Role", ROLES, 1, format_func=lambda role: MEANING[role], help="It can be changed later.")
        help = "Empty for somebody who signs in with a provider or a proxy."
        password = st.text_input("First password", type="password", autocomplete="new-password", help=help)
        if st.form_submit_button("Add"):
            with _show_problems():
                people.add(id_, role, password=password or None)
                st.rerun()


def _forgotten(own: str) -> None:
    if not (others := [person.id for person in people.everybody() if person.id != own]):
        return
    with st.expander("Give somebody a new password"), st.form("forgotten", border=False, clear_on_submit=True):
        # Nobody to begin with: where the list has changed meanwhile, the menu falls back to that.
        id_ = st.selectbox("Name", others, None, placeholder="Choose", help="Who has forgotten the one before.")
        help = f"At least {passwords.MIN_LENGTH} characters. It ends this person's sessions and tokens."
        new = st.text_input("Their new password", type="password", autocomplete="new-password", help=help)
        if st.form_submit_button("Set password"):
            with _show_problems():
                if id_ is None:
                    raise Problem("Choose who has forgotten the password, and type the new one again.")
                people.set_password(id_, new)
                st.success(f"{escape(id_)} signs in with it from now on.")


account()
