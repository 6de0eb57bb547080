"""Explore: what it says is what the engine says, every choice counts, and what goes wrong is a sentence."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image as Pillow
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from sightglass.common.errors import ModelProblem
from sightglass.components.choices import sidebar
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.jobs.explain_job import Running
from sightglass.components.session.pictures import image_source
from sightglass.explain import Explainer
from sightglass.explain.phrases import NBSP, percent
from sightglass.history import History
from tests.pages.conftest import act, bar, headline, received, rerun_until, session, shown, texts
from tests.servers import until


def test_the_first_screen_is_an_explained_picture_and_says_what_the_engine_says(page, bus):
    app = page()
    assert not app.exception and not app.error
    result = Explainer()(bus)
    best = result.predictions[0]
    assert best.label in headline(app)
    view = shown(app)
    assert view.titles == [best.label]
    assert view.head["beside"]
    np.testing.assert_allclose(view.maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert len(view.maps) == 5
    assert len(app.metric) == 3


def test_an_unsure_answer_is_saved_in_the_history(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    monkeypatch.setenv("SIGHTGLASS_SAVE_BELOW", "1")
    assert not page().error
    until(lambda: History().search(tag="unsure").total == 1)


def test_another_class_by_name_becomes_a_row_and_is_in_the_address(page):
    app = page()
    app.selectbox(key="another-class").select("goldfish").run()
    assert not app.exception
    assert shown(app).head["panels"][-1]["maps"][-1]["title"] == "goldfish"
    assert app.query_params["class"] == "goldfish"
    assert app.selectbox(key="another-class").value is None


def test_an_address_opens_its_class_its_size_and_its_view(page, bus):
    app = page(**{"class": "trolleybus", "model": "efficientnet-lite1", "colormap": "jet", "alpha": "0.4"})
    assert not app.exception
    view = shown(app)
    initial = view.head["initial"]
    assert (initial["colormap"], initial["alpha"]) == ("jet", "0.4")
    assert not {"colormap", "alpha"} & set(app.query_params)  # from here on it is the viewer's
    assert app.run() and shown(app).head["initial"] == initial
    maps = view.head["panels"][-1]["maps"]
    assert "trolleybus" in [item["title"] for item in maps]
    result = Explainer("efficientnet-lite1")(bus)
    np.testing.assert_allclose(view.maps[0], result.heatmaps[0].content, atol=1 / 65535)


def test_sizes_say_how_large_their_download_is(page, own_models):
    own_models('[model."swin_t"]\nweights = { random = 1 }')
    app = page(model="swin_t")
    sizes = app.selectbox(key="size-Swin")
    assert sizes.options == ["t", f"s (about 199{NBSP}MB to download)", f"b (about 352{NBSP}MB to download)"]
    assert "Those to download are fetched when you choose them." in sizes.help


def test_sizes_that_are_all_here_are_a_row_of_buttons(page):
    sizes = page().segmented_control(key="size-EfficientNet-Lite")
    assert sizes.options == ["s", "m", "l"]
    assert "download" not in sizes.help


def test_nonsense_in_the_address_is_passed_over(page):
    app = page(**{"class": "<script>", "colormap": "nope", "alpha": "many", "model": "none", "method": "x"})
    assert not app.exception and not app.error


def test_a_click_on_a_row_is_followed_by_words_and_address(page):
    app = page()
    (key,) = [key for key in app.session_state._state.filtered_state if key.startswith("rows-")]
    app.session_state[key] = {"chosen": 1}
    app.run()
    second = shown(app).head["panels"][-1]["maps"][1]["title"]
    assert app.query_params["class"] == second
    assert any("Overlap with" in m.label for m in app.metric)


def test_a_slow_method_follows_a_click_to_a_class_whose_map_is_not_held(page):
    app = page()
    second = shown(app).head["panels"][-1]["maps"][1]["title"]
    app.selectbox(key="method-classify").select("kpcacam").run()
    rerun_until(app, lambda: not shown(app).head["dimmed"])
    (key,) = [key for key in app.session_state._state.filtered_state if key.startswith("rows-")]
    app.session_state[key] = {"chosen": 1}
    app.run()
    rerun_until(app, lambda: not shown(app).head["dimmed"] and shown(app).titles[-1] == second)
    assert app.query_params["class"] == second


def test_evidence_against_is_one_switch_beside_the_method(page, bus):
    app = page()
    assert app.selectbox(key="method-classify").options[0] == "GradCAM"
    app.toggle(key="evidence").set_value(True).run()
    assert not app.exception and not app.error
    assert app.query_params["evidence"] == "1"
    heatmap = Explainer()(bus, evidence="both").heatmaps[0]
    assert shown(app).head["panels"][-1]["maps"][0]["kind"] == "signed" and heatmap.signed
    # The middle of what is sent stands for 0.
    np.testing.assert_allclose(2 * shown(app).maps[0] - 1, heatmap.content, atol=0.01)
    # A method without a sign has no such switch.
    app.selectbox(key="method-classify").select("eigencam").run()
    assert not [one for one in app.toggle if one.key == "evidence"] and "evidence" not in app.query_params


def test_method_layers_and_fit_change_the_map(page, bus):
    app = page()
    before = shown(app).maps[0]
    app.selectbox(key="method-classify").select("layercam").run()
    np.testing.assert_allclose(shown(app).maps[0], Explainer()(bus, method="layercam").heatmaps[0].content, atol=1e-4)
    app.selectbox(key="fit-classify").select("letterbox").run()
    view = shown(app)
    assert view.head["panels"][-1]["maps"][0]["seen"] == [0, 0, 810, 1080]
    app.multiselect(key="layers-efficientnet-lite0").select("blocks.4").run()
    assert not app.exception and not app.error
    assert shown(app).maps[0].shape != before.shape or not np.allclose(shown(app).maps[0], before)


def test_a_crop_is_undone_where_it_is_said(page):
    app = page()
    assert "of the picture was cropped away" in "\n".join(element.value for element in app.markdown)
    app.button(key="whole-picture").click().run()
    assert app.query_params["fit"] == "letterbox"
    assert shown(app).head["panels"][-1]["maps"][0]["seen"] == [0, 0, 810, 1080]
    assert "cropped away" not in "\n".join(element.value for element in app.markdown)
    assert "whole-picture" not in [button.key for button in app.button]
    # And the way back stands in the same place.
    app.button(key="fit-as-trained").click().run()
    assert "fit" not in app.query_params and "fit-as-trained" not in [button.key for button in app.button]
    assert app.button(key="whole-picture")


def test_a_picture_that_is_none_is_a_sentence_and_the_last_one_stays(page):
    app = page()
    app.file_uploader[0].upload("fake.jpg", b"this is not a picture", "image/jpeg").run()
    assert not app.exception
    assert not app.error and "fake.jpg" in bar(app)["problem"]
    assert shown(app).head["size"] == [810, 1080]


def test_an_upload_is_explained_beside_its_own_name(page, pictures):
    app = page()
    app.file_uploader[0].upload("zidane.jpg", pictures[1].read_bytes(), "image/jpeg").run()
    assert not app.exception and not app.error
    assert bar(app)["name"] == "zidane.jpg"
    assert shown(app).head["size"] == [1280, 720]
    act(app, "choose", "bus")
    assert shown(app).head["size"] == [810, 1080]
    act(app, "choose", "china")
    assert shown(app).head["size"] == [640, 427]


def test_a_second_upload_is_as_good_as_the_first(page, pictures):
    app = page()
    for path, size in ((pictures[1], [1280, 720]), (pictures[2], [640, 427]), (pictures[3], [640, 427])):
        app.file_uploader[0].upload(path.name, path.read_bytes(), "image/jpeg").run()
        assert not app.exception and not app.error
        assert shown(app).head["size"] == size
    assert bar(app)["name"] == "flower.jpg"


def test_an_upload_is_held_once(page, pictures, monkeypatch):
    managers, add = [], MemoryUploadedFileManager.add_file
    monkeypatch.setattr(
        MemoryUploadedFileManager, "add_file", lambda self, *given: (managers.append(self), add(self, *given))
    )
    app = page()
    app.file_uploader[0].upload("zidane.jpg", pictures[1].read_bytes(), "image/jpeg").run()
    assert shown(app).head["size"] == [1280, 720]
    # Streamlit's own copy would stay until the session ends, one for each upload.
    assert managers and not any(files for one in managers for files in one.file_storage.values())


def test_an_upload_and_another_choice_at_once_are_both_followed(page, pictures):
    app = page()
    app.selectbox(key="method-classify").select("layercam")
    app.file_uploader[0].upload("zidane.jpg", pictures[1].read_bytes(), "image/jpeg").run()
    assert not app.exception and not app.error
    result = Explainer()(pictures[1], method="layercam")
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)


def test_an_upload_that_cannot_be_explained_leaves_everything_else_in_place(page, pictures, monkeypatch):
    app = page()

    def fails(*args, **options):
        raise ModelProblem("It does not fit.")

    monkeypatch.setattr(Explainer, "__call__", fails)
    app.file_uploader[0].upload("unseen.jpg", pictures[1].read_bytes(), "image/jpeg").run()
    assert [error.value for error in app.error] == ["It does not fit."]
    assert bar(app)["name"] == "unseen.jpg"
    assert app.selectbox(key="method-classify")


def test_the_same_pixels_under_another_name_keep_their_own_name(page, pictures):
    app = page()
    for name in ("secret.jpg", "mine.jpg"):
        app.file_uploader[0].upload(name, pictures[1].read_bytes(), "image/jpeg").run()
    app.button(key="export-explore").click().run()
    assert {"PNG", "Raw map, .npy", "Recipe, .json"} <= {one.proto.label for one in app.get("download_button")}
    assert not any("secret" in button.proto.help for button in app.get("download_button"))
    assert all("mine" in button.proto.help for button in app.get("download_button"))


def test_the_headline_speaks_of_the_map_that_is_shown(page):
    app = page(**{"class": "trolleybus"})
    assert headline(app).endswith("{hot} shows the evidence for trolleybus.")
    app.selectbox(key="method-classify").select("eigencam").run()
    assert headline(app).endswith("{hot} is what stands out to the model.")


def test_what_is_marked_is_measured_for_every_class(page, bus):
    app = page()
    sha = shown(app).head["picture"]
    app.session_state["viewer"] = {"region": {"picture": sha, "kind": "rectangle", "xyxy": [200, 300, 600, 700]}}
    app.run()
    result = Explainer()(bus)
    mask = np.zeros((1080, 810), bool)
    mask[300:700, 200:600] = True
    said = next(m.value for m in app.markdown if "In the marked area" in m.value)
    assert f"**{percent(result.inside(mask, 0))}** of the evidence for {result.heatmaps[0].target.label}" in said
    for i in range(1, 5):
        assert f"{percent(result.inside(mask, i))} for {result.heatmaps[i].target.label}" in said
    left, top, right, bottom = result.heatmaps[0].seen
    assert f", {percent(mask[top:bottom, left:right].mean())} of the visible area" in said
    app.session_state["viewer"] = {"region": {"picture": sha, "kind": "rectangle", "xyxy": [0, 0, 20, 20]}}
    app.run()
    assert any("outside the part that the model saw" in m.value for m in app.markdown)
    app.session_state["viewer"] = {"region": {"picture": "another", "kind": "rectangle", "xyxy": [0, 0, 20, 20]}}
    app.run()
    assert not any("marked area" in m.value for m in app.markdown)


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (4000, 20), (1, 1)])
def test_a_sliver_of_a_picture_is_no_trouble(page, size):
    buffer = io.BytesIO()
    Pillow.new("RGB", size, "red").save(buffer, "PNG")
    app = page()
    app.file_uploader[0].upload("thin.png", buffer.getvalue(), "image/png").run()
    assert not app.exception and not app.error
    assert shown(app).head["size"] == list(size)


def test_weights_that_are_not_here_are_a_sentence_and_the_model_before_stays(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "1")
    app = page()
    app.selectbox(key="family").select("ResNeXt").run()
    assert not app.exception
    assert len(app.error) == 1
    assert "resnext50_32x4d" in app.error[0].value
    assert app.selectbox(key="family").value == "EfficientNet-Lite"
    assert len(shown(app).maps) == 5
    app.selectbox(key="family").select("Demo classifier").run()
    assert not app.error


def test_a_slow_method_can_be_stopped_and_what_is_shown_belongs_to_its_caption(page):
    app = page()
    app.selectbox(key="method-classify").select("scorecam").run()
    assert not app.exception
    assert "ScoreCAM is running." in headline(app)
    # The map before stays in place, dimmed.
    assert shown(app).head["dimmed"]
    assert shown(app).head["line"] == "Until then: the map by GradCAM."
    # In the place of the finished one: the same panels, and a column beside them for what the method is doing.
    assert shown(app).head["beside"] and shown(app).head["panels"]
    assert [column.weight for column in app.columns[:2]] == [0.75, 0.25]
    assert "Stop" in [button.label for button in app.columns[1].button]
    # What the model says stays above it, and can be chosen.
    assert app.columns[1].markdown[0].value == "### Predictions"
    assert [row["label"] for row in received(app, "answer_list")[0]["rows"]][:2] == ["minibus", "trolleybus"]
    job = session(app, Running).job
    assert not job.finished()
    next(button for button in app.button if button.label == "Stop").click().run()
    assert job.cancel.is_set()
    assert "ScoreCAM was stopped: this map is by GradCAM." in texts(app)
    assert app.columns[1].markdown[0].value == "### Predictions", "nothing is put above it"
    app.button(key="back-to-method").click().run()
    assert app.selectbox(key="method-classify").value == "gradcam" and "method" not in app.query_params
    assert job.finished(20)
    assert "ScoreCAM" not in app.markdown[0].value
    assert len(shown(app).maps) == 5


def test_a_ready_question_sets_part_method_and_layers_and_follows_to_other_screens(page, bus):
    app = page()
    assert app.segmented_control(key="question-where").value == "where"
    app.segmented_control(key="question-where").set_value("why").run()
    assert not app.exception and not app.error
    assert (app.query_params["part"], app.query_params["layers"]) == ("contrast", "blocks.2,blocks.4,bn2")
    result = Explainer()(bus, question="why")
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    assert "shows the evidence for minibus over the other classes" in headline(app)
    app.switch_page("pages/topk.py").run()
    assert app.segmented_control(key="question-why").value == "why"
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    app.switch_page("pages/compare.py").run()
    # Each model has its own layers for the question; all maps are of what the largest model answers first.
    first = Explainer("efficientnet-lite2")(bus).predictions[0].label
    result = Explainer("efficientnet-lite1")(bus, question="why", targets=[first])
    np.testing.assert_allclose(shown(app).maps[1], result.heatmaps[0].content, atol=1 / 65535)


def test_a_method_of_ones_own_is_none_of_the_ready_questions(page):
    app = page(part="contrast")
    assert app.segmented_control(key="question-own").value is None
    assert app.selectbox(key="part").value == "contrast"


def method_of(app):
    return next(box for box in app.selectbox if box.label == "Method")


def test_each_model_starts_with_its_own_method_and_a_choice_comes_back(page):
    app = page("pages/explore.py")
    assert method_of(app).value == "gradcam"
    app.selectbox(key="family").set_value("Demo ViT").run()
    assert method_of(app).value == "layercam"
    assert "method" not in app.query_params
    method_of(app).set_value("attention").run()
    app.selectbox(key="head").set_value(1).run()
    assert app.query_params["head"] in ("1", ["1"])
    app.selectbox(key="family").set_value("EfficientNet-Lite").run()
    assert method_of(app).value == "gradcam"
    assert "method" not in app.query_params and "head" not in app.query_params
    app.selectbox(key="family").set_value("Demo ViT").run()
    assert method_of(app).value == "attention"
    assert app.query_params["head"] in ("1", ["1"])
    method_of(app).set_value("layercam").run()
    app.selectbox(key="family").set_value("EfficientNet-Lite").run()
    app.selectbox(key="family").set_value("Demo ViT").run()
    assert method_of(app).value == "layercam"


def test_until_the_map_is_there_the_picture_is_shown_also_after_the_model_is_loaded(page, monkeypatch):
    order: list[str] = []

    def noting(owner: Any, name: str, words: str) -> None:
        before = getattr(owner, name)

        def noted(*given: Any, **more: Any) -> Any:
            order.append(words)
            return before(*given, **more)

        monkeypatch.setattr(owner, name, noted)

    noting(st, "image", "picture")
    noting(sidebar, "load", "model")
    noting(Explainer, "__call__", "map")
    noting(explain_job.page, "clear_waiting", "arrived")
    monkeypatch.setattr(sidebar, "_is_resident", lambda _: False)
    # Another name: the map is in no cache.
    monkeypatch.setattr(image_source, "example", lambda _: replace(image_source.load_bundled("bus"), name="cold.jpg"))
    app = page()
    assert not app.exception and not app.error
    assert order[:4] == ["picture", "model", "map", "arrived"]
    assert headline(app) and "for the first time" not in texts(app)
    order.clear()
    monkeypatch.setattr(sidebar, "_is_resident", lambda _: True)
    app.run()
    assert "picture" not in order


def test_a_class_that_is_not_among_the_best_has_its_probability(page, bus):
    app = page(**{"class": "ambulance"})
    row = next(one for one in received(app, "answer_list")[0]["rows"] if one["label"] == "ambulance")
    expected = Explainer()(bus, top_k=1000, maps=False).predictions
    assert row["text"] == percent(next(one.score for one in expected if one.label == "ambulance"))
