"""One-time tickets for the live socket."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from sightglass.common import users

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "ticket."
"""Begins the subprotocol of a socket that carries a ticket."""
SECONDS = 12 * 3600.0
"""How long a ticket lets a page connect, again too: longer than a demonstration."""
_lock = threading.Lock()
_issued: dict[str, tuple[float, users.User]] = {}


def issue() -> str:
    """Return a new ticket of the current person's; it is valid in this process only."""
    ticket, now = secrets.token_urlsafe(24), time.monotonic()
    with _lock:
        for old in [one for one, (until, _) in _issued.items() if until < now]:
            del _issued[old]
        _issued[ticket] = now + SECONDS, users.current()
    return ticket


def valid(ticket: str) -> bool:
    """Return whether a ticket was issued here and has not expired."""
    return holder(ticket) is not None


def holder(ticket: str) -> users.User | None:
    """Return for whom a ticket was issued; None for one that was not issued here, or has expired."""
    with _lock:
        until, user = _issued.get(ticket, (0.0, users.LOCAL))
    return user if until > time.monotonic() else None


def holder_among(subprotocols: Iterable[str]) -> users.User | None:
    """Return for whom the first valid ticket among a socket's subprotocols was issued; None without one."""
    holders = (holder(one.removeprefix(PREFIX)) for one in subprotocols if one.startswith(PREFIX))
    return next((found for found in holders if found is not None), None)
