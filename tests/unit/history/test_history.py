"""The history keeps explanations bit for bit, and finds, changes, compares and exports them."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.explain import Explainer, Image, Problem
from sightglass.history import History, Mark, store
from sightglass.history.records import draw_marks
from sightglass.report import embedded_recipe
from tests.unit.history.conftest import files, same_maps
from training.demo.scenes import draw, sample

if TYPE_CHECKING:
    from sightglass.explain import Explanation


def test_a_record_is_the_explanation(history: History, one: Explanation) -> None:
    before = datetime.now(UTC)
    record = history.keep(one, index=1, look={"colormap": "jet", "alpha": 0.7}, note=" why? ", tags=["a", "b", "A"])
    assert before <= record.created <= datetime.now(UTC) + timedelta(seconds=1)
    assert record == history.get(record.id) == history.find(one, 1)
    assert history.find(one) is history.find(one.with_method("layercam"), 1) is None
    assert (record.recipe, record.predictions, record.statistics) == (one.recipe, one.predictions, one.statistics[1])
    assert record.labels == tuple(heatmap.target.label for heatmap in one.heatmaps)
    assert (record.index, record.label, record.score) == (1, record.labels[1], one.predictions[1].score)
    assert record.view == embedded_recipe.view_of(one, 1, colormap="jet", alpha=0.7)
    assert (record.note, record.tags, record.marks, record.damaged) == ("why?", ("a", "b"), (), "")
    assert (record.picture_name, record.width, record.height) == ("bus.jpg", 810, 1080)
    same_maps(history, record, one)
    picture = history.picture(record)
    assert picture.sha256 == record.picture_sha256 == one.image.sha256
    assert (picture.jpeg, picture.name) == (one.image.jpeg, "bus.jpg")


def test_a_detector_keeps_its_boxes(history: History) -> None:
    pixels = draw(sample(502, task="detect", held_out=True)).pixels
    found = Explainer("demo-s")(Image(pixels, "scene.png"), per="detection", within="inside", confidence=0.1)
    record = history.keep(found)
    assert found.predictions and record.predictions == found.predictions
    assert record.view.screen == "detect"
    same_maps(history, record, found)
    empty = history.keep(found.with_options(confidence=0.999))
    assert (empty.predictions, empty.labels, empty.statistics, empty.label) == ((), (), None, None)
    assert history.heatmaps(empty) == ()
    assert history.thumbnail(empty)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("demo-cls-s", {"method": "eigencam"}),
        ("demo-cls-s", {"method": "occlusion", "masks": 16}),
        ("demo-vit", {"method": "attention"}),
        ("efficientnet-lite0", {"layers": ("blocks.4", "bn2")}),
    ],
)
def test_maps_of_every_kind_are_kept(history: History, noise: Explanation, model: str, options: Any) -> None:
    made = Explainer(model)(noise.image, top_k=2, **options)
    assert len(made.heatmaps[0].raw) == len(options.get("layers", "1"))
    same_maps(history, history.keep(made), made)


@pytest.mark.parametrize("kind", ["png", "planes", "long"])
def test_any_picture_comes_back_pixel_for_pixel(history: History, noise: Explanation, kind: str) -> None:
    chance = np.random.default_rng(1)
    image = {
        "png": lambda: Image(chance.integers(0, 256, (50, 70, 3), dtype=np.uint8), "a.png"),
        "planes": lambda: Image.open(chance.random((40, 50, 5), dtype=np.float32), name="a.npy"),
        "long": lambda: Image(chance.integers(0, 256, (2, 17_000, 3), dtype=np.uint8), "a.tif"),
    }[kind]()
    found = history.picture(history.keep(replace(noise, image=image, heatmaps=())))
    assert found.sha256 == image.sha256
    assert np.array_equal(found.pixels, image.pixels)


def test_a_deleted_record_frees_its_room(history: History, one: Explanation) -> None:
    first, second = history.keep(one), history.keep(one.with_method("layercam"))
    assert first.bytes == sum(path.stat().st_size for path in files(history) if first.id in path.parts) - len(
        (history.folder / "records" / first.id / "record.json").read_bytes()  # type: ignore[operator]
    )
    taken = history.storage().bytes
    history.delete([first.id, "nobody"])
    assert history.storage().bytes <= taken - first.bytes
    assert {path.parent.name for path in files(history)} == {second.id}
    same_maps(history, second, one.with_method("layercam"))
    with pytest.raises(Problem, match="deleted"):
        history.get(first.id)


def test_notes_tags_and_marks_are_kept_and_found(history: History, one: Explanation) -> None:
    record = history.keep(one, note="first", tags=["old"])
    marks = (Mark("arrow", ((1, 2), (3.5, 4))), Mark("text", ((5, 6),), "Kotflügel"))
    changed = history.annotate(record.id, note="line one\nline two\x07", tags=[" New ", "x"], marks=marks)
    assert changed == history.get(record.id)
    assert (changed.note, changed.tags, changed.marks) == ("line one\nline two", ("New", "x"), marks)
    assert history.annotate(record.id, tags=[]).marks == marks
    assert history.search(text="kotflu").total == 1
    assert history.search(text="first").total == 0
    assert history.choices().tags == {}
    with pytest.raises(Problem, match="deleted"):
        history.annotate("nobody", note="")


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


def test_what_was_removed_is_put_back_whole(
    history: History, one: Explanation, noise: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = history.keep(one, note="the roof", tags=["odd"])
    marked = history.annotate(first.id, marks=[Mark("text", ((0.5, 0.5),), text="here")])
    history.remove([first.id, "nobody"])
    assert (history.search().total, history.storage().count, history.choices().tags) == (0, 0, {})
    assert history.find(one) is None
    with pytest.raises(Problem, match="deleted"):
        history.get(first.id)
    other = history.keep(noise)
    history.put_back([first.id])
    assert history.get(first.id) == marked
    same_maps(history, marked, one)
    for found in (*(history.search(text=text) for text in ("roof", "odd", "here")), history.search(tag="odd")):
        assert [record.id for record in found.records] == [first.id]
    history.remove([first.id])
    monkeypatch.setattr(store, "UNDO", 0)
    with pytest.raises(Problem, match="too late"):
        history.put_back([first.id])
    assert [record.id for record in History(history.folder).search().records] == [other.id]
    assert {path.parent.name for path in files(history)} == {other.id}


def test_exported_files_open_again(history: History, one: Explanation, noise: Explanation) -> None:
    first = history.keep(one, index=1, note="n", tags=["t"])
    history.annotate(first.id, marks=[Mark("text", ((1, 2),), "here")])
    second = history.keep(noise)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in history.export([first.id, second.id, first.id]):
            archive.writestr(name, data)
        names = archive.namelist()
        folder = names[0].split("/")[0]
        assert len(names) == len(set(names)) == 9
        assert archive.read(f"{folder}/picture.jpg") == one.image.jpeg
        said = json.loads(archive.read(f"{folder}/record.json"))
        with np.load(BytesIO(archive.read(f"{folder}/maps.npz"))) as maps:
            assert np.array_equal(maps[maps.files[0]], one.heatmaps[0].at_input)
        found = embedded_recipe.contents(archive.read(f"{folder}/overlay.png"))
    assert (said["note"], said["tags"], said["marks"][0]["text"]) == ("n", ["t"], "here")
    assert said["recipe"]["model"] == "efficientnet-lite0"
    assert found is not None
    assert (found.recipe, found.view) == (one.recipe, first.view)
    back = embedded_recipe.original(found)
    assert back is not None and back.sha256 == one.image.sha256


def grey(width: int = 1000, height: int = 500) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_an_arrow_and_a_text_lie_where_they_were_set() -> None:
    out = draw_marks(grey(), [Mark("arrow", ((100, 100), (400, 300))), Mark("text", ((700, 200),), "wheels")])
    assert tuple(out[200, 250]) == (255, 255, 255)
    letters = np.argwhere((out[:, 600:] == 255).all(axis=2))
    assert abs(letters[:, 0].mean() - 200) < 30 and 600 < letters[:, 1].mean() + 600 < 800
    line = draw_marks(grey(), [Mark("line", ((100, 100), (100, 300), (400, 300)), width=20)])
    assert tuple(line[200, 108]) == tuple(line[300, 250]) == (255, 255, 255) and (line[:, 500:] == 128).all()
    assert draw_marks(grey(), [Mark("arrow", ((-900_000, 0), (900_000, 400)))]).shape == (500, 1000, 3)


@pytest.mark.parametrize("given", [("star", ((1, 2),)), ("arrow", ((1, 2),)), ("text", ((1, 2),)), ("arrow", "ab")])
def test_what_is_no_mark_is_refused(given: tuple) -> None:
    with pytest.raises(Problem):
        Mark(*given)
