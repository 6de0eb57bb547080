"""Detect: what is shown is what the engine says of each box, and of what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sightglass.explain import Explainer
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.picture.image import Image, load_bundled
from sightglass.pages.explore import boxes
from sightglass.ui.session.pictures.image_source import Pictures
from sightglass.ui.session.state import Sidebar
from tests.pages.conftest import choose, headline, press, session, shown, texts

VIEWER = "viewer-boxes"
ADDRESS = {"model": "demo-s", "example": "scene 3"}
FOUND = "2 ball-dots, 1 gear and 1 rod-cross"
"""What demo-s finds in the scene."""


def metrics(app) -> dict[str, tuple[str, str]]:
    return {element.label: (element.value, element.delta) for element in app.metric}


def ask(app, x: float, y: float):
    """As the viewer tells of a click beside every box."""
    app.session_state[VIEWER] = {"point": {"picture": shown(app).head["picture"], "x": x, "y": y, "box": None}}
    return app.run()


def pick(app, row: int):
    (key,) = [key for key in app.session_state._state.filtered_state if key.startswith("boxes-")]
    app.session_state[key] = {"chosen": row}
    return app.run()


@pytest.fixture
def result(scene):
    return Explainer("demo-s")(scene, per="detection", top_k=boxes.MAX_MAPS)


def test_every_box_has_its_row_its_rectangle_and_its_map(page, result):
    app = page("", **ADDRESS)
    assert headline(app) == f"{FOUND}."
    view = shown(app)
    for i, (box, prediction) in enumerate(zip(view.head["boxes"], result.predictions, strict=True), 1):
        np.testing.assert_allclose(box["xyxy"], prediction.box, atol=1e-3)
        assert box["label"] == f"{i}  {prediction.label} {percent(prediction.score)}"
        assert (box["tag"], box["index"]) == (str(i), i - 1)
    for got, heatmap in zip(view.maps, result.heatmaps, strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=1e-3)
    numbers = result.box_numbers(0)
    assert metrics(app)["Evidence inside its box"] == (
        numbers.printed_inside,
        f"on {percent(numbers.area)} of the picture",
    )
    assert "box" not in app.query_params
    pick(app, 3)
    numbers = result.box_numbers(3)
    parts = [f"{share}{NBSP}% " for share in numbers.printed.values()]
    assert f"Evidence for **rod-cross 4**: {parts[0]}in its own box only, {parts[1]}shared with" in texts(app)
    assert f"{parts[3]}outside all boxes." in texts(app)
    assert metrics(app)["Evidence inside its box"][0] == numbers.printed_inside
    assert app.query_params["box"] == "4"


def test_an_address_opens_its_box_and_its_question(page, scene):
    app = page("", **ADDRESS, box="4", part="contrast", within="inside", iou="40")
    result = Explainer("demo-s")(scene, per="detection", part="contrast", within="inside", iou=0.4, top_k=12)
    np.testing.assert_allclose(shown(app).maps[3], result.heatmaps[3].content, atol=1e-3)
    assert "Evidence for **rod-cross 4**: " in texts(app)


def test_nonsense_in_the_address_is_passed_over(page):
    app = page("", **ADDRESS, box="9" * 5000, part="y", per="z", iou="many", ratio="9", lens="?", only="unicorn")
    assert FOUND in headline(app)


def test_only_chosen_classes_are_shown_until_the_filter_is_removed(page):
    app = page("", **ADDRESS, only="gear")
    assert headline(app) == "1 gear. Showing only gear."
    assert len(shown(app).maps) == 1 and app.query_params["only"] == "gear"
    # It holds for the next picture too, and can be seen and removed there.
    choose(app, "scene 1")
    choose(app, "scene 3")
    app.multiselect(key="only-demo-s").set_value([]).run()
    assert "only" not in app.query_params and FOUND in headline(app)
    before = len(shown(app).head["boxes"])
    app.slider(key="confidence").set_value(70).run()
    assert len(shown(app).head["boxes"]) < before


def test_a_place_that_is_asked_about_shows_what_is_missing_there(page, result):
    app = page("", **ADDRESS)
    # A click on a box, or in another picture, asks nothing.
    app.session_state[VIEWER] = {"point": {"x": 20, "y": 210, "box": 0}}
    app.run()
    app.session_state[VIEWER] = {"point": {"picture": "another", "x": 20, "y": 210, "box": None}}
    app.run()
    assert "candidate" not in texts(app)
    ask(app, 20, 210)
    missing = result.missing((20, 210, 20, 210))
    assert missing is not None and missing.words in texts(app)
    view = shown(app)
    assert view.head["boxes"][-1]["marks"][0]["hollow"]
    np.testing.assert_allclose(view.head["boxes"][-1]["xyxy"], missing.candidate.box, atol=1e-3)
    wanted = result.with_targets((missing.candidate.anchor, missing.candidate.index)).heatmaps[0]
    np.testing.assert_allclose(view.maps[-1], wanted.content, atol=1e-3)
    app.selectbox(key="missing-class").select("star").run()
    assert result.missing((20, 210, 20, 210), "star").words in texts(app)
    # The harness repeats the question for ever; a browser does not.
    app.session_state[VIEWER] = {}
    pick(app, 0)
    assert app.query_params["box"] == "1" and "candidate" in texts(app)
    press(app, "Back to the boxes")
    assert len(shown(app).maps) == len(result.heatmaps)
    assert "candidate" not in texts(app)


def test_a_box_whose_map_is_not_held_gets_one_when_it_is_chosen(page, scene):
    app = page("", **ADDRESS, confidence="1", iou="95")
    result = Explainer("demo-s")(scene, per="detection", confidence=0.01, iou=0.95, top_k=boxes.MAX_MAPS)
    assert len(result.predictions) > boxes.MAX_MAPS + 3
    assert len(shown(app).maps) == boxes.MAX_MAPS
    place = boxes.MAX_MAPS + 2
    pick(app, place)
    np.testing.assert_allclose(shown(app).maps[-1], result.with_targets(place).heatmaps[0].content, atol=1e-3)
    # Its map, its row and its rectangle go by the same place, and its number stays.
    assert shown(app).head["boxes"][boxes.MAX_MAPS]["tag"] == str(place + 1) == app.query_params["box"]


def test_the_view_of_layers_shows_the_box_at_each(page, scene):
    app = page("", **ADDRESS, view="layers", box="4")
    assert {button.label for button in app.button} & {"All numbers", "Save"} == set()
    explainer = Explainer("demo-s")
    paths = [stage.path for stage in explainer.resident.adapter.stages(explainer.layers)]
    layers = tuple(path for path in paths if path != "model.19")
    strip = explainer(scene, per="detection", targets=(3,), layers=layers)
    for got, heatmap in zip(shown(app).maps, strip.by_layer(0), strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=1e-3)
    assert headline(app).startswith("Rod-cross 4, layer by layer. Inside its box: ")


def test_a_model_of_drawn_scenes_says_so_of_photographs_and_offers_a_scene(page):
    app = page("", model="demo-s")
    assert headline(app).startswith("Demo-s knows drawn scenes only: ")
    press(app, "Use a picture this model was trained for")
    assert session(app, Sidebar).choices.image.name == "scene 3.png"
    assert headline(app) == f"{FOUND}."
    own = Image(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8), "mine.png")
    session(app, Pictures).own[own.sha256] = session(app, Pictures).last = own
    session(app, Pictures).chosen = own.sha256
    app.run()
    assert headline(app).startswith("Demo-s knows drawn scenes only: on a photograph its answers mean noth")


# ---- poses


@pytest.fixture
def pose(tmp_path: Path, own_models) -> str:
    """The id of a network of poses that finds some boxes, with seeded random weights."""
    from tests.built import build, built

    module, adapter = build("yolo11n-pose"), built("yolo11n-pose")
    with torch.no_grad():
        logits = adapter.run(adapter.prepare(load_bundled("scene 1").pixels, "trained").tensor).logits[0]
        for tower in module.model[-1].cv3:
            tower[-1].bias -= logits.flatten().topk(12).values[-1]
    torch.save({"model": module}, tmp_path / "pose.pt")
    own_models(
        f'[model.pose]\nloader = "ultralytics"\narch = "yolo11n-pose.pt"\ntask = "detect"\n'
        f'weights = {{ path = "{tmp_path / "pose.pt"}" }}\n'
    )
    return "pose"


def test_a_joint_can_be_chosen_and_its_body_is_drawn(page, pose):
    app = page("", model=pose, example="scene 1")
    made = Explainer(pose)(load_bundled("scene 1"), per="detection", joint="left wrist x", top_k=12)
    first = made.predictions[0]
    joints = [mark for mark in shown(app).head["boxes"][0]["marks"] if mark["kind"] == "point"]
    np.testing.assert_allclose(joints[9]["points"][0], [first.joints[9].x, first.joints[9].y], atol=1e-3)
    assert not any("chosen" in joint for joint in joints)
    app.selectbox(key="joint").select("left wrist").run()
    assert not app.error
    joints = [mark for mark in shown(app).head["boxes"][0]["marks"] if mark["kind"] == "point"]
    assert [number for number, joint in enumerate(joints) if "chosen" in joint] == [9]
    first_map = shown(app).head["panels"][0]["maps"][0]
    assert first_map["kind"] == "signed" and first_map["note"] == f"left wrist x {made.task.number(made, 0)}"
    assert app.query_params["joint"] == "left wrist"
