"""Live: what the browser is sent, and where a frame goes that it hands back."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image as Pillow

from sightglass.components.session import state
from sightglass.components.session.pictures import image_source
from sightglass.components.views import snapshots
from sightglass.explain import Explainer
from sightglass.history import History
from tests.pages.conftest import received, session, shown, texts
from tests.weights import real

PAGE = "pages/live.py"


def head(app) -> dict:
    return received(app, "_live")[0]


def jpeg(name: str) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(image_source.example(name).pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def handed(app, act: str, data: bytes, **more):
    text = base64.b64encode(data).decode()
    app.session_state["live"] = {"frame": {"act": act, "jpeg": text, "picture": text, "at": 1.0} | more}
    app.run()
    assert not app.exception
    return app


def test_the_browser_is_told_the_choices_and_a_slow_method_is_replaced(page):
    app = page(PAGE, method="scorecam")
    assert not app.exception
    sent = head(app)
    assert sent["choice"]["model"] == "efficientnet-lite0"
    assert sent["choice"]["method"] == "gradcam"
    assert "ScoreCAM is too slow for a camera: maps here are by GradCAM." in texts(app)
    assert "bus" in sent["stills"].split(", ")
    assert len(sent["sizes"]) == len(sent["stills"].split(", "))
    # Another run sends the same, so that the browser is not called.
    assert head(app.run()) == sent


def test_models_of_drawn_scenes_have_a_clip_of_these(page):
    assert head(page(PAGE, model="demo-cls-s"))["stills"] == "scene 1, scene 2, scene 3, one thing, a rod"


def test_a_segmentation_says_shares_of_the_picture(page):
    app = page(PAGE, model="demo-seg")
    assert not app.exception and not app.error
    assert head(app)["choice"]["model"] == "demo-seg"
    assert "shares of the frame" in texts(app)


def test_a_frame_goes_to_explore_with_the_class_that_was_followed(page):
    data = jpeg("bus")
    label = Explainer()(data).predictions[1].label
    app = handed(page(PAGE), "open", data, label=label)
    assert session(app, state.Navigation).page == "explore"
    panel = shown(app)
    assert panel.head["picture"] == session(app, state.Sidebar).picture.sha256
    assert session(app, state.Sidebar).picture.name == "live.jpg"
    assert session(app, state.ChosenClass).label == label


@pytest.mark.parametrize(
    ("model", "picture", "fit"), [("demo-s", "scene 3", "trained"), real("yolo11n", "bus", "half")]
)
def test_a_frame_of_a_detector_goes_to_detect_with_the_box_and_the_size_that_it_had(page, model, picture, fit):
    app = page(PAGE, model=model)
    assert head(app)["choice"]["options"].get("preprocessing", "trained") == fit
    assert head(app)["place"] == "Detect"
    data = jpeg(picture)
    made = Explainer(model)(data, per="detection", preprocessing=fit, maps=False)
    box = made.predictions[1]
    handed(app, "open", data, label=box.label, box={"anchor": box.anchor, "index": box.index})
    assert session(app, state.Navigation).page == "detect"
    assert session(app, state.ChosenBox).pair == (box.anchor, box.index)
    assert app.session_state["fit-detect"] == fit
    assert box.label in json.dumps(shown(app).head)


def test_a_detector_may_have_its_whole_size(page, own_models):
    own_models(
        '[model."net"]\nloader = "ultralytics"\narch = "yolo11n.yaml"\ntask = "detect"\nweights = { random = 1 }\n'
    )
    app = page(PAGE, model="net")
    assert head(app)["choice"]["options"]["preprocessing"] == "half"
    app.toggle(key="live-fast").set_value(False).run()
    assert head(app)["choice"]["options"].get("preprocessing", "trained") == "trained"


def test_a_snapshot_is_kept_and_said(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(tmp_path))
    data = jpeg("bus")
    app = handed(page(PAGE), "snapshot", data)
    (saved,) = tmp_path.iterdir()
    assert snapshots.PATTERN.fullmatch(saved.name)
    assert saved.read_bytes() == data
    assert head(app)["said"] == f"Saved as {saved}."
    # A frame is followed once.
    app.run()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_frozen_frame_becomes_a_slide(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    app = page(PAGE, model="demo-cls-s")
    assert "Add to deck" not in [one.label for one in app.button], "what moves cannot be added"
    app = handed(app, "freeze", jpeg("scene 1"))
    for label in ("Add to deck", "Add the slide"):
        next(one for one in app.button if one.label == label).click().run()
        assert not app.exception and not app.error
    (deck,) = History().decks.all()
    assert len(deck.slides) == 1 and History().search().total == 1


def test_a_frozen_frame_has_a_seal_until_the_camera_goes_on(page):
    app = handed(page(PAGE, model="demo-cls-s"), "freeze", jpeg("scene 1"))
    (row,) = received(app, "seal")[0]["rows"]
    assert [mark["test"] for mark in row["marks"]] == ["model", "answer", "still"]
    assert session(app, state.Navigation).page == "live"
    app.session_state["live"] = {"frame": {"act": "go on", "at": 2.0}}
    app.run()
    assert not app.exception and received(app, "seal") == []


@pytest.mark.parametrize(
    "given", [3, {"act": "open"}, {"act": "open", "jpeg": "%", "at": 1}, {"act": "delete", "jpeg": "", "at": 1}]
)
def test_what_is_no_frame_changes_nothing(page, given):
    app = page(PAGE)
    app.session_state["live"] = {"frame": given}
    app.run()
    assert not app.exception
    assert session(app, state.Navigation).page == "live"
