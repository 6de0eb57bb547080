"""Trust: each test of the map shows what the engine says of it, can be stopped, and says what is wrong."""

from __future__ import annotations

from collections import OrderedDict
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.components import seal as checks_job
from sightglass.components.proof import map_tests as parts
from sightglass.components.seal import KEY, RunningChecks
from sightglass.components.session.jobs import background
from sightglass.components.session.jobs.explain_job import Proofs
from sightglass.components.session.page import SOMETHING_BROKE
from sightglass.components.session.pictures import image_source
from sightglass.deck.rows import SCRAMBLED_TITLES
from sightglass.explain import Explainer, Explanation
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.faithfulness import badge, scramble, stability
from sightglass.explain.faithfulness.prove import prove
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.proof import checks
from sightglass.history import History
from tests.pages.conftest import labels, press, received, rerun_until, session, texts
from tests.waits import patience

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest


SCREEN = "pages/trust.py"


def titles(app: AppTest) -> list[list[str]]:
    """The panels' titles of each viewer on the page, in their order."""
    return [[one["title"] or one["maps"][0]["title"] for one in head["panels"]] for head in received(app, "viewer")]


def until(app: AppTest, words: str) -> None:
    """Run the page as its progress does, until it says something."""

    def said() -> bool:
        assert not app.error
        return words in texts(app)

    rerun_until(app, said, 240)


@pytest.fixture(autouse=True)
def _nothing_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is expected is computed while no page polls, for long on a busy machine."""
    checks.forget()
    monkeypatch.setattr(background, "ABANDONED", 600.0)


@pytest.fixture
def explanation() -> Any:
    return Explainer("efficientnet-lite0")(image_source.example("bus"))


def test_the_weights_are_scrambled_as_the_page_opens(page, explanation, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    history = History()
    monkeypatch.setattr(badge, "_tests", OrderedDict())
    monkeypatch.setattr(scramble, "_CACHE", ByteCache(1 << 24, lambda one: one.nbytes))
    app = page(SCREEN, method="gradcam")
    expected = scramble.scramble(explanation)
    until(app, expected.sentence)
    title = f"GradCAM's map of minibus {badge.VERDICTS[expected.verdict]}"
    assert app.markdown[0].value == f"## {title}"
    (strip,) = titles(app)
    assert strip[0] == "The map" and len(strip) == 1 + len(expected.stages)
    assert strip[1] == f"{percent(expected.stages[0].share)} random" and strip[-1] == f"{percent(1.0)} random"
    # The verdict can be shown to a room.
    press(app, "Add to deck")
    press(app, "Add the slide")
    (deck,) = history.decks.all()
    assert [slide.title for slide in deck.slides] == [SCRAMBLED_TITLES[expected.verdict]]
    # Nothing else was computed.
    assert "Change the picture slightly" in labels(app) and "Stop" not in labels(app)


def test_small_changes_show_what_the_engine_finds(page, explanation):
    app = page(SCREEN, method="gradcam")
    press(app, "Change the picture slightly")
    expected = stability.stability(explanation)
    until(app, expected.sentence)
    assert "### Holds still: yes" in [one.value for one in app.markdown]
    # The weights, which the page scrambles by itself, may take longer or not.
    assert ["minibus", "Spread"] in titles(app)
    changes = app.dataframe[0].value
    assert list(changes["Score"]) == pytest.approx([one.score * 100 for one in expected.variants])
    assert list(changes["Answer changes"] == "yes") == [one.flips for one in expected.variants]


def test_a_test_can_be_stopped_and_started_again_and_ends_when_another_map_is_chosen(page, monkeypatch):
    begun: list[Event] = []

    def slow(*given: Any, progress: Any, cancel: Event) -> None:
        begun.append(cancel)
        progress(0.5, "4 of 8 changes")
        assert cancel.wait(60)
        raise Cancelled

    monkeypatch.setattr(stability, "stability", slow)
    # Nothing else is to be stopped.
    monkeypatch.setattr(parts, "QUICK_BYTES", 0)
    app = page(SCREEN)
    press(app, "Change the picture slightly")
    press(app, "Stop")
    assert begun[0].is_set() and "Stopped before it finished." in texts(app) and "Stop" not in labels(app)
    press(app, "Start again")
    assert "Stop" in labels(app) and len(begun) == 2 and not begun[1].is_set()
    classes = next(menu for menu in app.selectbox if menu.label == "Map of")
    classes.set_value(classes.options[1]).run()
    assert begun[1].is_set() and "Change the picture slightly" in labels(app)
    assert not app.error


def test_what_is_wrong_is_said_where_the_test_was_to_be(page, monkeypatch):
    def empty(*given: Any, **how: Any) -> None:
        raise ModelProblem("Small changes are those of RGB pictures.")

    def broken(*given: Any, **how: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stability, "stability", empty)
    monkeypatch.setattr(scramble, "scramble", broken)
    app = page(SCREEN, fails=None)
    press(app, "Change the picture slightly", fails=True)
    assert [error.value for error in app.error] == [SOMETHING_BROKE, "Small changes are those of RGB pictures."]


BUTTON = "prove-it"


def proof_given(app: AppTest) -> dict[str, Any]:
    """What the panel was sent of its curves; empty while there is none."""
    return next(iter(received(app, "proof_channel")), {})


def proved_whole(app: AppTest) -> AppTest:
    """Draw the page again once the proof is whole."""
    job = session(app, Proofs).job
    assert job is None or job.finished(patience(60))
    return app.run()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs in few steps with one filling."""

    def few(self: Explanation, index: int = 0, **options: Any) -> Any:
        return prove(self, index, **(options | {"steps": 5, "fillings": ("mean",)}))

    monkeypatch.setattr(Explanation, "prove", few)


@pytest.mark.usefixtures("quick")
def test_the_panel_opens_says_what_the_engine_says_and_closes(page, bus):
    app = page()
    assert proof_given(app) == {} and "prove" not in app.query_params
    app.button(key=BUTTON).click().run()
    assert app.query_params["prove"] == "1"
    assert not proved_whole(app).error
    shown, expected = proof_given(app), prove(Explainer()(bus), 0, steps=5, fillings=("mean",))
    assert shown["sentence"] == expected.sentence
    assert shown["curves"][0]["hidden"] == [round(score, 4) for score in expected.map.deletion.score.tolist()]
    assert shown["table"] and shown["line"]
    assert "Does this map matter more to the answer than maps of other pictures" in texts(app).replace("\n", " ")
    app.button(key=BUTTON).click().run()
    assert proof_given(app) == {} and "prove" not in app.query_params


@pytest.mark.usefixtures("quick")
def test_what_leaves_the_page_carries_the_proof(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    app = page(model="demo-cls-s", example="scene-1")
    app.button(key="keep-explore").click().run()
    (before,) = History().search().records
    assert before.proofs == ()
    app.button(key=BUTTON).click().run()
    sentence = proof_given(proved_whole(app))["sentence"]
    app.run().button(key="keep-explore").click().run()
    (record,) = History().search().records
    assert (record.id, [one.sentence for one in record.proofs]) == (before.id, [sentence])
    app.button(key="export-explore").click().run()
    assert "Numbers, .json" in {one.proto.label for one in app.get("download_button")}
    opened = page("pages/history/page.py", kept=record.id)
    assert f"Proof: {sentence}" in [caption.value for caption in opened.caption]


def test_stop_keeps_what_there_is_and_starts_again(page, monkeypatch):
    def endless(self: Explanation, index: int = 0, **options: Any) -> Any:
        made = prove(self, index, steps=4, fillings=("mean",))
        options["partial"](made)
        options["progress"](0.5, "5 of 10 maps")
        options["cancel"].wait(60)
        raise Cancelled

    monkeypatch.setattr(Explanation, "prove", endless)
    app = page(prove="1")
    job = session(app, Proofs).job
    while job.partial is None:
        assert not job.finished(0.05)
    shown = proof_given(app.run())
    assert shown["curves"] and not shown["table"] and shown["sentence"] == job.partial.sentence
    app.button(key="stop-proof").click().run()
    assert job.finished(10)
    assert "Stopped: 5 of 10 maps." in texts(app.run())
    assert proof_given(app)["curves"] and not app.error
    app.button(key="restart-proof").click().run()
    again = session(app, Proofs).job
    assert again is not job and not again.cancel.is_set()
    # Closing the panel stops what runs.
    app.button(key=BUTTON).click().run()
    assert again.cancel.is_set() and session(app, Proofs).job is None
    assert again.finished(patience(60))


def seal_rows(app: AppTest) -> list[dict[str, Any]]:
    """What the marks of the page's maps say."""
    found = received(app, "seal")
    return found[0]["rows"] if found else []


def seals_asked(app: AppTest) -> AppTest:
    """Ask for the tests as the browser does, and again once they have ended."""
    app.session_state[KEY] = {"ask": 1}
    app.run()
    job = session(app, RunningChecks).job
    assert job is None or job.finished(patience(120))
    return app.run()


def test_the_marks_wait_for_the_browser_and_then_say_what_the_engine_says(page):
    app = page(model="demo-cls-s", example="scene 1")
    (row,) = seal_rows(app)
    assert [mark["answer"] for mark in row["marks"]] == ["", "", ""] and session(app, RunningChecks).job is None
    (row,) = seal_rows(seals_asked(app))
    made = Explainer("demo-cls-s")(load_bundled("scene 1"), top_k=1).checks()
    assert [(mark["answer"], mark["sentence"]) for mark in row["marks"]] == [
        (check.state, check.sentence) for check in made.checks
    ]
    assert not app.error


def test_a_click_on_a_mark_opens_its_test_and_nonsense_from_the_browser_nothing(page):
    app = page(model="demo-cls-s", example="scene 1")
    name = seal_rows(app)[0]["name"]
    for wrong in ({"test": "x", "name": name}, {"test": "still", "name": "y"}, "still", None):
        app.session_state[KEY] = {"open": wrong}
        app.run()
        assert "prove" not in app.query_params
    app.session_state[KEY] = {"open": {"test": "still", "name": name}}
    app.run()
    assert app.query_params["prove"] == "1" and app.query_params["test"] == "still"
    assert "### Can I trust this?" in texts(app) and "### Holds still" in texts(app)
    # A mark that is there was tested: nobody has to ask for that again.
    Explainer("demo-cls-s")(load_bundled("scene 1"), top_k=1).checks()
    app.run()
    assert "start-stability" not in {one.key for one in app.button}


def test_a_setting_switches_it_off(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_SEAL", "no")
    assert seal_rows(page(model="demo-cls-s", example="scene 1")) == []


def test_a_failure_is_a_sentence_on_the_marks_and_the_page_stays(page, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise ModelProblem("The service does not answer: try again.")

    monkeypatch.setattr(checks_job, "run_checks", fail)
    (row,) = seal_rows(seals_asked(page(model="demo-cls-s", example="scene 1")))
    assert {(mark["answer"], mark["sentence"]) for mark in row["marks"]} == {
        ("cannot be told", "The service does not answer: try again.")
    }
