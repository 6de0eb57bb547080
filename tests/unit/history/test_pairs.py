"""The history keeps two compared pictures in one record: both of them, their maps, their matches and the scores."""

import json
from pathlib import Path

import numpy as np
import pytest

from sightglass.explain import Explainer, Explanation, Problem
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.ranking import Context, context
from sightglass.explain.similarity.similarity import Similarity, similarity
from sightglass.history import History
from sightglass.report import results, similarity_files
from tests.unit.history.conftest import plain


@pytest.fixture(scope="module")
def pair(bus: Path) -> tuple[Similarity, Context]:
    """A photograph against one picture of a gallery: one is a JPEG, the other an array."""
    explainer, query = Explainer("efficientnet-lite0"), Image.open(bus)
    part = Image(np.ascontiguousarray(query.pixels[200:800, 80:700][:, ::-1]), "part $x$.png")
    compared = similarity(explainer, query, part, layers=("blocks.4", "bn2"), method="layercam")
    return compared, context(explainer, query)


def test_a_pair_comes_back_bit_for_bit(history: History, pair: tuple[Similarity, Context]) -> None:
    compared, reference = pair
    record = history.keep(compared, context=reference, note="the same street", tags=["street"])
    again = History(history.folder)
    record = again.get(record.id)
    restored = again.similarity(record)
    assert plain(restored) == plain(compared)
    assert restored.model.id == compared.model.id and not restored.automatic
    assert record.pair is not None and record.pair.context == reference
    files, expected = (dict(similarity_files.of_similarity(item, reference)) for item in (restored, compared))
    assert files == expected
    assert (record.score, record.note, record.tags) == (compared.score, "the same street", ("street",))
    assert record.headline == results.describe_similarity(compared, reference)
    assert again.find(compared) == record


def test_what_is_no_pair_is_said(history: History, photo: Explanation) -> None:
    with pytest.raises(Problem, match="of one picture"):
        history.similarity(history.keep(photo))


def test_a_pair_is_exported(history: History, pair: tuple[Similarity, Context]) -> None:
    record = history.keep(pair[0], context=pair[1])
    files = {name.partition("/")[2]: data for name, data in history.export([record.id])}
    written = {"query.jpg", "other.webp", "similarity.jpg", "pairs.jpg", "maps.npz", "similarity.json"}
    assert set(files) == written | {"record.json"}
    assert Image.open(files["query.jpg"]).sha256 == pair[0].query.image.sha256
    assert json.loads(files["record.json"])["pair"]["name"] == "part $x$.png"
