"""Video: the packaged result, one's own, going on, frames on other pages, errors; the camera, and its frames."""

import base64
import io
import json
import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image as Pillow

from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.history import History
from sightglass.pages.video import job as jobs
from sightglass.pages.video.job import PLAN, ClipJob, ClipPlan, Video
from sightglass.ui.instruments import numbers_of
from sightglass.ui.live import LiveVisit
from sightglass.ui.session import state
from sightglass.ui.session.jobs import background, explain_job
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.pictures.image_source import Pictures
from sightglass.ui.session.state import Navigation
from sightglass.ui.session.visitor import Visitor
from sightglass.video import Settings
from sightglass.video.clip import Clip
from sightglass.video.timeline import Moment, read_curves, rgb_of
from tests.clips import clip, scene
from tests.corpus import saved
from tests.pages.conftest import press, received, session, shown, texts
from tests.waits import patience
from tests.weights import real


def put(app: Any, job: ClipJob) -> Any:
    """Give the session a run, as its button does."""
    session(app, Video).job = job
    return app.run()


def finished(job: ClipJob) -> ClipJob:
    assert job.finished(patience(60))
    assert job.failure is None, job.failure
    return job


@pytest.fixture
def plan(tmp_path: Path) -> ClipPlan:
    path = clip(tmp_path / "moving.mp4", scene(12))
    return ClipPlan(Clip(path, "my walk.mp4"), "demo-cls-s", {}, Settings(start=0.2), tmp_path / "out")


def chart(app: Any) -> Any:
    """The timeline as plotly draws it."""
    (element,) = app.get("plotly_chart")
    return json.loads(element.proto.spec)


def test_a_first_visit_opens_the_packaged_result(page: Any) -> None:
    app = page("video", model="demo-cls-s")
    assert app.markdown[0].value == "## Frame by frame" and "Example" in texts(app)
    assert any("scene.mp4: demo-m, one frame in 2; smoothed over 0.1 s" in (text.help or "") for text in app.markdown)
    assert chart(app)["layout"]["xaxis"]["range"] == pytest.approx([0, 3], abs=0.1)
    assert [uploader for uploader in app.file_uploader if uploader.key.startswith("video-file")]
    assert session(app, Video).job is None, "it is an example, and nobody's own run"


def test_finished_clip_has_timeline_and_files(page: Any, plan: ClipPlan) -> None:
    app = page("video", model="demo-cls-s")
    assert not put(app, finished(ClipJob(plan))).error
    assert any("my walk.mp4: demo-cls-s, every frame" in (text.help or "") for text in app.markdown)
    player = received(app, "_player")[0]
    assert (player["place"], player["begin"], player["moments"]) == ("video-timeline", 0, [])
    assert player["seconds"] == pytest.approx(7 / 25, abs=0.01)
    figure = chart(app)
    assert figure["layout"]["annotations"][0]["text"] == "Score"
    assert figure["data"][0]["text"] == [*map(percent, figure["data"][0]["y"])]
    seconds = sorted({x for curve in figure["data"] if curve.get("name") for x in curve["x"] if x is not None})
    assert seconds == pytest.approx([i / 25 for i in range(7)], abs=0.01) and app.get("video")


def test_segmentation_timeline_and_moments(page: Any, plan: ClipPlan) -> None:
    app = page("video", model="demo-seg")
    job = finished(ClipJob(replace(plan, model="demo-seg")))
    moment = Moment(0.3, 7, "answer", "star becomes gear, 80 % sure", label="gear")
    job.result = replace(job.summary, moments=(moment,))
    assert not put(app, job).error
    figure = chart(app)
    assert figure["layout"]["annotations"][0]["text"] == "Share of the picture"
    assert 0 < figure["data"][0]["y"][0] < 0.5
    player = received(app, "_player")[0]
    assert player["note"] == "Moments of changes: each lies at most 0.04 s after its change."
    # In seconds of the drawn clip, which begins at 0.2 s.
    assert [each["words"] for each in player["moments"]] == [moment.words]
    assert player["moments"][0]["seconds"] == pytest.approx(0.1)
    assert app.markdown[0].value == "## Gear from 0:00.1"
    assert len(app.get("video")) == 1


def test_the_frame_that_is_shown_is_in_the_address_and_opens(page: Any, plan: ClipPlan) -> None:
    app = page("video", model="demo-cls-s")
    put(app, finished(ClipJob(plan)))
    app.session_state["video-timeline-player"] = {"at": 0.0833333}
    assert not app.run().error
    assert app.query_params["moment"] == "0.083"
    assert received(app.run(), "_player")[0]["begin"] == pytest.approx(0.0833333)
    for wrong in ("1", None, float("nan"), float("inf"), [0.1]):
        app.session_state["video-timeline-player"] = {"at": wrong, "open": wrong}
        assert not app.run().error
        assert session(app, Navigation).page == "video"
    app.session_state["video-timeline-player"] = {"open": 0.08}
    app.run()
    assert session(app, Navigation).page == "explore"
    assert session(app, state.Controls).picture.name == "my walk 0.00.28 s.png"


@pytest.mark.parametrize(("model", "options"), [("demo-s", {}), ("demo-cls-s", {"targets": ("star",)})])
def test_the_frame_has_its_own_map_and_the_numbers_of_that(
    page: Any, plan: ClipPlan, model: str, options: dict[str, Any]
) -> None:
    app = page("video", model="demo-cls-s")
    app.session_state["video-shown"] = "frame"
    app.session_state["video-timeline-player"] = {"at": 0.08}
    assert not put(app, finished(ClipJob(replace(plan, model=model, options=options)))).error
    frame = list(Clip(plan.clip.path).frames())[7]
    per: dict[str, Any] = {"per": "detection", "top_k": 12} if model == "demo-s" else {}
    explanation = Explainer(model)(Image(frame.pixels), **options, **per)
    view = shown(app)
    assert len(view.maps) == len(explanation.heatmaps) > 0
    for values, heatmap in zip(view.maps, explanation.heatmaps, strict=True):
        np.testing.assert_allclose(values, heatmap.content, atol=1 / 65535)
    assert [box["index"] for box in view.head["boxes"]] == list(range(len(view.maps) if per else 0))
    # By the objects' numbers, as the clip has them.
    assert {box["tag"] for box in view.head["boxes"]} >= set("123" if per else "")
    drawn = received(app, "instruments")[0]
    assert drawn["of"] == view.head["id"]
    assert drawn["numbers"] == [numbers_of(explanation, i) for i in range(len(view.maps))]
    assert received(app, "_player")[0]["hidden"] and app.query_params["shown"] == "frame"


def test_the_newest_frame_is_shown_while_a_clip_is_explained(page: Any, plan: ClipPlan, monkeypatch: Any) -> None:
    go_on = threading.Event()

    def work(*_: Any, **__: Any) -> None:
        go_on.wait(patience(60))

    monkeypatch.setattr(jobs, "_run", work)
    job = ClipJob(plan)
    app = page("video", model="demo-cls-s")
    assert "under its map" not in texts(put(app, job))
    job.newest.take(61.24, scene(1)[0])
    app.run()
    go_on.set()
    (drawn,) = [element.proto.body for element in app.get("html") if "data:image/jpeg;base64," in element.proto.body]
    assert 'alt="The frame at 1:01.2 under its map"' in drawn
    assert "The frame at 1:01.2 under its map, not yet smoothed." in texts(app)


def test_a_frame_that_was_opened_is_the_chosen_picture(page: Any, plan: ClipPlan, monkeypatch: Any) -> None:
    held: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", held)
    # A time of the drawn clip, which began at 0.2 s.
    jobs._open(plan, 0.08)
    frame = list(Clip(plan.clip.path).frames())[7]
    chosen = held[state.key(Pictures)]
    (image_of_frame,) = image_source.list_own()
    assert image_source.token(image_of_frame) == chosen.chosen
    image = chosen.opened(chosen.chosen)
    assert (image.pixels == frame.pixels).all() and image.name == "my walk 0.00.28 s.png"
    assert held[state.key(Navigation)].go_to.endswith("explore/page.py")


@pytest.fixture
def kept(plan: ClipPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClipPlan:
    """The plan for a clip in a folder of the server's."""
    monkeypatch.setenv("SIGHTGLASS_CLIPS", str(tmp_path / "clips"))
    clip = Clip(jobs.add_clip(plan.clip.path.read_bytes()), plan.clip.name)
    kept = replace(plan, clip=clip, folder=jobs.results_of(clip), options={"targets": ("star",)})
    kept.save()
    return kept


def test_reload_finds_own_run_only(page: Any, kept: ClipPlan) -> None:
    app = page("video", model="demo-cls-s")
    job = finished(ClipJob(kept))
    put(app, job)
    assert app.query_params["clip"] == kept.name
    again = page("video", clip=kept.name)
    assert session(again, Video).job is job and "7 frames" in again.markdown[0].value
    press(app, "Another clip")
    assert "clip" not in app.query_params
    # Of another server, which knows the job no more.
    background.SHARED.clear()
    job = session(page("video", clip=kept.name), Video).job
    assert job.summary.frames == 7 and replace(job.plan, clip=kept.clip) == kept
    week = time.time() - 8 * 86400
    os.utime(kept.folder.parent, (week, week))
    jobs.add_clip(b"")
    assert not kept.folder.parent.exists()


def test_clip_of_killed_server_goes_on(page: Any, kept: ClipPlan) -> None:
    app = page("video", clip=kept.name, model="demo-cls-s")
    finished(session(app, Video).job)
    assert app.run().markdown[0].value.startswith("## Stopped after 0 frames")
    press(app, "Go on")
    assert finished(session(app, Video).job).summary.frames == 7


def test_damaged_plan_is_named_and_kept(page: Any, kept: ClipPlan) -> None:
    file = kept.folder.parent / PLAN
    file.write_text("{", "utf-8")
    app = page("video", clip=kept.name, fails=True)
    (error,) = app.error
    assert "plan.json in " in error.value
    assert app.query_params["clip"] == kept.name
    press(app, "Another clip")
    assert not app.error
    assert file.read_text("utf-8") == "{"


def test_what_is_no_clip_is_one_sentence(page: Any, plan: ClipPlan) -> None:
    app = page("video", model="demo-cls-s")
    plan.clip.path.write_bytes(b"nothing of the kind")
    job = ClipJob(plan)
    assert job.finished(patience(60))
    put(app, job)
    assert [element.value for element in app.error] == [
        "my walk.mp4 cannot be read as a video; give MP4, MOV, WebM, MKV, GIF or AVI, whole."
    ]


def test_curves_of_objects_seen_longest(tmp_path: Path) -> None:
    rows = ["seconds,answer,score,object,map,half_heat_area"]
    rows += [f"{(i + 0.5) / 100},cat,{0.2 if i % 2 else 0.4},1,ok,0.1" for i in range(1200)]
    rows += [f"{i / 100},dog,0.9,{n},," for n in range(2, 12) for i in range(n)] + ["9,dog,0.9,11,,"]
    (tmp_path / "timeline.csv").write_text("\n".join(rows))
    curve_points = read_curves(tmp_path, 12.0)
    assert [point.name for point in curve_points] == ["cat 1", "dog 11", "dog 10", "dog 9", "dog 8", "dog 7"]
    assert len(curve_points[0].points) == 600
    assert {*curve_points[0].points["score"].round(6)} == {0.3}
    assert curve_points[0].points["area"][0] == pytest.approx(0.1)
    assert curve_points[1].points["area"].isna().all()
    # Its line is broken where it was not seen for a while.
    assert curve_points[1].points["seconds"].isna().tolist().index(True) == len(curve_points[1].points) - 2
    # As their boxes in the clip.
    assert [point.color for point in curve_points] == [f"rgb{rgb_of(n)}" for n in (1, 11, 10, 9, 8, 7)]
    # A classifier's answers have a curve each, where it is sure.
    rows = [f"{i / 10},{'cat' if i < 9 else 'dog'},{0.1 if 3 < i < 6 else 0.9},,ok,0.1" for i in range(12)]
    (tmp_path / "timeline.csv").write_text("\n".join(["seconds,answer,score,object,map,half_heat_area", *rows]))
    assert {curve.name: len(curve.points) for curve in read_curves(tmp_path, 1.2)} == {"cat": 7, "dog": 3, "unsure": 2}


def test_a_clip_is_trimmed_on_its_timeline(page: Any, plan: ClipPlan) -> None:
    tab = {state.key(Visitor): Visitor("browser", "tab")}
    app = page("video", tab, model="demo-cls-s")
    (uploader,) = [element for element in app.file_uploader if str(element.key).startswith("video-file")]
    uploader.upload("my walk.mp4", plan.clip.path.read_bytes(), "video/mp4").run()
    assert not app.error
    (part,) = [slider for slider in app.slider if str(slider.key).startswith("video-part")]
    assert part.value == (0.0, part.max)
    part.set_value((0.2, 0.4)).run()
    # Neither a reload nor another page loses it.
    tab = {state.key(Visitor): Visitor("browser", "tab")}
    app = page("video", tab, model="demo-cls-s")
    for name in ("pages/topk.py", "pages/video/page.py"):
        app.switch_page(name).run()
    assert app.markdown[0].value == "## my walk.mp4: press Explain"
    press(app, "Explain")
    settings = session(app, Video).job.plan.settings
    assert (settings.start, settings.end) == pytest.approx((0.2, 0.4))
    finished(session(app, Video).job)


def head(app) -> dict:
    return received(app, "_live")[0]


def jpeg(name: str) -> bytes:
    return saved(Pillow.fromarray(image_source.example(name).pixels), "JPEG", quality=95)


def handed(app, act: str, data: bytes, **more):
    app.session_state["live"] = {"frame": {"act": act, "jpeg": base64.b64encode(data).decode(), "at": 1.0} | more}
    app.run()
    return app


def test_camera_gets_choices_of_address(page):
    assert head(page("video", source="camera", model="demo-s", confidence="0"))["choice"]["options"]["confidence"] == 0
    app = page("video", source="camera", method="scorecam")
    sent = head(app)
    assert (sent["choice"]["model"], sent["choice"]["method"]) == ("efficientnet-lite0", "gradcam")
    assert "ScoreCAM is too slow for a camera: maps here are by GradCAM." in texts(app)
    # Another run sends the same, so that the browser is not called.
    assert head(app.run()) == sent


@pytest.mark.parametrize(
    ("model", "picture", "fit"), [("demo-s", "scene 3", "trained"), real("yolo11n", "bus", "half")]
)
def test_detector_frame_opens_on_explore(page, model, picture, fit):
    app = page("video", source="camera", model=model)
    assert head(app)["choice"]["options"].get("preprocessing", "trained") == fit
    data = jpeg(picture)
    box = Explainer(model)(data, per="detection", preprocessing=fit, maps=False).predictions[-1]
    box_map = {"label": box.label, "box": {"anchor": box.anchor, "index": box.index}}
    handed(app, "freeze", data, at=0.5, **box_map)
    assert ("targets", ((box.anchor, box.index),)) in session(app, explain_job.Explained).last
    handed(app, "open", data, **box_map)
    assert session(app, state.Navigation).page == "explore"
    assert session(app, state.Controls).picture.name == "live.jpg"
    assert session(app, state.ChosenAnswer).pair == (box.anchor, box.index)
    assert app.session_state["fit-detect"] == fit


def test_frozen_frame_has_checks_and_slide(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    app = page("video", source="camera", model="demo-cls-s")
    assert "Add to deck" not in [button.label for button in app.button], "what moves cannot be added"
    app = handed(app, "freeze", jpeg("scene 1"), label="star")
    assert re.fullmatch(r"heatmap_\d{8}_\d{6}\.jpg", session(app, LiveVisit).frozen.image.name)
    assert "Checking…" in [block.proto.popover.label for block in app.get("popover")]
    for label in ("Add to deck", "Add the slide"):
        next(button for button in app.button if button.label == label).click().run()
        assert not app.error
    (deck,) = History().decks.all()
    assert len(deck.slides) == 1 and History().search().total == 0
    assert head(app)["held"] and not head(handed(app, "go on", b"", at=2.0).run())["held"]
    assert "Checking…" not in [block.proto.popover.label for block in app.get("popover")]
    handed(app, "freeze", jpeg("scene 1"), label="star", at=3.0)
    next(box for box in app.selectbox if box.key == "fit-classify").set_value("squash").run()
    assert session(app, LiveVisit).frozen is None, "the frame was fitted otherwise"


def test_what_is_no_frame_changes_nothing(page):
    app = page("video", source="camera", model="demo-cls-s")
    for message in (3, {"act": "open"}, {"act": "open", "jpeg": "%", "at": 1}, {"act": "delete", "jpeg": "", "at": 1}):
        app.session_state["live"] = {"frame": message}
        app.run()
        assert session(app, state.Navigation).page == "video"


def test_snapshot_is_saved_and_offered(page, monkeypatch, tmp_path):
    folder = tmp_path / "heatmaps"
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(folder))
    app = page("video", source="camera", model="demo-cls-s")
    handed(app, "snapshot", jpeg("scene 1"))
    (saved_file,) = folder.iterdir()
    assert re.fullmatch(r"heatmap_\d{8}_\d{6}\.jpg", saved_file.name)
    assert f"Saved as {saved_file.name} in the folder heatmaps of the machine that runs Sightglass." in texts(app)
    snapshot = session(app, LiveVisit).snapshot
    assert snapshot.jpeg == saved_file.read_bytes()
    assert Pillow.open(saved_file).size == Pillow.open(io.BytesIO(jpeg("scene 1"))).size
    assert [button.proto.label for button in app.get("download_button")] == ["Download"]
    # Another run saves nothing more, and a folder that cannot be written to leaves the download.
    app.run()
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(saved_file / "inside"))
    handed(app, "snapshot", jpeg("scene 1"), at=2.0)
    assert list(folder.iterdir()) == [saved_file]
    assert "The folder of heat maps cannot be written to" in texts(app)
    assert [button.proto.label for button in app.get("download_button")] == ["Download"]


def test_recording_goes_on_as_an_uploaded_clip(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_CLIPS", str(tmp_path / "clips"))
    app = page("video", source="camera", model="demo-cls-s", clip="clip-of-before")
    data = clip(tmp_path / "moving.webm", scene(3), codec="libvpx").read_bytes()
    handed(app, "clip", b"", clip=base64.b64encode(data).decode(), mime="video/webm;codecs=vp8")
    assert re.fullmatch(r"## camera\\?_\d{8}\\?_\d{6}\.webm: press Explain", app.markdown[0].value)
    assert [button.proto.label for button in app.get("download_button")] == ["Download the recording"]
    press(app, "Explain")
    job = session(app, Video).job
    assert job.plan.clip.path.read_bytes() == data
    assert finished(job).summary.frames == 3
    press(app.run(), "Another clip")
    assert session(app, Video).clip is None
