"""Identify a request's user: key, token, cookie or proxy."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Protocol

from sightglass.common.access import attempts, people, policy
from sightglass.common.access.visit import Visit
from sightglass.common.settings import settings
from sightglass.common.users import LOCAL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from starlette.types import Scope

    from sightglass.common.users import User

COOKIE = "sightglass_session"
ASK_AGAIN_SECONDS = 5.0
"""How long whoever signed out, or was taken off the list, may still be answered over an open socket."""
USER, VISIT, BY_SECRET, PEER = (f"sightglass.{name}" for name in ("user", "visit", "by_secret", "peer"))
"""Keys of a request's scope: who sends it, what a page is told of that, whether a key or a token says so, and the other
end of its connection, whatever its headers say."""


class Provider(Protocol):
    """What signs people in by OpenID Connect."""

    def claims(self, cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Return what the provider said of whoever has these cookies; None where nobody signed in."""

    def login_path(self) -> str:
        """Return where signing in begins, below the base of the server's paths."""


@dataclass(frozen=True)
class Caller:
    """Who sends a request."""

    user: User | None
    """None: nobody knows."""
    visit: Visit | None = None
    """What a page's script is told; None for a key or a token, which open no page."""
    stranger: str = ""
    """Whom a provider or a proxy named who is not on the list."""
    by_secret: bool = False
    """Whether a key or a token says who it is."""
    wait: int = 0
    """Seconds for which the key or token that was sent is not looked at, because too many wrong ones came before."""


def headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def peer_of(scope: Scope) -> str:
    """Return the address of the other end of a request's connection itself; empty for a socket of this machine's."""
    # Where there was none, what a proxy's headers said since does not stand in for it.
    return (scope.get(PEER, scope.get("client")) or ("",))[0]


def secrets_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys and tokens that a request sends."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    found = (token.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", ""))
    # Clients write UTF-8; ASGI reads headers as Latin-1.
    return tuple(one.encode("latin-1").decode("utf-8", "surrogateescape") for one in found if one)


def cookies_in(headers: Mapping[str, str]) -> dict[str, str]:
    cookies: SimpleCookie = SimpleCookie()
    for part in headers.get("cookie", "").split(";"):
        # One that is malformed must not hide the others.
        try:
            cookies.load(part.strip())
        except CookieError:
            continue
    return {name: morsel.value for name, morsel in cookies.items()}


def identify(scope: Scope, headers: Mapping[str, str], key: str | None, provider: Provider | None = None) -> Caller:
    """Return who sends a request, where people sign in or a key is set; elsewhere everybody is the local user."""
    said = _of_secrets(scope, headers, key)
    if said.by_secret:
        return said
    return replace(_otherwise(scope, headers, provider), wait=said.wait)


def of_request(scope: Scope, headers: Mapping[str, str], key: str | None) -> Caller:
    """Return who sends a request to the API.

    The door of the dashboard has asked before; the API alone asks here.
    """
    if not policy.in_use().asks:
        said = _of_secrets(scope, headers, key)
        return said if said.by_secret else replace(said, user=None if key else LOCAL)
    if USER in scope:
        return Caller(scope[USER], scope[VISIT], by_secret=scope[BY_SECRET])
    return identify(scope, headers, key)


def _of_secrets(scope: Scope, headers: Mapping[str, str], key: str | None) -> Caller:
    wait = 0
    if policy.in_use().asks or key:
        address = (scope.get("client") or ("",))[0]
        for given in secrets_in(headers):
            user, seconds = attempts.with_secret(given, key, address)
            if user is not None:
                return Caller(user, by_secret=True)
            wait = max(wait, seconds)
    return Caller(None, wait=wait)


def _otherwise(scope: Scope, headers: Mapping[str, str], provider: Provider | None) -> Caller:
    way = policy.in_use().way
    if not policy.in_use().asks:
        return Caller(LOCAL, Visit("nobody", LOCAL.id))
    if way == "proxy":
        return _of_proxy(scope, headers)
    cookies = cookies_in(headers)
    if way == "oidc":
        claims = (provider.claims(cookies) if provider else None) or {}
        # Each sign-in has other claims: when it was, and a number of its own.
        session = people.digest(json.dumps(claims, sort_keys=True))
        return Caller(None) if claims and people.has_ended(session) else _vouch(*_claim(claims), session)
    return _of_session(cookies)


def is_still(user: User, visit: Visit | None, headers: Mapping[str, str], key: str | None) -> bool:
    """Return whether somebody whose socket is open may go on: signed in, on the list, the token not revoked.

    `headers`: those with which the socket was opened, where no `visit` but a key or a token among them did that. What a
    provider or a proxy said then is not asked anew.
    """
    if not policy.in_use().asks:
        return True
    # A key that did not open the socket is not checked again: those checks would be unlimited.
    if visit is not None:
        return visit.user() is not None
    return any(found.id == user.id for one in secrets_in(headers) if (found := policy.of_secret(one, key)))


def _of_session(cookies: Mapping[str, str]) -> Caller:
    digest = people.digest(cookies.get(COOKIE, ""))
    id_ = people.in_session(digest)
    user = None if id_ is None else policy.of_session(id_)
    if user is None:
        return Caller(None)
    return Caller(user, Visit("session", user.id, user.name, digest, time.time()))


def _of_proxy(scope: Scope, headers: Mapping[str, str]) -> Caller:
    if not policy.is_trusted_proxy(peer_of(scope)):
        return Caller(None)
    name = (settings().proxy_header or "").lower()
    # Of two, one may be what the browser sent and the proxy let pass.
    if sum(one.decode("latin-1").lower() == name for one, _ in scope["headers"]) > 1:
        return Caller(None)
    # Proxies write UTF-8; ASGI reads headers as Latin-1.
    given = headers.get(name, "")
    return _vouch(given.encode("latin-1").decode("utf-8", "replace"), "", "")


def _claim(claims: Mapping[str, Any]) -> tuple[str, str]:
    """Return the id and the name among a provider's claims; an empty id where there is none to go by."""
    claim = settings().oidc_claim
    id_ = str(claims.get(claim) or "")
    # Anybody can write anybody's address into a profile of their own.
    if claim == "email" and claims.get("email_verified") is not True:
        id_ = ""
    made = claims.get("iat")
    if isinstance(made, int | float) and time.time() - made > people.SESSION_SECONDS:
        id_ = ""
    return id_, str(claims.get("name") or "")


def _vouch(id_: str, name: str, session: str) -> Caller:
    user = policy.get_user(id_, name)
    if user is None:
        return Caller(None, stranger=id_)
    return Caller(user, Visit("vouched", user.id, name, session, time.time()))
