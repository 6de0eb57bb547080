"""Security headers, host names and origins, and the middleware that admits requests."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from html import escape
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from sightglass.common import access, users
from sightglass.common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sightglass.api.problems import ApiProblem

REFUSED = 1008
"""Code of a WebSocket that is refused."""

LEGACY_ROUTES = ("/predict_with_gradcam", "/analyze_class", "/generate_heatmap", "/view_heatmap")
"""They are outside of /api, and protected like it."""
ALIVE, STREAM, LOGIN, LOGOUT = "/_stcore/health", "/_stcore/stream", "/auth/login", "/auth/logout"
PUBLIC = ("/api/health", "/api/docs", "/api/openapi.json")
"""Paths that anybody may ask, with everything below them; they reveal nothing of any picture."""
OF_PROVIDER = (LOGIN, LOGOUT, "/oauth2callback")
RECONNECT = "/_stcore/host-config"
"""What an open page asks for when its socket was closed; it shows the JSON of the answer in a window."""
SIGNED_OUT = "You are signed out.\nReload this page to sign in."
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""Headers that a proxy adds."""
THROUGH_PROXY = (
    "This came through a proxy, and a server on localhost lets everybody in: set SIGHTGLASS_TOKEN, [auth] in "
    "secrets.toml, or SIGHTGLASS_OPEN=1."
)
UNKNOWN_HOST = "This machine is not known by that name: use localhost, or add the name to SIGHTGLASS_API_HOSTS."
OTHER_PAGE = "This came from another site's page: name that site in --server.corsAllowedOrigins to allow it."
OTHER_SITE = "This request came from another site's page: name that site in SIGHTGLASS_API_ORIGINS to allow it."
NOT_ALLOWED = "This account may not use this server: its e-mail address is not verified, or not in SIGHTGLASS_EMAILS."
WRONG_TOKEN = "This token is wrong: copy the one that the server printed at its start."
USER = "sightglass.user"
"""Key of a request's scope: the id of the visitor."""
FORM, MAX_FORM = "application/x-www-form-urlencoded", 4096
"""Media type and bytes of the form with the token."""

CSP = "content-security-policy"
PAGES = {
    "default-src": "'self'",
    # Streamlit's own page has inline scripts, charts compile expressions, and components come as blobs.
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "frame-src": "'self' data: blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}
"""Of the dashboard: nothing is loaded from, or sent to, any other host."""
ANSWERS = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}
"""Of the API's answers, which no browser should run."""
FIXED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), fullscreen=(self), clipboard-write=(self), microphone=(), geolocation=(), "
    "payment=(), usb=(), serial=(), midi=(), hid=()",
    "cross-origin-opener-policy": "same-origin",
    # Some caches in front of a server keep whatever is called .png, and give it to whoever asks.
    "cache-control": "private",
}
VERSION_HEADER, API_VERSION = "API-Version", "1"
"""With every answer of the API; another number would mean that clients have to change."""
VERSIONED = f"/api/v{API_VERSION}/"
"""Beginning of the API's paths with their version; without it they begin with `/api/`."""


class SecurityHeaders:
    """Add the headers that an answer does not have itself."""

    def __init__(self, app: ASGIApp, policy: Mapping[str, str], more: Mapping[str, str] | None = None) -> None:
        self.app, self.policy, self.more = app, policy, {name.lower(): value for name, value in (more or {}).items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                missing = ((name, value) for name, value in headers.items() if name.encode() not in present)
                more = [(name.encode(), value.encode()) for name, value in missing]
                message = {**message, "headers": [*map(secure_cookie, message.get("headers", ())), *more]}
            await send(message)

        def secure_cookie(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
            name, value = header
            # Streamlit's own cookies, of a provider's sign-in too, would go over an open line as well.
            open_line = name.lower() == b"set-cookie" and b"; secure" not in value.lower()
            return (name, value + b"; Secure") if open_line and scope["scheme"] == "https" else header

        headers = FIXED | self.more | {CSP: write_policy(self.policy)}
        if not settings().framed_by:
            # For browsers that do not know frame-ancestors.
            headers["x-frame-options"] = "SAMEORIGIN"
        await self.app(scope, receive, with_headers)


def write_policy(policy: Mapping[str, str]) -> str:
    """Return a policy as its header, with the allowed frame ancestors."""
    whole = {**policy, "frame-ancestors": " ".join(("'self'", *settings().framed_by))}
    return "; ".join(f"{name} {value}" for name, value in whole.items())


def is_known_host(host: str, scope: Scope) -> bool:
    """Return whether the host name of a loopback request is local."""
    named = [name.lower() for name in settings().api_hosts]
    if not host or "*" in named or not access.is_local((scope.get("server") or ("",))[0]):
        return True
    name = (host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]).lower().rstrip(".")
    if name in ("localhost", *named):
        return True
    try:
        # Nobody can point an address elsewhere.
        return bool(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return False


def is_own_page(origin: str, host: str, scope: Scope) -> bool:
    """Return whether an Origin is this server's own."""
    try:
        site = urlsplit(origin)
    except ValueError:
        return False
    # http here can be https at a proxy that does not say so; https here is https there.
    secure = scope.get("scheme") in ("https", "wss")
    return bool(host) and site.netloc == host and (not secure or site.scheme == "https")


def tokens_in(headers: Headers) -> tuple[str, ...]:
    """Return the tokens of a request."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    texts = (token.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", ""))
    # Clients write UTF-8; ASGI reads headers as Latin-1.
    return tuple(text.encode("latin-1").decode("utf-8", "surrogateescape") for text in texts if text)


class Dashboard(Protocol):
    """The dashboard behind the middleware, and how people sign in to it."""

    def is_named_site(self, origin: str) -> bool:
        """Return whether an operator named a page's Origin as that of this server."""

    def claims(self, cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Return what the provider said of whoever has these cookies; None where nobody signed in."""

    def login_path(self) -> str:
        """Return the path of the sign-in page below the server's base."""


def _forbidden(kind: str, sentence: str) -> ApiProblem:
    from sightglass.api.problems import ApiProblem

    return ApiProblem(403, kind, sentence)


class AuthMiddleware:
    """Admit requests by address, token or provider, and run what is behind for their visitor."""

    def __init__(self, app: ASGIApp, *, base: str = "", dashboard: Dashboard | None = None) -> None:
        """`base`: the path below which the server's paths are, without a slash at its end."""
        self.app, self.base, self.dashboard = app, base, dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The API beside the dashboard is behind this twice.
        if scope["type"] not in ("http", "websocket") or USER in scope:
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(self.base)
        admitted = self._admit(path, HTTPConnection(scope), scope)
        answer: str | ApiProblem | Response = admitted
        if scope["type"] == "http" and not is_of_api(path):
            answer = await self._answer_page(path, Request(scope, receive), admitted)
        if isinstance(answer, str):
            scope[USER] = answer
            with users.acting(answer):
                await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before the handshake is accepted this is answered with status 403.
            await send({"type": "websocket.close", "code": REFUSED, "reason": "Not allowed."})
        else:
            if not isinstance(answer, Response):
                from sightglass.api import problems

                answer = problems.response(answer, scope["path"])
            await answer(scope, receive, send)

    def _admit(self, path: str, request: HTTPConnection, scope: Scope) -> str | ApiProblem:
        """Return the visitor's id, or the reason of a refusal."""
        rules, tokens = access.in_use(), tokens_in(request.headers)
        by_token, public = any(map(rules.accepts, tokens)), is_public(path)
        if rules.way == "local" and not public and any(name in request.headers for name in FORWARDED):
            return _forbidden("origin", THROUGH_PROXY)
        if sentence := self._wrong_origin(path, request, scope, public=public):
            return _forbidden("origin", sentence)
        if by_token or not rules.asks or rules.accepts_cookie(request.cookies.get(_cookie(scope), "")):
            return users.LOCAL
        # A browser asks without a cookie what another site's page may send; the API answers those it knows.
        if public or (scope.get("method") == "OPTIONS" and is_of_api(path)):
            return users.NOBODY
        if rules.way == "oidc" and self.dashboard is not None:
            if path in OF_PROVIDER:
                return users.NOBODY
            if (claims := self.dashboard.claims(request.cookies)) is not None:
                return access.identify(claims) or _forbidden("key", NOT_ALLOWED)
        # Its schemas take a tenth of a second to import, which a server's start shall not wait for.
        from sightglass.api import problems

        return problems.token_needed(wrong=bool(tokens))

    def _wrong_origin(self, path: str, request: HTTPConnection, scope: Scope, *, public: bool) -> str:
        """Return the reason to refuse a request's host or origin, or ""."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        same_site = origin is not None and is_own_page(origin, host, scope)
        if is_of_api(path):
            sites = [site.rstrip("/") for site in settings().api_origins]
            # Pages of other sites can also send requests without an Origin: as a picture, a frame or a link.
            embedded = origin is None and request.headers.get("sec-fetch-site") == "cross-site" and "*" not in sites
            foreign = origin is not None and not (same_site or {origin, "*"} & {*sites})
            if foreign or (embedded and not public):
                return OTHER_SITE
        # Streamlit lets in pages of any port of this machine, to which browsers send the cookie as well.
        elif (
            path == STREAM
            and origin is not None
            and not (same_site or (self.dashboard is not None and self.dashboard.is_named_site(origin)))
        ):
            return OTHER_PAGE
        # Where visitors sign in, a page under another name has no cookie of this server's.
        return "" if public or access.in_use().asks or is_known_host(host, scope) else UNKNOWN_HOST

    async def _answer_page(self, path: str, request: Request, answer: str | ApiProblem) -> str | ApiProblem | Response:
        """Return `answer`, or for a browser a form, link or sentence."""
        rules, reading = access.in_use(), request.method in ("GET", "HEAD")
        if rules.way == "oidc" and self.dashboard is not None and path == LOGIN and not request.query_params:
            return RedirectResponse(self.base + self.dashboard.login_path(), 303)
        token = request.query_params.get("token") if rules.way == "token" and reading else None
        if isinstance(answer, str):
            return answer if token is None else _forget_token(request)
        is_page = reading and "text/html" in request.headers.get("accept", "")
        if answer.status == 401 and rules.way == "token":
            if request.method == "POST" and request.headers.get("content-type", "").startswith(FORM):
                token, is_page = await _posted_token(request), True
            if rules.accepts((token or "").strip()):
                return self._sign_in(request)
        if path == RECONNECT and answer.status == 401:
            return JSONResponse(SIGNED_OUT, 401)
        if not is_page:
            return answer
        if answer.status != 401:
            again = f'<p><a href="{escape(self.base + LOGOUT)}">Sign in as somebody else</a></p>'
            return page("Not allowed", f"<p>{escape(str(answer))}</p>{again if rules.way == 'oidc' else ''}", 403)
        if rules.way == "oidc":
            return page("Sign in", f'<p><a href="{escape(self.base + LOGIN)}">Sign in with your account</a></p>', 401)
        return page("Access token", (f'<p role="alert">{WRONG_TOKEN}</p>' if token else "") + _FORM, 401)

    def _sign_in(self, request: Request) -> Response:
        answer = _forget_token(request)
        answer.set_cookie(
            _cookie(request.scope),
            access.in_use().cookie(),
            max_age=access.SECONDS,
            path=self.base or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return answer


def is_public(path: str) -> bool:
    """Return whether anybody may ask for a path."""
    if path.startswith(VERSIONED):
        path = f"/api/{path.removeprefix(VERSIONED)}"
    return path == ALIVE or any(path == name or path.startswith(f"{name}/") for name in PUBLIC)


def is_of_api(path: str) -> bool:
    """Return whether a path is one of the API's."""
    return path.startswith("/api/") or path in LEGACY_ROUTES


def _cookie(scope: Scope) -> str:
    # Browsers send cookies to every port of a host.
    return f"sightglass-{(scope.get('server') or ('', ''))[1]}"


def _forget_token(request: Request) -> Response:
    """Return a redirect to the same address without the token."""
    query = urlencode([item for item in request.query_params.multi_items() if item[0] != "token"])
    # Two slashes at the beginning would lead to another host.
    path = "/" + quote(request.scope["path"].lstrip("/"))
    return RedirectResponse(f"{path}?{query}" if query else path, 303, {"Cache-Control": "no-store"})


async def _posted_token(request: Request) -> str:
    """Return the form's token; empty for an oversized body."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            return ""
    return parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]


_FORM = """<form method="post"><label>Token <input name="token" type="password" autocomplete="current-password"
required autofocus></label><button>Open Sightglass</button></form>
<p>The server printed it at its start, or its operator set it as SIGHTGLASS_TOKEN.</p>"""
_STYLE = """:root { color-scheme: light dark }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.5 system-ui, sans-serif }
main { width: min(360px, 90vw) } h1 { font-size: 20px }
input, button { display: block; box-sizing: border-box; width: 100%; min-height: 44px; margin: 4px 0 16px }
input, button { font: inherit }
[role=alert] { border-left: 3px solid; padding-left: 12px }"""


def page(title: str, body: str, status: int) -> Response:
    """Return a small page without scripts; `body` is HTML."""
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{title} · Sightglass</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    policy = {**ANSWERS, "style-src": f"'sha256-{style}'", "img-src": "data:", "form-action": "'self'"}
    return HTMLResponse(html, status, {"Cache-Control": "no-store", CSP: write_policy(policy)})
