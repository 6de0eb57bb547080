"""The seal under the headline: it comes after the map, says what the engine says, and opens its test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sightglass.common.errors import ModelProblem
from sightglass.components import seal as seal_job
from sightglass.components.seal import KEY, Seals, _row
from sightglass.components.session.jobs import background
from sightglass.explain import Explainer
from sightglass.explain.comparison.detections import strip
from sightglass.explain.evidence.layers import stages
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.proof import seal
from sightglass.explain.proof.seal import Seal, SealMark
from tests.pages.conftest import received, session, shown, texts
from tests.waits import patience

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    seal.forget()
    # The tests wait for the marks without asking for them as a page does, for long on a busy machine.
    monkeypatch.setattr(background, "ABANDONED", 600.0)


def rows(app: AppTest) -> list[dict[str, Any]]:
    """What the marks of the page's maps say."""
    found = received(app, "seal")
    return found[0]["rows"] if found else []


def asked(app: AppTest) -> AppTest:
    """Ask for the tests as the browser does, and again once they have ended."""
    app.session_state[KEY] = {"ask": 1}
    app.run()
    job = session(app, Seals).job
    assert job is None or job.finished(patience(120))
    return app.run()


def test_the_marks_wait_for_the_browser_and_then_say_what_the_engine_says(page):
    app = page(model="demo-cls-s", example="scene 1")
    (row,) = rows(app)
    assert [mark["answer"] for mark in row["marks"]] == ["", "", ""] and session(app, Seals).job is None
    (row,) = rows(asked(app))
    made = Explainer("demo-cls-s")(load_bundled("scene 1"), top_k=1).seal()
    assert [(mark["answer"], mark["sentence"]) for mark in row["marks"]] == [(m.answer, m.sentence) for m in made.marks]
    assert not app.exception and not app.error


def test_what_cannot_be_told_has_its_reason_in_sight_where_one_map_is_shown():
    of = SimpleNamespace(name="bus", expected="")
    for question, value, control, sentence, why in (
        ("still", 0.6, 0.3, "", "it moves a little"),
        ("answer", 1.0, 2.0, "", "another map does as well"),
        ("model", 0.3, 0.3, "similarity 0.30 ± 0.10", "too close to chance"),
        ("model", 0.3, 0.3, "Made again", ""),
    ):
        made = Seal("bus", (SealMark(question, "cannot be told", sentence, value, control),))
        for label, expected in (("", why), ("bus", "")):
            # In columns, where there are several maps, there is no room for it.
            reasons = [mark["why"] for mark in _row(label, of, made)["marks"] if mark["test"] == question]
            assert reasons == [expected]


def test_a_click_on_a_mark_opens_its_test_and_nonsense_from_the_browser_nothing(page):
    app = page(model="demo-cls-s", example="scene 1")
    name = rows(app)[0]["name"]
    for wrong in ({"test": "x", "name": name}, {"test": "still", "name": "y"}, "still", None):
        app.session_state[KEY] = {"open": wrong}
        app.run()
        assert not app.exception and "prove" not in app.query_params
    app.session_state[KEY] = {"open": {"test": "still", "name": name}}
    app.run()
    assert app.query_params["prove"] == "1" and app.query_params["test"] == "still"
    assert "### Can I trust this?" in texts(app) and "### Does it hold still?" in texts(app)
    assert "start-stability" in {one.key for one in app.button}


def test_a_setting_switches_it_off(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_SEAL", "no")
    assert rows(page(model="demo-cls-s", example="scene 1")) == []


def test_a_failure_is_a_sentence_on_the_marks_and_the_page_stays(page, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise ModelProblem("The service does not answer: try again.")

    monkeypatch.setattr(seal_job.seal, "seal", fail)
    (row,) = rows(asked(page(model="demo-cls-s", example="scene 1")))
    assert {(mark["answer"], mark["sentence"]) for mark in row["marks"]} == {
        ("cannot be told", "The service does not answer: try again.")
    }


def test_every_layer_has_its_marks_and_a_map_of_the_box_is_not_called_clearest(page):
    made = Explainer("demo-s")(load_bundled("scene 3"), per="detection", top_k=1)
    paths = [stage.path for stage in stages(made.evidence.resident)]
    every = Explainer("demo-s")(load_bundled("scene 3"), per="detection", top_k=1, layers=tuple(paths))
    best = max(strip(every), key=lambda one: one.inside or 0)
    tested = best.explanation.seal()
    assert tested.shows
    app = page("pages/detect.py", model="demo-s", example="scene 3", lens="layers")
    found = {row["name"]: row for row in rows(app)}
    titles = shown(app).titles
    # A layer that has no part in this box has an empty map.
    full = [title for title, one in zip(titles, strip(every), strict=True) if one.heatmap.state == "ok"]
    assert list(found) == full and len(full) > 10
    at = titles[paths.index(best.path)]
    assert [mark["answer"] for mark in found[at]["marks"]] == [mark.answer for mark in tested.marks]
    assert {mark["answer"] for name, row in found.items() if name != at for mark in row["marks"]} == {""}
    place = f"clearest at {at[0].lower()}{at[1:]}"
    heading = next(one.value for one in app.markdown if one.value.startswith("## "))
    assert place not in heading and "1 map would be nearly the same with random weights." in heading
