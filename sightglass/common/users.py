"""The current visitor, and that visitor's folders."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from sightglass.common.files import file_stem

P = ParamSpec("P")
R = TypeVar("R")
FOLDER = "users"
"""Folder of a store with a subfolder for each visitor with an account."""
LOCAL = ""
"""Id of a visitor without an account; all of them share the stores."""
NOBODY = "\0nobody"
"""Id in a thread that is not bound to a visitor, on a server with accounts; it owns nothing."""
_current: contextvars.ContextVar[str | None] = contextvars.ContextVar("sightglass_user", default=None)
_resolvers: list[Callable[[], str]] = []


def current() -> str:
    """Return the visitor's id of this request, page run or thread."""
    if (user := _current.get()) is not None:
        return user
    return _resolvers[0]() if _resolvers else LOCAL


def resolve_with(resolver: Callable[[], str] | None) -> None:
    """Register `resolver` for the visitor outside of `acting` blocks."""
    _resolvers[:] = [] if resolver is None else [resolver]


@contextlib.contextmanager
def acting(user: str) -> Iterator[str]:
    """Work for this visitor until the end of the block."""
    token = _current.set(user)
    try:
        yield user
    finally:
        _current.reset(token)


def bind_person(work: Callable[P, R]) -> Callable[P, R]:
    """Return `work` bound to the caller's visitor."""
    user = current()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with acting(user):
            return work(*args, **kwargs)

    return run


def folder(base: Path, user: str | None = None) -> Path:
    """Return a visitor's folder below `base`; `base` itself for LOCAL.

    The folder need not exist yet. Its name begins with the readable part of the id; the hash after it separates ids
    that would be spelled alike.
    """
    name = owner(user)
    return base / FOLDER / name if name else base


def owner(user: str | None = None) -> str:
    """Return a visitor's key in a shared store; "" for LOCAL."""
    user = current() if user is None else user
    if user == LOCAL:
        return ""
    slug = file_stem(user.partition("@")[0], otherwise="user", max_length=40).lower()
    return f"{slug}-{hashlib.sha256(user.encode()).hexdigest()[:12]}"
