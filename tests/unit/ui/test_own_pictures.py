"""The own pictures of sessions: pixels make room for others, and come back from the file that was uploaded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sightglass.explain.picture.image import Image, to_png
from sightglass.ui.choices import image_picker
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.pictures.image_source import UPLOADS, Pictures


def given(pictures: Pictures, monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    """Upload that many pictures, as files of which each is smaller than its pixels; return their SHA-256."""
    monkeypatch.setattr(image_source.state, "of", lambda _: pictures)
    for number in range(count):
        data = to_png(np.full((300, 400, 3), 30 * number, np.uint8))
        image_source.choose_upload(Image.open(data, name=f"{number}.png"), data)
    return list(pictures.own)


@pytest.fixture(autouse=True)
def no_uploads() -> None:
    UPLOADS._cache.clear()


def names() -> list[str]:
    """The names of the session's own pictures in the bar."""
    shown = [label.partition("](")[0].removeprefix("![") for label in image_picker._list_thumbs().values()]
    return [name for name in shown if name.endswith(".png")]


def test_pictures_come_back_from_their_files_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = Pictures(chosen="bus")
    first, second, third = given(pictures, monkeypatch, 3)
    assert names() == ["2.png", "1.png", "0.png"]
    assert image_source.choose_by_id(first[:20]) and pictures.chosen == first
    opened = pictures.opened(first)
    assert opened is not None and (opened.pixels[0, 0] == 0).all()
    assert list(pictures.own) == [first, second, third]
    UPLOADS.drop(second[:20])
    image_picker._thumbnails.clear()
    assert names() == ["2.png", "0.png"]
    assert pictures.opened(second) is None and second not in pictures.own


def test_each_upload_is_taken_once_and_the_last_good_file_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, bar = Pictures(chosen="bus"), image_picker.PictureBar()
    monkeypatch.setattr(image_source.state, "of", lambda kind: bar if kind is image_picker.PictureBar else pictures)
    monkeypatch.setattr(image_picker, "remove_upload", lambda _: None)
    files = [(f"{grey}.png", to_png(np.full((30, 40, 3), grey, np.uint8))) for grey in (1, 2)]
    uploads = [
        SimpleNamespace(name=name, getvalue=lambda data=data: data, file_id=name)
        for name, data in (*files, ("broken.png", b"?"))
    ]
    # Of the last one the server that took it is gone.
    uploads.append(SimpleNamespace(file_id="gone"))
    monkeypatch.setattr(image_picker.st, "session_state", {image_picker.UPLOADER: uploads})
    image_picker.take(image_picker.uploads())
    assert image_picker.uploads() == []
    assert [one.name for one in pictures.own.values()] == ["1.png", "2.png"]
    assert image_source.is_chosen(pictures.own[pictures.chosen].sha256 if pictures.chosen in pictures.own else "")
    assert "broken.png" in (pictures.problem or "")
