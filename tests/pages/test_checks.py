"""The checks of a map: the chip says what the engine says, and each card shows its test, which can be stopped."""

from threading import Event
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import check
from sightglass.explain import Explainer, Explanation
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import capital
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.trust import checks, scramble, stability
from sightglass.explain.trust.support import prove
from sightglass.history import History
from sightglass.ui import checks as page_checks
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Jobs
from sightglass.ui.session.page import SOMETHING_BROKE
from tests.pages.conftest import labels, press, received, rerun_until, session, texts
from tests.servers import until
from tests.waits import patience

ADDRESS = {"model": "demo-cls-s", "example": "scene 1"}


def chip(app: AppTest) -> str:
    """Return the chip's words; empty without one."""
    return next((button.label for button in app.button if button.key == "checks"), "")


def job_of(app: AppTest, name: str = "checks") -> Any:
    """Return a job of the session, or None."""
    return session(app, Jobs).jobs.get(name, (None, None))[1]


def dialog(app: AppTest, id: str) -> AppTest:
    """Open a card's details."""
    app.button(key=f"details-{id}").click().run()
    assert not app.error
    return app


@pytest.fixture(autouse=True)
def _nothing_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is expected is computed while no page polls, for long on a busy machine."""
    page_checks.CACHE.clear()
    monkeypatch.setattr(background, "ABANDONED_AFTER", 600.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs in few steps with one filling."""

    def few(self: Explanation, index: int = 0, **options: Any) -> Any:
        return prove(self, index, **(options | {"steps": 5, "fillings": ("mean",)}))

    monkeypatch.setattr(Explanation, "prove", few)


def test_chip_shows_the_engines_checks(page):
    app = page(**ADDRESS)
    assert chip(app) == "Checking…" and job_of(app) is None
    rerun_until(app, lambda: chip(app).startswith("Checks: ") and job_of(app).finished(), 120)
    result = Explainer("demo-cls-s")(load_bundled("scene 1"), top_k=1).checks()
    assert chip(app.run()) == f"Checks: {page_checks.describe(result)}"
    assert sum(int(part.split()[0]) for part in page_checks.describe(result).split(", ")) == 3


def test_a_setting_switches_it_off(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_CHECKS", "no")
    assert chip(page(**ADDRESS)) == ""


def test_failed_checks_are_not_tried_again(page, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise ModelProblem("The service does not answer: try again.")

    monkeypatch.setattr(page_checks, "run_checks", fail)
    app = page(**ADDRESS)
    rerun_until(app, lambda: chip(app) == "Checks: 3 unclear")
    job = job_of(app)
    app.run()
    assert job_of(app) is job and not app.error


@pytest.mark.usefixtures("quick")
def test_cards_show_each_check(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    monkeypatch.setattr(scramble, "_CACHE", ByteCache(1 << 24, lambda value: value.nbytes))
    app = page(**ADDRESS)
    app.button(key="checks").click().run()
    assert app.query_params["prove"] == "1" and "### Predictions" not in texts(app)
    # A check has one name: on its card, in files and on the command line.
    assert all(f": {capital(name)}" in texts(app) for name in checks.QUESTIONS.values())
    rerun_until(app, lambda: {"details-model", "details-answer", "details-stable"} <= {b.key for b in app.button}, 240)
    explanation = Explainer("demo-cls-s")(load_bundled("scene 1"))
    scrambled, moved = scramble.scramble(explanation), stability.stability(explanation)
    assert scrambled.sentence in texts(dialog(app, "model"))
    (strip,) = [head for head in received(app, "viewer") if len(head["panels"]) == 2]
    assert strip["panels"][0]["maps"][0]["title"] == "The map"
    assert moved.sentence in texts(dialog(app, "stable"))
    changes = app.dataframe[0].value
    assert list(changes["Score"]) == pytest.approx([variant.score * 100 for variant in moved.variants])
    proof = prove(explanation, 0, steps=5, fillings=("mean",))
    assert proof.sentence in texts(dialog(app, "answer")).replace("\\", "")
    app.button(key="close-checks").click().run()
    assert "prove" not in app.query_params and "### Predictions" in texts(app)


def test_card_stops_restarts_and_ends_with_its_map(page, monkeypatch):
    begun: list[Event] = []

    def slow(*given: Any, progress: Any) -> None:
        progress(0.5, "4 of 8 changes")
        begun.append(ended := Event())
        try:
            while not ended.wait(0.01):
                check()
        finally:
            ended.set()

    monkeypatch.setattr(scramble, "scramble", slow)
    app = page(prove="1", **ADDRESS)
    until(lambda: begun)
    press(app, "Stop")
    assert begun[0].wait(patience(60)) and "Stopped: 4 of 8 changes." in texts(app) and "Stop" not in labels(app)
    press(app, "Start again")
    until(lambda: len(begun) == 2)
    assert "Stop" in labels(app) and not begun[1].is_set()
    app.button(key="close-checks").click().run()
    app.selectbox(key="another-class").set_value("gear").run()
    app.button(key="checks").click().run()
    until(lambda: len(begun) == 3)
    assert begun[1].wait(patience(60)) and not app.error


def test_what_is_wrong_is_said_on_the_card(page, monkeypatch):
    monkeypatch.setattr(scramble, "scramble", lambda *_, **__: 1 / 0)
    app = page(prove="1", fails=None, **ADDRESS)
    rerun_until(app, lambda: [error.value for error in app.error] == [SOMETHING_BROKE])


@pytest.mark.usefixtures("quick")
def test_what_leaves_the_page_carries_the_proof(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    app = page(**ADDRESS)
    press(press(app, "Save"), "Keep it in Saved")
    (before,) = History().search().records
    assert History().proof(before, 0) is None
    app.button(key="checks").click().run()
    rerun_until(app, lambda: any(key[0] == "answer" for key in session(app, Jobs).results), 240)
    (proof,) = (result for key, result in session(app, Jobs).results.items() if key[0] == "answer")
    press(press(app.run(), "Save"), "Keep it in Saved")
    record, earlier = History().search().records
    saved = History().proof(record, 0)
    assert earlier == before and saved is not None and saved.sentence == proof.sentence
    assert proof.sentence in texts(page("pages/saved/page.py", kept=record.id)).replace("\\", "")
