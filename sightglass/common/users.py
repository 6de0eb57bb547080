"""The current user, and that user's folders."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar

from sightglass.common import logs
from sightglass.common.errors import NotAllowed
from sightglass.common.files import file_stem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")
Role = Literal["admin", "user", "viewer"]
FOLDER = "users"
"""The folder within every store that has one folder for each person."""
MAX_SLUG = 40


@dataclass(frozen=True)
class User:
    """Somebody who uses this server."""

    id: str
    """What tells this person from all others: it never changes."""
    name: str
    """What the screens call this person; it may change, and two may have the same."""
    role: Role


LOCAL = User("local", "", "admin")
"""Whoever uses a server at which nobody signs in."""
NOBODY = User("", "", "viewer")
"""For whom a thread works that does not say so, where people sign in: it sees and keeps nothing of anybody's."""
_current: contextvars.ContextVar[User | None] = contextvars.ContextVar("sightglass_user", default=None)
_resolvers: list[Callable[[], User]] = []


def current() -> User:
    """Return the person for whom this request, page run or thread works; LOCAL where nobody signs in."""
    user = _current.get()
    if user is None:
        user = _resolvers[0]() if _resolvers else LOCAL
    return user


def resolve_with(resolver: Callable[[], User] | None) -> None:
    """Ask this, outside every block of `acting`, for whom a thread works: a page's callbacks run before its script."""
    _resolvers[:] = [] if resolver is None else [resolver]


def may_save() -> bool:
    """Return whether the current person may keep anything on this server."""
    return current().role != "viewer"


def require_saving(what: str) -> None:
    """Raise NotAllowed if the current person may not keep anything; `what`: what was tried, as `start a batch`."""
    if not may_save():
        raise NotAllowed(refusal(what))


def refusal(what: str) -> str:
    """Return the sentence that tells a viewer what to do instead of `what`, as `start a batch`."""
    return f"Viewers cannot {what}: ask an administrator of this server for the role of a user."


def require_admin(what: str) -> None:
    """Raise NotAllowed if the current person is no administrator."""
    if current().role != "admin":
        raise NotAllowed(f"Only administrators can {what}: ask one of this server.")


@contextlib.contextmanager
def acting(user: User) -> Iterator[User]:
    """Work for this person until the end of the block."""
    token = _current.set(user)
    try:
        yield user
    finally:
        _current.reset(token)


@contextlib.contextmanager
def making_example() -> Iterator[None]:
    """Work for a viewer as for a user: on an example in a temporary folder, which is shown to everybody."""
    user = current()
    with acting(replace(user, role="user") if user.role == "viewer" else user):
        yield


def bind_person(work: Callable[P, R]) -> Callable[P, R]:
    """Return `work` for a thread or a pool, for the caller's person and request; it may run several times."""
    user, request = current(), logs.request_id()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with acting(user), logs.working_on(request):
            return work(*args, **kwargs)

    return run


def folder(base: Path, user: User | None = None) -> Path:
    """Return the folder of a person's files in a store: `base` itself for LOCAL, whose files were there before.

    `user` defaults to the current one. The folder need not exist yet. Its name begins with what can be read of the id;
    the hash after it tells ids apart that would be spelled alike.
    """
    name = owner(user)
    return base / FOLDER / name if name else base


def owner(user: User | None = None) -> str:
    """Return what tells a person's things from others' where all are in one place: empty for LOCAL.

    `user` defaults to the current one.
    """
    user = user or current()
    if user == LOCAL:
        return ""
    slug = file_stem(user.id.partition("@")[0], otherwise="user", max_length=MAX_SLUG).lower()
    return f"{slug}-{hashlib.sha256(user.id.encode()).hexdigest()[:12]}"
