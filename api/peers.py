"""Remember the other end of each connection, before uvicorn puts what a proxy's headers say in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.identity import PEER

if TYPE_CHECKING:
    from typing import Any

_theirs = ProxyHeadersMiddleware.__call__


async def _remembering(self: ProxyHeadersMiddleware, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        scope[PEER] = scope.get("client")
    await _theirs(self, scope, receive, send)


def install() -> None:
    """Remember it in every server of this process: Streamlit's takes no middleware outside of uvicorn's own."""
    ProxyHeadersMiddleware.__call__ = _remembering  # type: ignore[method-assign]
