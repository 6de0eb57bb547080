"""A record keeps the seals of its maps, and everything that is made of it has them."""

from __future__ import annotations

import json
import sqlite3
import zlib
from typing import TYPE_CHECKING

import pytest

from sightglass.cli.replay import read
from sightglass.explain import Explainer, Image
from sightglass.explain.proof.seal import Seal, SealMark, forget, remember
from sightglass.export import embedded_recipe
from sightglass.history import History

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain import Explanation

MARKS = (
    SealMark("model", "yes", "Random weights draw another map.", 0.030099123829178676, 0.2),
    SealMark("answer", "no", "Maps of other pictures matter as much.", 1.5, 2.25),
    SealMark("still", "cannot be told", "The map is too even.", None, 0.2),
)
SURVIVES = SealMark("model", "no", "Random weights draw it as well.", 0.98, 0.2, shows="the picture's edges")


@pytest.fixture(scope="module")
def bare(scene: Path) -> Explanation:
    return Explainer("demo-cls-s")(Image.open(scene), top_k=2)


@pytest.fixture
def sealed(bare: Explanation) -> Seal:
    """The seal of the second of two maps."""
    forget()
    seal = Seal(bare.heatmaps[1].target.label, MARKS)
    remember(bare.seal_key(1), seal)
    return seal


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def test_a_record_has_the_seals_of_its_maps_number_by_number(history: History, bare: Explanation, sealed: Seal) -> None:
    record = history.get(history.keep(bare, index=1).id)
    forget()
    assert record.seals == (None, sealed)
    assert record.seal_of(0) is None
    assert record.seal_of(1) == sealed
    assert record.seal_of(2) is None
    # Its own recipe stands for the explanation, and that of its files has the seal.
    assert record.recipe == bare.recipe
    recipe = record.recipe_of(1)
    assert recipe is not None
    assert [(one.index, one.marks[0].value) for one in recipe.seals] == [(1, MARKS[0].value)]


def test_a_record_of_before_opens_without_seals(history: History, bare: Explanation) -> None:
    forget()
    record = history.keep(bare)
    assert record.seals == ()
    assert history.folder is not None
    with sqlite3.connect(history.folder / "history.db") as database:
        (text,) = database.execute("SELECT body FROM bodies").fetchone()
        body = json.loads(text)
        del body["seals"]
        text = json.dumps(body)
        database.execute("UPDATE bodies SET body = ?, crc = ?", (text, zlib.crc32(text.encode())))
    again = history.get(record.id)
    assert not again.damaged
    assert again.seals == ()
    assert again.recipe_of(0) == bare.recipe


def test_its_files_have_it_in_words_and_in_their_recipe(
    history: History, bare: Explanation, sealed: Seal, tmp_path: Path
) -> None:
    record = history.keep(bare, index=1)
    forget()
    files = {name.rsplit("/", 1)[-1]: data for name, data in history.export([record.id])}
    described = json.loads(files["record.json"])
    assert described["seals"][0] is None
    assert described["seals"][1]["marks"][1]["sentence"] == MARKS[1].sentence
    recipe = record.recipe_of(1)
    assert embedded_recipe.read(files["overlay.png"]) == recipe
    (tmp_path / "record.json").write_bytes(files["record.json"])
    assert read(tmp_path / "record.json") == recipe


def test_two_records_look_nowhere_where_one_s_map_is_drawn_by_random_weights(
    history: History, bare: Explanation
) -> None:
    forget()
    plain = history.keep(bare)
    remember(bare.seal_key(1), Seal(bare.heatmaps[1].target.label, (SURVIVES, *MARKS[1:])))
    other = history.keep(bare, index=1)
    words = history.compare(plain, other).words
    assert "their maps mark" in words[0]
    assert "look" not in " ".join(words)
    assert sum("half of it is on" in one for one in words) == 1
    forget()
    assert "they look at" in history.compare(plain, history.keep(bare, index=1)).words[0]
