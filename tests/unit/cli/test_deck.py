"""`deck`: lists, exports and opens; what cannot be is one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sightglass.cli import main
from sightglass.deck import Scene
from sightglass.history import History

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.deck.scene import Deck


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def deck(kept: Path) -> Deck:
    decks = History(kept).decks
    made = decks.create("For Monday")
    decks.add(made.id, Scene("words", "A title", "A sentence."))
    return decks.get(made.id)


def test_a_deck_leaves_and_comes_back(
    kept: Path, deck: Deck, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, other = tmp_path / "made" / "monday.sightglass", tmp_path / "other"
    assert main(["deck", "export", deck.id, "--out", str(file), "--folder", str(kept)]) == 0
    assert main(["deck", "open", str(file), "--folder", str(other)]) == 0
    assert "For Monday, 1 slide," in capsys.readouterr().out
    assert main(["deck", "list", "--folder", str(other), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["decks"]
    assert (listed["title"], [one["title"] for one in listed["slides"]]) == ("For Monday", ["A title"])


def test_a_deck_is_exported_by_its_title(
    kept: Path, deck: Deck, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "monday.html"
    how = ("--out", str(file), "--folder", str(kept))
    assert main(["deck", "export", "for monday", *how]) == 0 and file.is_file()
    assert main(["deck", "export", "For Mondays", *how]) == 2
    assert "did you mean For Monday?" in capsys.readouterr().err
    other = History(kept).decks.create("For Monday")
    assert main(["deck", "export", "For Monday", *how]) == 2
    said = capsys.readouterr().err
    assert "2 decks are called For Monday" in said and deck.id in said and other.id in said
    assert main(["deck", "export", deck.id, *how]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "gone", "--out", "a.pdf"], "There is no such deck, gone: `deck list` names those"),
        (["export", "gone", "--out", "a.doc"], "ends in .sightglass, .html, .pptx or .pdf, not in .doc"),
        (["open", "nowhere.sightglass"], "nowhere.sightglass cannot be read"),
        (["make", "lie"], "There is no ready deck lie: did you mean lies?"),
    ],
)
@pytest.mark.usefixtures("deck")
def test_what_cannot_be_is_one_sentence(
    words: list[str], said: str, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deck", *words, "--folder", str(kept)]) != 0
    found = capsys.readouterr()
    assert said in " ".join((found.out + found.err).split()).replace("│ ", "")


def test_a_packaged_deck_is_added_once(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deck", "list", "--folder", str(kept)]) == 0
    assert "deck make lies" in capsys.readouterr().out and not kept.exists()
    for _ in range(2):
        assert main(["deck", "make", "lies", "--folder", str(kept)]) == 0
    assert "What is a heat map, and when does it lie? 9 slides" in capsys.readouterr().out
    assert len(History(kept).decks.all()) == 1
