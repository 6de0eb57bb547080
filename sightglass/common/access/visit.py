"""Pass the user in a signed header.

The door puts a header into the request that opens a page's connection; the page's script reads it back. The seal means
that no browser can write such a header itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from sightglass.common.access import people, policy
from sightglass.common.users import LOCAL

if TYPE_CHECKING:
    from sightglass.common.users import User

HEADER = "x-sightglass-visit"
MAX_SECONDS = 12 * 3600.0
"""After which a page that stays open asks anew."""
_KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class Visit:
    """Who opened a connection, and by what it is known whether that still holds."""

    how: Literal["nobody", "session", "vouched"]
    """nobody: nobody signs in here; session: by password; vouched: by a provider or a proxy."""
    id: str
    name: str = ""
    session: str = ""
    """Digest of the session's secret, or of what a provider said; empty for a proxy, which says it each time."""
    since: float = 0.0
    """Unix time."""

    def user(self) -> User | None:
        """Return who this is now, with the role of now; None after signing out, or once taken off the list."""
        if self.how == "nobody":
            return None if policy.in_use().asks else LOCAL
        if time.time() - self.since > MAX_SECONDS:
            return None
        if self.how == "session":
            return policy.of_session(self.id) if people.in_session(self.session) == self.id else None
        return None if self.session and people.has_ended(self.session) else policy.get_user(self.id, self.name)


def seal(visit: Visit) -> str:
    """Return a visit as the header's value."""
    body = base64.urlsafe_b64encode(json.dumps(asdict(visit)).encode()).decode()
    return f"{body}.{_seal(body)}"


def unseal(value: str | None) -> Visit | None:
    """Return the visit of a header; None for what this process did not seal."""
    body, _, seal = (value or "").partition(".")
    if not hmac.compare_digest(_seal(body).encode(), seal.encode("utf-8", "surrogateescape")):
        return None
    try:
        return Visit(**json.loads(base64.urlsafe_b64decode(body)))
    except (binascii.Error, ValueError, TypeError):
        return None


def _seal(body: str) -> str:
    return hmac.new(_KEY, body.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
