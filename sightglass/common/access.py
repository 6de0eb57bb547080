"""Decide who may use a server."""

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from typing import Literal

from sightglass.common.errors import SettingProblem
from sightglass.common.settings import settings

MIN_LENGTH = 16
"""Characters below which a token that an operator chose can be guessed."""

Way = Literal["local", "token", "open"]
SECONDS = 7 * 24 * 3600
"""How long a browser stays signed in."""


@dataclass(frozen=True)
class Access:
    """Who may use a server."""

    way: Way = "local"
    """local: this machine; token: whoever has the token; open: everybody."""
    token: str = field(default="", repr=False)
    generated: bool = False
    """Whether the token was generated at the start, so that it has to be printed."""

    @property
    def asks(self) -> bool:
        """Whether visitors must authenticate."""
        return self.way == "token"

    def accepts(self, token: str) -> bool:
        """Compare a token in constant time."""
        return bool(self.token) and _is_equal(token, self.token)

    def cookie(self) -> str:
        """Return the cookie's value, a keyed hash of the token."""
        return hmac.new(_bytes(self.token), b"sightglass cookie", hashlib.sha256).hexdigest()

    def accepts_cookie(self, value: str) -> bool:
        """Compare a cookie in constant time."""
        return self.way == "token" and _is_equal(value, self.cookie())


_IN_USE: list[Access] = []
"""The rules of this process's server; empty without one."""


def choose(host: str | None, *, open_to_all: bool = False) -> Access:
    """Return the access rules of a server on `host`; None: all addresses.

    Raises SettingProblem where settings contradict each other.
    """
    token = secret.get_secret_value() if (secret := settings().token) else ""
    if open_to_all or settings().open:
        if token:
            raise SettingProblem("SIGHTGLASS_OPEN (--open) asks for no token, but SIGHTGLASS_TOKEN is set: remove one.")
        return Access("open")
    if token:
        return Access("token", token)
    return Access() if is_local(host) else Access("token", secrets.token_urlsafe(32), generated=True)


def install(access: Access) -> None:
    """Use these rules in this process."""
    _IN_USE[:] = [access]


def is_installed() -> bool:
    """Return whether a server of this process has its rules."""
    return bool(_IN_USE)


def in_use() -> Access:
    """Return this process's rules, by default this machine's."""
    return _IN_USE[0] if _IN_USE else Access()


def is_local(host: str | None) -> bool:
    """Return whether only this machine reaches an address."""
    if host is None:
        return False
    if host.startswith("unix:") or host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def announcement(access: Access) -> str | None:
    """Return the startup warning about who has access, or None."""
    if access.way == "open":
        return "--open (SIGHTGLASS_OPEN) is set: whoever reaches this address may use everything without signing in."
    if access.token and len(access.token) < MIN_LENGTH:
        return f"A token of {len(access.token)} characters can be guessed: set SIGHTGLASS_TOKEN to 32 random ones."
    return None


def _is_equal(text: str, other: str) -> bool:
    return hmac.compare_digest(_bytes(text), _bytes(other))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
