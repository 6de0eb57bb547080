"""Decks are kept beside the records, in order, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from sightglass.explain.picture.image import to_jpeg
from sightglass.history import History
from sightglass.history.decks import Deck
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
