"""Lock a file that several processes change."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sightglass.common.errors import ModelProblem, from_machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 10.0
"""How long to wait for another process that writes the same file."""


@contextlib.contextmanager
def file_lock(to: Path) -> Iterator[None]:
    """Lock a file against other processes; raise Problem after a timeout, or where it cannot be written."""
    lock = FileLock(to.with_name(f".{to.name}.lock"), timeout=SECONDS)
    try:
        with lock:
            try:
                yield
            finally:
                # Removed before the unlock, so that it does not stay in the user's folder: whoever waits sees that and
                # makes a new one. Windows does not remove a file that is open.
                with contextlib.suppress(OSError):
                    os.unlink(lock.lock_file)
    except Timeout:
        raise ModelProblem(f"{to.name} is being written by another process: wait, and try again.") from None
    except OSError as error:
        if error.filename == lock.lock_file:
            error.filename = str(to)
        raise from_machine(error) or ModelProblem(f"{to} cannot be written ({error.strerror or error}).") from error
