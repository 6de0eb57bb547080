"""Hash passwords (scrypt)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache

COST, BLOCK, PARALLEL = 2**14, 8, 5
"""scrypt's n, r and p: 16 MiB and about a quarter of a second for each attempt."""
SALT_BYTES = 16
MIN_LENGTH, MAX_LENGTH = 8, 1024
"""Characters of a password."""


def hash_password(password: str) -> str:
    """Return what is stored of a password: `scrypt$n$r$p$salt$hash`, the last two in base64."""
    salt = secrets.token_bytes(SALT_BYTES)
    parts = (base64.b64encode(salt), base64.b64encode(_scrypt(password, salt, COST, BLOCK, PARALLEL)))
    return "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), *(part.decode() for part in parts)))


def matches(password: str, stored: str | None) -> bool:
    """Return whether this is the password; with nothing stored it takes as long, and says no."""
    name, cost, block, parallel, salt, expected = (stored or _of_nobody()).split("$")
    if name != "scrypt" or len(password) > MAX_LENGTH:
        return False
    found = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, base64.b64decode(expected)) and stored is not None


@lru_cache(maxsize=1)
def _of_nobody() -> str:
    # Otherwise the time that an answer takes would tell which names exist.
    return hash_password(secrets.token_urlsafe(SALT_BYTES))


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    # OpenSSL's own limit, 32 MiB, is below what other parameters in a file may need.
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=cost, r=block, p=parallel, maxmem=2**28, dklen=32
    )
