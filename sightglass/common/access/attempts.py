"""Throttle guesses of passwords and tokens."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from sightglass.common.access import people, policy, rates
from sightglass.common.errors import Problem
from sightglass.common.users import LOCAL

if TYPE_CHECKING:
    from sightglass.common.access.people import Person
    from sightglass.common.users import User

_PASSWORDS = rates.Limiter(per_minute=2, burst=10)
"""For each address, and for each name: a right password gives its attempt back."""
_KEYS = rates.Limiter(per_minute=2, burst=10)
"""For each address: of keys and tokens, only those that are wrong count."""
_ONE_AT_A_TIME = threading.Lock()
"""A flood of attempts takes one core and 16 MiB, not all."""
_LOCK = threading.Lock()
_SALT = secrets.token_bytes(32)
_wrong: OrderedDict[bytes, None] = OrderedDict()
"""Salted hashes of what was wrong lately."""


class OverAll:
    """Limit guesses at one secret over all addresses but those that had it right: a thousand get no further than one.

    At most 60 in any minute: 30 at once, and 30 a minute.
    """

    def __init__(self) -> None:
        self.limiter = rates.Limiter(per_minute=30, burst=30)
        self.known: OrderedDict[str, None] = OrderedDict()

    def take(self, address: str) -> int:
        """Count an attempt; return 0, or the seconds to wait instead."""
        return 0 if address in self.known else self.limiter.take("")

    def give_back(self, address: str, *, right: bool = True) -> None:
        """Forget an attempt; `right`: it was, and the address is limited no more."""
        if address not in self.known:
            self.limiter.take("", -1)
        if right:
            _note(self.known, address)


_KEY, _SHARED = OverAll(), OverAll()
"""Guesses at the operator's key, and at the one password for all."""


def count(address: str, name: str) -> int:
    """Count an attempt at a password before it is looked at; return 0, or the seconds to wait instead.

    `name`: empty for the one password for all, at which guesses are also counted over all addresses.
    """
    # In turn: an address that is refused does not keep others from signing in under the name.
    if wait := next((wait for bucket in _buckets(address, name) if (wait := _PASSWORDS.take(bucket))), 0):
        return wait
    with _LOCK:
        if not name and (wait := _SHARED.take(rates.of_address(address))):
            _PASSWORDS.take(_buckets(address, name)[0], -1)
    return wait


def give_back(address: str, name: str, *, right: bool = True) -> None:
    """Forget an attempt that was `right`, or that was never looked at."""
    for bucket in _buckets(address, name):
        _PASSWORDS.take(bucket, -1)
    with _LOCK:
        if not name:
            _SHARED.give_back(rates.of_address(address), right=right)


def with_password(name: str, password: str) -> Person | None:
    """Return who has this name and password, or None; a quarter of a second, one at a time."""
    with _ONE_AT_A_TIME:
        return people.with_password(name, password)


def with_secret(given: str, key: str | None, address: str) -> tuple[User | None, int]:
    """Return who sends a key or a token, or None and the seconds to wait where too many wrong ones came.

    A right token is let in at any time, because 32 random bytes cannot be guessed. The operator's `key` can be: while
    an address has to wait, it is not compared. What was wrong before counts once, however often it is sent: a program
    whose token was revoked keeps nobody behind the same proxy out.
    """
    if (user := policy.of_secret(given, None)) is not None:
        return user, 0
    address = rates.of_address(address)
    mark = hashlib.blake2b(f"{key}\0{given}".encode("utf-8", "surrogatepass"), key=_SALT).digest()
    with _LOCK:
        if mark in _wrong:
            _wrong.move_to_end(mark)
            return None, 0
        if wait := _KEYS.take(address):
            return None, wait
        if wait := _KEY.take(address):
            _KEYS.take(address, -1)
            return None, wait
        if not (key and policy.is_same(given, key)):
            _note(_wrong, mark)
            return None, 0
        _KEYS.take(address, -1)
        _KEY.give_back(address)
    return LOCAL, 0


def _note(those: OrderedDict[Any, None], one: str | bytes) -> None:
    those[one] = None
    those.move_to_end(one)
    if len(those) > rates.MAX_BUCKETS:
        those.popitem(last=False)


def _buckets(address: str, name: str) -> list[str]:
    """Return what an attempt is counted by: the address, and the name, however it is spelled."""
    with contextlib.suppress(Problem):
        name = people.clean_id(name)
    # Nobody has a longer one, and each is remembered.
    name = name[: people.MAX_ID]
    return [f"address {rates.of_address(address)}", *([f"name {name}"] if name else [])]
