"""Pictures of a session."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Self

import streamlit as st
from PIL import Image as Pillow
from PIL import ImageOps

from sightglass.common import packaged
from sightglass.common.errors import ImageProblem
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.picture.image import Image, load_bundled
from sightglass.explain.picture.received import open_received
from sightglass.explain.picture.source import Item
from sightglass.models.demo.pictures import EXAMPLES as EXAMPLES
from sightglass.models.demo.pictures import example_file
from sightglass.models.demo.pictures import example_named as example_named
from sightglass.models.spec import ModelSpec
from sightglass.ui.session import state, url_state
from sightglass.ui.session.markdown import shorten

MAX_AGE = 3600.0
"""Seconds after its last use until an upload is deleted."""
DIGITS = 20
"""Digits of a picture's SHA-256 in an address: enough that nobody guesses one."""
THUMBNAIL = (104, 88)
"""Width and height in pixels, twice those on the page."""


@dataclass(frozen=True)
class OwnPicture:
    """A picture of the session's own, whose file is among the uploads."""

    sha256: str
    name: str
    size: tuple[int, int]
    """Width and height in pixels."""
    thumbnail: bytes
    """The middle as WebP."""

    @classmethod
    def of(cls, image: Image) -> Self:
        return cls(image.sha256, image.name, (image.width, image.height), thumbnail(image))


def thumbnail(image: Image) -> bytes:
    """Return the middle of a picture as a WebP thumbnail."""
    fitted = ImageOps.fit(Pillow.fromarray(image.pixels), THUMBNAIL, Pillow.Resampling.BILINEAR)
    out = BytesIO()
    fitted.save(out, "WEBP", quality=60, method=0)
    return out.getvalue()


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
    """The uploads of all people by `token`, in memory only, at most 256 MiB of those used last; thread-safe."""

    clock: Callable[[], float] = time.monotonic
    _cache: ByteCache[_StoredUpload] = field(
        default_factory=lambda: ByteCache(256 * MIB, lambda upload: upload.nbytes, disposable=False)
    )

    def put(self, image: Image, data: bytes = b"") -> OwnPicture:
        """Keep a picture; `data`: its file, smaller than the pixels."""
        upload = _StoredUpload(OwnPicture.of(image), data or image.jpeg or image, self.clock())
        self._tidy()
        # The cache would hold it even where it alone exceeds the budget.
        if upload.nbytes <= self._cache.limit:
            self._cache.put(token(image), upload)
        else:
            self.drop(token(image))
        return upload.picture

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
"""The example of a first visit."""
MAX_OWN = 12
"""Pictures of one session; the oldest is dropped first."""


@dataclass(eq=False)
class Pictures:
    """The session's pictures and the chosen one, set only by a person's acts."""

    own: dict[str, OwnPicture] = field(default_factory=dict)
    """By `token`, oldest first; see `opened`."""
    last: Image | None = None
    """The own picture that was opened last."""
    chosen: str | None = None
    """The `token` of an own picture, or an example's name; None before the address was read."""
    missing: str = ""
    """The name of a link's picture that it cannot carry, until another one is chosen."""
    problem: str | None = None
    """What was wrong with the last upload or choice."""
    replaced: str = ""
    """The bundled photograph in whose place the example of a model is shown that knows no photographs."""
    named: bool = False
    """Whether a link or a file named the chosen example: its model explains it, whatever it knows."""
    insisted: set[str] = field(default_factory=set)
    """Ids of such models that a person had explain a photograph nevertheless."""

    def opened(self, key: str | None) -> Image | None:
        """Return one of the session's own pictures, decoded again if needed."""
        if key is None or key not in self.own:
            return None
        if self.last is None or token(self.last) != key:
            self.last = UPLOADS.get(key)
            if self.last is None:
                del self.own[key]
        return self.last


def list_own() -> tuple[OwnPicture, ...]:
    """Return the session's own pictures that are still here, oldest first."""
    return tuple(each for key, each in state.of(Pictures).own.items() if UPLOADS.find(key) is not None)


def own_items(exclude: str) -> tuple[Item, ...]:
    """Return the session's other pictures, oldest first, to open one by one."""
    return tuple(
        Item(f"{each.sha256[:12]}/{each.name}", each.sha256, partial(_open_uncached, token(each)))
        for each in list_own()
        if each.sha256 != exclude
    )


def _open_uncached(key: str) -> Image:
    """Return a picture without keeping its pixels; raise ImageProblem if deleted."""
    if (opened := UPLOADS.get(key)) is None:
        raise ImageProblem("This picture is no longer on the server: upload it again.")
    return opened


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
    return name not in packaged.PHOTOGRAPHS or packaged.photograph(name) is not None


def is_photograph() -> bool:
    """Return whether a bundled photograph is chosen."""
    return _read_pictures().chosen in packaged.PHOTOGRAPHS


def is_own() -> bool:
    """Return whether the chosen picture is no example."""
    return _read_pictures().chosen not in EXAMPLES


def unlinked_name() -> str:
    """Return the name of a picture that a link cannot carry; empty for an example."""
    pictures = _read_pictures()
    own = pictures.own.get(pictures.chosen or "")
    return own.name if own is not None else ""


def require_picture() -> None:
    """Raise ImageProblem where the link was made with a picture that is not here."""
    if name := state.of(Pictures).missing:
        raise ImageProblem(f"This link is about {name}, which is not in it: drop that picture here, or choose another.")


def current() -> Image:
    """Return the chosen picture, and write it to the address."""
    pictures = _read_pictures()
    image = pictures.opened(pictures.chosen)
    url_state.set_url("picture", None if image is None else pictures.chosen)
    url_state.set_url("example", pictures.chosen if image is None and not pictures.missing else None, FIRST)
    url_state.set_url("missing", pictures.missing or None)
    return example(pictures.chosen or FIRST) if image is None else image


def current_id() -> str | None:
    """Return the chosen picture's name in addresses; None for that of a link that is not here."""
    pictures = _read_pictures()
    return None if pictures.missing else pictures.chosen


def _read_pictures() -> Pictures:
    """Return the session's pictures, the chosen one by the address at first."""
    pictures = state.of(Pictures)
    if pictures.chosen is None:
        linked = st.query_params.get("example")
        names = (linked, *EXAMPLES) if linked in EXAMPLES else EXAMPLES
        pictures.chosen = next(name for name in names if name and is_installed(name))
        pictures.named = pictures.chosen == linked
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
    own = state.of(Pictures).own
    own.pop(token(image), None)
    _choose_own(image, UPLOADS.put(image, data))
    while len(own) > MAX_OWN:
        del own[next(iter(own))]


def _choose_own(image: Image, picture: OwnPicture) -> None:
    pictures, key = state.of(Pictures), token(image)
    pictures.own.setdefault(key, picture)
    pictures.last, pictures.chosen, pictures.problem, pictures.missing = image, key, None, ""
    pictures.replaced, pictures.named = "", False


def choose_by_id(key: str) -> bool:
    """Choose a picture by its address name; return whether it exists."""
    if key in EXAMPLES:
        choose_example(key)
        return True
    pictures = state.of(Pictures)
    image, picture = pictures.opened(key) or UPLOADS.get(key), pictures.own.get(key) or UPLOADS.find(key)
    if image is None or picture is None:
        return False
    _choose_own(image, picture)
    return True


def choose_example(name: str, *, named: bool = False) -> None:
    """Choose an example by its name; `named`: in a file."""
    pictures = state.of(Pictures)
    pictures.chosen, pictures.problem, pictures.missing = name, None, ""
    pictures.replaced, pictures.named = "", named


def adapt_to_model(model: ModelSpec) -> bool:
    """Choose what the model knows in a photograph's place, or the photograph again; return whether that is another."""
    pictures = state.of(Pictures)
    photograph = pictures.replaced or pictures.chosen or ""
    if pictures.named:
        pictures.named = False
        pictures.insisted.add(model.id)
    if pictures.replaced and not model.example:
        choose_example(photograph)
        return True
    if not model.example or not is_photograph() or model.id in pictures.insisted:
        return False
    choose_example(model.example)
    pictures.replaced = photograph
    return True


def insist(model_id: str) -> None:
    """Go back to the photograph, which the model then explains although it knows none."""
    pictures = state.of(Pictures)
    pictures.insisted.add(model_id)
    choose_example(pictures.replaced)


def replaced() -> str:
    """Return the file name of the photograph in whose place an example is shown; empty for none."""
    name = state.of(Pictures).replaced
    return example_file(name)[1] if name else ""


def remove(key: str) -> None:
    """Delete an own picture, and choose another or an example."""
    pictures = state.of(Pictures)
    UPLOADS.drop(key)
    pictures.last = None
    if pictures.own.pop(key, None) and pictures.chosen == key:
        pictures.chosen, pictures.problem = next(reversed(pictures.own), FIRST), None


def replace_drawing(former: str | None, image: Image) -> None:
    """Choose a drawing in place of its former version, a `token`."""
    if former and state.of(Pictures).own.pop(former, None):
        UPLOADS.drop(former)
    choose_upload(image)
