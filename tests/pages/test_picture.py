"""The picture: what a person did last decides which is shown, and what is drawn or painted becomes one."""

import importlib.util
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.testing.v1 import AppTest

from sightglass.explain import Explainer
from sightglass.explain.options import OFFERED
from sightglass.explain.phrases import percent, plain_text
from sightglass.explain.picture.image import Image, load_bundled, to_png
from sightglass.explain.recipe import Recipe
from sightglass.explain.whatif import edits
from sightglass.models import drawing
from sightglass.report import embedded_recipe
from sightglass.ui.session import control_table, state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.pictures.image_source import MAX_OWN, UNDO, Pictures, Uploads, token
from sightglass.ui.session.state import Controls
from sightglass.ui.session.visitor import MAX_AGE, Visitor
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

SIZES = {"a.png": [60, 40], "b.png": [50, 70], "c.png": [80, 80]}


@pytest.fixture(autouse=True)
def _uploads_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    # Others may have uploaded the same pictures.
    monkeypatch.setattr(image_source, "UPLOADS", Uploads())


def picture(name: str) -> bytes:
    width, height = SIZES[name]
    return to_png(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


def upload(app: AppTest, name: str, data: bytes | None = None) -> AppTest:
    return app.file_uploader[0].upload(name, picture(name) if data is None else data, "image/png").run()


def own(app: AppTest) -> list[str]:
    names = bar(app)["names"]
    return names[: names.index("Coffee")]


def test_late_request_brings_no_earlier_picture_back(page):
    app = page()

    def send(states: WidgetStates) -> None:
        """Run the page with what the browser knew then, as any click or resize sends it."""
        app.main.root.get_widget_states = lambda: states
        app.run()

    for number, name in enumerate(SIZES, 1):
        before = app.main.root.get_widget_states()
        upload(app, name)
        chosen = app.main.root.get_widget_states()
        assert bar(app)["name"] == name
        send(before)
        assert bar(app)["name"] == name and shown(app).head["size"] == SIZES[name]
        send(chosen)
        assert len(own(app)) == number
    choose(app, "china")
    assert bar(app)["name"] == "china.jpg"


def test_reload_finds_upload_by_address(page):
    app = page()
    upload(app, "c.png")
    again = page(**{name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()})
    assert bar(again)["name"] == "c.png" and shown(again).head["size"] == SIZES["c.png"]


@pytest.mark.parametrize("name", ["", "topk", "compare"])
def test_link_opens_a_kept_picture_and_asks_for_a_deleted_one(page, name):
    sender = upload(page(name), "c.png")
    link = {"picture": bar(sender)["chosen"], "named": "c.png", "class": "minibus"}
    assert shown(sender).head["private"] == "c.png" and shown(sender).head["keeps"] == 3600
    friend = page(name, **link)
    assert bar(friend)["name"] == "c.png" and own(friend) == ["c.png"]
    assert parameter(friend, "named") == "c.png"
    # How long it is kept is not the friend's to say, nor to delete.
    assert shown(friend).head["keeps"] == 0
    press(friend, "Remove")
    assert not own(friend) and own(sender.run()) == ["c.png"] and shown(sender).head["size"] == SIZES["c.png"]
    press(sender, "Delete")
    app = page(name, **link)
    assert not app.error and headline(app) == "This link is about minibus in c.png."
    assert not received(app, "viewer") and not app.get("imgs") and parameter(app, "picture") == link["picture"]
    app.file_uploader[1].upload("c.png", picture("c.png"), "image/png").run()
    assert not app.error and shown(app).head["size"] == SIZES["c.png"]
    assert parameter(app, "named") == "c.png"
    # Or an example, also the one that a visit without a link begins with.
    other = choose(page(name, picture="0" * 20), "bus")
    assert not other.error and bar(other)["name"] == "bus.jpg" and not {"picture", "named"} & set(other.query_params)


def test_delete_can_be_undone(page):
    app = page()
    for name in ("a.png", "b.png", "c.png"):
        upload(app, name)
    first, middle, _ = (token(Image.open(picture(name))) for name in SIZES)
    choose_row(choose(app, middle), 1)
    before = headline(app)
    press(app, "Delete")
    assert own(app) == ["c.png", "a.png"] and bar(app)["name"] == "c.png"
    press(app, "Undo")
    assert own(app) == ["c.png", "b.png", "a.png"] and bar(app)["name"] == "b.png" and headline(app) == before
    assert "Undo" not in labels(app)
    # Whoever goes on has no more need of it.
    press(app, "Delete")
    choose(app, first)
    assert "Undo" not in labels(app) and own(app) == ["c.png", "a.png"]
    press(press(app, "Delete"), "Delete")
    assert bar(app)["name"] == "coffee.jpg" and not own(app) and "Delete" not in labels(app)


def test_what_is_deleted_in_another_tab_is_not_shown(page):
    browser = {state.key(Visitor): Visitor("me", "")}
    app = upload(page("", browser), "a.png")
    other = page("", browser)
    assert own(other) == ["a.png"] and bar(other)["name"] == "coffee.jpg"
    press(choose(other, bar(app)["chosen"]), "Delete")
    assert bar(app.run())["name"] == "coffee.jpg" and "no longer on the server" in bar(app)["problem"]
    press(other, "Undo")
    assert own(app.run()) == ["a.png"]


def test_what_the_server_has_dropped_is_in_the_bar_no_more(page):
    app = upload(page(), "c.png")
    image_source.UPLOADS.drop(session(app, Visitor).owner, bar(app)["chosen"])
    assert not own(choose(app, "china"))


@pytest.mark.parametrize("address", ["", "topk", "compare"])
def test_a_model_of_drawn_scenes_shows_one_in_place_of_an_upload(page, address):
    app = upload(page(address, model="demo-cls-s"), "a.png")
    assert headline(app).endswith(
        "It knows drawn scenes only: this is one, in place of a.png, which is taken for a photograph."
    )
    assert parameter(app, "example") == "one thing"
    press(app, "Back to a.png")
    assert headline(app).startswith("Demo-cls-s knows drawn scenes only: on a photograph its answers mean nothing.")
    assert bar(app)["name"] == "a.png"
    # Said once.
    assert "Trained on drawn scenes only" not in texts(app)
    assert "in place of coffee.jpg." in headline(choose(app, "coffee"))
    small = Pillow.fromarray(load_bundled("scene 3").pixels).resize((300, 300))
    upload(app, "scene.jpg", saved(small, "JPEG"))
    assert bar(app)["name"] == "scene.jpg"
    assert "drawn scenes" not in headline(app)


def test_what_was_uploaded_to_a_model_of_scenes_is_shown_to_others(page):
    app = upload(page(model="demo-cls-s"), "a.png")
    app.selectbox(key="family").select("EfficientNet-Lite").run()
    assert bar(app)["name"] == "a.png"
    assert "in place of" not in headline(app)


def uploaded(*names: str) -> list[Image]:
    return [Image.open(picture(name), name=name) for name in names]


def test_uploads_expire():
    now = 0.0
    uploads = Uploads(clock=lambda: now)
    first, second = uploaded("a.png", "b.png")
    uploads.put("me", first, picture("a.png"))
    uploads.put("me", second)
    now = 3000.0
    assert uploads.get("me", token(first)).sha256 == first.sha256
    now = 4000.0
    assert uploads.get("me", token(second)) is None
    assert uploads.get("me", token(first)).name == "a.png"
    # A file in place of another is not taken for it.
    uploads.put("me", second, picture("c.png"))
    assert uploads.get("me", token(second)) is None


def test_deleting_leaves_what_others_uploaded():
    now = 0.0
    uploads = Uploads(clock=lambda: now)
    (image,) = uploaded("a.png")
    key = token(image)
    for owner in ("me", "other"):
        uploads.put(owner, replace(image, name=f"{owner}.png"))
    uploads.delete("me", key)
    assert uploads.get("me", key) is None and uploads.get("other", key).name == "other.png"
    now = UNDO - 1
    assert uploads.restore("me", key) and uploads.get("me", key).name == "me.png"
    uploads.delete("me", key)
    now += UNDO
    assert not uploads.restore("me", key) and uploads.find("other", key).name == "other.png"


def test_a_lent_picture_is_its_senders():
    now = 0.0
    uploads = Uploads(clock=lambda: now)
    (image,) = uploaded("a.png")
    key = token(image)
    assert uploads.lend("friend", key) is None
    uploads.put("me", image)
    assert uploads.lend("friend", key).name == "a.png" and uploads.is_lent("friend", key)
    uploads.drop("friend", key)
    assert uploads.list_own("friend") == () and uploads.find("me", key)
    uploads.lend("friend", key)
    # Looking at it does not keep it.
    now = MAX_AGE - 1
    assert uploads.get("friend", key)
    now = MAX_AGE + 1
    assert uploads.get("friend", key) is None and uploads.lend("friend", key) is None
    uploads.put("me", image)
    uploads.lend("friend", key)
    uploads.delete("me", key)
    assert uploads.get("friend", key) is None and uploads.lend("other", key) is None
    # What a friend has as a file, too, is the friend's own.
    uploads.put("friend", image)
    assert uploads.get("friend", key) and not uploads.is_lent("friend", key)


def test_one_browser_has_twelve_uploads():
    uploads = Uploads()
    greys = [Image(np.full((4, 4, 3), grey, np.uint8), f"{grey}.png") for grey in range(MAX_OWN + 2)]
    for image in greys:
        uploads.put("me", image)
    uploads.put("other", greys[0])
    assert [each.name for each in uploads.list_own("me")] == [image.name for image in greys[2:]]
    assert len(uploads.list_own("other")) == 1


def test_exported_file_restores_its_view(page, bus):
    explanation = Explainer("efficientnet-lite1")(bus, method="layercam", layers=("blocks.4",), top_k=3)
    settings = {"mode": "overlay", "colormap": "viridis", "alpha": 0.35, "even": True}
    view = embedded_recipe.view_of(explanation, 2, **settings)
    data = embedded_recipe.write(to_png(explanation.overlay(2)), explanation.recipe, view)
    app = page()
    choose(app, "china")
    upload(app, "any name.png", data)
    assert not app.error
    label = explanation.heatmaps[2].target.label
    assert (parameter(app, "model"), parameter(app, "method")) == ("efficientnet-lite1", "layercam")
    assert app.multiselect(key="layers-efficientnet-lite1").value == ["blocks.4"]
    assert app.query_params["class"] in (label, [label])
    assert shown(app).head["initial"].items() >= {"mode": "overlay", "colormap": "viridis", "alpha": "0.35"}.items()
    titles = [item["title"] for item in shown(app).head["panels"][-1]["maps"]]
    np.testing.assert_allclose(shown(app).maps[titles.index(label)], explanation.heatmaps[2].content, atol=2e-5)
    # The example itself, not a copy of it under another name.
    assert session(app, Pictures).chosen == "bus" and bar(app.run())["name"] == "bus.jpg"


def test_recipe_that_cannot_be_opened_changes_nothing(page, bus):
    recipe = Explainer("efficientnet-lite1")(bus, method="layercam").recipe
    app = page()
    choose(app, "china")
    for model, words in (("no-such", "no-such"), ("timm/vit_base_patch16_224", "not on this machine")):
        upload(app, "recipe.json", recipe.model_copy(update={"model": model}).model_dump_json().encode())
        assert words in bar(app)["problem"] and bar(app)["name"] == "china.jpg"
    for data in (b"{", b"{}", b"{" * 100_000):
        upload(app, "recipe.json", data)
        assert "recipe.json" in bar(app)["problem"] and bar(app)["name"] == "china.jpg"
    gone = Explainer("efficientnet-lite0")(Image(Image.open(bus).pixels[:300], "gone.png"))
    upload(app, "a.png", embedded_recipe.write(to_png(gone.overlay()), gone.recipe))
    assert "gone.png" in bar(app)["problem"] and "does not carry" in bar(app)["problem"]


NO_CONTROL = {"scale", "smooth", "ratio", "targets", "examples"}
"""What no page has, or the viewer or the list of answers."""
RECIPES: list[tuple[str, str, dict[str, Any]]] = [
    ("demo-s", "scene 3", {"per": "detection", "part": "box", "method": "drise", "masks": 7}),
    ("demo-s", "scene 3", {"confidence": 0.0149, "iou": 0.47, "within": "inside", "top_k": 3}),
    ("demo-s", "scene 3", {"per": "detection", "confidence": 1 / 3, "iou": 1e-3, "classes": ("gear",)}),
    ("demo-cls-s", "bus", {"preprocessing": "squash", "part": "contrast"}),
    ("demo-vit", "scene 3", {"method": "attention", "head": 1}),
    ("pose", "scene 1", {"per": "detection", "joint": "left wrist y"}),
    ("demo-cls-s", "scene 3", {"method": "hirescam", "evidence": "both", "layers": ("layer2.0", "layer3.0")}),
    ("demo-seg", "bus", {"at": (100.25, 1000.125), "per": "pixel", "against": "rod-ring"}),
    ("demo-clip", "scene 3", {"vocabulary": ("red star", "blue ball")}),
    ("demo-vlm", "red star", {"prompt": "describe the picture .", "answer": "a red star .", "against": "ball"}),
]


def recipe_of(app: AppTest) -> Recipe:
    """The recipe of what the page explained last, exactly."""
    rerun_until(app, lambda: session(app, explain_job.Explained).last is not None and not app.get("progress"))
    return explain_job._cache().get(session(app, explain_job.Explained).last).recipe


@pytest.mark.parametrize(("model", "picture", "options"), RECIPES)
def test_recipe_round_trip_by_page_and_address(page, model, picture, options, request):
    if model == "pose":
        request.getfixturevalue(model)
    recipe = Explainer(model)(load_bundled(picture), **options).recipe
    app = page()
    upload(app, "recipe.json", recipe.model_dump_json().encode())
    linked = {name: parameter(app, name) for name in app.query_params}
    for opened in (app, page("topk" if options.get("per", "class") == "class" and model == "demo-s" else "", **linked)):
        again = recipe_of(opened)
        different = {name for name in OFFERED if getattr(again, name) != getattr(recipe, name)} - NO_CONTROL
        different -= {"top_k"} - options.keys()
        assert not different, [(getattr(recipe, name), getattr(again, name)) for name in different]
        assert not [toast.value for toast in opened.toast]
        assert {name: parameter(opened, name) for name in opened.query_params} == linked


def test_every_control_has_a_recipe():
    assert {name for *_, options in RECIPES for name in options} == {*OFFERED} - NO_CONTROL
    assert {control.option for control in control_table.CONTROLS} <= {*OFFERED} - NO_CONTROL


LINE = {"kind": "brush", "points": [0.2, 0.2, 0.8, 0.8], "size": 1 / 16}
OTHER = {"kind": "erase", "points": [0.8, 0.2, 0.2, 0.8], "size": 1 / 8}
STROKE = drawing.Stroke(((0.2, 0.2), (0.8, 0.8)))


def paper(app) -> dict:
    """What the painter was given."""
    (given,) = received(app, "painter")
    return given


def drawn(app, turn: int, *strokes: dict):
    app.session_state["paper"] = {"edit": {"turn": turn, "edit": {"marks": list(strokes)}}}
    return app.run()


def test_drawing_becomes_the_picture(page):
    app = page()
    assert not received(app, "painter")
    press(app, "Draw")
    assert paper(app)["paper"] == "white" and paper(app)["turn"] == 0
    assert paper(app)["brushes"][1] == drawing.STROKE_WIDTH
    drawn(app, 1, LINE)
    assert not app.error
    image = session(app, Controls).picture
    np.testing.assert_array_equal(image.pixels, drawing.draw([STROKE], "black on white"))
    result = Explainer()(image)
    assert bar(app)["name"] == "drawing.png" and result.predictions[0].label in headline(app).lower()
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    drawn(app, 2, LINE, OTHER)
    latest = session(app, Controls).picture.sha256
    assert latest != image.sha256
    # A late request brings nothing back, and one drawing is one picture, whatever it went through.
    drawn(app, 1, LINE)
    assert session(app, Controls).picture.sha256 == latest
    assert own(app) == ["drawing.png"]


def test_a_drawing_outlives_a_restart_of_the_server(page):
    again = page(state={"paper": {"edit": {"turn": 7, "edit": {"marks": [LINE]}}}})
    assert not again.error and bar(again)["name"] == "drawing.png"
    press(again, "Draw")
    assert paper(again)["edit"]["marks"] == [LINE]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
def test_paper_has_colours_of_sketch_model(page, tmp_path, own_models):
    from sightglass.models.families.keras.network import keras

    library = keras()
    with library.device("cpu"):
        layers = library.layers
        parts = [layers.Input((28, 28, 1)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
        library.Sequential(parts).save(tmp_path / "own.keras")
    weights = 'path = "own.keras", labels = ["cat", "sun", "star"], sketch = "white on black"'
    own_models(f'[model.light]\nloader = "keras"\narch = "keras"\nweights = {{ {weights} }}\n')
    app = page(model="light")
    assert paper(app)["mean"] == [255, 255, 255] and paper(app)["paper"] == "black"
    assert "White pen on black paper: as this model was trained." in texts(app)
    drawn(app, 1, LINE)
    assert session(app, Controls).picture.pixels[0, 0, 0] == 0 and len(shown(app).maps) == 3


FRONT = {"kind": "rectangle", "points": [0.05, 0.3, 0.9, 0.6]}
ALL = {"kind": "rectangle", "points": [0, 0, 1, 1]}


def rows(app) -> list[dict]:
    """The answers, each with its scores before and after and the difference, as they are written."""
    (listed,) = received(app, "answer_list")
    words = [re.fullmatch(r"(.+) → (.+) \((.+)\)", row["text"]) for row in listed["rows"]]
    for row, (before, after, _) in zip(listed["rows"], (match.groups() for match in words), strict=True):
        # Each bar is as long as its number says.
        for share, text in ((row["before"], before), (row["share"], after)):
            assert share is None or plain_text(percent(share)) == plain_text(text) or text == "–"
    return [
        {"answer": row["label"], "before": before, "after": after, "change": change}
        for row, (before, after, change) in zip(listed["rows"], (match.groups() for match in words), strict=True)
    ]


def sentence(app) -> str:
    return plain_text(headline(app))


def painted(app, turn: int, *marks: dict, fill: str = "grey", keep: bool = False, **more):
    edit = {"marks": list(marks), "fill": fill, "keep": keep}
    app.session_state["painter"] = {"edit": {"id": paper(app)["id"], "turn": turn, "edit": edit} | more}
    app.run()
    return edit


def test_boxes_vanish_under_an_edit(page):
    app = page("", edit="1", model="demo-s", example="scene 1")
    count = len(rows(app))
    assert count and sentence(app) == "Paint over something: which boxes vanish?"
    assert paper(app)["edit"]["marks"] == [] and {row["change"] for row in rows(app)} == {"±0"}
    painted(app, 1, ALL)
    assert not app.error and [row["change"] for row in rows(app)] == ["vanished"] * count
    assert shown(app).maps == [] and "No map" in texts(app)


def test_edit_changes_answer_sentence_and_map(page):
    app = page("", example="bus", edit="1")
    original = image_source.example("bus")
    for turn, (fill, keep) in enumerate((("grey", False), ("mean", True)), 1):
        image = edits.edited(original, edits.parse(painted(app, turn, FRONT, fill=fill, keep=keep))).image
        before, after = Explainer()(original), Explainer()(image, targets=("minibus",))
        assert paper(app)["turn"] == turn
        first, best = before.predictions[0], after.predictions[0]
        assert sentence(app).startswith("With only what you kept" if keep else "Without what you painted over")
        listed = {row["answer"]: row for row in rows(app)}
        assert listed[first.label]["before"] == percent(first.score)
        assert listed[best.label]["after"] == percent(best.score)
        # Of the edited picture, for the class that the original is.
        assert shown(app).titles == ["minibus"]
        np.testing.assert_allclose(shown(app).maps[0], after.heatmaps[0].content, atol=1 / 65535)


def test_late_or_invalid_edits_are_ignored(page):
    app = page("", edit="1", method="rise", model="demo-cls-s", example="scene 1")
    painted(app, 2, FRONT)
    # A slow method gives way to one that follows a brush.
    assert len(shown(app).maps) == 1 and "follow a brush" not in texts(app)
    text = sentence(app)
    painted(app, 1)
    assert sentence(app) == text
    painted(app, 3, id="another picture")
    assert sentence(app) == text
    painted(app, 9, {"kind": "brush", "points": [float("nan"), 0]}, {"kind": "patch", "points": "x"}, 7)
    assert not app.error and "Paint over something" in sentence(app)
