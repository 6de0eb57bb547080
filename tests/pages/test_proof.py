"""Prove it: the button at every map, the panel it opens, and what the panel says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.components.session.jobs import background
from sightglass.components.session.jobs.proof_job import Proofs
from sightglass.explain import Explainer, Explanation
from sightglass.explain.faithfulness.prove import prove
from sightglass.history import History
from tests.pages.conftest import received, session, texts
from tests.waits import patience

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

BUTTON = "prove-it"


def given(app: AppTest) -> dict[str, Any]:
    """What the panel was sent of its curves; empty while there is none."""
    return next(iter(received(app, "proof_channel")), {})


def finished(app: AppTest) -> AppTest:
    """Draw the page again once the proof is whole."""
    job = session(app, Proofs).job
    assert job is None or job.finished(patience(60))
    return app.run()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Proofs in few steps with one filling, and the maps that were proved."""
    proved: list[str] = []

    def few(self: Explanation, index: int = 0, **options: Any) -> Any:
        proved.append(self.heatmaps[index].target.label)
        return prove(self, index, **(options | {"steps": 5, "fillings": ("mean",)}))

    monkeypatch.setattr(Explanation, "prove", few)
    # The tests wait for a proof without polling it as a page does, for long on a busy machine.
    monkeypatch.setattr(background, "ABANDONED", 600.0)
    return proved


def test_the_panel_opens_says_what_the_engine_says_and_closes(page, bus, quick):
    app = page()
    assert given(app) == {} and "prove" not in app.query_params
    app.button(key=BUTTON).click().run()
    assert app.query_params["prove"] == "1"
    assert not finished(app).exception and not app.error
    shown, expected = given(app), prove(Explainer()(bus), 0, steps=5, fillings=("mean",))
    assert shown["sentence"] == expected.sentence
    assert shown["curves"][0]["hidden"] == [round(score, 4) for score in expected.map.deletion.score.tolist()]
    assert shown["table"] and shown["line"]
    assert "Does this map matter more to the answer than maps of other pictures" in texts(app).replace("\n", " ")
    app.button(key=BUTTON).click().run()
    assert given(app) == {} and "prove" not in app.query_params


def test_a_record_opened_on_explore_brings_its_proof(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    monkeypatch.setattr(background, "ABANDONED", 600.0)
    app = page(model="demo-cls-s", example="scene-1")
    app.button(key=BUTTON).click().run()
    finished(app).run().button(key="keep-explore").click().run()
    (record,) = History().search().records
    assert [proof.index for proof in record.proofs] == [0]
    sentence = given(app)["sentence"]
    app = page("pages/history/page.py")
    session(app, Proofs).made.clear()
    app.query_params["kept"] = record.id
    next(one for one in app.run().button if one.label == "Open in Explore").click().run()
    assert not app.exception and not app.error
    if not given(app):
        app.button(key=BUTTON).click().run()
    assert session(app, Proofs).job is None and given(app)["sentence"] == sentence


def test_what_leaves_the_page_carries_the_proof(page, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    app = page(model="demo-cls-s", example="scene-1")
    app.button(key="keep-explore").click().run()
    (before,) = History().search().records
    assert before.proofs == ()
    app.button(key="export-explore").click().run()
    assert "Numbers, .json" not in {one.proto.label for one in app.get("download_button")}
    app.button(key=BUTTON).click().run()
    sentence = given(finished(app))["sentence"]
    app.run()
    assert not [one for one in app.get("page_link") if "History" in one.proto.label]
    app.button(key="keep-explore").click().run()
    (record,) = History().search().records
    assert (record.id, [one.sentence for one in record.proofs]) == (before.id, [sentence])
    app.button(key="keep-explore").click().run()
    assert [one.proto.label for one in app.get("page_link") if "History" in one.proto.label] == ["Already in History"]
    app.button(key="export-explore").click().run()
    assert "Numbers, .json" in {one.proto.label for one in app.get("download_button")}

    opened = page("pages/history/page.py", kept=record.id)
    assert not opened.exception
    shown = given(opened)
    assert (shown["sentence"], shown["steps"], shown["of"]) == (sentence, 5, given(app)["of"])


def test_stop_keeps_what_there_is_and_starts_again(page, monkeypatch):
    def endless(self: Explanation, index: int = 0, **options: Any) -> Any:
        made = prove(self, index, steps=4, fillings=("mean",))
        options["partial"](made)
        options["progress"](0.5, "5 of 10 maps")
        options["cancel"].wait(60)
        raise Cancelled

    monkeypatch.setattr(Explanation, "prove", endless)
    monkeypatch.setattr(background, "ABANDONED", 600.0)
    app = page(prove="1")
    job = session(app, Proofs).job
    while job.partial is None:
        assert not job.finished(0.05)
    shown = given(app.run())
    assert shown["curves"] and not shown["table"] and shown["sentence"] == job.partial.sentence
    app.button(key="stop-proof").click().run()
    assert job.finished(10)
    assert "Stopped: 5 of 10 maps." in texts(app.run())
    assert given(app)["curves"] and not app.error
    app.button(key="restart-proof").click().run()
    again = session(app, Proofs).job
    assert again is not job and not again.cancel.is_set()
    # Closing the panel stops what runs.
    app.button(key=BUTTON).click().run()
    assert again.cancel.is_set() and session(app, Proofs).job is None
    assert again.finished(60)


def test_an_error_is_one_sentence_and_does_not_start_again_by_itself(page, monkeypatch):
    starts = []

    def broken(*_: Any, **__: Any) -> Any:
        starts.append(1)
        raise ModelProblem("Choose another map.")

    monkeypatch.setattr(Explanation, "prove", broken)
    app = finished(page(prove="1"))
    assert not app.exception
    assert [one.value for one in app.error] == ["Choose another map."]
    app.run()
    assert len(starts) == 1
