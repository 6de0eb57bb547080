"""Read files of stores, and keep those that cannot be read.

One that cannot be read is not empty: nothing is written over it, and nothing that it may name is removed.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, TypeVar

from sightglass.common.errors import (
    TOO_MANY_FILES,
    Cancelled,
    Problem,
    Unreadable,
    describe_damage,
    from_machine,
    lacks_memory,
)
from sightglass.common.files import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydantic import TypeAdapter

LOGGER = logging.getLogger(__name__)
Value = TypeVar("Value")
PUT_BACK = "put a copy of it back, or move it away"
CHECK = "check the disk, and your right to read it"


@contextlib.contextmanager
def reading(path: Path, advice: str = PUT_BACK) -> Iterator[None]:
    """Raise Unreadable for what fails while a stored file is read.

    `advice`: what to do about a damaged one. FileNotFoundError passes, but for a link to nothing.
    """
    try:
        yield
    except (Problem, Cancelled):
        raise
    except FileNotFoundError as error:
        if not path.is_symlink():
            raise
        raise unreadable(path, error, advice) from error
    # A damaged file can fail in any way.
    except Exception as error:
        raise unreadable(path, error, advice) from error


def unreadable(path: Path, error: Exception, advice: str = PUT_BACK) -> Problem:
    """Return the problem of a stored file that could not be read."""
    number = error.errno if isinstance(error, OSError) else None
    machine = from_machine(error)
    if machine is not None and (lacks_memory(error) or number in TOO_MANY_FILES):
        return machine
    what_to_do = CHECK if number else advice
    return Unreadable(f"{path.name} in {path.parent} cannot be read ({describe_damage(error)}): {what_to_do}.")


def read_json(path: Path, adapter: TypeAdapter[Value], advice: str = PUT_BACK) -> Value | None:
    """Return what a JSON file says; None without the file. Raises Unreadable."""
    try:
        with reading(path, advice):
            return adapter.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None


def set_aside(path: Path) -> None:
    """Move a file to a new name beside it."""
    beside = name_beside(path)
    path.rename(beside)
    LOGGER.warning("%s cannot be read: it was moved to %s", path, beside.name)


def name_beside(path: Path) -> Path:
    """Return a new name for a file that cannot be read: `run.json.unreadable-1f0c93ab`."""
    return path.with_name(f"{path.name}.unreadable-{secrets.token_hex(4)}")


def set_aside_unreadable(path: Path, read: Callable[[], object]) -> None:
    """Move a file that `read` finds unreadable to a name beside it."""
    try:
        read()
    except Unreadable:
        set_aside(path)
    except FileNotFoundError:
        return


def replace_file(path: Path, data: bytes, read: Callable[[], object]) -> None:
    """Write a file, whole or not at all.

    One there that `read` finds unreadable is kept beside it.
    """
    set_aside_unreadable(path, read)
    write_file(path, data)
