"""Answers with a low score are saved once, under their tag."""

from pathlib import Path

import pytest

from sightglass.common import users
from sightglass.explain import Explainer, Explanation
from sightglass.explain.picture.image import load_bundled
from sightglass.history import History, history
from sightglass.history.history import UNSURE, save_as_set, save_unsure


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    return Explainer("demo-cls-s")(load_bundled("scene 1"), top_k=1)


def test_only_a_lower_score_is_saved_with_its_map_and_once(explanation: Explanation, tmp_path: Path) -> None:
    mine, score = History(tmp_path), explanation.predictions[0].score
    assert save_unsure(explanation, score, mine) is None
    record = save_unsure(explanation, score + 1e-6, mine)
    assert (record.tags, record.recipe) == ((UNSURE,), explanation.recipe)
    assert len(mine.heatmaps(record)) == 1
    assert save_unsure(explanation, 1.0, mine) == record
    assert mine.search().total == 1


def test_an_answer_is_saved_as_the_setting_says_and_a_failure_is_logged_once(
    explanation, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    assert save_as_set(explanation) is None
    monkeypatch.setenv("SIGHTGLASS_SAVE_BELOW", "1")
    with users.acting("anna@example.org"):
        assert [save_as_set(explanation)] == [record.id for record in History().search(tag=UNSURE).records]
    assert not History().search().records
    history._warn.cache_clear()
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "0.001")
    assert save_as_set(explanation) is save_as_set(explanation) is None
    assert caplog.text.count("The history is full") == 1
