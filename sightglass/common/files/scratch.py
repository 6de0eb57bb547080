"""Temporary folders that end with their process.

All of a process are in one folder, which the process holds a lock on: one that nobody holds was left by a killed
process, and the next process that needs a folder deletes it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

PREFIX, LOCK = "sightglass-process-", ".lock"
UNLOCKED = 3600.0
"""Seconds after which a folder without a lock counts as abandoned: its process takes the lock at once."""
_GUARD = threading.Lock()
_HOMES: dict[int, tuple[Path, BaseFileLock]] = {}
"""By process, since a fork must not take its parent's away."""


def scratch_folder(kind: str) -> tempfile.TemporaryDirectory[str]:
    """Return a new temporary folder with prefix `kind`. Raises OSError."""
    return tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=_home(), ignore_cleanup_errors=True)


def homes() -> list[Path]:
    """Return the folders of all processes and users."""
    return list(Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"))


def _home() -> Path:
    from filelock import FileLock

    with _GUARD:
        if (existing := _HOMES.get(os.getpid())) is not None and existing[0].is_dir():
            return existing[0]
        _sweep()
        home = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = FileLock(home / LOCK, timeout=0)
        lock.acquire()
        _HOMES[os.getpid()] = home, lock
        atexit.register(_end, os.getpid())
        return home


def _sweep() -> None:
    """Remove folders of this user's killed processes."""
    from filelock import FileLock, Timeout

    for home in homes():
        with contextlib.suppress(OSError, Timeout):
            seen = home.lstat()
            if home.is_symlink() or (hasattr(os, "getuid") and seen.st_uid != os.getuid()):
                continue
            if not (home / LOCK).exists():
                if abs(time.time() - seen.st_mtime) > UNLOCKED:
                    shutil.rmtree(home, ignore_errors=True)
                continue
            with FileLock(home / LOCK, timeout=0):
                shutil.rmtree(home, ignore_errors=True)


def _end(process: int) -> None:
    """Delete this process's folder when it ends."""
    if process == os.getpid() and (home := _HOMES.pop(process, None)) is not None:
        shutil.rmtree(home[0], ignore_errors=True)
        home[1].release()
