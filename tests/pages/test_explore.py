"""Explore: what it says is what the engine says, every choice counts, and what goes wrong is a sentence."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from streamlit.testing.v1 import AppTest

from sightglass.explain import Explainer
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.trust.diagnosis import agreement_sentence
from sightglass.history import History
from sightglass.ui.session import state
from sightglass.ui.session.jobs.background import Jobs
from sightglass.ui.session.url_state import Memory
from tests.corpus import saved
from tests.pages.conftest import (
    bar,
    choose,
    choose_row,
    headline,
    labels,
    parameter,
    press,
    received,
    rerun_until,
    session,
    shown,
    texts,
)
from tests.servers import until
from tests.waits import patience

UNFINISHED = "This map is not finished"


def test_the_first_screen_says_what_the_engine_says(page, bus):
    app = page(example="bus")
    result = Explainer()(bus)
    best = result.predictions[0]
    assert best.label in headline(app).lower()
    view = shown(app)
    assert view.titles == [best.label] and view.head["beside"]
    np.testing.assert_allclose(view.maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert len(view.maps) == 5
    instruments = received(app, "instruments")[0]
    assert instruments["of"] == view.head["id"]
    half = [numbers["half"] for numbers in instruments["numbers"]]
    assert half == [percent(each.half_heat_area) for each in result.statistics]


def test_an_unsure_answer_is_saved_in_the_history(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    monkeypatch.setenv("SIGHTGLASS_SAVE_BELOW", "1")
    assert not page().error
    until(lambda: History().search(tag="unsure").total == 1)


def test_another_class_becomes_a_row(page, bus):
    app = page(example="bus")
    app.selectbox(key="another-class").select("ambulance").run()
    assert shown(app).head["panels"][-1]["maps"][-1]["title"] == app.query_params["class"] == "ambulance"
    row = next(item for item in received(app, "answer_list")[0]["rows"] if item["label"] == "ambulance")
    expected = Explainer()(bus, top_k=1000, maps=False).predictions
    assert row["text"] == percent(next(p.score for p in expected if p.label == "ambulance"))
    assert headline(app).endswith("%). *Orange* shows the evidence for ambulance.")
    choose_row(app, 1)
    assert app.query_params["class"] == shown(app).head["panels"][-1]["maps"][1]["title"]


def test_choice_of_the_whole_picture_stays(page, bus):
    app = page(example="bus")
    assert app.segmented_control(key="fit").value == "trained"
    app.segmented_control(key="fit").set_value("letterbox").run()
    whole = Explainer()(bus, preprocessing="letterbox").predictions[0]
    assert headline(app).startswith(f"EfficientNet-Lite0 says {whole.label} ({percent(whole.score)}).")
    choose(app, "china")
    assert app.segmented_control(key="fit").value == parameter(app, "fit") == "letterbox"
    app.segmented_control(key="fit").set_value("trained").run()
    assert "fit" not in app.query_params


def test_the_headline_says_what_the_crop_takes_and_what_was_enlarged(page):
    app = page(example="zidane")
    unsure = "EfficientNet-Lite0 is unsure: its best answer is suit"
    assert headline(app).startswith(unsure)
    assert headline(app).replace(NBSP, " ").endswith("57 % of the picture is cut off.")
    assert "Whole picture" in labels(app)
    assert "cut off" not in headline(press(app, "Whole picture"))
    assert app.segmented_control(key="fit").value == "letterbox"
    assert "Whole picture" not in labels(app)
    assert "enlarged" not in headline(choose(app, "coffee"))
    small = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    app.file_uploader[0].upload("small.png", saved(small, "PNG"), "image/png").run()
    assert headline(app).endswith(f"pixels were enlarged to the model's 224{NBSP}×{NBSP}224.")


def test_two_ticked_answers_show_difference(page, bus):
    app = page(example="bus")
    says = "EfficientNet-Lite0 says minibus"
    assert headline(app).startswith(says) and app.button(key="copy-link").label == "Copy link"
    choose_row(app, 0, ticked=[2, 0])
    assert headline(app) == "What speaks for police van and not for minibus"
    view = shown(app)
    assert view.titles == ["police van", "minibus", "Difference"] and view.head["together"]
    assert view.head["panels"][-1]["maps"][0]["sides"] == ["police van", "minibus"]
    result = Explainer()(bus)
    assert view.head["line"] == agreement_sentence(result, (2, 0))
    np.testing.assert_allclose(view.maps[0], result.heatmaps[2].content, atol=1 / 65535)
    # A link has them, and a click takes them back.
    again = page(example="bus", ticked=parameter(app, "ticked"))
    assert "Checks of minibus" in [caption.value for caption in again.caption]
    assert headline(again) == headline(app) and received(again, "answer_list")[0]["ticked"] == [2, 0]
    assert headline(again.run()) == headline(app)
    assert headline(choose_row(again, 0, ticked=[])).startswith(says) and "ticked" not in again.query_params
    # A place in the list that has no map, of a late message.
    assert headline(choose_row(app, 0, ticked=[0, 40])).startswith(says)


def test_the_look_of_an_address_becomes_the_viewers(page):
    app = page(example="bus", colormap="jet", alpha="0.4")
    initial = shown(app).head["initial"]
    assert not {"colormap", "alpha"} & set(app.query_params)  # from here on it is the viewer's
    assert app.run() and shown(app).head["initial"] == initial


@pytest.mark.parametrize(("name", "value"), [("model", "resnet5000"), ("class", "<script>"), ("masks", "-1")])
def test_unknown_address_value_is_named_once(page, name, value):
    app = page(**{name: value, "colormap": "nope", "alpha": "many"})
    (toast,) = app.toast
    assert toast.value.startswith(f"The link's {name} “") and toast.value.endswith(
        "is not offered here: it was left out."
    )
    assert not app.run().toast


@pytest.mark.parametrize(
    ("model", "example", "linked"),
    [
        (
            "demo-cls-s",
            "one thing",
            {"joint": "nose", "words": "star", "prompt": "what", "only": "star", "at": "10,20"},
        ),
        ("demo-s", "scene 3", {"joint": "nose", "span": "pixel", "at": "10,20", "evidence": "yes"}),
    ],
)
def test_what_a_link_has_and_the_model_has_not_is_named(page, model, example, linked):
    app = page(model=model, example=example, **linked)
    named = {toast.value.removeprefix("The link's ").partition(" “")[0] for toast in app.toast}
    assert named == linked.keys() and not linked.keys() & {*app.query_params}
    # What was chosen for another model goes without a word.
    other = page(model="demo-s", example="scene 3", confidence="40", only="gear")
    assert not other.toast
    other.query_params["model"] = "demo-cls-s"
    assert not other.run().toast


def test_evidence_switch_of_signed_methods(page, bus):
    app = page(example="bus")
    app.toggle(key="evidence").set_value(True).run()
    assert app.query_params["evidence"] == "1"
    heatmap = Explainer()(bus, evidence="both").heatmaps[0]
    # The middle of what is sent stands for 0.
    np.testing.assert_allclose(2 * shown(app).maps[0] - 1, heatmap.content, atol=0.01)
    app.selectbox(key="method-classify").select("eigencam").run()
    assert not [toggle for toggle in app.toggle if toggle.key == "evidence"] and "evidence" not in app.query_params
    assert headline(app).endswith("*Orange* is what stands out to the model.")


def test_uploads_of_any_shape_and_no_picture(page, pictures, upload_managers):
    app = page()
    for size in ((1, 40), (4000, 20), (1, 1)):
        app.file_uploader[0].upload("thin.png", saved(Pillow.new("RGB", size, "red"), "PNG"), "image/png").run()
        assert not app.error
        assert shown(app).head["size"] == list(size) and bar(app)["name"] == "thin.png"
    app.file_uploader[0].upload("fake.jpg", b"this is not a picture", "image/jpeg").run()
    assert not app.error and "fake.jpg" in bar(app)["problem"]
    assert shown(app).head["size"] == [1, 1]
    # At once with another choice; and Streamlit keeps no copy of its own until the session ends.
    app.selectbox(key="method-classify").select("layercam")
    app.file_uploader[0].upload("zidane.jpg", pictures[1].read_bytes(), "image/jpeg").run()
    result = Explainer()(pictures[1], method="layercam")
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert upload_managers and not any(files for manager in upload_managers for files in manager.file_storage.values())


def test_same_pixels_under_another_name(page, pictures):
    app = page()
    for name in ("secret.jpg", "mine.jpg"):
        app.file_uploader[0].upload(name, pictures[1].read_bytes(), "image/jpeg").run()
    app.button(key="save-explore").click().run()
    offered = {element.proto.label: element.proto.help for element in app.get("download_button")}
    assert {"PNG", "Raw map, .npz", "Recipe, .json"} <= offered.keys()
    assert all("mine" in help and "secret" not in help for help in offered.values())


def test_what_is_marked_is_measured_for_every_class(page, bus):
    app = page(example="bus")
    sha = shown(app).head["picture"]

    def mark(picture: str, *xyxy: int) -> str:
        app.session_state["viewer"] = {"region": {"picture": picture, "xyxy": xyxy}}
        app.run()
        return "\n".join(element.value for element in app.markdown if "marked area" in element.value)

    text, result = mark(sha, 200, 300, 600, 700), Explainer()(bus)
    mask = np.zeros((1080, 810), bool)
    mask[300:700, 200:600] = True
    assert f"**{percent(result.inside(mask, 0))}** of the evidence for {result.heatmaps[0].target.label}" in text
    assert all(f"{percent(result.inside(mask, i))} for {result.heatmaps[i].target.label}" in text for i in range(1, 5))
    assert "outside the part that the model saw" in mark(sha, 0, 0, 20, 20)
    assert not mark("another", 0, 0, 20, 20)


def test_missing_weights_then_another_model(page):
    app = page()
    app.selectbox(key="family").select("ResNeXt").run()
    assert "resnext50_32x4d" in app.error[0].value and "SIGHTGLASS_OFFLINE forbids" in app.error[0].value
    app.selectbox(key="family").select("Demo classifier").run()
    assert not app.error and shown(app).maps


def test_slow_method_dims_map_until_stop(page):
    app = page()
    app.selectbox(key="method-classify").select("scorecam").run()
    assert "ScoreCAM is running." in headline(app)
    view = shown(app)
    assert view.head["dimmed"] and view.head["line"] == "Until then: the map by GradCAM."
    job = session(app, Jobs).jobs["explain"][1]
    press(app, "Stop")
    assert job.cancel.is_set()
    view = shown(app)
    assert "ScoreCAM was stopped." in headline(app) and view.head["line"] == "The map by GradCAM."
    assert not view.head.get("dimmed") and "Start again" in labels(app)
    assert job.finished(patience(20)) and len(shown(app).maps) == 5


def test_partial_mask_map_is_shown_and_stays(page, masks):
    app = page(method="drise", model="efficientnet-lite1")
    rerun_until(app, lambda: UNFINISHED in texts(app))
    assert shown(app).head["panels"][0]["maps"] and "Stop" in labels(app) and "Save" not in labels(app)
    press(app, "Stop")
    assert "Stop" not in labels(app)
    assert shown(app).head["panels"][0]["maps"] and UNFINISHED in texts(app)
    assert "Stopped before it finished: " in texts(app)
    press(app, "Start again")
    masks()
    rerun_until(app, lambda: UNFINISHED not in texts(app) and shown(app).maps)
    assert "Stop" not in labels(app) and "Save" in labels(app)


def test_remembered_number_out_of_range(page) -> None:
    app = page(model="demo-s", state={state.key(Memory): Memory({"confidence": 250.0})})
    assert app.slider(key="confidence").value == 25


def columns(app: AppTest, place: int = 0) -> dict[str, Any]:
    return json.loads(app.dataframe[place].proto.columns)


def test_what_is_copied_has_no_formulas() -> None:
    def draw() -> None:
        from sightglass.ui.views import tables

        rows = [{"picture": "=cmd()", "@name": "plain", "change": "-12 %", "box": 3}]
        tables.table(rows, right=("change",), help={"@name": "Whose."})

    app = AppTest.from_function(draw).run()
    listed = app.dataframe[0].value.to_dict("records")
    assert listed == [{"picture": "'=cmd()", "'@name": "plain", "change": "-12 %", "box": 3}]
    assert "'@name" in columns(app)


def test_sharp_map_of_every_page_about_one_picture(page):
    note = "Sharp: Integrated Gradients from a blurred picture, weighed by LayerCAM."
    for name in ("", "topk", "compare"):
        app = page(name, model="demo-cls-s", method="sharp", example="scene 3")
        rerun_until(app, lambda app=app: app.get("bidi_component") and shown(app).maps)
        assert "GradCAM instead" not in texts(app)
        maps = shown(app).maps
        assert max(float(values.max()) for values in maps) == pytest.approx(1, abs=0.01)
        assert name or note in texts(app)
