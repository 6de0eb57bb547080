"""Authentication middleware of the whole server."""

from __future__ import annotations

import logging
import time
from functools import partial
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse

from sightglass.api import problems
from sightglass.api.problems import ApiProblem
from sightglass.api.security import LEGACY_ROUTES, host_names, sign_in
from sightglass.api.security.headers import PAGES, SecurityHeaders
from sightglass.api.security.identity import (
    ASK_AGAIN_SECONDS,
    BY_SECRET,
    USER,
    VISIT,
    headers_of,
    identify,
    is_still,
    peer_of,
    secrets_in,
)
from sightglass.common import users
from sightglass.common.access import people, policy, rates, visit
from sightglass.common.errors import Problem
from sightglass.common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sightglass.api.security.identity import Caller, Provider
    from sightglass.common.access.visit import Visit
    from sightglass.common.users import User

LOGGER = logging.getLogger(__name__)
ALIVE = "/_stcore/health"
PUBLIC = ("/api/health", "/api/problems")
"""Paths that anybody may ask, with everything below them: whether the server is alive, and what its errors mean.

Below `ALIVE` Streamlit would answer with its page.
"""
LOGOUT = "/auth/logout"
OF_PROVIDER = ("/auth/login", LOGOUT, "/oauth2callback")
STREAM = "/_stcore/stream"
"""The socket of a page."""
AGAIN = "/_stcore/host-config"
"""What an open page asks for when its socket was closed; it shows the JSON of the answer in a window."""
SIGNED_OUT = "You are signed out.\nReload this page to sign in."
LIMITED = (STREAM, "/_stcore/upload_file")
"""Paths that count as a request of a person; the API counts its own, and scripts their runs."""
NOT_BY_PROXY = "This address is answered only through the proxy that signs people in: use the proxy's address."
NAMELESS = "The proxy did not say who you are: its administrator makes it send the header {}, once."
OTHER_PAGE = "This came from another site's page: name that site in --server.corsAllowedOrigins to allow it."
REFUSED = 1008
"""Code of a WebSocket that is refused."""


class Door:
    """Admit signed-in users, and pass the user on to everything behind."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        base: str = "",
        provider: Provider | None = None,
        is_named: Callable[[str], bool] = lambda origin: False,
    ) -> None:
        """`base`: the path below which the server's paths are, without a slash at its end.

        `is_named`: whether an operator named a page's Origin as that of this server.
        """
        self.behind, self.base, self.provider, self.is_named = app, base, provider, is_named
        self.app = SecurityHeaders(self._ask, PAGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.app if scope["type"] in ("http", "websocket") else self.behind)(scope, receive, send)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self.base)
        try:
            caller = await run_in_threadpool(identify, scope, headers_of(scope), _key(), self.provider)
            answer = await self._answer(path, scope, receive, caller)
        except Problem as problem:
            answer = problems.response(ApiProblem(500, "internal", str(problem)), path)
        if answer is None:
            heard = None
            if path == STREAM and policy.in_use().asks and caller.user is not None:
                receive = heard = _WhileAllowed(receive, caller.user, caller.visit, headers_of(scope))
            with users.acting(caller.user or users.NOBODY):
                await self.behind(_extend_scope(scope, path, caller), receive, send)
            if heard is not None and heard.ended:
                await send({"type": "websocket.close", "code": REFUSED, "reason": "Sign in again."})
        elif scope["type"] == "websocket":
            # Before the handshake is accepted this is answered with status 403.
            await send({"type": "websocket.close", "code": REFUSED, "reason": "Not allowed."})
        else:
            await answer(scope, receive, send)

    async def _answer(self, path: str, scope: Scope, receive: Receive, caller: Caller) -> Response | None:
        """Return what is answered here: the sign-in screen, or a refusal; None where the request may go on."""
        if scope["type"] == "http" and (allowed := _methods(path)) and scope["method"] not in allowed:
            return problems.response(problems.wrong_method(allowed), path)
        if scope["type"] == "http" and policy.in_use().asks:
            request = Request(scope, receive)
            if path == sign_in.PATH:
                if scope["method"] == "POST":
                    return await sign_in.submit(request, self.base)
                if caller.user is not None:
                    return RedirectResponse(f"{self.base}/", 303)
                return await run_in_threadpool(sign_in.screen, request, self.base)
            if path == sign_in.START and self.provider is not None:
                return RedirectResponse(self.base + self.provider.login_path(), 303)
            if path == sign_in.OUT:
                return await run_in_threadpool(sign_in.signed_out, request, self.base)
        public = path == ALIVE or any(path == name or path.startswith(f"{name}/") for name in PUBLIC)
        # Where people sign in, that page has no cookie of this server's; the API decides for itself.
        if not (public or policy.in_use().asks or _of_api(path)):
            headers = headers_of(scope)
            if not host_names.is_known(headers.get("host", ""), scope):
                return problems.response(ApiProblem(403, "origin", host_names.UNKNOWN), path)
        if path == STREAM and (origin := headers_of(scope).get("origin")) is not None:
            # Streamlit lets in pages of any port of this machine, to which browsers send the cookie as well.
            own = host_names.is_own_page(origin, headers_of(scope).get("host", ""), scope)
            if not (own or self.is_named(origin)):
                return problems.response(ApiProblem(403, "origin", OTHER_PAGE), path)
        if policy.in_use().way == "oidc" and path in OF_PROVIDER:
            if path == LOGOUT and caller.visit is not None:
                await run_in_threadpool(_end, caller.visit)
            return None
        # A browser asks without a key what another site's page may send; the API answers those it knows, and no other.
        if public or (scope.get("method") == "OPTIONS" and _of_api(path)):
            return None
        if caller.user is None:
            return self._strange(path, scope, caller)
        if policy.in_use().way != "local" and path.startswith(LIMITED):
            client = scope.get("client") or ("",)
            wait = rates.of_person(caller.user.id if policy.in_use().asks else rates.of_address(client[0]))
            if wait:
                return problems.response(problems.too_many(wait), path)
        return None

    def _strange(self, path: str, scope: Scope, caller: Caller) -> Response:
        """Answer somebody who has not signed in: the screen for a page, a problem for anything else."""
        headers = headers_of(scope)
        page = scope.get("method") in ("GET", "HEAD") and "text/html" in headers.get("accept", "")
        if caller.stranger and page:
            return sign_in.stranger(caller.stranger, self.base)
        if page and policy.in_use().way != "proxy":
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = quote(f"{self.base}{path}" + (f"?{query}" if query else ""), safe="/")
            return RedirectResponse(f"{self.base}{sign_in.PATH}?next={wanted}", 303)
        if page:
            nameless = policy.is_trusted_proxy(peer_of(scope))
            words = NAMELESS.format(settings().proxy_header) if nameless else NOT_BY_PROXY
            return sign_in.page("Not allowed", f"<p>{escape(words)}</p>", 403)
        if path == AGAIN:
            return JSONResponse(SIGNED_OUT, 401)
        refused = problems.wrong_too_often(caller.wait) if caller.wait else None
        return problems.response(refused or problems.key_needed(any(secrets_in(headers))), path)


def _methods(path: str) -> tuple[str, ...]:
    """Return the methods that a path of signing in takes; empty for any other path."""
    if not policy.in_use().asks or path not in (sign_in.PATH, sign_in.START, sign_in.OUT):
        return ()
    return ("GET", "HEAD", "POST") if path == sign_in.PATH and policy.in_use().way == "password" else ("GET", "HEAD")


def _extend_scope(scope: Scope, path: str, caller: Caller) -> Scope:
    """Return the scope for what is behind the door: with the user, and for a page's script with a sealed header."""
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != visit.HEADER.encode()]
    if path == STREAM and caller.visit is not None:
        headers.append((visit.HEADER.encode(), visit.seal(caller.visit).encode()))
    return {**scope, "headers": headers, USER: caller.user, VISIT: caller.visit, BY_SECRET: caller.by_secret}


def _end(visit: Visit) -> None:
    """End a sign-in with a provider: other pages that are open, and copies of its cookie."""
    try:
        people.end_vouched(visit.session)
    except Problem as problem:
        # The browser's own cookie goes all the same.
        LOGGER.warning("Somebody signed out, and pages that are open do not know of it: %s", problem)


def _of_api(path: str) -> bool:
    return path.startswith("/api/") or path in LEGACY_ROUTES


class _WhileAllowed:
    """Receives a socket's messages until its person has signed out, or is off the list.

    A page's whole runs ask by themselves; its fragments do not.
    """

    def __init__(self, receive: Receive, user: User, visit: Visit | None, headers: Mapping[str, str]) -> None:
        self._receive, self._user, self._visit, self._headers = receive, user, visit, headers
        self._asked = time.monotonic()
        self.ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] != "websocket.receive" or time.monotonic() - self._asked < ASK_AGAIN_SECONDS:
            return message
        self._asked = time.monotonic()
        try:
            still = partial(is_still, self._user, self._visit, self._headers, _key())
            self.ended = not await run_in_threadpool(still)
        except Problem:
            self.ended = True
        return {"type": "websocket.disconnect", "code": REFUSED} if self.ended else message


def _key() -> str | None:
    key = settings().api_key
    return key.get_secret_value() if key else None
