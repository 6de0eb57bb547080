"""Sign in by OpenID Connect."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import streamlit as st

from sightglass.common.access import policy
from sightglass.common.errors import SettingProblem
from sightglass.components.streamlit_internals import (
    USER_COOKIE_NAME,
    decode_signed_value,
    encode_provider_token,
    get_cookie_secret,
    get_cookie_with_chunks,
    get_origin_from_redirect_uri,
    get_secrets_auth_section,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sightglass.common.files import Json

NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
MIN_SECRET = 32
"""Characters of the secret that signs the cookies."""


def base_path() -> str:
    """Return the path below which the server's paths are, without a slash at its end."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def is_named_site(origin: str) -> bool:
    """Return whether an operator named a page's Origin as that of this server, in Streamlit's own options."""
    if not st.get_option("server.enableCORS") or origin in (st.get_option("server.corsAllowedOrigins") or ()):
        return True
    try:
        name = urlsplit(origin).hostname
    except ValueError:
        return False
    # Of this machine every port is a server of its own.
    return name == st.get_option("browser.serverAddress") and not policy.is_local(name)


def check() -> None:
    """Raise SettingProblem where people are to sign in with a provider that is not set up."""
    if policy.in_use().way != "oidc":
        return
    if find_spec("authlib") is None:
        raise SettingProblem("SIGHTGLASS_ACCESS is oidc: install Authlib, with `pip install -r requirements.txt`.")
    found = get_secrets_auth_section()
    missing = [name for name in NEEDED if not found.get(name)]
    if missing:
        raise SettingProblem(
            f"SIGHTGLASS_ACCESS is oidc: give {', '.join(missing)} in the section [auth] of .streamlit/secrets.toml."
        )
    if len(str(found["cookie_secret"])) < MIN_SECRET:
        raise SettingProblem(
            f"The cookie_secret in secrets.toml is too short: give at least {MIN_SECRET} random characters."
        )


def login_path() -> str:
    """Return where signing in begins, with a token of Streamlit's that is valid for two minutes."""
    return f"/auth/login?{urlencode({'provider': encode_provider_token('default')})}"


def claims(cookies: Mapping[str, str]) -> Json | None:
    """Return what the provider said of whoever has these cookies; None without a cookie that Streamlit signed."""

    def single(name: str) -> bytes | None:
        value = cookies.get(name)
        return None if value is None else decode_signed_value(get_cookie_secret(), name, value.encode("latin-1"))

    found = get_cookie_with_chunks(single, USER_COOKIE_NAME)
    try:
        said = json.loads(found) if found else None
    except ValueError:
        return None
    # The same secret may sign cookies of another server, for other people.
    if (
        not isinstance(said, dict)
        or not said.get("is_logged_in")
        or said.get("origin") != get_origin_from_redirect_uri()
    ):
        return None
    return said
