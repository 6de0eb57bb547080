"""Keep what was uploaded in memory for an hour, so that a page that is loaded again finds its picture."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.errors import ImageProblem
from explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_AGE = 3600.0
"""Seconds after its last use until an upload is deleted."""
MAX_BYTES = 256 * 2**20
"""Bytes of all sessions' uploads together; those used longest ago are deleted first."""
DIGITS = 20
"""Of a picture's SHA-256 in an address: enough that nobody guesses one."""


def token(image: Image) -> str:
    """Return what an address calls a picture."""
    return image.sha256[:DIGITS]


@dataclass
class _Kept:
    name: str
    data: bytes | Image
    used: float

    @property
    def nbytes(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else self.data.pixels.nbytes


@dataclass
class Uploads:
    """The uploads of all sessions by `token`; never written to disk. Safe to use from several threads."""

    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, image: Image, data: bytes = b"") -> None:
        """Keep a picture; `data`: the file that it was opened from, which is smaller than its pixels."""
        kept = _Kept(image.name, data or image.jpeg or image, self.clock())
        with self._lock:
            self._kept.pop(token(image), None)
            self._tidy()
            if kept.nbytes <= MAX_BYTES:
                self._kept[token(image)] = kept
            while sum(one.nbytes for one in self._kept.values()) > MAX_BYTES:
                del self._kept[next(iter(self._kept))]

    def get(self, key: str) -> Image | None:
        """Return a picture; None where it was never given or is deleted."""
        with self._lock:
            self._tidy()
            if (kept := self._kept.pop(key, None)) is None:
                return None
            kept.used = self.clock()
            self._kept[key] = kept
        try:
            image = kept.data if isinstance(kept.data, Image) else Image.open(kept.data, name=kept.name)
        except ImageProblem:  # too little memory, for now
            return None
        return image if token(image) == key else None

    def drop(self, key: str) -> None:
        """Delete a picture."""
        with self._lock:
            self._kept.pop(key, None)

    def _tidy(self) -> None:
        oldest = self.clock() - MAX_AGE
        for key in [key for key, kept in self._kept.items() if kept.used < oldest]:
            del self._kept[key]


UPLOADS = Uploads()
"""Of this process."""
