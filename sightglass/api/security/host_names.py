"""Check Host headers (DNS rebinding) and Origin headers (pages of other sites)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sightglass.common.settings import settings

if TYPE_CHECKING:
    from starlette.types import Scope

UNKNOWN = "This machine is not known by that name: use localhost, or add the name to SIGHTGLASS_API_HOSTS."


def hosts() -> tuple[str, ...]:
    """Return the names in SIGHTGLASS_API_HOSTS, by which this machine is known besides localhost; `*` allows any."""
    return tuple(name.lower() for name in settings().api_hosts)


def is_known(host: str, scope: Scope) -> bool:
    """Return whether a request to a loopback address names a local host; to any other address, all names are right."""
    named = hosts()
    if not host or "*" in named or not is_loopback((scope.get("server") or ("",))[0]):
        return True
    name = (host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]).lower().rstrip(".")
    # Nobody can point an address elsewhere.
    return name in ("localhost", *named) or _address(name.strip("[]")) is not None


def is_own_page(origin: str, host: str, scope: Scope) -> bool:
    """Return whether an Origin is that of this server's pages, as the Host of the same request names it."""
    try:
        site = urlsplit(origin)
    except ValueError:
        return False
    # http here can be https at a proxy that does not say so; https here is https there.
    secure = scope.get("scheme") in ("https", "wss")
    return bool(host) and site.netloc == host and (not secure or site.scheme == "https")


def is_loopback(text: str) -> bool:
    address = _address(text)
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
