"""Records are found by their words and their choices, in an order, with and without an index."""

from dataclasses import replace
from typing import Any

import pytest

from sightglass.explain import Explanation
from sightglass.history import History


def named(explanation: Explanation, name: str) -> Explanation:
    return replace(explanation, image=replace(explanation.image, name=name))


@pytest.fixture(scope="module")
def few(noise: Explanation, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Five records, a to e in the order of time."""
    history = History(tmp_path_factory.mktemp("history"))
    history.keep(named(noise, "a_bus-07.jpg"), note="Looks at the number plate", tags=["street", "Café"])
    history.keep(named(noise, "b.jpg"), index=1, note="100% sure_ly", tags=["street"])
    history.keep(named(noise.with_method("layercam"), "c.jpg"), note="das Straßenschild, Käfer")
    history.keep(named(noise, "d.jpg"), note="巴士在街上 🚗", tags=["🚗"])
    history.keep(named(noise, "e.jpg"), note="plates")
    return history


def names(history: History, **asked: Any) -> str:
    """The first letters of the names of what is found, in its order."""
    matches = history.search(**asked)
    assert matches.total >= len(matches.records)
    return "".join(record.picture_name[0] for record in matches.records)


FOUND = {
    "abcde": ("", "efficientnet-lite0", "%", "\x00 \ud800"),
    "ae": ("plate", "lat"),
    "ab": ("_",),
    "a": ("PLATE numb", "bus-07", "a_bus", "cafe", "café"),
    "b": ("100%", "sure_ly"),
    "c": ("kafer", "strassen", "layerc"),
    "d": ("街", "🚗"),
    "": ("plate nothing", '"', "plate* OR NEAR(", "note:plate", "'; --", "zq " * 5000),
}
"""What is searched for, by the letters of the records that are found."""


def test_words_are_found(few: History) -> None:
    for expected, texts in FOUND.items():
        for text in texts:
            assert names(few, text=text)[::-1] == expected, text


def test_choices_narrow_and_are_counted(few: History, noise: Explanation) -> None:
    first, second = (heatmap.target.label for heatmap in noise.heatmaps)
    assert names(few, model="efficientnet-lite0", tag="street") == "ba"
    assert names(few, tag="STREET") == ""
    # The class of the map that was looked at, and the first answer.
    assert names(few, label=second) == "b"
    assert names(few, label=first, text="plate") == "ea"
    assert names(few, model="nothing") == ""
    choices = few.choices()
    assert choices["model"] == {"efficientnet-lite0": 5}
    assert choices["label"] == {first: 5, second: 1}
    assert choices["tag"] == {"street": 2, "Café": 1, "🚗": 1}


def test_pages_and_days(few: History) -> None:
    assert names(few) == "edcba"
    assert names(few, limit=2, offset=1) == "dc"
    assert few.search(limit=2, offset=4).total == 5
    assert names(few, offset=99) == ""
    third = few.search().records[2]
    assert names(few, since=third.created) == "edc"
