"""Open files that an earlier version wrote: recipes, pictures with a recipe, history, batch, models.toml.

All of `tests/former` was written by version 0.1.0 before its modules were moved and renamed. It stays as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sightglass.batch import run, table
from sightglass.explain import replay
from sightglass.history import History
from sightglass.report import embedded_recipe

FORMER = Path(__file__).parents[1] / "former"
SCENE = FORMER / "pictures/scene0.jpg"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    # A copy: opening a database writes beside it.
    return History(shutil.copytree(FORMER / "history", tmp_path_factory.mktemp("former") / "history"))


@pytest.mark.parametrize("kind", ["classifier", "detector"])
def test_a_recipe_makes_its_explanation_again(kind: str, history: History) -> None:
    result = replay(FORMER / kind / "recipe.json", SCENE)
    expected = json.loads((FORMER / "expected.json").read_text("utf-8"))[kind]
    assert [prediction.label for prediction in result.predictions] == expected[0]
    (record,) = (item for item in history.search().records if item.model == result.model.id)
    for again, saved in zip(result.heatmaps, history.heatmaps(record), strict=True):
        np.testing.assert_allclose(again.values, saved.values, rtol=0, atol=1e-4)


def test_a_picture_with_a_recipe_carries_view_and_picture() -> None:
    file = embedded_recipe.contents((FORMER / "overlay.png").read_bytes())
    assert file is not None
    assert (file.recipe.model, file.recipe.method, file.recipe.part) == ("demo-cls-s", "layercam", "contrast")
    original = embedded_recipe.original(file)
    assert original is not None
    assert original.sha256 == file.recipe.picture_sha256


def test_history_is_searched_with_its_notes_and_tags(history: History) -> None:
    (record,) = history.search(text="first", tag="street").records
    assert record.model == "demo-cls-s"
    assert not record.damaged
    assert history.picture(record).sha256 == record.recipe.picture_sha256
    assert len(history.search().records) == 2


def test_a_history_of_version_2_keeps_proofs_marks_pairs_and_decks(tmp_path: Path) -> None:
    history = History(shutil.copytree(FORMER / "history-2", tmp_path / "history"))
    pair, record = history.search().records
    # The words that were marked on the map are in its note.
    assert (record.note, record.tags, record.marks) == ("Straßenschild\nhere", ("street",), ())
    assert history.search(text="strassen here").records == (record,)
    assert record.label is not None and history.choices()["label"] == {record.label: 1}
    proof = history.proof(record, 0)
    assert proof is not None and proof.sentence.startswith("This map matters: hiding this map's top 30")
    again = replay(record.recipe, history.picture(record))
    np.testing.assert_allclose(again.heatmaps[0].values, history.heatmaps(record)[0].values, rtol=0, atol=1e-4)
    result = history.similarity(pair)
    assert result.score == pair.score and result.query.signed.any() and result.matches.pairs
    assert pair.pair is not None and pair.pair.context is not None
    (deck,) = history.decks.all()
    assert (deck.title, deck.theme) == ("Monday", "light")
    assert deck.slides[0].view.pictures[0].map is not None
    assert not (tmp_path / "history" / "files").exists()
    assert [item.id for item in History(tmp_path / "history").search().records] == [pair.id, record.id]


def test_a_batch_is_read_and_has_nothing_left_to_do(tmp_path: Path) -> None:
    folder = shutil.copytree(FORMER / "batch", tmp_path / "batch")
    before = table.read(folder)
    assert set(before["picture"]) == {"scene0.jpg", "scene1.jpg"}
    pictures = shutil.copytree(FORMER / "pictures", tmp_path / "pictures")
    for line in (folder / "journal.jsonl").read_text("utf-8").splitlines()[1:]:
        for entry in json.loads(line):
            # A picture is recognised by size and time, and a checkout changes the time.
            time = int(entry["stamp"].partition("-")[2])
            os.utime(pictures / entry["key"], ns=(time, time))
    summary = run(str(pictures), "demo-cls-s", str(folder), workers=1)
    assert (summary.resumed, summary.done, summary.failed) == (2, 2, ())
    assert table.read(folder).equals(before)
