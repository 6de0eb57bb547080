"""The history keeps explanations bit for bit, and finds, changes, compares and exports them."""

import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from sightglass.explain import Explainer, Explanation, Image, Problem
from sightglass.explain.whatif.edits import EditMark
from sightglass.history import History
from sightglass.report import embedded_recipe
from tests.unit.history.conftest import files, same_maps
from training.demo.scenes import draw, sample


def test_a_record_is_the_explanation(history: History, photo: Explanation) -> None:
    before = datetime.now(UTC)
    record = history.keep(photo, index=1, look={"colormap": "jet", "alpha": 0.7}, note=" why? ", tags=["a", "b", "A"])
    assert before <= record.created <= datetime.now(UTC) + timedelta(seconds=1)
    assert record == history.get(record.id) == history.find(photo, 1)
    assert history.find(photo) is history.find(photo.with_method("layercam"), 1) is None
    assert (record.recipe, record.predictions) == (photo.recipe, photo.predictions)
    assert record.labels == tuple(heatmap.target.label for heatmap in photo.heatmaps)
    assert (record.index, record.label, record.score) == (1, record.labels[1], photo.predictions[1].score)
    assert record.view == embedded_recipe.view_of(photo, 1, colormap="jet", alpha=0.7)
    assert (record.note, record.tags, record.marks, record.damaged) == ("why?", ("a", "b"), (), "")
    assert (record.picture_name, record.width, record.height) == ("bus.jpg", 810, 1080)
    same_maps(history, record, photo)
    picture = history.picture(record)
    assert picture.sha256 == record.picture_sha256 == photo.image.sha256
    assert (picture.jpeg, picture.name) == (photo.image.jpeg, "bus.jpg")
    assert record.bytes == sum(path.stat().st_size for path in files(history) if path.name != "record.json")


def test_a_detector_keeps_its_boxes(history: History) -> None:
    pixels = draw(sample(502, task="detect", held_out=True)).pixels
    result = Explainer("demo-s")(Image(pixels, "scene.png"), per="detection", within="inside", confidence=0.1)
    record = history.keep(result)
    assert result.predictions and record.predictions == result.predictions
    same_maps(history, record, result)
    empty = history.keep(result.with_options(confidence=0.999))
    assert (empty.predictions, empty.labels, empty.label) == ((), (), None)
    assert history.heatmaps(empty) == ()
    assert history.thumbnail(empty)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("demo-cls-s", {"method": "occlusion", "masks": 16}),
        ("demo-vit", {"method": "attention"}),
        ("efficientnet-lite0", {"layers": ("blocks.4", "bn2")}),
    ],
)
def test_maps_of_every_kind_are_kept(history: History, noise: Explanation, model: str, options: Any) -> None:
    result = Explainer(model)(noise.image, top_k=2, **options)
    assert len(result.heatmaps[0].raw) == len(options.get("layers", "1"))
    same_maps(history, history.keep(result), result)


@pytest.mark.parametrize("kind", ["png", "planes", "long"])
def test_any_picture_comes_back_pixel_for_pixel(history: History, noise: Explanation, kind: str) -> None:
    chance = np.random.default_rng(1)
    image = {
        "png": lambda: Image(chance.integers(0, 256, (50, 70, 3), dtype=np.uint8), "a.png"),
        "planes": lambda: Image.open(chance.random((40, 50, 5), dtype=np.float32), name="a.npy"),
        "long": lambda: Image(chance.integers(0, 256, (2, 17_000, 3), dtype=np.uint8), "a.tif"),
    }[kind]()
    picture = history.picture(history.keep(replace(noise, image=image, heatmaps=())))
    assert picture.sha256 == image.sha256
    assert np.array_equal(picture.pixels, image.pixels)


def test_notes_tags_and_marks_are_kept_and_found(history: History, photo: Explanation) -> None:
    record = history.keep(photo, note="first", tags=["old"])
    marks = (EditMark("brush", ((0.1, 0.2), (0.35, 0.4)), 0.01),)
    changed = history.annotate(record.id, note="line one\nline two\x07", tags=[" New ", "x"], marks=marks)
    assert changed == history.get(record.id)
    assert (changed.note, changed.tags, changed.marks) == ("line one\nline two", ("New", "x"), marks)
    assert history.annotate(record.id, tags=[]).marks == marks
    assert history.search(text="line two").total == 1
    assert history.search(text="first").total == 0
    assert history.choices()["tag"] == {}
    with pytest.raises(Problem, match="deleted"):
        history.annotate("nobody", note="")
    for bad in (EditMark("rectangle", ((0, 0), (1, 1))), EditMark("brush", ()), *[EditMark("brush", ((0, 0),) * 7000)]):
        with pytest.raises(Problem, match="lines of the brush"):
            history.annotate(record.id, marks=[bad])


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a'; DROP TABLE records; --", "x" * 120, "\N{BUS} ü.jpg", "a\udc80.jpg"]
)
def test_names_are_only_data(history: History, noise: Explanation, name: str) -> None:
    record = history.keep(replace(noise, image=replace(noise.image, name=name)), tags=[name[:50]])
    assert history.get(record.id).picture_name == name.replace("\udc80", "?")
    assert record.damaged == ""
    assert history.search(tag=record.tags[0], label=record.label).total == 1
    assert history.search(model=name, tag=name).total == 0
    assert all(".." not in written and written.count("/") == 1 for written, _ in history.export([record.id]))


def test_what_was_removed_is_put_back_whole(history, photo, noise, monkeypatch):
    first = history.keep(photo, note="the roof", tags=["odd"])
    marked = history.annotate(first.id, marks=[EditMark("brush", ((0.5, 0.5),), 0.02)])
    history.delete([first.id, "nobody"], undoable=True)
    assert (history.search().total, history.choices()["tag"]) == (0, {})
    assert history.find(photo) is None
    with pytest.raises(Problem, match="deleted"):
        history.get(first.id)
    other = history.keep(noise)
    history.put_back([first.id])
    assert history.get(first.id) == marked
    same_maps(history, marked, photo)
    for found in (*(history.search(text=text) for text in ("roof", "odd")), history.search(tag="odd")):
        assert [record.id for record in found.records] == [first.id]
    history.delete([first.id], undoable=True)
    monkeypatch.setattr("sightglass.history.history.UNDO", 0)
    with pytest.raises(Problem, match="too late"):
        history.put_back([first.id])
    assert [record.id for record in History(history.folder).search().records] == [other.id]
    assert {path.parent.name for path in files(history)} == {other.id}


def test_exported_files_open_again(history: History, photo: Explanation, noise: Explanation) -> None:
    first = history.keep(photo, index=1, note="n", tags=["t"])
    history.annotate(first.id, marks=[EditMark("brush", ((0.1, 0.2), (0.3, 0.4)), 0.02)])
    second = history.keep(noise)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in history.export([first.id, second.id, first.id]):
            archive.writestr(name, data)
        names = archive.namelist()
        folder = names[0].split("/")[0]
        assert len(names) == len(set(names)) == 9
        assert archive.read(f"{folder}/picture.jpg") == photo.image.jpeg
        body = json.loads(archive.read(f"{folder}/record.json"))
        with np.load(BytesIO(archive.read(f"{folder}/maps.npz"))) as maps:
            assert np.array_equal(maps[maps.files[0]], photo.heatmaps[0].at_input)
        embedded = embedded_recipe.contents(archive.read(f"{folder}/overlay.png"))
    assert (body["note"], body["tags"], body["marks"][0]["size"]) == ("n", ["t"], 0.02)
    assert body["recipe"]["model"] == "efficientnet-lite0"
    assert (embedded.recipe, embedded.view) == (photo.recipe, first.view)
    back = embedded_recipe.original(embedded)
    assert back is not None and back.sha256 == photo.image.sha256
