"""Decide how people sign in."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sightglass.common import users
from sightglass.common.access import people
from sightglass.common.errors import Problem, SettingProblem
from sightglass.common.settings import settings
from sightglass.common.users import LOCAL, User

if TYPE_CHECKING:
    from sightglass.common.users import Role

Way = Literal["local", "open", "password", "oidc", "proxy"]
SHARED = people.SHARED
_IN_USE: list[Policy] = []


@dataclass(frozen=True)
class Policy:
    """How people sign in; `local` and `open`: nobody does."""

    way: Way = "local"
    chosen: bool = False
    """Whether somebody set it, rather than the address that the server listens on."""

    @property
    def asks(self) -> bool:
        return self.way not in ("local", "open")


def of(host: str | None) -> Policy:
    """Return the policy of a server that listens on this address; raise SettingProblem where settings do not fit.

    SIGHTGLASS_ACCESS decides. Without it, nobody signs in to a server that only this machine reaches, and everybody
    with a password to any other. `host`: None listens on all addresses.
    """
    given = settings().access
    if given is None:
        return Policy("local" if is_local(host) else "password")
    if given == "proxy" and not (settings().proxy_header and settings().proxies):
        raise SettingProblem(
            "SIGHTGLASS_ACCESS is proxy: name the header in SIGHTGLASS_PROXY_HEADER, and the addresses of the proxies "
            "in SIGHTGLASS_PROXIES."
        )
    return Policy(given, chosen=True)


def install(policy: Policy) -> None:
    """Make this the policy of the process."""
    _IN_USE[:] = [policy]
    # A server's pages say more: see sightglass/components/session/signed_in.py.
    users.resolve_with((lambda: users.NOBODY) if policy.asks else None)


def in_use() -> Policy:
    """Return the policy of the process; a process that is no server has that of this machine."""
    return _IN_USE[0] if _IN_USE else Policy()


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


def announcement(policy: Policy) -> str | None:
    """Return what a server says at its start of who gets in; None where only this machine reaches it."""
    if policy.way == "local":
        return None
    if policy.way == "open":
        return "SIGHTGLASS_ACCESS is open: anyone who can reach this machine can use Sightglass without signing in."
    if policy.way == "oidc":
        return "Everybody signs in with the provider of secrets.toml before anything is shown."
    if policy.way == "proxy":
        names = ", ".join(settings().proxies)
        return f"Everybody is who the proxy at {names} says in {settings().proxy_header}; other addresses are refused."
    if settings().password or any(person.has_password for person in people.everybody()):
        return "This server asks for a password before anything is shown."
    return (
        "This server asks for sign-in, but nobody can sign in yet. Add people with `sightglass users add "
        f"NAME` (to {people.path()}), set SIGHTGLASS_PASSWORD, or set SIGHTGLASS_ACCESS=open to ask nobody."
    )


def api_warning(*, has_key: bool) -> str | None:
    """Return what the API, served alone, says at its start where anybody may use it, or nobody can."""
    way = in_use().way
    if way == "open" and not has_key:
        return "SIGHTGLASS_ACCESS is open: anyone who can reach this machine can use the API without a key."
    if way in ("password", "oidc") and not has_key and not any(people.tokens(who.id) for who in people.everybody()):
        return (
            "This server asks for a key or a token, and there is none. Set SIGHTGLASS_API_KEY, make a token with "
            "`sightglass users token NAME`, or set SIGHTGLASS_ACCESS=open to ask for none."
        )
    return announcement(in_use()) if way == "proxy" else None


def proxies() -> list[str]:
    """Return SIGHTGLASS_PROXIES as networks."""
    return [str(ipaddress.ip_network(one, strict=False)) for one in settings().proxies]


def is_trusted_proxy(address: str | None) -> bool:
    """Return whether this address, of the other end of the connection itself, is one of SIGHTGLASS_PROXIES."""
    try:
        peer = ipaddress.ip_address(address or "")
        return any((getattr(peer, "ipv4_mapped", None) or peer) in ipaddress.ip_network(one) for one in proxies())
    except ValueError:
        return False


def get_user(id_: str, name: str = "") -> User | None:
    """Return somebody whom a provider or a proxy vouches for, with the role of the list or that of newcomers.

    None: not on the list, and SIGHTGLASS_NEWCOMERS lets nobody else in; or spelled so as to pass for somebody else.
    """
    if not people.is_exact(id_):
        return None
    try:
        id_ = people.clean_id(id_)
    except Problem:
        return None
    if id_ == SHARED:
        return None
    if (person := people.find(id_)) is not None:
        return replace(person.user, name=person.name if person.name != id_ else name or id_)
    newcomers: Role | Literal["none"] = settings().newcomers
    return None if newcomers == "none" else User(id_, name or id_, newcomers)


def of_session(id_: str) -> User | None:
    """Return whose session this is, as the list has this person now."""
    if id_ == SHARED:
        return User(SHARED, "Shared password", "user") if settings().password else None
    person = people.find(id_)
    return person.user if person else None


def is_same(given: str, secret: str) -> bool:
    """Return whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode("utf-8", "surrogatepass"))


def of_secret(given: str, key: str | None) -> User | None:
    """Return who sends this key or token; the operator's key acts as the machine's own user."""
    if key and is_same(given, key):
        return LOCAL
    id_ = people.of_token(given)
    return None if id_ is None else of_session(id_) or get_user(id_)
