"""A record keeps the proofs of its maps number by number, and their recipe makes them again bit for bit."""

from __future__ import annotations

import json
import sqlite3
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.explain import Explainer, Image, Problem
from sightglass.explain.proof.measures import lines, rows
from sightglass.export import embedded_recipe
from sightglass.export.proof import files as proof_files
from sightglass.history import History
from sightglass.history import proofs as files

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain import Explanation
    from sightglass.explain.proof.proof import Proof


@pytest.fixture(scope="module")
def bare(scene: Path) -> Explanation:
    return Explainer("demo-cls-s")(Image.open(scene), top_k=2)


@pytest.fixture(scope="module")
def proved(bare: Explanation) -> Explanation:
    made = Explainer("demo-cls-s")(bare.image, top_k=2)
    made.prove(0, steps=4)
    made.prove(1, steps=3, fillings=("linear",))
    return made


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def plain(proof: Proof | None) -> list[tuple]:
    assert proof is not None
    return [
        (
            curve.name,
            curve.number,
            curve.filling,
            *(getattr(trace, name).tolist() for trace in (curve.deletion, curve.insertion) for name in trace.__slots__),
        )
        for curve in proof.curves
    ]


def test_a_proof_comes_back_number_by_number_and_says_the_same(history: History, proved: Explanation) -> None:
    record = history.get(history.keep(proved).id)
    assert [(one.index, one.steps, one.fillings) for one in record.proofs] == [
        (0, 4, ("blur", "mean")),
        (1, 3, ("linear",)),
    ]
    for index, own in proved.proofs.items():
        found = history.proof(record, index)
        assert found is not None and plain(found) == plain(own)
        assert (found.sentence, rows(found), lines(found)) == (own.sentence, rows(own), lines(own))
        assert record.proofs[index].sentence == own.sentence
    assert record.recipe == proved.recipe


def test_an_archive_has_the_curves_the_numbers_and_the_recipe(history: History, proved: Explanation) -> None:
    record = history.keep(proved)
    found = {name.partition("/")[2]: data for name, data in history.export([record.id])}
    saved = json.loads(found["proof.json"])
    assert saved["sentence"] == proved.proofs[0].sentence
    assert saved["curves"] == json.loads(json.dumps(proved.proofs[0].summary()["curves"]))
    recipe = embedded_recipe.read(found["proof.png"])
    assert recipe is not None and recipe == record.recipe_of(0) and recipe.prove is not None
    written = dict(proof_files.files(proved, 0, proved.proofs[0]))
    assert found["proof.json"] == written["proof.json"] and "findings" in saved
    (other,) = (name for name in found if name.startswith("top2_") and name.endswith("proof.json"))
    assert json.loads(found[other])["fillings"] == ["linear"]


def test_a_map_that_is_proved_after_it_was_saved_gets_its_proof(
    history: History, bare: Explanation, proved: Explanation
) -> None:
    record = history.keep(bare)
    assert record.proofs == () and history.proof(record, 0) is None and record.recipe_of(0) == record.recipe
    later = history.add_proofs(record.id, proved)
    assert later.id == record.id and history.search().total == 1
    assert later.bytes > record.bytes and later.created == record.created
    assert plain(history.proof(later, 1)) == plain(proved.proofs[1])
    # Once more is nothing new, and deleting the record frees the proofs' files too.
    assert history.add_proofs(record.id, proved) == later
    assert history.delete([record.id]) == later.bytes
    assert not [path for path in (history.folder / "files").rglob("*") if path.is_file()]
    with pytest.raises(Problem, match="There is no such record"):
        history.add_proofs(record.id, proved)


def test_a_proof_added_later_is_heard_in_the_findings_of_its_record(
    history: History, bare: Explanation, proved: Explanation
) -> None:
    first = proved.proofs[0]
    assert first.support is not None
    own = first.support.own
    better = replace(own, hidden=(0.0,) * len(own.hidden), kept=(1.0,) * len(own.kept))
    bad = replace(first, support=replace(first.support, others=(better,) * 10, copies=()))
    whole = replace(first, support=None)
    worse = replace(bare, proofs={0: bad})
    record = history.keep(bare)
    later = history.add_proofs(record.id, worse)
    assert later.findings == history.keep(worse).findings
    assert later.findings[0].kind == "unproved" and set(later.findings) >= set(record.findings)
    # Another proof is heard instead of it; that of a map that is not the record's own is not.
    assert history.add_proofs(record.id, replace(bare, proofs={0: whole})).findings == record.findings
    other = replace(bare, proofs={1: worse.proofs[0]})
    assert history.add_proofs(record.id, other).findings == record.findings


def test_a_record_of_before_opens_without_a_proof_and_can_be_given_one(history: History, bare, proved) -> None:
    record = history.keep(bare)
    with sqlite3.connect(history.folder / "history.db") as database:
        (text,) = database.execute("SELECT body FROM bodies").fetchone()
        body = json.loads(text)
        del body["proofs"]
        old = json.dumps(body, separators=(",", ":"))
        database.execute("UPDATE bodies SET body = ?, crc = ?", (old, zlib.crc32(old.encode())))
    database.close()
    again = History(history.folder)
    assert again.get(record.id) == record and not again.get(record.id).damaged
    assert again.add_proofs(record.id, proved).proof_of(0) is not None


def test_a_damaged_proof_is_one_sentence_and_the_maps_are_still_there(history: History, proved) -> None:
    record = history.keep(proved)
    file = record.proofs[0].file
    (history.folder / "files" / file[:2] / file).write_bytes(b"{}")
    with pytest.raises(Problem, match="damaged"):
        history.proof(record, 0)
    assert np.array_equal(history.heatmaps(record)[0].values, proved.heatmaps[0].content)


@pytest.mark.parametrize(
    "change",
    [
        {"curves": []},
        {"fillings": ["blur", "paint"]},
        {"similarity": {"rho": 1}},
        {"curves": [{"name": "magic"}]},
        {"start": "much"},
    ],
)
def test_what_is_no_proof_is_refused(proved: Explanation, change) -> None:
    _, (file, _) = files.encode(proved.proofs)
    assert plain(files.decode(file.data)) == plain(proved.proofs[0])
    with pytest.raises(Problem, match="The proof of this record is damaged"):
        files.decode(json.dumps(json.loads(file.data) | change).encode())
