"""Files that are uploaded at once, of which the last good one is chosen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sightglass.explain.picture.image import to_png
from sightglass.ui.choices import image_picker
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.pictures.image_source import Pictures


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
