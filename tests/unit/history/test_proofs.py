"""A record keeps the proofs and seals of its maps number by number, and its files and recipe have them."""

import json

import pytest

from sightglass.cli.proving import read
from sightglass.explain import Explainer, Explanation
from sightglass.explain.replaying import replay
from sightglass.explain.trust.checks import Check, Checks
from sightglass.explain.trust.proof import lines, rows
from sightglass.history import encoding
from sightglass.report import embedded_recipe
from tests.unit.history.conftest import files, plain

MARKS = (
    Check("model", "yes", "Random weights draw another map.", 0.030099123829178676, 0.2),
    Check("answer", "no", "Maps of other pictures matter as much.", 1.5, 2.25),
    Check("still", "cannot be told", "The map is too even.", None, 0.2),
)


@pytest.fixture(scope="module")
def proved(bare: Explanation) -> Explanation:
    result = Explainer("demo-cls-s")(bare.image, top_k=2)
    result.prove(0, steps=4)
    result.prove(1, steps=3, fillings=("linear",))
    return result


@pytest.fixture(scope="module")
def checked(bare: Explanation) -> Explanation:
    """Two maps, of which the second has checks."""
    return bare.with_tests({1: Checks(bare.heatmaps[1].target.label, MARKS)})


def test_a_proof_comes_back_number_by_number_and_its_recipe_makes_it_again(history, proved):
    record = history.get(history.keep(proved).id)
    assert record.recipe == proved.recipe
    for index, expected in proved.proofs.items():
        proof = history.proof(record, index)
        assert proof is not None and plain(proof) == plain(expected)
        assert (proof.sentence, rows(proof), lines(proof)) == (expected.sentence, rows(expected), lines(expected))
    again = replay(record.recipe, history.picture(record))
    saved = history.proof(record, 1)
    assert saved is not None and history.proof(record, 2) is None
    assert plain(again.prove(1, steps=saved.map.steps, fillings=saved.fillings)) == plain(proved.proofs[1])
    history.delete([record.id])
    assert files(history) == []


def test_a_record_and_its_files_have_the_seals_of_its_maps(history, bare, checked, tmp_path, capsys):
    record, sealed = history.get(history.keep(checked, index=1).id), checked.known_checks(1)
    assert sealed is not None and bare.known_checks(1) is None
    assert record.seals == (None, sealed)
    assert [record.checks_of(i) for i in range(3)] == [None, sealed, None]
    # Its own recipe is the explanation's, and that of its files has the seal.
    assert record.recipe == bare.recipe
    recipe = record.checked_recipe
    assert [(seal.index, seal.marks[0].value) for seal in recipe.seals] == [(1, MARKS[0].value)]
    files = {name.rsplit("/", 1)[-1]: data for name, data in history.export([record.id])}
    described = json.loads(files["record.json"])
    assert described["seals"][0] is None
    assert described["seals"][1]["checks"][1]["sentence"] == MARKS[1].sentence
    assert embedded_recipe.read(files["overlay.png"]) == recipe
    (tmp_path / "record.json").write_bytes(files["record.json"])
    assert read(tmp_path / "record.json") == recipe
    (picture,) = encoding.record_view(record, bare.image, history.heatmaps(record)).pictures
    assert picture.map is not None and picture.map.checks == sealed.line
