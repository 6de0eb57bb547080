"""Received pictures whose decoding can take long are decoded apart, with the same pixels, or end in one sentence."""

import io
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.explain.picture import bounds, received, source
from sightglass.explain.picture.image import MAX_BYTES, Image
from sightglass.explain.picture.received import open_received
from sightglass.models import isolated
from sightglass.report import embedded_recipe
from tests.unit.report.test_embedded_recipe import recipe


def saved(kind: str, **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Pillow.fromarray(pixels).save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


FILES = {
    "photo.avif": saved("AVIF"),
    "photo.tif": saved("TIFF", compression="tiff_lzw"),
    "photo.jpg": saved("JPEG", progressive=True),
    "photo.png": saved("PNG"),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "QUICK", 1000)


def test_slow_kinds_are_decoded_apart_alike() -> None:
    for name, data in FILES.items():
        here, there = Image.open(data, name=name), open_received(data, name=name)
        assert bounds.takes_long(data, name) == (name != "photo.png")
        assert (here.sha256, here.notes, here.jpeg, there.name) == (there.sha256, there.notes, there.jpeg, name)
    assert open_received(FILES["photo.tif"] + bytes(MAX_BYTES), name="large.tif", max_bytes=2 * MAX_BYTES).width == 80
    with pytest.raises(ImageProblem, match=r"cut\.avif is damaged, cut off or of an unusual kind"):
        open_received(FILES["photo.avif"][:300], name="cut.avif")


def test_pictures_within_received_files_are_decoded_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    ask = isolated.Process.ask

    def asking(process: isolated.Process, *given: Any) -> Any:
        asked.append(given)
        return ask(process, *given)

    monkeypatch.setattr(isolated.Process, "ask", asking)
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("photo.avif", FILES["photo.avif"])
    (item,) = source.find(str(archive))
    assert item.open().width == 80 and len(asked) == 1
    contents = embedded_recipe.Contents(recipe=recipe(picture_sha256=item.open().sha256), picture=FILES["photo.avif"])
    original = embedded_recipe.original(contents)
    assert original is not None and original.width == 80 and len(asked) == 3


def test_endless_decoder_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "SLACK", 0.2)
    open_received(FILES["photo.avif"], name="photo.avif")
    (process,) = received._PROCESS
    os.kill(process.id, signal.SIGSTOP)
    monkeypatch.setattr(received, "SECONDS", 0.1)
    with pytest.raises(TooLarge, match=r"photo\.avif takes too long to decode, or crashes its decoder: save it again"):
        open_received(FILES["photo.avif"], name="photo.avif")
    monkeypatch.undo()
    assert open_received(FILES["photo.avif"], name="photo.avif").width == 80
