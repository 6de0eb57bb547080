"""The checks of a map: tiles and chip say what the engine says; longer tests begin by a click and can be stopped."""

from threading import Event
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import check
from sightglass.explain import Explainer, Explanation
from sightglass.explain.phrases import capital
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.trust import checks, stability
from sightglass.explain.trust.support import prove, support
from sightglass.history import History
from sightglass.ui import checks as page_checks
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Jobs
from sightglass.ui.session.page import SOMETHING_BROKE
from tests.pages.conftest import button, labels, press, received, rerun_until, session, texts
from tests.servers import until
from tests.waits import patience

ADDRESS = {"model": "demo-cls-s", "example": "scene 1"}
WORDS = {"yes": "yes", "no": "no", "cannot be told": "unclear"}
PROOF = "Measure every share"


def tiles(app: AppTest) -> list[str]:
    """Return the words of the tiles, or of the chip; empty without any."""
    keys = ("tile-", "chip")
    found = (block.proto for block in app.get("popover"))
    return [each.popover.label for each in found if any(key in each.id for key in keys)]


def answered(app: AppTest) -> bool:
    return bool(tiles(app)) and not any("…" in label for label in tiles(app))


def job_of(app: AppTest, name: str = "checks") -> Any:
    """Return a job of the session, or None."""
    return session(app, Jobs).jobs.get(name, (None, None))[1]


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


def test_tiles_say_and_play_what_the_engine_finds(page):
    app = page(**ADDRESS)
    assert len(tiles(app)) == 3 and not answered(app) and job_of(app) is None
    rerun_until(app, lambda: answered(app), 120)
    explanation = Explainer("demo-cls-s")(load_bundled("scene 1"), top_k=1)
    result = explanation.checks()
    assert all(f" {WORDS[each.state]}**" in tile for each, tile in zip(result.checks, tiles(app), strict=True))
    # A check has one name: on its card, in files and on the command line.
    assert all(f"{capital(name)}: " in texts(app) for name in checks.QUESTIONS.values())
    (head,) = received(app, "check_plays")
    moved, (hidden, _) = stability.stability(explanation), support(explanation)
    assert [item["note"][-4:] for item in head["parts"]["stable"]["maps"]] == [
        f"{variant.rank_correlation:.2f}" for variant in moved.variants
    ]
    own, control = head["parts"]["answer"]["curves"]
    assert [score for _, score in own] == pytest.approx([hidden.start, *hidden.own.hidden])
    assert [score for _, score in control] == pytest.approx([hidden.start, *hidden.strongest.hidden])
    app = page("topk", **ADDRESS)
    assert tiles(app) == [f"Checks: {page_checks.describe(result)}"]


def test_a_setting_switches_it_off(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_CHECKS", "no")
    assert not tiles(page(**ADDRESS))


def test_failed_checks_are_not_tried_again(page, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise ModelProblem("The service does not answer: try again.")

    monkeypatch.setattr(page_checks, "run_checks", fail)
    app = page("topk", **ADDRESS)
    rerun_until(app, lambda: tiles(app) == ["Checks: 3 unclear"])
    job = job_of(app)
    app.run()
    assert job_of(app) is job and not app.error


@pytest.mark.usefixtures("quick")
def test_card_has_the_whole_proof(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    app = page(**ADDRESS)
    rerun_until(app, lambda: PROOF in labels(app), 120)
    rerun_until(press(app, PROOF), lambda: "Details" in labels(app), 240)
    proof = prove(Explainer("demo-cls-s")(load_bundled("scene 1")), 0, steps=5, fillings=("mean",))
    assert proof.sentence in texts(press(app, "Details")).replace("\\", "")


def test_large_model_is_scrambled_by_a_click(page, monkeypatch):
    monkeypatch.setattr(checks, "LARGE", 0)
    app = page(**ADDRESS)
    rerun_until(app, lambda: "Scramble the weights" in labels(app), 120)
    before, (head,) = tiles(app)[0], received(app, "check_plays")
    assert "unclear" in before and "model" not in head["parts"]
    rerun_until(press(app, "Scramble the weights"), lambda: "Scramble the weights" not in labels(app), 120)
    (head,) = received(app, "check_plays")
    assert head["parts"]["model"]["maps"][0]["title"] == "Random weights" and "random models: " in texts(app)


def test_longer_test_stops_restarts_and_ends_with_its_map(page, monkeypatch):
    begun: list[Event] = []

    def slow(*given: Any, progress: Any, cancel: Event) -> None:
        progress(0.5, "4 of 8 maps")
        begun.append(cancel)
        while not cancel.wait(0.01):
            check()

    monkeypatch.setattr(Explanation, "prove", slow)
    app = page(**ADDRESS)
    rerun_until(app, lambda: PROOF in labels(app), 120)
    press(app, PROOF)
    until(lambda: begun)
    rerun_until(app, lambda: "Stop" in labels(app))
    press(app, "Stop")
    assert begun[0].wait(patience(60)) and "Stopped: 4 of 8 maps." in texts(app) and "Stop" not in labels(app)
    press(app, "Start again")
    until(lambda: len(begun) == 2)
    assert not begun[1].is_set()
    app.selectbox(key="another-class").set_value("gear").run()
    rerun_until(app, lambda: begun[1].is_set(), 120)
    assert not app.error


def test_what_is_wrong_is_said_on_the_card(page, monkeypatch):
    monkeypatch.setattr(Explanation, "prove", lambda *_, **__: 1 / 0)
    app = page(fails=None, **ADDRESS)
    rerun_until(app, lambda: PROOF in labels(app), 120)
    button(app, PROOF).click().run()
    rerun_until(app, lambda: [error.value for error in app.error] == [SOMETHING_BROKE])


@pytest.mark.usefixtures("quick")
def test_what_leaves_the_page_carries_the_proof(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    app = page(**ADDRESS)
    press(press(app, "Save"), "Keep it in Saved")
    (before,) = History().search().records
    assert History().proof(before, 0) is None
    rerun_until(app, lambda: PROOF in labels(app), 120)
    press(app, PROOF)
    rerun_until(app, lambda: any(key[0] == "answer" for key in session(app, Jobs).results), 240)
    (proof,) = (result for key, result in session(app, Jobs).results.items() if key[0] == "answer")
    press(press(app.run(), "Save"), "Keep it in Saved")
    record, earlier = History().search().records
    saved = History().proof(record, 0)
    assert earlier == before and saved is not None and saved.sentence == proof.sentence
    assert proof.sentence in texts(page("pages/saved/page.py", kept=record.id)).replace("\\", "")
