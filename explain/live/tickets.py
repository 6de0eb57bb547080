"""Tickets that let a page of this server open its socket where the API asks for a key, which no page knows."""

from __future__ import annotations

import secrets
import threading
import time

SECONDS = 12 * 3600.0
"""How long a ticket lets a page connect, again too: longer than a demonstration."""
_lock = threading.Lock()
_issued: dict[str, float] = {}


def issue() -> str:
    """Return a new ticket; it is valid in this process only."""
    ticket, now = secrets.token_urlsafe(24), time.monotonic()
    with _lock:
        for old in [one for one, until in _issued.items() if until < now]:
            del _issued[old]
        _issued[ticket] = now + SECONDS
    return ticket


def valid(ticket: str) -> bool:
    """Return whether a ticket was issued here and has not expired."""
    with _lock:
        return _issued.get(ticket, 0.0) > time.monotonic()
