"""Keep uploads for an hour, across reloads.

An address finds the uploads of whose session it is opened in, and nobody else's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sightglass.common import users
from sightglass.common.errors import ImageProblem
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_AGE = 3600.0
"""Seconds after its last use until an upload is deleted."""
DIGITS = 20
"""Of a picture's SHA-256 in an address: enough that nobody guesses one."""


class NamedPicture(Protocol):
    """A picture, or what stands for one."""

    @property
    def sha256(self) -> str: ...


def token(image: NamedPicture) -> str:
    """Return what an address calls a picture."""
    return image.sha256[:DIGITS]


def _mine(key: str) -> tuple[str, str]:
    return users.owner(), key


@dataclass(frozen=True)
class Closed:
    """A picture whose pixels made room for others: its file is among the uploads."""

    sha256: str
    name: str


@dataclass
class _Kept:
    sha256: str
    name: str
    data: bytes | Image
    used: float

    @property
    def nbytes(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else self.data.pixels.nbytes


@dataclass
class Uploads:
    """The uploads of all people by `token`; never written to disk. Safe to use from several threads.

    Those used longest ago are deleted first where they exceed 256 MiB.
    """

    clock: Callable[[], float] = time.monotonic
    _kept: ByteCache[_Kept] = field(
        default_factory=lambda: ByteCache(256 * MIB, lambda kept: kept.nbytes, disposable=False)
    )

    def put(self, image: Image, data: bytes = b"") -> None:
        """Keep a picture; `data`: the file that it was opened from, which is smaller than its pixels."""
        kept = _Kept(image.sha256, image.name, data or image.jpeg or image, self.clock())
        self._tidy()
        # The cache would hold it even where it alone exceeds the budget.
        if kept.nbytes <= self._kept.limit:
            self._kept.put(_mine(token(image)), kept)
        else:
            self.drop(token(image))

    def get(self, key: str) -> Image | None:
        """Return a picture; None where this person never gave it, or it is deleted."""
        self._tidy()
        if (kept := self._kept.get(_mine(key))) is None:
            return None
        kept.used = self.clock()
        try:
            image = kept.data if isinstance(kept.data, Image) else Image.open(kept.data, name=kept.name)
        except ImageProblem:  # too little memory, for now
            return None
        return image if token(image) == key else None

    def closed(self, key: str) -> Closed | None:
        """Return what stands for a picture without opening it; None where `get` would return none."""
        self._tidy()
        kept = self._kept.get(_mine(key))
        return None if kept is None else Closed(kept.sha256, kept.name)

    def has(self, key: str) -> bool:
        """Return whether a picture's own file is kept, from which it can be opened again."""
        kept = self._kept.get(_mine(key))
        return kept is not None and isinstance(kept.data, bytes)

    @property
    def limit(self) -> int:
        """The bytes that files may take, and the pixels of one session's pictures."""
        return self._kept.limit

    def drop(self, key: str) -> None:
        """Delete a picture of this person's."""
        kept = self._kept.get(_mine(key))
        self._kept.discard(lambda one: one is kept)

    def _tidy(self) -> None:
        oldest = self.clock() - MAX_AGE
        self._kept.discard(lambda kept: kept.used < oldest)


UPLOADS = Uploads()
"""Of this process."""
