"""The ready decks are made whole, within a slide's limits, in words that say what was measured, and its opposite."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

from sightglass.common.errors import Cancelled
from sightglass.deck import payload, ready, scenes
from sightglass.deck import ready_words as words
from sightglass.history import History

if TYPE_CHECKING:
    from pathlib import Path

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize("name", ready.READY)
def test_a_ready_deck_is_whole(name: str, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    decks = History(tmp_path).decks
    deck = ready.make(decks, name, steps=4, progress=lambda share, said: told.append((share, said)))
    assert (deck.ready, deck.title, decks.all()) == (name, ready.READY[name], (deck,))
    assert 6 <= len(deck.slides) == ready.SLIDES[name] <= 9
    assert told[-1][0] == 1 and [share for share, _ in told] == sorted(share for share, _ in told)
    every = [decks.scene(slide) for slide in deck.slides]
    assert all(one.title and one.sentence and one.notes for one in every)
    assert sum(one.proof is not None for one in every) >= 1
    assert all(one.picture or one.kind == "words" for one in every)
    assert len(scenes(payload(every))) == len(every)
    # Nothing that only a developer would say.
    assert not re.search(r"tensor|logit|layer|\bbn2\b|gradient|IoU|efficientnet-lite0", " ".join(
        f"{one.title} {one.sentence}" for one in every
    ))  # fmt: skip
    numbers = {"lies": every[1].panels[0].answers[0][1], "sizes": every[1].panels[0].answers[0][1]}
    assert f"{numbers[name] * 100:.0f}{NBSP}%" in every[1].sentence


def test_a_stopped_deck_leaves_nothing(tmp_path: Path) -> None:
    decks, cancel = History(tmp_path).decks, threading.Event()
    with pytest.raises(Cancelled):
        ready.make(decks, "lies", steps=4, cancel=cancel, progress=lambda *_: cancel.set())
    assert decks.all() == ()


def both(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert one[0] != other[0]


def test_sentences_say_the_opposite_where_the_numbers_do() -> None:
    both(words.other_answer("bus", "tram", 0.2), words.other_answer("bus", "tram", 0.8))
    assert "moves" in words.other_answer("bus", "tram", 0.2)[0] and "stays" in words.other_answer("bus", "tram", 0.8)[0]
    assert "does not hold" in words.test_of_a_map("not supported", "")[0]
    assert "cannot be told" in words.test_of_a_map("cannot be told", "")[0]
    both(words.same_for_all("EigenCAM", "bus", "tram", 1.0), words.same_for_all("EigenCAM", "bus", "tram", 0.1))
    pair = [("small", "large", 0.9), ("small", "medium", 0.2)]
    assert (
        "different places" in words.compare_places("bus", pair)[0] and "medium" in words.compare_places("bus", pair)[1]
    )
    assert "the same place" in words.compare_places("bus", pair[:1])[0]
    answers = [("small", "bus", 0.9), ("large", "bus", 0.4)]
    assert words.agree(answers)[0] == "They agree, and the small one is the surest: not the large one"
    assert words.agree(answers[::-1])[0] == "They agree, and the small one is the surest"
    assert "not say the same" in words.agree([*answers, ("huge", "tram", 0.1)])[0]
    assert "best guess" in words.names_it("bus", 0.1, 0.5)[1] and "sure" in words.names_it("bus", 0.5, 0.5)[1]


def test_nobody_looked_where_a_map_does_not_depend_on_the_model() -> None:
    shows = "the picture's edges"
    every = [
        words.names_it("bus", 0.6, 0.2, shows),
        words.other_answer("bus", "tram", 0.2, shows),
        words.other_answer("bus", "tram", 0.8, shows),
        words.compare_places("bus", [("small", "large", 0.9)], shows),
        words.compare_places("bus", [("small", "large", 0.1)], shows),
    ]
    assert every[0][0] == f"This heat map shows {shows}"
    said = " ".join(" ".join(one) for one in every)
    assert not re.search(r"look|speaks|evidence", said)
    assert "looked" in words.names_it("bus", 0.6, 0.2)[0]
    assert "look at" in words.compare_places("bus", [("small", "large", 0.9)])[0]


def test_prices_and_finds_are_compared_as_they_were_measured() -> None:
    models = [("small", 4e6, 25.0), ("large", 6e6, 20.0)]
    assert (
        "1.5 times" in words.price(models, True)[1] and "the large one is the fastest" in words.price(models, True)[1]
    )
    assert "too much to tell" in words.price(models, False)[1]
    assert words.count_found(4, [("small", 4, 0), ("large", 4, 0)])[0].endswith("all do as well")
    assert words.count_found(4, [("small", 4, 0), ("large", 4, 1)])[0].endswith("the small one does as well as any")
    title, sentence = words.count_found(4, [("small", 2, 2), ("large", 3, 1)])
    assert title.endswith("large does best") and "small 2 and 2 that are not there" in sentence
    assert "Not every map" in words.judge_maps([("small", "supported"), ("large", "cannot be told")])[0]
    assert words.judge_maps([("small", "not supported")])[0] == "None of their maps holds"
    assert words.judge_maps([("large", "supported")])[0] == "All their maps hold"
    assert "cannot be told" in words.judge_maps([("small", "not supported"), ("large", "cannot be told")])[0]
