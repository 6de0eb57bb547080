"""Decks are kept beside the records, in order, whole or not at all; a deck leaves and comes back as one file."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.common.files.packing import pack_data
from sightglass.explain.picture.image import to_jpeg
from sightglass.history import History, decks
from sightglass.history.decks import FORMAT, SUFFIX, Deck, join
from sightglass.report.deck_pptx import deck_pptx
from sightglass.report.stored import MAX_VIEWS, count_work, pack
from sightglass.report.view import Map, Picture, View


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def a_view(title: str, value: int = 0) -> View:
    item = Map("cat", np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40), 0.5)
    file = to_jpeg(np.full((30, 40, 3), value, np.uint8))
    return View(title, "A sentence.", (Picture("Lite", file, (40, 30), "", item, (("cat", 0.5),)),))


def filled(history: History, count: int = 3) -> Deck:
    deck = history.decks.create("For Monday")
    for i in range(count):
        history.decks.add(deck.id, a_view(f"Slide {i}", i))
    return history.decks.get(deck.id)


def test_a_deck_is_kept_edited_and_arranged(history: History) -> None:
    assert history.decks.all() == ()
    deck = filled(history)
    again = History(history.folder)
    assert again.decks.all() == (deck,)
    first, second, third = deck.slides
    again.decks.edit(second.id, title=" What \n it saw ", sentence="")
    again.decks.change(deck.id, title="For Tuesday")
    moved = again.decks.change(deck.id, slides=[third, first])
    assert moved.title == "For Tuesday" and moved.changed > deck.changed
    assert [slide.view.title for slide in moved.slides] == ["Slide 2", "Slide 0", "What it saw"]
    drawn = moved.slides[2].view
    assert (drawn.title, drawn.sentence) == ("What it saw", "")
    assert drawn.pictures[0].jpeg == a_view("", 1).pictures[0].jpeg


def test_a_damaged_deck_can_be_deleted(history: History) -> None:
    filled(history)
    (file,) = (history.folder / "decks").iterdir()  # type: ignore[operator]
    file.write_bytes(file.read_bytes()[:-30])
    (damaged,) = history.decks.all()
    assert damaged.slides == ()
    history.decks.delete(damaged.id)
    assert history.decks.all() == ()


def test_a_deck_leaves_and_comes_back_as_one_file(history: History, tmp_path: Path) -> None:
    deck = filled(history)
    history.decks.edit(deck.slides[0].id, title="Changed")
    data = history.decks.get(deck.id).file(SUFFIX)
    assert data == history.decks.get(deck.id).file(SUFFIX)
    other = History(tmp_path / "other")
    there = other.decks.open(data)
    assert there.title == "For Monday"
    for mine, theirs in zip(history.decks.get(deck.id).slides, there.slides, strict=True):
        assert pack([mine.view]) == pack([theirs.view])
    assert there.theme == "dark"
    # Another name is a stranger's.
    assert other.decks.open(join([ONE], "T", "neon")).theme == "dark"
    history.decks.change(deck.id, theme="light")
    assert other.decks.open(history.decks.get(deck.id).file(SUFFIX)).theme == "light"


def test_foreign_deck_has_legible_texts(history: History) -> None:
    (plain,) = a_view("One").pictures
    picture = replace(plain, name="Li\x1b[31mte\uffff", answers=(("cat\0\u202egnp", 0.5),))
    view = replace(a_view("One\uffff"), pictures=(picture,))
    there = history.decks.open(join([pack([view])], "A deck"))
    (first,) = (slide.view for slide in there.slides)
    assert first.pictures[0].name == "Li [31mte" and first.pictures[0].answers == (("cat gnp", 0.5),)
    # XML has no such characters.
    assert deck_pptx([first], "A deck")


def bomb() -> bytes:
    """A JPEG whose header promises more pixels than any slide has."""
    jpeg = bytearray(to_jpeg(np.zeros((8, 8, 3), np.uint8)))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    return pack([View("", "", (Picture("", bytes(jpeg), (60_000, 60_000)),))])


ONE = pack([a_view("One")])
WRONG = replace(a_view("One").pictures[0], size=(41, 30))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04" + bytes(40),
        pack_data({"format": FORMAT, "title": "T"}, [ONE]),
        join([pack([a_view("One"), a_view("Two")])], "T"),
        join([ONE], "T", version=2),
        join([ONE], "x" * 500),
        join([b""] * (MAX_VIEWS + 1), "T"),
        join([bomb()], "T"),
        join([pack([replace(a_view("One"), pictures=(WRONG,))])], "T"),
        join([ONE], "T")[:-30],
    ],
)
def test_a_hostile_file_ends_in_one_sentence(data: bytes, history: History) -> None:
    with pytest.raises(Problem) as caught:
        history.decks.open(data)
    assert str(caught.value).count(". ") == 0 and len(str(caught.value)) < 200
    assert history.decks.all() == ()


def test_all_slides_of_a_deck_have_one_limit(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    # 40 x 30 pixels, as many values, and the header.
    assert count_work(ONE) == 1200 + 4 * 1200 + 16 * int.from_bytes(ONE[:4], "little")
    monkeypatch.setattr(decks, "MAX_WORK", 3 * count_work(ONE))
    deck = history.decks.open(join([ONE] * 3, "T"))
    for refused in (
        lambda: history.decks.open(join([ONE] * 4, "T")),
        lambda: history.decks.create("T", [a_view("One")] * 4),
        lambda: history.decks.add(deck.id, a_view("One")),
    ):
        with pytest.raises(Problem, match="more pictures and maps than one deck may have"):
            refused()
    assert [len(deck.slides) for deck in history.decks.all()] == [3]
