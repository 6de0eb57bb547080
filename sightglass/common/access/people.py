"""Store people, roles, sessions and tokens in SQLite.

It is read anew for every request, so that a change is in force at once, in every process that shares the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import threading
import time
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.common.access import passwords
from sightglass.common.errors import Problem, did_you_mean
from sightglass.common.settings import settings
from sightglass.common.users import User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sightglass.common.users import Role

TOKEN = "sg_"
"""Begins every token, so that scanners for leaked secrets can find one."""
SHARED = "shared"
"""Id of everybody who signs in with the one password of SIGHTGLASS_PASSWORD: nobody's own."""
SESSION_SECONDS = 7 * 24 * 3600
MAX_ID = 254
MAX_TOKENS = 20
"""Tokens of one person."""
_TABLES = """
CREATE TABLE IF NOT EXISTS people (id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, password TEXT);
CREATE TABLE IF NOT EXISTS tokens (hash TEXT PRIMARY KEY, person TEXT, label TEXT, made REAL);
CREATE TABLE IF NOT EXISTS sessions (hash TEXT PRIMARY KEY, person TEXT, until REAL);
"""

_LOCK = threading.Lock()
_brief: dict[str, tuple[str, float]] = {}
"""Ids and ends of sessions that this process alone knows."""


@dataclass(frozen=True)
class Person:
    """An entry of the list."""

    id: str
    name: str
    role: Role
    has_password: bool

    @property
    def user(self) -> User:
        return User(self.id, self.name, self.role)


@dataclass(frozen=True)
class Token:
    """What is known of a token; the token itself is shown once and never stored."""

    number: str
    """Begins its hash: names it where it is revoked."""
    label: str
    made: float
    """Unix time."""


def path() -> Path:
    """Return the file, SIGHTGLASS_PEOPLE; it need not exist."""
    return settings().people


def clean_id(text: str) -> str:
    """Return an id as it is compared: an e-mail address in lower case, anything else as it is; raises Problem."""
    found = unicodedata.normalize("NFKC", text).strip()
    if not found or len(found) > MAX_ID or not found.isprintable():
        raise Problem(f"{text[:40]!r} cannot be somebody's name: give 1 to {MAX_ID} printable characters.")
    # Not casefold, to which an address with ß is one with ss.
    return found.lower() if "@" in found else found


def is_exact(text: str) -> bool:
    """Return whether an id is in its normal form, apart from case and outer spaces.

    A provider may know both anna and anna in letters of double width: they are two people.
    """
    # All normal forms make a K of the sign for kelvin. What could not be decoded may be anybody's name.
    others = any(one == "\ufffd" or ((made := unicodedata.decomposition(one)) and " " not in made) for one in text)
    return unicodedata.normalize("NFKC", text) == unicodedata.normalize("NFC", text) and not others


def everybody() -> list[Person]:
    with _reading() as base:
        rows = base.execute("SELECT id, name, role, password IS NOT NULL FROM people ORDER BY id").fetchall()
    return [Person(id_, name, role, bool(known)) for id_, name, role, known in rows]


def find(id_: str) -> Person | None:
    return next((person for person in everybody() if person.id == id_), None)


def add(id_: str, role: Role, *, name: str = "", password: str | None = None) -> Person:
    """Add somebody to the list; without a password for those who sign in elsewhere. Raises Problem."""
    id_ = clean_id(id_)
    if id_ == SHARED:
        raise Problem(f"{SHARED} stands for everybody with the one password of SIGHTGLASS_PASSWORD: choose another.")
    stored = None if password is None else _hashed(password)
    with _writing() as base:
        try:
            base.execute("INSERT INTO people VALUES (?, ?, ?, ?)", (id_, name.strip() or id_, role, stored))
        except sqlite3.IntegrityError as error:
            raise Problem(f"{id_} is on the list already: change the role or the password instead.") from error
    return Person(id_, name.strip() or id_, role, stored is not None)


def set_role(id_: str, role: Role) -> None:
    with _writing() as base:
        _known(id_, base.execute("UPDATE people SET role = ? WHERE id = ?", (role, clean_id(id_))).rowcount)


def set_password(id_: str, password: str) -> None:
    """Change a password; whoever is signed in under the one before is signed out, and all tokens end."""
    stored = _hashed(password)
    with _writing() as base:
        _known(id_, base.execute("UPDATE people SET password = ? WHERE id = ?", (stored, clean_id(id_))).rowcount)
        _end(base, clean_id(id_))


def remove(id_: str) -> None:
    """Take somebody off the list, with all sessions and tokens; what this person saved stays where it is."""
    with _writing() as base:
        _known(id_, base.execute("DELETE FROM people WHERE id = ?", (clean_id(id_),)).rowcount)
        _end(base, clean_id(id_))


def with_password(id_: str, password: str) -> Person | None:
    """Return who signs in with these, or None; both take the same time."""
    with contextlib.suppress(Problem):
        id_ = clean_id(id_)
    with _reading() as base:
        row = base.execute("SELECT id, name, role, password FROM people WHERE id = ?", (id_,)).fetchone()
    if not passwords.matches(password, row[3] if row else None):
        return None
    return Person(row[0], row[1], row[2], True)


def open_session(id_: str, *, brief: bool = False) -> str:
    """Return the secret of a new session: the value of a cookie. `brief`: it ends with this process, at the latest."""
    secret, now = secrets.token_urlsafe(32), time.time()
    if brief:
        with _LOCK:
            for old in [one for one, (_, until) in _brief.items() if until < now]:
                del _brief[old]
            _brief[digest(secret)] = (id_, now + SESSION_SECONDS)
        return secret
    with _writing() as base:
        base.execute("DELETE FROM sessions WHERE until < ?", (now,))
        base.execute("INSERT INTO sessions VALUES (?, ?, ?)", (digest(secret), id_, now + SESSION_SECONDS))
    return secret


def in_session(hash_: str) -> str | None:
    """Return the id of whose session this is, by the secret's `digest`; None after its end."""
    with _LOCK:
        id_, until = _brief.get(hash_, ("", 0.0))
    if until > time.time():
        return id_
    with _reading() as base:
        row = base.execute("SELECT person FROM sessions WHERE hash = ? AND until > ?", (hash_, time.time())).fetchone()
    return row[0] if row else None


def close_session(hash_: str) -> None:
    with _LOCK:
        if _brief.pop(hash_, None) is not None:
            return
    with _writing() as base:
        base.execute("DELETE FROM sessions WHERE hash = ?", (hash_,))


def end_vouched(hash_: str) -> None:
    """Remember that somebody whom a provider vouched for has signed out: the cookie that says so would hold on."""
    now = time.time()
    with _writing() as base:
        base.execute("DELETE FROM sessions WHERE until < ?", (now,))
        base.execute("INSERT OR REPLACE INTO sessions VALUES (?, '', ?)", (hash_, now + SESSION_SECONDS))


def has_ended(hash_: str) -> bool:
    """Return whether `end_vouched` was called for this."""
    return in_session(hash_) == ""


def issue_token(id_: str, label: str) -> str:
    """Return a new token, which acts as this person in the API; it cannot be shown again. Raises Problem."""
    if len(tokens(id_)) >= MAX_TOKENS:
        raise Problem(f"There are {MAX_TOKENS} tokens already: revoke one that is no longer used.")
    token = TOKEN + secrets.token_urlsafe(32)
    with _writing() as base:
        base.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", (digest(token), id_, label.strip()[:80], time.time()))
    return token


def tokens(id_: str) -> list[Token]:
    with _reading() as base:
        rows = base.execute("SELECT hash, label, made FROM tokens WHERE person = ? ORDER BY made", (id_,)).fetchall()
    return [Token(hash_[:8], label, made) for hash_, label, made in rows]


def revoke_token(id_: str, number: str) -> None:
    """End a token of this person by its number; raises Problem where there is none."""
    with _writing() as base:
        done = base.execute("DELETE FROM tokens WHERE person = ? AND substr(hash, 1, 8) = ?", (id_, number)).rowcount
    if not done:
        numbers = [token.number for token in tokens(id_)]
        raise Problem(f"{id_} has no token {number}: {did_you_mean(number, numbers, 'list them first.')}")


def of_token(token: str) -> str | None:
    """Return the id of whose token this is."""
    if not token.startswith(TOKEN):
        return None
    with _reading() as base:
        row = base.execute("SELECT person FROM tokens WHERE hash = ?", (digest(token),)).fetchone()
    return row[0] if row else None


def digest(secret: str) -> str:
    """Return what is stored of a session's or a token's secret: 32 random bytes need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _hashed(password: str) -> str:
    if not passwords.MIN_LENGTH <= len(password) <= passwords.MAX_LENGTH:
        raise Problem(f"A password has at least {passwords.MIN_LENGTH} characters: give a longer one.")
    return passwords.hash_password(password)


def _known(id_: str, changed: int) -> None:
    if not changed:
        names = [person.id for person in everybody()]
        raise Problem(f"{id_} is not on the list: {did_you_mean(id_, names, 'add this person first.')}")


def _end(base: sqlite3.Connection, id_: str) -> None:
    base.execute("DELETE FROM sessions WHERE person = ?", (id_,))
    base.execute("DELETE FROM tokens WHERE person = ?", (id_,))


@contextlib.contextmanager
def _reading() -> Iterator[sqlite3.Connection]:
    file = path()
    # Nobody is on a list that does not exist, and reading makes no file.
    where = f"{file.absolute().as_uri()}?mode=ro" if file.exists() else ":memory:"
    with _connected(where) as base:
        if where == ":memory:":
            base.executescript(_TABLES)
        yield base


@contextlib.contextmanager
def _writing() -> Iterator[sqlite3.Connection]:
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Before SQLite makes it for others to read.
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise _unusable(error) from error
    with _connected(file.absolute().as_uri()) as base:
        base.executescript(_TABLES)
        with base:
            yield base


@contextlib.contextmanager
def _connected(where: str) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(sqlite3.connect(where, timeout=10, uri=True)) as base:
            yield base
    except sqlite3.OperationalError as error:
        raise _unusable(error) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise _unusable(error) from error


def _unusable(error: Exception) -> Problem:
    reason = getattr(error, "strerror", None) or str(error)
    return Problem(f"The list of people, {path()}, cannot be used ({reason}): mend it, or set SIGHTGLASS_PEOPLE.")
