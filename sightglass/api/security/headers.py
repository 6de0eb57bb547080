"""Security headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
                given = {name.lower() for name, _ in message.get("headers", ())}
                missing = ((name, value) for name, value in wanted.items() if name.encode() not in given)
                more = [(name.encode(), value.encode()) for name, value in missing]
                message = {**message, "headers": [*map(secure_cookie, message.get("headers", ())), *more]}
            await send(message)

        def secure_cookie(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
            name, value = header
            # Streamlit's own cookies, of a provider's sign-in too, would go over an open line as well.
            open_line = name.lower() == b"set-cookie" and b"; secure" not in value.lower()
            return (name, value + b"; Secure") if open_line and scope["scheme"] == "https" else header

        wanted = FIXED | self.more | {CSP: write(self.policy)}
        if not settings().framed_by:
            # For browsers that do not know frame-ancestors.
            wanted["x-frame-options"] = "SAMEORIGIN"
        await self.app(scope, receive, with_headers)


def write(policy: Mapping[str, str]) -> str:
    """Return a policy as its header, with the sites that may show the page in a frame."""
    whole = {**policy, "frame-ancestors": " ".join(("'self'", *settings().framed_by))}
    return "; ".join(f"{name} {value}" for name, value in whole.items())
