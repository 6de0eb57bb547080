"""A slow map that comes bit by bit is on the screen while it is made, says so, and is not taken for the whole one."""

from __future__ import annotations

from sightglass.components.session.jobs.explain_job import Running
from tests.pages.conftest import rerun_until, session, shown, texts

UNFINISHED = "This map is not finished"


def labels(app) -> list[str]:
    return [button.label for button in app.button]


def test_a_map_of_masks_is_shown_while_it_is_made(page, masks):
    app = page(method="drise")
    rerun_until(app, lambda: UNFINISHED in texts(app))
    assert not app.exception
    assert shown(app).head["panels"][0]["maps"]
    assert "Stop" in labels(app)
    masks()
    rerun_until(app, lambda: UNFINISHED not in texts(app))
    assert not app.exception
    assert shown(app).head["panels"][0]["maps"]
    assert "Stop" not in labels(app)


def test_what_there_is_of_a_map_stays_when_it_is_stopped(page, masks):
    # Not the map that is held already.
    app = page(method="drise", model="efficientnet-lite1")
    rerun_until(app, lambda: UNFINISHED in texts(app))
    next(button for button in app.button if button.label == "Stop").click().run()
    assert not app.exception
    assert shown(app).head["panels"][0]["maps"]
    assert UNFINISHED in texts(app)
    assert "Stopped before it finished: " in texts(app)
    assert "Stop" not in labels(app)
    next(button for button in app.button if button.label == "Start again").click().run()
    assert "Stop" in labels(app)
    session(app, Running).job.cancel.set()
