"""Pictures of a session."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import streamlit as st
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem
from sightglass.common.files import packing
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.picture.image import Image, load_bundled
from sightglass.explain.picture.received import open_received
from sightglass.explain.picture.source import Item
from sightglass.models.demo.pictures import EXAMPLES as EXAMPLES
from sightglass.models.demo.pictures import example_file
from sightglass.models.demo.pictures import example_named as example_named
from sightglass.ui.session import state, url_state
from sightglass.ui.session.markdown import shorten

MAX_AGE = 3600.0
"""Seconds after its last use until an upload is deleted."""
DIGITS = 20
"""Digits of a picture's SHA-256 in an address: enough that nobody guesses one."""


@dataclass(frozen=True)
class OwnPicture:
    """A picture of the session's own, whose file is among the uploads."""

    sha256: str
    name: str
    size: tuple[int, int]
    """Width and height in pixels."""

    @classmethod
    def of(cls, image: Image) -> OwnPicture:
        return cls(image.sha256, image.name, (image.width, image.height))


def token(image: Image | OwnPicture) -> str:
    """Return a picture's name in addresses."""
    return image.sha256[:DIGITS]


@dataclass
class _StoredUpload:
    picture: OwnPicture
    data: bytes | Image
    used: float

    @property
    def nbytes(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else self.data.pixels.nbytes


@dataclass
class Uploads:
    """The uploads of all people by `token`: in memory only, thread-safe.

    Those used longest ago are deleted first where they exceed 256 MiB.
    """

    clock: Callable[[], float] = time.monotonic
    _cache: ByteCache[_StoredUpload] = field(
        default_factory=lambda: ByteCache(256 * MIB, lambda upload: upload.nbytes, disposable=False)
    )

    def put(self, image: Image, data: bytes = b"") -> None:
        """Keep a picture; `data`: its file, smaller than the pixels."""
        upload = _StoredUpload(OwnPicture.of(image), data or image.jpeg or image, self.clock())
        self._tidy()
        # The cache would hold it even where it alone exceeds the budget.
        if upload.nbytes <= self._cache.limit:
            self._cache.put(token(image), upload)
        else:
            self.drop(token(image))

    def find(self, key: str) -> OwnPicture | None:
        """Return a picture, unopened; None if deleted or unknown."""
        self._tidy()
        upload = self._cache.get(key)
        return None if upload is None else upload.picture

    def get(self, key: str) -> Image | None:
        """Return a picture, opened; None if deleted or unknown."""
        self._tidy()
        if (upload := self._cache.get(key)) is None:
            return None
        upload.used = self.clock()
        try:
            data, name = upload.data, upload.picture.name
            image = data if isinstance(data, Image) else open_received(data, name=name)
        except ImageProblem:  # too little memory, for now
            return None
        return image if token(image) == key else None

    def drop(self, key: str) -> None:
        """Delete a picture."""
        upload = self._cache.get(key)
        self._cache.discard(lambda other: other is upload)

    def _tidy(self) -> None:
        oldest = self.clock() - MAX_AGE
        self._cache.discard(lambda upload: upload.used < oldest)


UPLOADS = Uploads()
"""Uploads of this process."""


MAX_NAME = 60
"""Characters of a missing picture's name."""
FIRST = EXAMPLES[0]
MAX_OWN = 12
"""Pictures of one session; the oldest is dropped first."""


@dataclass(eq=False)
class Pictures:
    """The session's pictures and the chosen one, set only by a person's acts."""

    own: dict[str, OwnPicture] = field(default_factory=dict)
    """By SHA-256, oldest first; see `opened`."""
    last: Image | None = None
    """The own picture that was opened last."""
    chosen: str | None = None
    """The SHA-256 of an own picture, or an example's name; None before the address was read."""
    missing: str = ""
    """The name of a link's picture that it cannot carry, until another one is chosen."""
    problem: str | None = None
    """What was wrong with the last upload or choice."""

    def opened(self, sha256: str | None) -> Image | None:
        """Return one of the session's own pictures, decoded again if needed."""
        if sha256 is None or sha256 not in self.own:
            return None
        if self.last is None or self.last.sha256 != sha256:
            image = UPLOADS.get(sha256[:DIGITS])
            if image is None:
                del self.own[sha256]
                return None
            self.last = image
        return self.last

    def open_uncached(self, sha256: str) -> Image:
        """Return a picture without keeping its pixels; raise ImageProblem if deleted."""
        opened = UPLOADS.get(sha256[:DIGITS])
        if opened is None:
            raise ImageProblem("This picture is no longer on the server: upload it again.")
        return opened


def list_own() -> tuple[OwnPicture, ...]:
    """Return the session's own pictures, oldest first."""
    return tuple(state.of(Pictures).own.values())


def own_items(exclude: str) -> tuple[Item, ...]:
    """Return the session's other pictures, oldest first, to open one by one."""
    pictures = state.of(Pictures)
    return tuple(
        Item(f"{sha256[:12]}/{picture.name}", sha256, partial(pictures.open_uncached, sha256))
        for sha256, picture in pictures.own.items()
        if sha256 != exclude and UPLOADS.find(token(picture)) is not None
    )


_examples: ByteCache[Image] = ByteCache(28 * MIB, lambda image: image.pixels.nbytes + len(image.jpeg))


def example(name: str) -> Image:
    """Return a bundled picture; raise ImageProblem without its package."""
    return _examples.get_or_make(name, lambda: load_bundled(name))


def describe_example(name: str) -> tuple[str, tuple[int, int]]:
    """Return a bundled picture's file name, and its width and height in pixels, without decoding it."""
    path, file_name = example_file(name)
    with Pillow.open(path) as file:
        return file_name, file.size


def is_installed(name: str) -> bool:
    """Return whether an example's package is installed."""
    return name not in packing.PHOTOGRAPHS or packing.photograph(name) is not None


def is_photograph() -> bool:
    """Return whether a bundled photograph is chosen."""
    return _choose().chosen in packing.PHOTOGRAPHS


def is_own() -> bool:
    """Return whether the chosen picture is no example."""
    return _choose().chosen not in EXAMPLES


def unlinked_name() -> str:
    """Return the name of a picture that a link cannot carry; empty for an example."""
    pictures = _choose()
    own = pictures.own.get(pictures.chosen or "")
    return own.name if own is not None else ""


def require_picture() -> None:
    """Raise ImageProblem where the link was made with a picture that is not here."""
    if name := state.of(Pictures).missing:
        raise ImageProblem(f"This link is about {name}, which is not in it: drop that picture here, or choose another.")


def is_chosen(sha256: str | None) -> bool:
    """Return whether a picture of the session's own is chosen."""
    return _choose().chosen == sha256


def current() -> Image:
    """Return the chosen picture, and write it to the address."""
    pictures = _choose()
    image = pictures.opened(pictures.chosen)
    url_state.set_url("picture", None if image is None else token(image))
    url_state.set_url("example", pictures.chosen if image is None and not pictures.missing else None, FIRST)
    url_state.set_url("missing", pictures.missing or None)
    return example(pictures.chosen or FIRST) if image is None else image


def current_id() -> str | None:
    """Return the chosen picture's name in addresses; None for that of a link that is not here."""
    chosen = _choose().chosen or FIRST
    if state.of(Pictures).missing:
        return None
    return chosen if chosen in EXAMPLES else chosen[:DIGITS]


def _choose() -> Pictures:
    """Return the session's pictures, after the address was read."""
    pictures = state.of(Pictures)
    if pictures.chosen is None:
        linked = st.query_params.get("example")
        names = (linked, *EXAMPLES) if linked in EXAMPLES else EXAMPLES
        pictures.chosen = next(name for name in names if name and is_installed(name))
        pictures.missing = shorten(st.query_params.get("missing", ""), MAX_NAME)
        if (key := st.query_params.get("picture")) is not None and not choose_by_id(key):
            pictures.problem = (
                "Your picture is no longer on the server, which keeps uploads in memory for an hour: upload it again. "
                f"This is the example {pictures.chosen}."
            )
    return pictures


# The following are a person's acts: they run in callbacks and at the start of a run, before anything is drawn.


def choose_upload(image: Image, data: bytes = b"") -> None:
    """Choose an own picture and keep it; `data`: its file."""
    pictures = state.of(Pictures)
    pictures.own.pop(image.sha256, None)
    pictures.own[image.sha256], pictures.last = OwnPicture.of(image), image
    UPLOADS.put(image, data)
    while len(pictures.own) > MAX_OWN:
        del pictures.own[next(iter(pictures.own))]
    pictures.chosen, pictures.problem, pictures.missing = image.sha256, None, ""


def choose_by_id(key: str) -> bool:
    """Choose a picture by its address name; return whether it exists."""
    if key in EXAMPLES:
        choose_example(key)
        return True
    pictures = state.of(Pictures)
    image = pictures.opened(next((sha256 for sha256, picture in pictures.own.items() if token(picture) == key), None))
    if image is None and (image := UPLOADS.get(key)) is None:
        return False
    pictures.own.setdefault(image.sha256, OwnPicture.of(image))
    pictures.last, pictures.chosen, pictures.problem, pictures.missing = image, image.sha256, None, ""
    return True


def choose_example(name: str) -> None:
    """Choose an example by its name."""
    pictures = state.of(Pictures)
    pictures.chosen, pictures.problem, pictures.missing = name, None, ""


def remove(key: str) -> None:
    """Delete an own picture, and choose another or an example."""
    pictures = state.of(Pictures)
    UPLOADS.drop(key)
    pictures.last = None
    for sha256 in [sha256 for sha256, image in pictures.own.items() if token(image) == key]:
        del pictures.own[sha256]
        if pictures.chosen == sha256:
            pictures.chosen, pictures.problem = next(reversed(pictures.own), FIRST), None


def replace_drawing(former_sha256: str | None, image: Image) -> None:
    """Choose a drawing in place of its former version."""
    if (former := state.of(Pictures).own.pop(former_sha256 or "", None)) is not None:
        UPLOADS.drop(token(former))
    choose_upload(image)
