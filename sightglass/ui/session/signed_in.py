"""Sign in by OpenID Connect, with Streamlit's `[auth]`, and run pages for whoever signed in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from sightglass.common import access, users
from sightglass.common.errors import SettingProblem
from sightglass.common.files import Json
from sightglass.ui.session.markdown import shorten
from sightglass.ui.streamlit_internals import decode_signed_value, script_context

NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
MIN_SECRET = 32
"""Characters of the secret that signs the cookies."""
MAX_NAME = 60
COOKIE, COUNTED = "_streamlit_user", "chunks-"
"""Streamlit's cookie of a signed-in visitor, and how its value begins where several hold it."""
NOT_ALLOWED = "This account may not use this server: its e-mail address is not verified, or not in SIGHTGLASS_EMAILS."
SIGN_OUT = "sign-out"
"""Name of the page that signs out."""


def base_path() -> str:
    """Return the server's base path, without a slash at its end."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def _provider() -> Mapping[str, Any]:
    """Return `[auth]` of secrets.toml; empty without one."""
    return (st.secrets.get("auth") or {}) if st.secrets.load_if_toml_exists() else {}


def is_configured() -> bool:
    """Return whether secrets.toml has a provider; raise SettingProblem if incomplete."""
    section = _provider()
    if not section:
        return False
    if find_spec("authlib") is None:
        raise SettingProblem("[auth] in secrets.toml needs Authlib: run `pip install -r requirements.txt`.")
    if missing := [name for name in NEEDED if not section.get(name)]:
        raise SettingProblem(f"[auth] in secrets.toml lacks {', '.join(missing)}: add that, or remove the section.")
    if len(str(section["cookie_secret"])) < MIN_SECRET:
        raise SettingProblem(
            f"The cookie_secret in secrets.toml is too short: give at least {MIN_SECRET} random characters."
        )
    return True


def claims(cookies: Mapping[str, str]) -> Json | None:
    """Return the provider's claims of these cookies; None without recent ones."""
    provider = _provider()

    def single(name: str) -> str:
        signed = cookies.get(name, "").encode("latin-1")
        return (decode_signed_value(str(provider["cookie_secret"]), name, signed) or b"").decode()

    try:
        text = single(COOKIE)
        if text.startswith(COUNTED):
            text = "".join(single(f"{COOKIE}_{number + 1}") for number in range(int(text.removeprefix(COUNTED))))
        session = json.loads(text)
    except (ValueError, KeyError):
        return None
    port = str(st.get_option("browser.serverPort") or st.get_option("server.port"))
    site = urlsplit(str(provider.get("redirect_uri")).replace("{port}", port))
    # The same secret may sign cookies of another server, for other people.
    if (
        not isinstance(session, dict)
        or not session.get("is_logged_in")
        or session.get("origin") != f"{site.scheme}://{site.netloc}"
    ):
        return None
    since = session.get("iat")
    return None if isinstance(since, int | float) and time.time() - since > access.SECONDS else session


def install() -> None:
    """Resolve the visitor of callbacks, fragments and dialogs."""
    users.resolve_with(_resolve if access.in_use().way == "oidc" else None)


def _resolve() -> str:
    return users.NOBODY if script_context() is None else _visitor() or users.NOBODY


def _visitor() -> str | None:
    """Return the visitor's id; None if nobody signed in."""
    if access.in_use().way != "oidc":
        return users.LOCAL
    return access.identify(st.user.to_dict()) if st.user.is_logged_in else None


@contextmanager
def running() -> Iterator[None]:
    """Run a page for its visitor; ask for sign-in without one."""
    user = _visitor()
    if user is None and st.user.is_logged_in:
        st.warning(NOT_ALLOWED, icon=":material/lock:")
        st.button("Sign in as somebody else", on_click=st.logout)
        st.stop()
    if user is None:
        st.info("You are signed out.", icon=":material/lock:")
        st.button("Sign in", on_click=st.login)
        st.stop()
    with users.acting(user):
        yield


def menu() -> dict[str, tuple[str, str, str]]:
    """Return the page for signing out; none without a provider."""
    if access.in_use().way != "oidc":
        return {}
    name = shorten(str(st.user.get("email") or st.user.get("name") or "yourself"), MAX_NAME)
    return {SIGN_OUT: ("Sign out", "logout", f"You are signed in as {name}.")}
