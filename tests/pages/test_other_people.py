"""Every page as another person: what somebody left on the server is nowhere on it, whatever the address names."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.common import users
from sightglass.components.choices import model_picker
from sightglass.components.session import state
from sightglass.components.session.pictures import image_source
from sightglass.components.session.pictures.uploads import UPLOADS, token
from sightglass.components.views import snapshots
from sightglass.explain.explainer import Explainer
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.history import History
from sightglass.models import catalog
from sightglass.pages.video import folders
from sightglass.pages.video.folders import ClipPlan, ClipSource
from tests.pages.conftest import received
from tests.rooms import list_pages
from tests.unit.test_whose import OWN, STORES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamlit.testing.v1 import AppTest

ANNA, BEN = users.User("anna@example.org", "Anna", "user"), users.User("ben@example.org", "Ben", "admin")
WORD = b"zqxw"
"""In everything that Anna named, and in nothing else."""
PHOTO = b"3 February 2001"
"""When her camera took a picture."""
MODEL = "zqxw-model"


@dataclass(frozen=True)
class Left:
    """What Anna left."""

    address: dict[str, str]
    """What names it."""
    unknown: dict[str, str]
    """What names nothing."""
    pixels: tuple[bytes, ...]
    """Files of pictures, one of them also in base64."""
    sha256: str
    """Of her picture."""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    base = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patched:
        for name in STORES:
            patched.setenv(f"SIGHTGLASS_{name.upper()}", str(base / name))
        patched.setenv("SIGHTGLASS_MODELS", str(base / "models.toml"))
        # As careless as an operator can be.
        patched.setenv("SIGHTGLASS_FOLDERS", str(base))
        (base / "models.toml").touch()
        with users.acting(BEN):
            # No examples are made for him: he is no newcomer.
            History().begin_examples()
        with users.acting(ANNA):
            found = _leave(base)
        yield found
        model_picker.forget_menu()


def _leave(base: Path) -> Left:
    (*_, table) = catalog._tables()
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(OWN.format(id=MODEL), "utf-8")
    image = Image(np.random.default_rng(24).integers(0, 256, (90, 120, 3), np.uint8), "zqxw cat.png")
    explanation, history = Explainer(MODEL)(image, top_k=1), History()
    record = history.keep(explanation, note="whiskers, zqxw", tags=["zqxw tag"])
    deck = history.decks.create("zqxw deck")
    UPLOADS.put(image)
    photo = to_jpeg(image.pixels)
    snapshots.keep(photo, snapshots.folder(), datetime(2001, 2, 3, 4, 5, 6))
    run = users.folder(base / "batches") / "run of cats"
    run.mkdir(parents=True)
    (run / "zqxw.jpg").write_bytes(photo)
    clip = folders.new()
    (clip.path / folders.CLIP).write_bytes(b"0")
    clip.begin(
        ClipPlan(ClipSource(clip.path / folders.CLIP, "zqxw clip.mp4"), MODEL, {}, _settings(), clip.path / "results-1")
    )
    # The server ends.
    clip.delete.detach()
    clip._lock.release()
    address = {
        "picture": token(image),
        "model": MODEL,
        "models": f"{MODEL},demo-cls-m",
        "second": MODEL,
        "kept": record.id,
        "deck": deck.id,
        "find": "whiskers",
        "folder": str(run),
        "gallery": "folder",
        "gallery-folder": str(run),
    }
    small = history.thumbnail(record)
    unknown = dict.fromkeys(("picture", "kept", "deck"), "0123456789abcdef") | {
        "model": "nothing",
        "folder": str(users.folder(base / "batches", users.User("nobody", "", "user")) / "run of cats"),
    }
    return Left(address, unknown, (photo, small, base64.b64encode(small)), image.sha256)


def _settings() -> Any:
    from sightglass.video import Settings

    return Settings()


def told(app: AppTest) -> bytes:
    """Everything that the browser is given."""
    return b"\n".join(e.proto.SerializeToString() for e in app._tree if getattr(e, "proto", None) is not None)


def sentences(app: AppTest) -> list[str]:
    # The picture bar has the sentence about a picture.
    below = [one for one in received(app, "picture_bar")[:1] if one.get("problem")]
    found = [str(element.value) for element in (*app.error, *app.info, *app.warning)]
    return found + [str(one["problem"]) for one in below]


def unquoted(text: bytes) -> bytes:
    """Leave out what a page quotes of one's own link."""
    return re.sub(rb"The link's [a-z ]+ \xe2\x80\x9c.*?\xe2\x80\x9d", b"", text)


def photos(app: AppTest) -> AppTest:
    """Open the photos; of nobody who has none there is a door to them."""
    doors = [button for button in app.button if button.label == "Photos"]
    return doors[0].click().run() if doors else app


def test_whoever_left_it_finds_it(left: Left, visit: Any) -> None:
    """Otherwise nothing would follow from others not finding it."""
    opened = visit(ANNA)
    for name in ("explore", "history", "present", "video"):
        app = opened(name, **left.address)
        assert not app.exception
        assert WORD in told(app), name
    assert left.sha256 in app.session_state[state.key(image_source.Pictures)].own
    assert PHOTO in told(photos(opened("detect", **left.address)))
    text = told(opened("history"))
    assert WORD in text
    assert any(pixels in text for pixels in left.pixels)


def test_nobody_else_finds_it_on_any_page(left: Left, visit: Any) -> None:
    opened = visit(BEN)
    for name in list_pages():
        app = opened(name, **left.address)
        assert not app.exception, name
        text = unquoted(told(app))
        assert WORD not in text, name
        assert not any(pixels in text for pixels in left.pixels), name
        if name == "detect":
            assert PHOTO not in told(photos(app))
    assert left.sha256 not in app.session_state[state.key(image_source.Pictures)].own
    text = unquoted(told(opened("history")))
    assert b"only you see it" in text
    assert WORD not in text
    assert not any(pixels in text for pixels in left.pixels)


def test_an_id_of_another_is_told_of_as_one_that_never_existed(left: Left, visit: Any) -> None:
    said = []
    for address in (left.address, left.unknown):
        opened = visit(BEN)
        said.append({name: sentences(opened(name, **address)) for name in ("explore", "history", "present", "batch")})
    assert said[0] == said[1]
    assert all(said[0].values())
