"""`history` and `deck`: what the library kept is found, shown, written and deleted."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.cli import main
from sightglass.cli.replay import read
from sightglass.deck import Scene
from sightglass.explain import Explainer, Image
from sightglass.explain.phrases import plain_text
from sightglass.history import History, Mark

if TYPE_CHECKING:
    from sightglass.deck.scene import Deck
    from sightglass.history import Record


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, list[Record]]:
    history = History(tmp_path_factory.mktemp("history"))
    explainer = Explainer("demo-cls-s")
    found = []
    for name, note in (("street.png", "a number plate"), ("field.png", "")):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        explanation = explainer(Image(pixels, name), top_k=2)
        if note:
            explanation.prove(steps=2, fillings=("mean",))
        found.append(history.keep(explanation, note=note, tags=["t"]))
    history.annotate(found[0].id, marks=[Mark("text", ((1, 1),), "here")])
    return history, [history.get(record.id) for record in found]


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["history", *arguments]) == code
    told = capsys.readouterr()
    return told.out, told.err


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(said(capsys, *arguments, "--json")[0])


def test_records_are_listed_and_found(
    kept: tuple[History, list[Record]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    history, (street, field) = kept
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(history.folder))
    out, _ = said(capsys, "list")
    assert out.index(field.id) < out.index(street.id)
    assert "2 records;" in out and "saved (UTC)" in out
    found = told(capsys, "list", "numb", "plate", "--tag", "t")
    assert (found["total"], found["records"][0]["id"]) == (1, street.id)
    assert found["records"][0]["marks"][0]["text"] == "here"
    assert "No saved explanation matches." in said(capsys, "list", "nowhere")[0]
    assert "1 of 2 records" in said(capsys, "list", "--limit", "1", "--skip", "1", "--order", "oldest")[0]
    assert "no order called" in said(capsys, "list", "--order", "x", code=2)[1]


def test_a_record_is_shown(kept: tuple[History, list[Record]], capsys: pytest.CaptureFixture[str]) -> None:
    history, (street, _) = kept
    folder = ["--folder", str(history.folder)]
    out, _ = said(capsys, "show", street.id, *folder)
    assert out.startswith(street.headline.replace("\N{NO-BREAK SPACE}", " "))
    found = told(capsys, "show", street.id, *folder)
    for words in ("a number plate", "1 mark", *street.labels[:2], plain_text(found["proofs"][0]["sentence"])[:40]):
        assert words in out
    assert found["maps"][1]["statistics"]["peak"] == list(history.heatmaps(street)[1].statistics.peak)
    assert "deleted" in said(capsys, "show", "nobody", *folder, code=2)[1]


def test_records_are_written_and_deleted(
    kept: tuple[History, list[Record]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    history, (street, field) = kept
    folder = ["--folder", str(history.folder)]
    said(capsys, "export", street.id, field.id, "--out", str(tmp_path / "out"), *folder)
    overlay = next((tmp_path / "out").glob("001_street_*/overlay.png"))
    assert read(overlay) == street.recipe
    assert len(list((tmp_path / "out").glob("*/record.json"))) == 2
    # Only the first has marks and a proof.
    (marked,) = (tmp_path / "out").glob("*/marked.png")
    assert read(marked) == street.recipe and marked.read_bytes() != overlay.read_bytes()
    assert [path.parent for path in (tmp_path / "out").glob("*/proof.json")] == [overlay.parent]
    found = told(capsys, "export", street.id, "--out", str(tmp_path / "out.zip"), *folder)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == found["files"] and archive.testzip() is None
    said(capsys, "export", "nobody", "--out", str(tmp_path / "none.zip"), *folder, code=2)
    # One that is damaged keeps no other back.
    with history._store.reading() as database:
        query = "SELECT file FROM maps JOIN records ON record = n WHERE id = ?"
        (name,) = database.execute(query, (street.id,)).fetchone()
    next(history.folder.rglob(name)).unlink()
    assert "gone" in said(capsys, "show", street.id, *folder, code=1)[1]
    said(capsys, "export", street.id, field.id, "--out", str(tmp_path / "rest"), *folder)
    assert "gone" in next((tmp_path / "rest").glob("001_*/damaged.txt")).read_text()
    assert next((tmp_path / "rest").glob("002_*/maps.npz"))
    assert told(capsys, "delete", field.id, *folder)["deleted"] == [field.id]
    assert [record.id for record in history.search().records] == [street.id]
    said(capsys, "delete", field.id, *folder, code=2)


@pytest.fixture
def deck(here: Path) -> Deck:
    """A deck in a history of its own below the current folder."""
    decks = History(here / "kept").decks
    made = decks.create("For Monday")
    decks.add(made.id, Scene("words", "A title", "A sentence."))
    return decks.get(made.id)


HOW = ("--folder", "kept")


def test_a_deck_leaves_and_comes_back(deck: Deck, call: Any, answer: Any) -> None:
    assert call("deck", "export", deck.id, "--out", "made/monday.sightglass", *HOW).code == 0
    assert "For Monday, 1 slide," in call("deck", "open", "made/monday.sightglass", "--folder", "other").out
    (listed,) = answer("deck", "list", "--folder", "other")["decks"]
    assert (listed["title"], [one["title"] for one in listed["slides"]]) == ("For Monday", ["A title"])


def test_a_deck_is_exported_by_its_title(deck: Deck, call: Any) -> None:
    how = ("--out", "monday.html", *HOW)
    assert call("deck", "export", "for monday", *how).code == 0
    assert "For Monday" in Path("monday.html").read_text("utf-8")
    assert "did you mean For Monday?" in call("deck", "export", "For Mondays", *how).err
    other = History("kept").decks.create("For Monday")
    code, _, err = call("deck", "export", "For Monday", *how)
    assert code == 2 and "2 decks are called For Monday" in err and deck.id in err and other.id in err
    assert call("deck", "export", deck.id, *how).code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("export gone --out a.pdf", "There is no such deck, gone: `deck list` names those"),
        ("export gone --out a.doc", "ends in .sightglass, .html, .pptx or .pdf, not in .doc"),
        ("open nowhere.sightglass", "nowhere.sightglass cannot be read"),
        ("make lie", "There is no ready deck lie: did you mean lies?"),
    ],
)
def test_what_cannot_be_is_one_sentence(words: str, sentence: str, call: Any) -> None:
    code, _, err = call("deck", *words.split(), *HOW)
    assert code != 0 and sentence in err


def test_a_packaged_deck_is_added_once(call: Any) -> None:
    assert "deck make lies" in call("deck", "list", *HOW).out and not Path("kept").exists()
    for _ in range(2):
        assert "What is a heat map, and when does it lie? 9 slides" in call("deck", "make", "lies", *HOW).out
    assert len(History("kept").decks.all()) == 1
