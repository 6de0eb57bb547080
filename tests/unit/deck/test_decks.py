"""Decks are kept beside the records, in order, whole or not at all; a deck leaves and comes back as one file."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.deck import Panel, Scene, SceneMap, SceneView, archive, making, payload
from sightglass.deck.pptx_file import deck_pptx
from sightglass.deck.scene import MAX_SCENES
from sightglass.explain import Explainer, Image
from sightglass.explain.picture.image import to_jpeg
from sightglass.history import History

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sightglass.deck.scene import Deck


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def a_scene(title: str, value: int = 0) -> Scene:
    pixels = np.full((30, 40, 3), value, np.uint8)
    maps = (SceneMap("cat", 0.5, np.linspace(0, 255, 1200).astype(np.uint8).reshape(30, 40)),)
    panel = Panel("Lite", (("cat", 0.5),), maps)
    return Scene("picture", title, "A sentence.", "Notes.", to_jpeg(pixels), (40, 30), (panel,))


def filled(history: History, count: int = 3) -> Deck:
    deck = history.decks.create("For Monday")
    for i in range(count):
        history.decks.add(deck.id, a_scene(f"Slide {i}", i))
    return history.decks.get(deck.id)


def test_a_deck_is_kept_edited_and_arranged(history: History) -> None:
    assert history.decks.all() == ()
    deck = filled(history)
    again = History(history.folder)
    assert again.decks.all() == (deck,)
    first, second, third = deck.slides
    again.decks.edit(second.id, title=" What \n it saw ", sentence="", notes="One.\nTwo.", view=SceneView(mode="map"))
    again.decks.rename(deck.id, "For Tuesday")
    moved = again.decks.arrange(deck.id, [third.id, "unknown", first.id])
    assert moved.title == "For Tuesday" and moved.changed > deck.changed
    assert [slide.title for slide in moved.slides] == ["Slide 2", "Slide 0", "What it saw"]
    drawn = history.decks.scene(moved.slides[2])
    assert (drawn.title, drawn.sentence, drawn.notes, drawn.view.mode) == ("What it saw", "", "One.\nTwo.", "map")
    assert drawn.picture == a_scene("", 1).picture
    small = Image.open(history.decks.thumbnail(moved.slides[2]))
    assert 100 < small.height < small.width


def test_deleting_a_record_breaks_no_deck(history: History) -> None:
    image = Image(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8), "noise.png")
    found = Explainer("efficientnet-lite0")(image, top_k=1)
    record = history.keep(found)
    deck = history.decks.create("Monday")
    # The slide's small picture may be the record's own file.
    scene = making.scene(image, [making.saved_panel(record, history.heatmaps(record))], title="Noise", sentence="")
    np.testing.assert_array_equal(scene.panels[0].maps[0].values, making.panel(found).maps[0].values)
    assert scene.panels[0].name == "EfficientNet-Lite0" == making.panel(found).name
    assert scene.panels[0].answers == making.panel(found).answers
    history.decks.add(deck.id, scene, records=[record.id])
    history.delete([record.id])
    (slide,) = history.decks.get(deck.id).slides
    assert slide.records == (record.id,)
    assert history.decks.scene(slide).picture == scene.picture
    assert history.decks.thumbnail(slide)


def test_a_deck_leaves_and_comes_back_as_one_file(history: History, tmp_path: Path) -> None:
    deck = filled(history)
    history.decks.edit(deck.slides[0].id, title="Changed")
    data = archive.of(history.decks, history.decks.get(deck.id))
    assert data == archive.of(history.decks, history.decks.get(deck.id))
    other = History(tmp_path / "other")
    there = archive.put(other.decks, data)
    assert there.title == "For Monday"
    for mine, theirs in zip(history.decks.get(deck.id).slides, there.slides, strict=True):
        assert payload([history.decks.scene(mine)]) == payload([other.decks.scene(theirs)])
    assert there.theme == "dark"
    # A file of an earlier version names none; another name is a stranger's.
    assert archive.put(other.decks, zipped({"slides/001.scene": ONE}, theme="neon")).theme == "dark"
    history.decks.set_theme(deck.id, "light")
    assert archive.put(other.decks, archive.of(history.decks, history.decks.get(deck.id))).theme == "light"
    assert archive.file_name('../"Monday"') == f"{archive.file_name('Monday')}"


def test_names_and_commands_of_a_stranger_s_deck_are_text_and_nothing_to_run(history: History) -> None:
    own = "sightglass image 'my cat.jpg' --model efficientnet-lite0"
    hostile = (*("rm -rf ~", f"{own}; id", f"{own} $(id)", f"{own}\nid", "sightglass models add evil.pt", "it's"),)
    panel = Panel("Li\x1b[31mte\uffff", (("cat\0\u202egnp", 0.5),))
    scene = replace(a_scene("One\uffff"), notes="a\ufffe\x1b", panels=(panel,), commands=(own, *hostile))
    there = archive.put(history.decks, archive.write("A deck", [scene]))
    (first,) = (history.decks.scene(slide) for slide in there.slides)
    assert first.commands == ()
    assert first.panels[0].name == "Li [31mte" and first.panels[0].answers == (("cat gnp", 0.5),)
    # XML has no such characters.
    assert deck_pptx([first], "A deck")


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED, **about: object) -> bytes:
    out = io.BytesIO()
    said = {"format": archive.FORMAT, "version": 1, "title": "T", "slides": len(files)} | about
    with zipfile.ZipFile(out, "w", method) as made:
        made.writestr("deck.json", json.dumps(said))
        for file, data in files.items():
            made.writestr(file, data)
    return out.getvalue()


def encrypted() -> bytes:
    data = bytearray(archive.write("T", [a_scene("One")]))
    at = data.index(b"PK\x01\x02")
    # The flag of encryption, in the list and in the file's own header.
    data[at + 8] |= 1
    data[6] |= 1
    return bytes(data)


def bomb() -> bytes:
    """A JPEG whose header promises more pixels than any slide has."""
    jpeg = bytearray(to_jpeg(np.zeros((8, 8, 3), np.uint8)))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    return payload([Scene("picture", "", "", "", bytes(jpeg), (60_000, 60_000))])


ONE = payload([a_scene("One")])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x05\x06" + bytes(18),
        zipped({"slides/001.scene": b"nothing"}),
        zipped({"../../etc/passwd": ONE}),
        zipped({"slides/001.scene": ONE, "run.pkl": b"cos\nsystem\n"}),
        zipped({"slides/001.scene": payload([a_scene("One"), a_scene("Two")])}),
        zipped({"slides/001.scene": ONE}, format="another"),
        zipped({"slides/001.scene": ONE}, version=2),
        zipped({"slides/001.scene": ONE}, slides=2),
        zipped({"slides/001.scene": ONE}, title="x" * 500),
        zipped({"slides/001.scene": ONE}, method=zipfile.ZIP_LZMA),
        # Packing it takes seconds, so only where it is read.
        lambda: zipped({"slides/001.scene": bytes(600 * 2**20)}, method=zipfile.ZIP_DEFLATED),
        zipped({f"slides/{i:03}.scene": b"" for i in range(MAX_SCENES + 1)}),
        zipped({"slides/001.scene": bomb()}),
        zipped({"slides/001.scene": payload([replace(a_scene("One"), size=(41, 30))])}),
        archive.write("T", [a_scene("One")])[:-30],
        encrypted(),
    ],
)
def test_a_hostile_file_ends_in_one_sentence(data: bytes | Callable[[], bytes], history: History) -> None:
    hostile = data if isinstance(data, bytes) else data()
    with pytest.raises(Problem) as caught:
        archive.put(history.decks, hostile)
    assert str(caught.value).count(". ") == 0 and len(str(caught.value)) < 200
    assert history.decks.all() == ()
