"""Hover to hide on Explore: the page answers a disc with the engine's scores, and a mistake with a sentence."""

from __future__ import annotations

import pytest

from sightglass.common.errors import ModelProblem
from sightglass.components.hiding import KEY
from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.explain.whatif.hiding import Disc, DiscHider
from tests.pages.conftest import act, received, shown

DISC = Disc(400, 520, 120)


def ask(app, turn: int = 1, **more) -> dict:
    """Point with the disc; return what the viewer is told."""
    disc = {"picture": shown(app).head["picture"], "turn": turn, "x": DISC.x, "y": DISC.y, "radius": DISC.radius}
    app.session_state[KEY] = {"disc": disc | {"blurred": False} | more}
    app.run()
    assert not app.exception and not app.error
    return received(app, "hiding_channel")[0]


def listed(app) -> list[str]:
    return [row["label"] for row in received(app, "answer_list")[0]["rows"]]


def test_the_scores_are_the_engines_and_in_the_lists_words(page, bus):
    app = page()
    assert shown(app).head["hides"]
    found, made = ask(app, 3), Explainer()(bus)
    changes = DiscHider(made).changes(DISC)
    assert found["turn"] == 3 and [row["label"] for row in found["rows"]] == listed(app)
    for row, change in zip(found["rows"], changes, strict=True):
        assert row["name"] == change.label and row["share"] == pytest.approx(change.after, abs=1e-6)
        assert row["text"] == f"{percent(change.before)} → {percent(change.after)}"
    assert "seen" not in found
    assert ask(app, blurred=True)["seen"] == list(made.evidence.geometry.seen)
    assert not shown(page("topk")).head["hides"], "it is offered on Explore alone"


def test_nonsense_and_a_disc_of_another_picture_are_not_answered(page):
    app = page()
    first = shown(app).head["picture"]
    for wrong in ({"x": None}, {"radius": "wide"}, {"y": float("nan")}, {"turn": None}):
        assert "rows" not in ask(app, **wrong)
    act(app, "choose", "china")
    assert "rows" not in ask(app, picture=first) and ask(app, 2)["rows"]


def test_what_goes_wrong_is_one_sentence_for_the_viewer_and_the_page_stays(page, monkeypatch):
    app = page()

    def fail(*_):
        raise ModelProblem("The service does not answer: try again.")

    with monkeypatch.context() as patched:
        patched.setattr(DiscHider, "changes", fail)
        assert ask(app)["sorry"] == "The service does not answer: try again."
        patched.setattr(DiscHider, "changes", lambda *_: 1 / 0)
        assert ask(app, 2)["sorry"].startswith("This is a bug")
    assert ask(app, 3)["rows"]
