"""Security headers, host names and origins, and the middleware that admits requests."""

from __future__ import annotations

import ipaddress
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sightglass.common import access
from sightglass.common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sightglass.api.problems import ApiProblem

REFUSED = 1008
"""Code of a WebSocket that is refused."""

GUIDE_ROUTES = ("/predict_with_gradcam", "/analyze_class", "/generate_heatmap", "/view_heatmap")
OUTSIDE = (*GUIDE_ROUTES, "/mcp")
"""Routes outside /api that are protected like it."""
ALIVE, STREAM = "/_stcore/health", "/_stcore/stream"
"""Streamlit's paths: of its health, which anybody may ask, and of a page's WebSocket."""
PUBLIC = ("/api/health", "/api/docs", "/api/openapi.json")
"""Paths that anybody may ask for, with everything below them; they reveal nothing about pictures."""
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""Headers that a proxy adds."""
THROUGH_PROXY = (
    "This came through a proxy, and a server on localhost lets everybody in: set SIGHTGLASS_TOKEN, or "
    "SIGHTGLASS_OPEN=1."
)
UNKNOWN_HOST = "This machine is not known by that name: use localhost, or add the name to SIGHTGLASS_API_HOSTS."
OTHER_SITE = "This request came from another site's page: name that site in SIGHTGLASS_API_ORIGINS to allow it."
WRONG_TOKEN = "This token is wrong: copy the one that the server printed at its start."
ADMITTED = "sightglass.admitted"
"""Key of the scope of a request that was admitted."""

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
"""Policy of the dashboard: nothing is loaded from or sent to another host."""
ANSWERS = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}
"""Policy of the API's answers, which contain nothing to execute."""
FIXED_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), fullscreen=(self), clipboard-write=(self), microphone=(), geolocation=(), "
    "payment=(), usb=(), serial=(), midi=(), hid=()",
    "cross-origin-opener-policy": "same-origin",
    # Some caches in front of a server keep whatever is called .png, and give it to whoever asks.
    "cache-control": "private",
}


class SecurityHeaders:
    """Add the headers that an answer does not have itself."""

    def __init__(self, app: ASGIApp, policy: Mapping[str, str]) -> None:
        self.app, self.policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in headers.items():
                    answered.setdefault(name, value)
            await send(message)

        headers = FIXED_HEADERS | {CSP: write_policy(self.policy)}
        await self.app(scope, receive, with_headers)


def write_policy(policy: Mapping[str, str]) -> str:
    """Return a Content-Security-Policy as its header's value, with the allowed frame ancestors."""
    whole = {**policy, "frame-ancestors": " ".join(("'self'", *settings().framed_by))}
    return "; ".join(f"{name} {value}" for name, value in whole.items())


def is_known_host(host: str, scope: Scope) -> bool:
    """Return whether the host name of a loopback request is local."""
    named = [name.lower() for name in settings().api_hosts]
    if not host or "*" in named or not access.is_local((scope.get("server") or ("",))[0]):
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        # Nobody can point an address elsewhere.
        return name in ("localhost", *named) or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def is_own_page(origin: str, host: str, scope: Scope) -> bool:
    """Return whether an Origin is this server's own."""
    # http here can be https at a proxy that does not say so; https here is https there.
    schemes = ("https",) if scope.get("scheme") in ("https", "wss") else ("http", "https")
    return bool(host) and origin in [f"{scheme}://{host}" for scheme in schemes]


def tokens_in(headers: Headers) -> tuple[str, ...]:
    """Return the tokens of a request."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    texts = (token.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", ""))
    # Clients write UTF-8; ASGI reads headers as Latin-1.
    return tuple(text.encode("latin-1").decode("utf-8", "surrogateescape") for text in texts if text)


class AuthMiddleware:
    """Admit requests by address or token."""

    def __init__(self, app: ASGIApp, *, base: str = "") -> None:
        """`base`: the path below which the server's paths are, without a slash at its end."""
        self.app, self.base = app, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The API beside the dashboard is behind this twice.
        if scope["type"] not in ("http", "websocket") or ADMITTED in scope:
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(self.base)
        refusal = self._refuse(path, HTTPConnection(scope), scope)
        answer: ApiProblem | Response | None = refusal
        if scope["type"] == "http" and not is_of_api(path):
            answer = self._answer_page(Request(scope), refusal)
        if answer is None:
            scope[ADMITTED] = True
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before the handshake is accepted this is answered with status 403.
            await send({"type": "websocket.close", "code": REFUSED, "reason": "Not allowed."})
        else:
            if not isinstance(answer, Response):
                from sightglass.api import problems

                answer = problems.response(answer, scope["path"])
            await answer(scope, receive, send)

    def _refuse(self, path: str, request: HTTPConnection, scope: Scope) -> ApiProblem | None:
        """Return the reason to refuse a request, if any."""
        rules, tokens = access.in_use(), tokens_in(request.headers)
        public = path == ALIVE or any(path == name or path.startswith(f"{name}/") for name in PUBLIC)
        if rules.way == "local" and not public and any(name in request.headers for name in FORWARDED):
            return _refusal(THROUGH_PROXY)
        if sentence := _wrong_origin(path, request, scope, public=public):
            return _refusal(sentence)
        by_cookie = rules.accepts_cookie(request.cookies.get(_cookie_name(scope), ""))
        if not rules.asks or by_cookie or any(map(rules.accepts, tokens)):
            return None
        # A browser asks without a cookie what another site's page may send; the API answers those it knows.
        if public or (scope.get("method") == "OPTIONS" and is_of_api(path)):
            return None
        reason = "The token is wrong" if tokens else "A token is required"
        detail = f"{reason}: send it as `Authorization: Bearer ...` or `X-API-Key`."
        return _refusal(detail, 401, "key", {"WWW-Authenticate": "Bearer"})

    def _answer_page(self, request: Request, refusal: ApiProblem | None) -> ApiProblem | Response | None:
        """Return the answer of a page: `refusal`, for a browser as a form or a sentence; or a redirect."""
        rules, reading = access.in_use(), request.method in ("GET", "HEAD")
        token = request.query_params.get("token") if rules.way == "token" and reading else None
        if refusal is None or (refusal.status == 401 and rules.accepts((token or "").strip())):
            return self._sign_in(request) if token is not None else refusal
        if not reading or "text/html" not in request.headers.get("accept", ""):
            return refusal
        if refusal.status != 401:
            return page("Not allowed", f"<p>{escape(str(refusal))}</p>", 403)
        return page("Access token", (f'<p role="alert">{WRONG_TOKEN}</p>' if token else "") + _FORM, 401)

    def _sign_in(self, request: Request) -> Response:
        """Return a redirect to the same address without the token, with the cookie."""
        query = urlencode([item for item in request.query_params.multi_items() if item[0] != "token"])
        # Two slashes at the beginning would lead to another host.
        path = "/" + quote(request.scope["path"].lstrip("/"))
        answer = RedirectResponse(f"{path}?{query}" if query else path, 303, {"Cache-Control": "no-store"})
        if access.in_use().accepts(request.query_params["token"].strip()):
            answer.set_cookie(
                _cookie_name(request.scope),
                access.in_use().cookie(),
                max_age=access.SECONDS,
                path=self.base or "/",
                secure=request.url.scheme == "https",
                httponly=True,
                samesite="lax",
            )
        return answer


def _refusal(
    sentence: str, status: int = 403, code: str = "origin", headers: Mapping[str, str] | None = None
) -> ApiProblem:
    # Its schemas take a tenth of a second to import, which a server's start shall not wait for.
    from sightglass.api.problems import ApiProblem

    return ApiProblem(status, code, sentence, headers)


def _wrong_origin(path: str, request: HTTPConnection, scope: Scope, *, public: bool) -> str:
    """Return the reason to refuse a request's host or origin, or ""."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    sites = [site.rstrip("/") for site in settings().api_origins]
    # Streamlit lets in pages of any port of this machine, to which browsers send the cookie as well.
    if is_of_api(path) or path == STREAM:
        # Pages of other sites can also send requests without an Origin: as a picture, a frame or a link.
        embedded = origin is None and request.headers.get("sec-fetch-site") == "cross-site" and "*" not in sites
        foreign = origin is not None and not (is_own_page(origin, host, scope) or {origin, "*"} & {*sites})
        if foreign or (embedded and not public):
            return OTHER_SITE
    # Where visitors sign in, a page under another name has no cookie of this server's.
    return "" if public or access.in_use().asks or is_known_host(host, scope) else UNKNOWN_HOST


def is_of_api(path: str) -> bool:
    """Return whether a path is one of the API's."""
    return path.startswith("/api/") or path in OUTSIDE


def _cookie_name(scope: Scope) -> str:
    # Browsers send cookies to every port of a host.
    return f"sightglass-{(scope.get('server') or ('', ''))[1]}"


_FORM = """<form><label>Token <input name="token" type="password" required autofocus></label>
<button>Open Sightglass</button></form>
<p>The server printed it at its start, or its operator set it as SIGHTGLASS_TOKEN.</p>"""


def page(title: str, body: str, status: int) -> Response:
    """Return a small page without scripts; `body` is HTML."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{title} · Sightglass</title><style>body {{ font: 18px/1.6 system-ui; margin: 20vh auto; width: 22em }}"
        f"</style></head><body><h1>{title}</h1>{body}</body></html>"
    )
    policy = {**ANSWERS, "style-src": "'unsafe-inline'", "img-src": "data:", "form-action": "'self'"}
    return HTMLResponse(html, status, {"Cache-Control": "no-store", CSP: write_policy(policy)})
