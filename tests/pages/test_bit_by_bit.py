"""A slow map that comes bit by bit is on the screen while it is made, says so, and is not taken for the whole one."""

from __future__ import annotations

import time

from sightglass.components.session.jobs.explain_job import Running
from tests.pages.conftest import session, shown, texts
from tests.waits import patience

UNFINISHED = "This map is not finished"


def test_a_map_of_masks_is_shown_while_it_is_made(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_MASKS", "400")
    app = page(method="drise")
    seen, end = set(), time.monotonic() + patience(90)
    while time.monotonic() < end:
        assert not app.exception
        has_map = bool(shown(app).head["panels"][0]["maps"])
        seen.add("part" if UNFINISHED in texts(app) else "whole" if has_map else "none")
        if "whole" in seen:
            break
        assert "Stop" in [button.label for button in app.button]
        time.sleep(0.7)
        app.run()
    assert {"part", "whole"} <= seen
    assert "Stop" not in [button.label for button in app.button]


def test_what_there_is_of_a_map_stays_when_it_is_stopped(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_MASKS", "3000")
    # Not the map that is held already.
    app = page(method="drise", model="efficientnet-lite1")
    end = time.monotonic() + patience(90)
    while UNFINISHED not in texts(app):
        assert time.monotonic() < end
        time.sleep(0.5)
        app.run()
    next(button for button in app.button if button.label == "Stop").click().run()
    assert not app.exception
    assert shown(app).head["panels"][0]["maps"]
    assert UNFINISHED in texts(app)
    assert "Stopped before it finished: " in texts(app)
    assert "Stop" not in [button.label for button in app.button]
    next(button for button in app.button if button.label == "Start again").click().run()
    assert "Stop" in [button.label for button in app.button]
    session(app, Running).job.cancel.set()


def test_a_model_that_only_answers_offers_nothing_that_needs_its_layers(page, own_models):
    own_models('[model."far"]\nloader = "http_service"\nendpoint = { url = "http://127.0.0.1:9/" }\n')
    app = page("pages/detect.py", model="far")
    assert app.selectbox(key="method-answers").options == ["D-RISE (slow)", "Occlusion (slow)"]
    assert not [widget for widget in app.multiselect if widget.label == "Target layers"]
    assert not app.exception
    assert len(app.error) == 1, "one sentence says that nothing answers there"
