"""Download files: whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import logging
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from common.errors import Cancelled, WeightsProblem
from common.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

Progress = Callable[[int, int], None]
"""Called with (bytes done, total bytes or 0); may raise `Cancelled` to stop."""

LOGGER = logging.getLogger(__name__)
# A closed network does not answer at all: wait seconds, not the minutes of a socket's default.
TIMEOUT_S = 8.0
CHUNK = 1 << 20
_SHA256: dict[tuple[str, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """Return the file's sha256 in hex; computed once for each path, size and time of change."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    known = _SHA256.get(key)
    if known is None:
        with path.open("rb") as file:
            known = _SHA256[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return known


def download(
    url: str,
    to: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Path:
    """Download `url` to the file `to`: whole and checked, or not at all.

    `sha256` is the full hash or its beginning. Threads that want the same file share one download. Raises
    WeightsProblem, or Cancelled when `cancel` is set; either way nothing of the file stays behind.
    """
    with _LOCK:
        flight = _FLIGHTS.setdefault(to, _Flight())
        flight.wanted += 1
    try:
        while not flight.lock.acquire(timeout=0.1):
            _stop_if(cancel)
            if progress and flight.done:
                progress(flight.done, flight.total)
        try:
            if not (to.is_file() and (sha256 is None or sha256_of(to).startswith(sha256))):
                _stream(url, to, sha256, progress, cancel, flight)
            return to
        finally:
            flight.lock.release()
    finally:
        with _LOCK:
            flight.wanted -= 1
            if not flight.wanted:
                _FLIGHTS.pop(to, None)


@dataclass(slots=True)
class _Flight:
    """A download in progress, and the number of threads waiting for its file."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted: int = 0
    done: int = 0
    total: int = 0


_LOCK = threading.Lock()
_FLIGHTS: dict[Path, _Flight] = {}


def _stream(
    url: str,
    to: Path,
    sha256: str | None,
    progress: Progress | None,
    cancel: threading.Event | None,
    flight: _Flight,
) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise WeightsProblem(f"{to.name} can only be downloaded over http or https, not from {url}.")
    digest = hashlib.sha256()
    told = 0.0
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        request = urllib.request.Request(url, headers={"User-Agent": "sightglass"})
        with atomic_write(to) as draft:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer, draft.open("wb") as file:
                flight.done, flight.total = 0, int(answer.headers.get("Content-Length") or 0)
                while chunk := answer.read1(CHUNK):
                    _stop_if(cancel)
                    file.write(chunk)
                    digest.update(chunk)
                    flight.done += len(chunk)
                    # A fast line brings a chunk every few milliseconds; a screen needs no more than ten a second.
                    if progress and (time.monotonic() - told > 0.1 or flight.done == flight.total):
                        told = time.monotonic()
                        progress(flight.done, flight.total)
            if flight.total and flight.done != flight.total:
                raise WeightsProblem(f"{to.name} broke off after {flight.done} of {flight.total} bytes.")
            if sha256 and not digest.hexdigest().startswith(sha256):
                raise WeightsProblem(
                    f"{to.name} from {urlsplit(url).netloc} is not the file it should be "
                    f"(its sha256 begins with {digest.hexdigest()[:8]}, not {sha256[:8]})."
                )
    except (OSError, http.client.HTTPException) as problem:
        LOGGER.info("download of %s failed", url, exc_info=True)
        reason = getattr(problem, "reason", None) or problem
        reason = getattr(reason, "strerror", None) or reason
        raise WeightsProblem(f"{to.name} could not be downloaded from {urlsplit(url).netloc} ({reason}).") from problem


def _stop_if(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled
