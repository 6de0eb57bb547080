"""Records are found by their words and their choices, in an order, with and without an index, among thousands."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.explain import Explainer, Image, Problem
from sightglass.history import History, Record, schema
from sightglass.history.search import fold

if TYPE_CHECKING:
    from sightglass.explain import Explanation

MANY = 10_000


@pytest.fixture(scope="module")
def noise() -> Explanation:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Explainer("efficientnet-lite0")(Image(pixels, "noise.png"), top_k=2)


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
    found = history.search(**asked)
    assert found.total >= len(found.records)
    return "".join(record.picture_name[0] for record in found.records)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abcde"),
        ("plate", "ae"),
        ("PLATE numb", "a"),
        ("plate nothing", ""),
        ("bus-07", "a"),
        ("a_bus", "a"),
        ("cafe", "a"),
        ("café", "a"),
        ("kafer", "c"),
        ("strassen", "c"),
        ("layerc", "c"),
        ("efficientnet-lite0", "abcde"),
        ("街", "d"),
        ("🚗", "d"),
        ("100%", "b"),
        ("%", "abcde"),
        ("_", "ab"),
        ("sure_ly", "b"),
        ('"', ""),
        ("plate* OR NEAR(", ""),
        ("note:plate", ""),
        ("-plate", "ae"),
        ("'; --", ""),
        ("\x00 \ud800", "abcde"),
        ("x " * 500, ""),
    ],
)
def test_words_are_found(
    few: History, text: str, expected: str, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not indexed:
        monkeypatch.setattr(schema, "make_searchable", lambda _: False)
        # Anywhere in a word, then, and with what stands between words.
        expected = {"-plate": "", "plate* OR NEAR(": ""}.get(text, expected)
    assert names(few, text=text, order="oldest") == expected


def test_choices_narrow_and_are_counted(few: History, noise: Explanation) -> None:
    first, second = (heatmap.target.label for heatmap in noise.heatmaps)
    assert names(few, method="layercam") == "c"
    assert names(few, model="efficientnet-lite0", tag="street") == "ba"
    assert names(few, tag="STREET") == ""
    # The class of the map that was looked at, and the first answer.
    assert names(few, label=second) == "b"
    assert names(few, label=first, text="plate") == "ea"
    assert names(few, model="nothing") == ""
    found = few.choices()
    assert found.models == {"efficientnet-lite0": 5}
    assert list(found.methods.items()) == [(noise.recipe.method, 4), ("layercam", 1)]
    assert found.labels == {first: 5, second: 1}
    assert found.tags == {"street": 2, "Café": 1, "🚗": 1}


def test_orders_and_pages(few: History) -> None:
    assert names(few) == "edcba"
    assert names(few, order="oldest", limit=2, offset=1) == "bc"
    assert few.search(limit=2, offset=4).total == 5
    assert names(few, offset=99) == ""
    surest = few.search(order="surest").records
    scores = [record.score for record in surest]
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert surest[-1].picture_name == "b.jpg"
    assert few.search(order="least sure").records[0].picture_name == "b.jpg"
    largest = [record.bytes for record in few.search(order="largest").records]
    assert largest == sorted(largest, reverse=True)
    for wrong in ({"order": "random"}, {"limit": 0}, {"limit": 10**6}, {"offset": -1}):
        with pytest.raises(Problem):
            few.search(**wrong)  # type: ignore[arg-type]


def test_an_index_that_misses_records_is_made_whole(tmp_path: Path, noise: Explanation) -> None:
    """Another process may have written without one."""
    history = History(tmp_path)
    record = history.keep(noise, note="before")
    with history._store.writing() as database:
        database.execute("DROP TABLE found")
    history.annotate(record.id, note="after")
    again = History(tmp_path)
    assert again.search(text="after").total == 1
    assert again.search(text="before").total == 0
    with again._store.reading() as database:
        assert schema.make_searchable(database)


def filled(history: History, record: Record, count: int) -> None:
    """Copies of a record with words, scores and models of their own, straight into the tables."""
    chance = random.Random(0)
    ends = ("ke", "ndo", "rt", "sil", "x")
    vocabulary = [f"{a}{b}{c}" for a in "bcdfglmnprst" for b in ("a", "ei", "o") for c in ends]
    with history._store.writing() as database:
        fixed = "picture_name, picture_sha256, width, height, task, method, bytes, picture, thumbnail, tags"
        for i in range(count - 1):
            words = " ".join(chance.choices(vocabulary, k=12))
            model = f"model-{chance.randrange(12)}"
            n = database.execute(
                f"INSERT INTO records (id, created, model, score, note, text, marks, {fixed}) "
                f"SELECT ?, ?, ?, ?, ?, ?, '[]', {fixed} FROM records WHERE id = ?",
                (f"{i:016}", 10**15 + i, model, chance.random(), words, fold(f"{words} {model}"), record.id),
            ).lastrowid
            database.execute(
                "INSERT INTO bodies SELECT ?, body, crc FROM bodies WHERE n = (SELECT n FROM records WHERE id = ?)",
                (n, record.id),
            )
            database.execute("INSERT INTO found (rowid, text) VALUES (?, ?)", (n, fold(f"{words} {model}")))
            database.execute("INSERT INTO words VALUES ('label', ?, ?)", (chance.choice(vocabulary), n))
            database.execute("INSERT INTO words VALUES ('tag', ?, ?)", (chance.choice(vocabulary[:20]), n))


def test_ten_thousand_records_are_searched_in_a_moment(
    tmp_path: Path, noise: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path)
    record = history.keep(noise)
    filled(history, record, MANY)
    assert history.search().total == MANY
    took = {}
    for name, asked in {
        "first page": {},
        "last page": {"offset": MANY - 60},
        "surest": {"order": "surest"},
        "largest": {"order": "largest"},
        "word": {"text": "bak"},
        "two words": {"text": "bak reir"},
        "model and tag": {"model": "model-3", "tag": "bake"},
        "class": {"label": "bake", "order": "least sure"},
        "all of it": {"text": "model", "order": "surest"},
    }.items():
        took[name] = _milliseconds(lambda asked=asked: history.search(**asked))  # type: ignore[misc]
    took["choices"] = _milliseconds(history.choices)
    took["storage"] = _milliseconds(history.storage)
    monkeypatch.setattr(schema, "make_searchable", lambda _: False)
    took["without an index"] = _milliseconds(lambda: history.search(text="bak reir"))
    print({name: round(value, 1) for name, value in took.items()})
    # On a machine that does nothing else each takes a tenth of this.
    assert max(took.values()) < 500, took


def _milliseconds(call: Any) -> float:
    def once() -> float:
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3

    return statistics.median(once() for _ in range(3))
