"""Live: what the browser is sent, and where a frame goes that it hands back."""

import base64
import re

import pytest
from PIL import Image as Pillow

from sightglass.explain import Explainer
from sightglass.history import History
from sightglass.ui.live import LiveVisit
from sightglass.ui.session import state
from sightglass.ui.session.pictures import image_source
from tests.corpus import saved
from tests.pages.conftest import received, session, texts
from tests.weights import real


def head(app) -> dict:
    return received(app, "_live")[0]


def jpeg(name: str) -> bytes:
    return saved(Pillow.fromarray(image_source.example(name).pixels), "JPEG", quality=95)


def handed(app, act: str, data: bytes, **more):
    text = base64.b64encode(data).decode()
    app.session_state["live"] = {"frame": {"act": act, "jpeg": text, "at": 1.0} | more}
    app.run()
    return app


def test_the_browser_is_told_the_choices_of_the_address_and_a_slow_method_is_replaced(page):
    app = page("video", source="camera", method="scorecam")
    sent = head(app)
    assert (sent["choice"]["model"], sent["choice"]["method"]) == ("efficientnet-lite0", "gradcam")
    assert "ScoreCAM is too slow for a camera: maps here are by GradCAM." in texts(app)
    # Another run sends the same, so that the browser is not called.
    assert head(app.run()) == sent


@pytest.mark.parametrize(
    ("model", "picture", "fit"), [("demo-s", "scene 3", "trained"), real("yolo11n", "bus", "half")]
)
def test_a_frame_of_a_detector_goes_to_explore_with_the_box_and_the_size_that_it_had(page, model, picture, fit):
    app = page("video", source="camera", model=model)
    assert head(app)["choice"]["options"].get("preprocessing", "trained") == fit
    data = jpeg(picture)
    box = Explainer(model)(data, per="detection", preprocessing=fit, maps=False).predictions[1]
    handed(app, "open", data, label=box.label, box={"anchor": box.anchor, "index": box.index})
    assert session(app, state.Navigation).page == "explore"
    assert session(app, state.Sidebar).picture.name == "live.jpg"
    assert session(app, state.ChosenBox).pair == (box.anchor, box.index)
    assert app.session_state["fit-detect"] == fit


def test_a_frozen_frame_has_checks_and_files_and_becomes_a_slide_until_the_camera_goes_on(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    app = page("video", source="camera", model="demo-cls-s")
    assert "Add to deck" not in [button.label for button in app.button], "what moves cannot be added"
    app = handed(app, "freeze", jpeg("scene 1"))
    assert re.fullmatch(r"heatmap_\d{8}_\d{6}\.jpg", session(app, LiveVisit).frozen.image.name)
    assert "Checking…" in [button.label for button in app.button]
    for label in ("Add to deck", "Add the slide"):
        next(button for button in app.button if button.label == label).click().run()
        assert not app.error
    (deck,) = History().decks.all()
    assert len(deck.slides) == 1 and History().search().total == 0
    app.session_state["live"] = {"frame": {"act": "go on", "at": 2.0}}
    app.run()
    assert "Checking…" not in [button.label for button in app.button]


def test_what_is_no_frame_changes_nothing(page):
    app = page("video", source="camera", model="demo-cls-s")
    for message in (3, {"act": "open"}, {"act": "open", "jpeg": "%", "at": 1}, {"act": "delete", "jpeg": "", "at": 1}):
        app.session_state["live"] = {"frame": message}
        app.run()
        assert session(app, state.Navigation).page == "video"
