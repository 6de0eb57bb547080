"""Compare, two pictures: what is shown is what the engine says of the same two."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.ranking import context
from sightglass.explain.similarity.similarity import similarity
from sightglass.ui.choices import gallery_picker
from sightglass.ui.session import state
from sightglass.ui.session.pictures import image_source
from tests.pages.conftest import press, received, shown, texts


def listed(app: AppTest) -> list[tuple[str, str]]:
    return [(row["label"], row["text"]) for row in received(app, "answer_list")[0]["rows"]]


def names(app: AppTest) -> list[str]:
    return [head["panels"][0]["title"] for head in received(app, "viewer")]


def test_the_picture_is_compared_with_examples_and_the_best_is_shown(page) -> None:
    app = page("compare", tab="pictures")
    explainer, bus = Explainer("efficientnet-lite0"), image_source.example("bus")
    expected = similarity(explainer, bus, gallery_picker.mirrored_part(bus))
    assert names(app) == ["bus.jpg", "bus, part.jpg"]
    assert listed(app)[0] == ("bus, part.jpg", f"{expected.score:.2f}")
    references = context(explainer, bus)
    assert app.markdown[0].value == f"## bus.jpg and bus, part.jpg: {expected.score:.2f}, clearly related"
    assert references.verdict(expected.score) == "clearly related"
    assert references.words in texts(app)
    assert any("HiResCAM at bn2" in caption.help for caption in app.caption)


def test_another_of_the_list_and_another_view(page) -> None:
    app = page("compare", tab="pictures")
    app.session_state[received(app, "answer_list")[0]["name"]] = {"chosen": 1}
    app.run()
    assert names(app)[1] == listed(app)[1][0]
    for of, words in (("product", "What the score is made of"), ("matches", "Similarity and difference")):
        app.radio(key="of").set_value(of).run()
        assert not app.error and app.query_params["of"] in (of, [of])
        assert any(words in caption.help for caption in app.caption)


def test_the_pair_and_its_ranking_can_be_exported(page) -> None:
    app = page("compare", tab="pictures")
    app.button(key="save-similarity").click().run()
    assert not app.error
    labels = {one.proto.label for one in app.get("download_button")}
    assert {"Ranking, .csv", "All files, .zip"} <= labels


def test_an_uploaded_gallery_is_ranked_stays_and_can_be_deleted(page, pictures: list) -> None:
    app = page("compare", tab="pictures")
    files = [(path.name, path.read_bytes(), "image/jpeg") for path in pictures[1:3]]
    uploader = app.file_uploader(key="gallery-files-0")
    uploader.upload(*files[0])
    uploader.upload(*files[1])
    uploader.upload("broken.jpg", b"no picture", "image/jpeg").run()
    assert not app.error
    assert {name for name, _ in listed(app)} == {path.name for path in pictures[1:3]}
    assert any("broken.jpg" in w.value for w in app.warning)
    # Another tab drops the uploader, not what was given; to delete it is an act of its own.
    for tab in ("models", "pictures"):
        app.segmented_control(key="compare-tab").set_value(tab).run()
    assert {name for name, _ in listed(app)} == {path.name for path in pictures[1:3]}
    press(app, "Delete 3 pictures")
    assert "bus, part.jpg" in {name for name, _ in listed(app)}


def test_two_pictures_given_in_the_bar_are_compared(page, pictures: list) -> None:
    app = page("compare", tab="pictures")
    images = [Image.open(path) for path in pictures[1:3]]
    for image in images:
        own = app.session_state[state.key(image_source.Pictures)]
        image_source.UPLOADS.put(image)
        own.own[image.sha256], own.chosen = image, image.sha256
        app.run()
        assert not app.error
    assert names(app) == [images[1].name, images[0].name]
    assert [name for name, _ in listed(app)] == [images[0].name]


def test_the_method_in_the_sidebar_is_the_one_that_made_the_maps(page) -> None:
    app = page("compare", tab="pictures")
    menu = next(box for box in app.selectbox if box.label == "Method")
    assert menu.value == "hirescam"
    menu.set_value("gradcam").run()
    assert not app.error
    assert any("GradCAM at bn2" in caption.help for caption in app.caption)
    assert app.query_params["method"] in ("gradcam", ["gradcam"])


def test_the_address_of_the_former_page_opens_the_tab_with_its_choices(page) -> None:
    app = page("similarity", parts="matches", model="demo-cls-s")
    assert "Equal numbers match." in shown(app).head["line"]
