"""Pictures of a session."""

import threading
import time
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any, Self

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
from sightglass.models.demo.pictures import example_file, is_scene
from sightglass.models.demo.pictures import example_named as example_named
from sightglass.models.spec import ModelSpec
from sightglass.ui.session import state, url_state
from sightglass.ui.session.markdown import shorten
from sightglass.ui.session.visitor import MAX_AGE, owner

UNDO = 60.0
"""Seconds for which a deleted picture can be brought back."""
MAX_OWN = 12
"""Pictures of one browser; the oldest is dropped first."""
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
class _Hold:
    """A browser's claim to an upload."""

    picture: OwnPicture
    """Under the browser's own name for it."""
    number: int
    """Its place among the uploads."""
    used: float
    lent: bool = False
    """Whether it came by a link: then it lasts as long as the upload is kept by others."""
    deleted: float | None = None
    """When it was deleted."""

    @property
    def keeps(self) -> bool:
        """Whether the upload is kept for it."""
        return not self.lent and self.deleted is None

    def is_over(self, now: float) -> bool:
        if self.deleted is not None:
            return now - self.deleted >= UNDO
        return not self.lent and now - self.used > MAX_AGE


@dataclass
class _StoredUpload:
    data: bytes | Image
    holds: dict[str, _Hold] = field(default_factory=dict)
    """By owner."""

    @property
    def nbytes(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else self.data.pixels.nbytes

    def find(self, owner: str) -> _Hold | None:
        """Return an owner's claim while the upload is there for it."""
        hold = self.holds.get(owner)
        if hold is None or hold.deleted is not None:
            return None
        return hold if hold.keeps or self.keeper() is not None else None

    def keeper(self) -> _Hold | None:
        """Return the last claim that the upload is kept for."""
        keepers = [hold for hold in self.holds.values() if hold.keeps]
        return max(keepers, key=lambda hold: hold.number, default=None)

    def tidy(self, now: float) -> None:
        self.holds = {owner: hold for owner, hold in self.holds.items() if not hold.is_over(now)}


@dataclass
class Uploads:
    """The uploads of all people by `token`, in memory only, at most 256 MiB of those used last; thread-safe.

    Equal pictures are stored once. Each of their owners has a claim of its own: to delete it leaves those of others.
    """

    clock: Callable[[], float] = time.monotonic
    _cache: ByteCache[_StoredUpload] = field(
        default_factory=lambda: ByteCache(256 * MIB, lambda upload: upload.nbytes, disposable=False)
    )
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: Iterator[int] = field(default_factory=count)

    def put(self, owner: str, image: Image, data: bytes = b"") -> OwnPicture:
        """Keep an owner's picture; `data`: its file, smaller than the pixels."""
        picture, key = OwnPicture.of(image), token(image)
        with self._lock:
            self._tidy()
            upload = self._cache.get(key) or _StoredUpload(data or image.jpeg or image)
            upload.holds[owner] = _Hold(picture, next(self._numbers), self.clock())
            # The cache would hold it even where it alone exceeds the budget.
            if upload.nbytes <= self._cache.limit:
                self._cache.put(key, upload)
            for oldest in self.list_own(owner)[:-MAX_OWN]:
                self.drop(owner, token(oldest))
        return picture

    def lend(self, owner: str, key: str) -> OwnPicture | None:
        """Let an owner see a picture of others; None if deleted or unknown."""
        with self._lock:
            upload = self._find(key)
            if upload is None:
                return None
            hold, keeper = upload.find(owner), upload.keeper()
            if hold is None and keeper is not None:
                hold = _Hold(keeper.picture, next(self._numbers), self.clock(), lent=True)
                upload.holds[owner] = hold
            return None if hold is None else hold.picture

    def list_own(self, owner: str) -> tuple[OwnPicture, ...]:
        """Return an owner's pictures, unopened, oldest first."""
        with self._lock:
            self._tidy()
            found = (upload.find(owner) for upload in self._cache.values())
            holds = sorted((hold for hold in found if hold is not None), key=lambda hold: hold.number)
            return tuple(hold.picture for hold in holds)

    def find(self, owner: str, key: str) -> OwnPicture | None:
        """Return an owner's picture, unopened; None if deleted or unknown."""
        with self._lock:
            hold = self._hold(owner, key)
            return None if hold is None else hold.picture

    def is_lent(self, owner: str, key: str) -> bool:
        """Return whether a picture is here only as long as others keep it."""
        with self._lock:
            hold = self._hold(owner, key)
            return hold is not None and hold.lent

    def is_deleted(self, owner: str, key: str) -> bool:
        """Return whether an owner's picture was deleted just now."""
        with self._lock:
            upload = self._find(key)
            hold = None if upload is None else upload.holds.get(owner)
            return hold is not None and hold.deleted is not None

    def use(self, owner: str, key: str) -> None:
        """Keep an owner's picture for another hour."""
        with self._lock:
            hold = self._hold(owner, key)
            if hold is not None:
                hold.used = self.clock()

    def get(self, owner: str, key: str) -> Image | None:
        """Return an owner's picture, opened; None if deleted or unknown."""
        with self._lock:
            upload, hold = self._find(key), self._hold(owner, key)
        if upload is None or hold is None:
            return None
        hold.used = self.clock()
        try:
            data, name = upload.data, hold.picture.name
            image = replace(data, name=name) if isinstance(data, Image) else open_received(data, name=name)
        except ImageProblem:  # too little memory, for now
            return None
        return image if token(image) == key else None

    def delete(self, owner: str, key: str) -> OwnPicture | None:
        """Delete an owner's picture and return it; None if unknown.

        For `UNDO` seconds `restore` brings it back.
        """
        with self._lock:
            hold = self._hold(owner, key)
            if hold is None:
                return None
            hold.deleted = self.clock()
        # Even where nobody comes any more.
        timer = threading.Timer(UNDO, self._tidy)
        timer.daemon = True
        timer.start()
        return hold.picture

    def restore(self, owner: str, key: str) -> bool:
        """Bring a deleted picture back to its place; return whether it is there."""
        with self._lock:
            upload = self._find(key)
            hold = None if upload is None else upload.holds.get(owner)
            if hold is not None:
                hold.deleted, hold.used = None, self.clock()
            return self._hold(owner, key) is not None

    def drop(self, owner: str, key: str) -> None:
        """Delete an owner's picture for good."""
        with self._lock:
            upload = self._cache.get(key)
            if upload is not None:
                upload.holds.pop(owner, None)
                self._tidy()

    def _hold(self, owner: str, key: str) -> _Hold | None:
        upload = self._find(key)
        return None if upload is None else upload.find(owner)

    def _find(self, key: str) -> _StoredUpload | None:
        self._tidy()
        return self._cache.get(key)

    def _tidy(self) -> None:
        """Delete what is too old, and the uploads that nobody keeps.

        What could still be brought back stays.
        """
        with self._lock:
            for upload in self._cache.values():
                upload.tidy(self.clock())
            self._cache.discard(lambda upload: all(hold.lent for hold in upload.holds.values()))


UPLOADS = Uploads()
"""Uploads of this process."""
MAX_NAME = 60
"""Characters of a missing picture's name."""
FIRST = EXAMPLES[0]
"""The example of a first visit."""
NAMED = "named"
"""Name in the address of an own picture's file name."""


@dataclass(frozen=True)
class Deleted:
    """A picture that can be brought back, and what was chosen in it."""

    picture: OwnPicture
    answer: state.ChosenAnswer
    area: state.ChosenArea


@dataclass(eq=False)
class Pictures:
    """The chosen picture, set only by a person's acts."""

    last: Image | None = None
    """The own picture that was opened last."""
    chosen: str | None = None
    """The `token` of an own picture, or an example's name; None before the address was read."""
    missing: str | None = None
    """The name of a link's picture that is not here, maybe empty, until another one is chosen."""
    problem: str | None = None
    """What was wrong with the last upload or choice."""
    deleted: Deleted | None = None
    """What was deleted last, until another picture is chosen."""
    deletions: int = 0
    """Counts the deletions: each has a line of its own."""
    named: bool = False
    """Whether a link, a file or a clip named the chosen picture: its model explains it, whatever it knows."""
    drawing: str = ""
    """The `token` of the drawing that was made here."""

    def opened(self, key: str | None) -> Image | None:
        """Return one of the browser's own pictures, decoded again if needed."""
        if key is None or key in EXAMPLES:
            return None
        UPLOADS.use(owner(), key)
        if UPLOADS.is_deleted(owner(), key):
            # In another tab.
            self.last = None
        if self.last is None or token(self.last) != key:
            self.last = UPLOADS.get(owner(), key)
        return self.last


@dataclass
class Replacement(state.Kept):
    """The photographs of models that know drawn scenes only, in whose places these are shown."""

    photograph: str = ""
    """The `token` or the name of the one that is replaced; empty for none."""
    insisted: frozenset[tuple[str, str]] = frozenset()
    """Ids of models and the photographs that a person had them explain nevertheless."""


def list_own() -> tuple[OwnPicture, ...]:
    """Return the browser's own pictures, oldest first, the same in all of its tabs."""
    return UPLOADS.list_own(owner())


def own_items(exclude: str) -> tuple[Item, ...]:
    """Return the browser's other pictures, oldest first, to open one by one."""
    return tuple(
        Item(f"{each.sha256[:12]}/{each.name}", each.sha256, partial(_open_uncached, owner(), token(each)))
        for each in list_own()
        if each.sha256 != exclude
    )


def _open_uncached(owner: str, key: str) -> Image:
    """Return a picture without keeping its pixels; raise ImageProblem if deleted."""
    opened = UPLOADS.get(owner, key)
    if opened is None:
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
    """Return whether the chosen picture is a photograph.

    One's own is taken for it unless it is a packaged scene, or was drawn here.
    """
    pictures = _read_pictures()
    key = pictures.chosen or ""
    if key in EXAMPLES:
        return key in packaged.PHOTOGRAPHS
    if key == pictures.drawing:
        return False
    picture = pictures.opened(key)
    return picture is None or not state.latest("scene", key, lambda: is_scene(picture.pixels))


def is_own() -> bool:
    """Return whether the chosen picture is no example."""
    return _read_pictures().chosen not in EXAMPLES


def describe_link() -> dict[str, Any]:
    """Return what a viewer says of a link to an own picture.

    `private`: its name; `keeps`: the seconds for which it is kept, 0: as long as who sent it keeps it. Empty for
    examples; `keeps` is missing where the picture is too large to be kept.
    """
    pictures = _read_pictures()
    key = pictures.chosen
    if key is None or key in EXAMPLES or pictures.last is None:
        return {}
    own = UPLOADS.find(owner(), key)
    if own is None:
        # Too large to be kept.
        return {"private": pictures.last.name}
    return {"private": own.name, "keeps": 0 if UPLOADS.is_lent(owner(), key) else int(MAX_AGE)}


def missing_name() -> str | None:
    """Return the name of a link's picture that is not here.

    It may be empty. None if the picture is here, or there is none.
    """
    return _read_pictures().missing


def current() -> Image:
    """Return the chosen picture, and write it to the address."""
    pictures = _read_pictures()
    if pictures.missing is not None:
        # Its address stays as it was opened.
        return example(pictures.chosen or FIRST)
    image = pictures.opened(pictures.chosen)
    if image is None and pictures.chosen not in EXAMPLES:
        pictures.chosen, pictures.problem = _newest(), "This picture is no longer on the server: upload it again."
        image = pictures.opened(pictures.chosen)
    # A link cannot carry one that is too large to be kept, but its name, by which it is asked for.
    kept = image is not None and UPLOADS.find(owner(), token(image)) is not None
    url_state.set_url("picture", pictures.chosen if kept else None)
    url_state.set_url(NAMED, None if image is None else image.name)
    url_state.set_url("example", pictures.chosen if image is None else None, FIRST)
    return example(pictures.chosen or FIRST) if image is None else image


def current_id() -> str | None:
    """Return the chosen picture's name in addresses; None for that of a link that is not here."""
    pictures = _read_pictures()
    return None if pictures.missing is not None else pictures.chosen


def _read_pictures() -> Pictures:
    """Return the session's pictures, the chosen one by the address at first."""
    pictures = state.of(Pictures)
    if pictures.chosen is None:
        linked = st.query_params.get("example")
        names = (linked, *EXAMPLES) if linked in EXAMPLES else EXAMPLES
        pictures.chosen = next(name for name in names if name and is_installed(name))
        pictures.named = pictures.chosen == linked
        key = st.query_params.get("picture")
        name = st.query_params.get(NAMED)
        if key is not None and choose_by_id(key):
            pictures.named = True
        elif key is not None or name is not None:
            pictures.missing = shorten(name or "", MAX_NAME)
    return pictures


def _newest() -> str:
    """Return the newest own picture, else the first example."""
    own = list_own()
    return token(own[-1]) if own else FIRST


# The following are a person's acts: they run in callbacks and at the start of a run, before anything is drawn.


def choose_upload(image: Image, data: bytes = b"", *, named: bool = False) -> None:
    """Choose an own picture and keep it; `data`: its file; `named`: in another file, or in a clip."""
    UPLOADS.put(owner(), image, data)
    state.of(Pictures).last = image
    _choose(token(image))
    state.of(Pictures).named = named


def choose_by_id(key: str) -> bool:
    """Choose a picture by its address name; return whether it exists."""
    if key not in EXAMPLES:
        borrow(key)
        if state.of(Pictures).opened(key) is None:
            return False
    _choose(key)
    return True


def borrow(key: str) -> None:
    """Show a link's picture among the own ones, if anybody keeps it."""
    UPLOADS.lend(owner(), key)


def is_kept(sha256: str) -> bool:
    """Return whether a picture is among the own ones."""
    return UPLOADS.find(owner(), sha256[:DIGITS]) is not None


def is_borrowed(key: str) -> bool:
    """Return whether a picture came by a link."""
    return UPLOADS.is_lent(owner(), key)


def choose_example(name: str, *, named: bool = False) -> None:
    """Choose an example by its name; `named`: in a file."""
    _choose(name)
    state.of(Pictures).named = named


def _choose(key: str) -> None:
    pictures = state.of(Pictures)
    pictures.chosen, pictures.problem, pictures.missing, pictures.deleted = key, None, None, None
    pictures.named, state.of(Replacement).photograph = False, ""


def adapt_to_model(model: ModelSpec) -> bool:
    """Choose what the model knows in a photograph's place, or the photograph again.

    A model of drawn scenes is shown its own example, unless a person went back to the photograph. Return whether
    another picture was chosen.
    """
    pictures, replacement = state.of(Pictures), state.of(Replacement)
    if not model.example:
        pictures.named = False
        return bool(replacement.photograph) and choose_by_id(replacement.photograph)
    photograph = pictures.chosen or ""
    pair = (model.id, photograph)
    if pictures.named:
        pictures.named = False
        replacement.insisted |= {pair}
    # Who sees another picture must find the way back to this one.
    kept = photograph in EXAMPLES or UPLOADS.find(owner(), photograph) is not None
    if not kept or not is_photograph() or pair in replacement.insisted:
        return False
    choose_example(model.example)
    replacement.photograph = photograph
    return True


def insist(model_id: str) -> None:
    """Go back to the photograph, which the model then explains although it knows none."""
    replacement = state.of(Replacement)
    photograph = replacement.photograph
    replacement.insisted |= {(model_id, photograph)}
    choose_by_id(photograph)


def replaced() -> str:
    """Return the file name of the photograph that an example replaces.

    Empty for none, and for one that is no longer here.
    """
    name = state.of(Replacement).photograph
    if name in EXAMPLES:
        return example_file(name)[1]
    upload = UPLOADS.find(owner(), name)
    return "" if upload is None else upload.name


def delete(key: str) -> None:
    """Delete an own picture, and choose another or an example."""
    pictures = state.of(Pictures)
    picture = UPLOADS.delete(owner(), key)
    answer, area = copy(state.of(state.ChosenAnswer)), copy(state.of(state.ChosenArea))
    if pictures.chosen == key:
        _choose(_newest())
    pictures.last = None
    if picture is not None:
        pictures.deleted, pictures.deletions = Deleted(picture, answer, area), pictures.deletions + 1


def undo_delete() -> None:
    """Bring the deleted picture back with what was chosen in it."""
    pictures = state.of(Pictures)
    deleted = pictures.deleted
    pictures.deleted = None
    if deleted is None:
        return
    if not UPLOADS.restore(owner(), token(deleted.picture)):
        pictures.problem = f"{deleted.picture.name} is no longer on the server: upload it again."
        return
    # Lists on the page keep what they show: new ones take their places.
    generation = state.of(state.ChosenAnswer).generation + 1
    state.put(replace(deleted.answer, generation=generation))
    state.put(deleted.area)
    choose_by_id(token(deleted.picture))


def replace_drawing(former: str | None, image: Image) -> None:
    """Choose a drawing in place of its former version, a `token`."""
    if former:
        UPLOADS.drop(owner(), former)
    choose_upload(image)
    state.of(Pictures).drawing = token(image)
