"""Saved: a view becomes a slide, and a deck is edited, arranged, exported and opened."""

import re
from dataclasses import replace

import pytest

from sightglass.history import History
from sightglass.history.decks import READY, SUFFIX, save
from sightglass.report.view import View
from tests.pages.conftest import press, received, texts


@pytest.fixture(autouse=True)
def history(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    return History()


def add(app, **fields):
    """Add what is shown to a deck, after changing fields of the dialog."""
    press(app, "Add to deck")
    for label, value in fields.items():
        kinds = (*app.text_input, *app.text_area, *app.selectbox)
        next(kind for kind in kinds if kind.label.lower().startswith(label)).set_value(value)
    return press(app, "Add the slide")


def stage_of(app):
    """The page that the stage shows, with the titles of its slides."""
    (text,) = [e.proto.srcdoc for e in app.get("iframe")]
    return text, re.findall(r"<h2 [^>]*><span>(.*?)</span>", text)


def three(history):
    return history.decks.create("For Monday", (View(f"Slide {i}", "A sentence.", kind="words") for i in range(3)))


def test_a_view_becomes_a_slide_and_no_record(page, history):
    app = page()
    press(app, "Add to deck")
    # The dialog shows the slide as it will be.
    assert stage_of(app)[1][0].startswith("Espresso, 9")
    add(app, name="For Monday")
    (deck,) = history.decks.all()
    (slide,) = deck.slides
    assert deck.title == "For Monday" and slide.view.title.startswith("Espresso, 9")
    # Only what somebody saves is in History; the deck is the one to begin with.
    add(app)
    assert [len(deck.slides) for deck in history.decks.all()] == [2] and history.search().total == 0
    view = history.decks.all()[0].slides[1].view
    assert view.title.startswith("Espresso, 9") and view.pictures[0].map is not None


def test_a_slide_goes_to_the_chosen_one_of_two_decks_of_one_name(page, history):
    last, first = (history.decks.create("For Monday").id for _ in range(2))
    app = press(page(), "Add to deck")
    app.selectbox(key="slide-deck-1").select_index(0)
    press(app, "Add the slide")
    assert [len(history.decks.get(id).slides) for id in (first, last)] == [1, 0]


def test_a_key_adds_the_view_to_the_deck_used_last_and_takes_it_back(page, history):
    deck_key = lambda: {name: received(app, "deck_key")[0][name] for name in ("number", "line", "slide")}  # noqa: E731
    app = page(model="demo-cls-s", example="scene 3")
    assert deck_key() == {"number": 0, "line": "", "slide": ""}
    app.session_state["deck-line-explore"] = {"add": '{"mode": "contour", "alpha": 0.3}'}
    app.run()
    (deck,) = history.decks.all()
    assert deck.title == "My deck" and deck.slides[0].view.display.mode == "contour"
    assert deck_key() == {"number": 1, "line": "Added to My deck, slide 1.", "slide": deck.slides[0].id}
    # Said once: a later run has no line.
    assert app.run() and deck_key()["line"] == ""
    app.session_state["deck-line-explore"] = {"undo": deck.slides[0].id}
    app.run()
    assert history.decks.all() == (), "a deck that was made for the slide stays without it"
    monday = three(history)
    app.session_state["deck-line-explore"] = {"add": '{"press": 2}'}
    app.run()
    assert [len(deck.slides) for deck in history.decks.all()] == [4]
    app.session_state["deck-line-explore"] = {"present": deck_key()["slide"]}
    app.run()
    assert (app.query_params["deck"], app.query_params["play"]) in ((monday.id, "4"), ([monday.id], ["4"]))


@pytest.mark.parametrize(
    ("name", "kinds"), [("pages/pictures/page.py", ["picture"] * 4 + ["text"]), ("compare", ["picture"])]
)
def test_results_become_a_deck(page, history, name, kinds):
    app = press(page(name, model="demo-cls-s", example="scene 3"), "Make deck")
    (deck,) = history.decks.all()
    views = [slide.view for slide in deck.slides]
    assert [view.kind for view in views][: len(kinds)] == kinds and all(view.title for view in views)
    assert f"## {deck.title}" in texts(app) and app.query_params["deck"] in (deck.id, [deck.id])
    if name == "compare":
        # A chart, or on a busy machine words.
        costs = " ".join((views[1].sentence, *(bar.text for bar in views[1].scores)))
        assert costs.count("MB") == 3 and [view.pictures[0].map.label for view in views[2:]] == [
            picture.map.label for picture in views[0].pictures[:3]
        ]


def test_slides_are_edited_arranged_deleted(page, history):
    deck = three(history)
    first, second, third = (slide.id for slide in deck.slides)
    order = lambda: [slide.id for slide in history.decks.get(deck.id).slides]  # noqa: E731
    app = page("pages/saved/page.py", deck=deck.id)
    assert "## For Monday" in texts(app) and stage_of(app)[1] == ["Slide 0"]
    app.button(key=f"deck-slide-{third}").click().run()
    assert stage_of(app)[1] == ["Slide 2"] and app.button(key="deck-do-arrow_downward").disabled
    press(app, "Earlier")
    assert order() == [first, third, second]
    for name, words in (("title", "Changed"), ("sentence", "S")):
        app.session_state[f"deck-{name}-{third}"] = words
    app.text_input(key=f"deck-title-{third}").set_value("Changed again").run()
    slide = history.decks.get(deck.id).slides[1].view
    assert (slide.title, slide.sentence) == ("Changed again", "S")
    assert stage_of(app)[1] == ["Changed again"]
    press(app, "Delete the slide")
    assert order() == [first, second]
    # What is gone is said.
    app.button(key=f"deck-slide-{second}").click().run()
    history.decks.remove(second)
    app.button(key="deck-do-delete").click().run()
    assert "There is no such slide" in texts(app)
    for label in ("Title", "Text"):
        press(app, label)
    deck = history.decks.get(deck.id)
    assert [slide.view.kind for slide in deck.slides[-2:]] == ["words", "text"]
    assert texts(app).count("Left out of the files") == 2 and deck.file(".html").count(b"<section>") == 1


def test_a_deck_is_presented_from_a_slide_in_its_theme(page, history):
    deck = three(history)
    app = page("pages/saved/page.py", deck=deck.id)
    app.toggle[0].set_value(True).run()
    assert history.decks.get(deck.id).theme == "light"
    app.button(key=f"deck-slide-{deck.slides[2].id}").click().run()
    press(app, "Present")
    text, titles = stage_of(app)
    assert titles == ["Slide 0", "Slide 1", "Slide 2"] and app.query_params["play"] in ("3", ["3"])
    press(app, "Edit the slides")
    assert stage_of(app)[1] == ["Slide 2"]
    assert '<html lang="en" class="light">' in text and 'data-start="2"' in text and "<title>For Monday" in text
    assert not app.error


def test_decks_are_listed_renamed_and_deleted(page, history, monkeypatch):
    deck = three(history)
    app = page("pages/saved/page.py", tab="decks")
    assert "## 1 deck of yours" in texts(app) and "3 slides, changed " in texts(app)
    press(app, "For Monday")
    app.text_input(key=f"deck-title-{deck.id}").set_value("For Tuesday").run()
    assert "## For Tuesday" in texts(app)
    press(app, "Delete the deck with 3 slides")
    assert history.decks.all() == () and "## Slides to present" in texts(app)
    press(app, "New deck")
    assert "No slides yet" in texts(app) and not app.error
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
    app = page("pages/saved/page.py", tab="decks")
    assert "switched off" in texts(app)


def test_unreadable_deck_and_slide_are_named(page, history):
    views = [View(title, kind="words") for title in ("One", "Two")]
    bad, half = (history.decks.create(title, views) for title in ("Bad", "Half"))
    (history.folder / "decks" / f"{bad.id}{SUFFIX}").write_bytes(b"no deck")
    first = half.slides[0]
    save(history.folder / "decks", replace(half, slides=(replace(first, packed=b"no slide"), *half.slides[1:])))
    app = page("pages/saved/page.py", deck=bad.id, fails=True)
    assert f"{bad.id}{SUFFIX} in " in app.error[0].value
    app = page("pages/saved/page.py", deck=half.id)
    assert app.warning[0].value.startswith("Slide 1 is left out. This slide cannot be read")
    press(app, "Delete slide 1")
    assert [slide.view.title for slide in history.decks.get(half.id).slides] == ["Two"]


def test_changed_packaged_deck_and_undo(page, history):
    app = page("pages/saved/page.py", tab="decks")
    for tiles in (app, page("pages/saved/page.py")):
        assert all(f"saved-open-{id}" in [button.key for button in tiles.button] for id in READY)
    app.button(key="saved-open-sizes").click().run()
    assert "## Small, medium or large?" in texts(app) and history.decks.all() == ()
    assert "## See a model cheat" in texts(page("pages/saved/page.py", deck="cheat"))
    press(app, "Delete the slide")
    (deck,) = history.decks.all()
    assert (deck.id, len(deck.slides)) == ("sizes", 7)
    press(app, "Undo all changes")
    assert history.decks.all() == () and "Example: The same kind of model in three sizes" in texts(app)
    assert not app.error
