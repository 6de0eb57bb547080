"""The history keeps explanations, pairs, proofs and checks bit for bit, and finds, changes and exports them."""

import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightglass.cli.proving import read
from sightglass.explain import Explainer, Explanation, Image, Problem
from sightglass.explain.explainer import replay
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.similarity.similarity import Similarity, similarity
from sightglass.explain.trust.checks import Check, Checks
from sightglass.explain.trust.proof import lines, rows
from sightglass.history import History
from sightglass.history import history as keeping
from sightglass.history.history import UNSURE, save_as_set, save_unsure
from sightglass.report import embedded_recipe, results, similarity_files
from tests.unit.history.conftest import files, plain, same_maps
from training.demo.scenes import draw, sample


def test_a_record_is_the_explanation(history: History, photo: Explanation) -> None:
    before = datetime.now(UTC)
    record = history.keep(photo, index=1, look={"colormap": "jet", "alpha": 0.7}, note=" why? ", tags=["a", "b", "A"])
    assert before <= record.created <= datetime.now(UTC) + timedelta(seconds=1)
    assert record == history.get(record.id) == history.find(photo, 1)
    others = photo.with_method("layercam"), replace(photo, predictions=photo.predictions[::-1])
    assert history.find(photo) is history.find(others[0], 1) is history.find(others[1], 1) is None
    assert (record.recipe, record.predictions) == (photo.recipe, photo.predictions)
    assert record.labels == tuple(heatmap.target.label for heatmap in photo.heatmaps)
    assert (record.index, record.label, record.score) == (1, record.labels[1], photo.predictions[1].score)
    assert record.view == embedded_recipe.view_of(photo, 1, colormap="jet", alpha=0.7)
    assert (record.note, record.tags, record.damaged) == ("why?", ("a", "b"), "")
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
    assert history.heatmaps(empty) == () and history.thumbnail(empty)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("demo-cls-s", {"method": "occlusion", "masks": 16}),
        ("demo-vit", {"method": "attention"}),
        ("efficientnet-lite0", {"layers": ("blocks.4", "bn2")}),
        ("demo-cls-s", {"targets": ("gear",)}),  # not the best answer
    ],
)
def test_maps_of_every_kind_are_kept(history: History, noise: Explanation, model: str, options: Any) -> None:
    result = Explainer(model)(noise.image, **{"top_k": 2} | options)
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
    assert picture.sha256 == image.sha256 and np.array_equal(picture.pixels, image.pixels)


def test_notes_and_tags_are_kept_and_found(history: History, photo: Explanation) -> None:
    record = history.keep(photo, note="first", tags=["old"])
    changed = history.annotate(record.id, note="line one\nline two\x07", tags=[" New ", "x"])
    assert changed == history.get(record.id)
    assert (changed.note, changed.tags) == ("line one\nline two", ("New", "x"))
    assert history.annotate(record.id, tags=[]).note == changed.note
    assert history.search(text="line two").total == 1
    assert history.search(text="first").total == 0 and history.choices()["tag"] == {}
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


def test_exported_files_open_again(history: History, photo: Explanation, noise: Explanation) -> None:
    first = history.keep(photo, index=1, note="n", tags=["t"])
    second = history.keep(noise)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in history.export([first.id, second.id, first.id]):
            archive.writestr(name, data)
        names = archive.namelist()
        folder = names[0].split("/")[0]
        assert len(names) == len(set(names)) == 8
        assert archive.read(f"{folder}/picture.jpg") == photo.image.jpeg
        body = json.loads(archive.read(f"{folder}/record.json"))
        with np.load(BytesIO(archive.read(f"{folder}/maps.npz"))) as maps:
            assert np.array_equal(maps[maps.files[0]], photo.heatmaps[0].at_input)
        embedded = embedded_recipe.contents(archive.read(f"{folder}/overlay.png"))
    assert (body["note"], body["tags"]) == ("n", ["t"])
    assert body["recipe"]["model"] == "efficientnet-lite0"
    assert (embedded.recipe, embedded.view) == (photo.recipe, first.view)
    back = embedded_recipe.original(embedded)
    assert back is not None and back.sha256 == photo.image.sha256


@pytest.fixture(scope="module")
def pair(bus: Path) -> Similarity:
    """A photograph against one picture of a gallery: one is a JPEG, the other an array."""
    explainer, query = Explainer("efficientnet-lite0"), Image.open(bus)
    part = Image(np.ascontiguousarray(query.pixels[200:800, 80:700][:, ::-1]), "part $x$.png")
    return similarity(explainer, query, part, layers=("blocks.4", "bn2"), method="layercam")


def test_a_pair_comes_back_bit_for_bit(history: History, pair: Similarity) -> None:
    record = history.keep(pair, note="the same street", tags=["street"])
    again = History(history.folder)
    record = again.get(record.id)
    restored = again.similarity(record)
    assert plain(restored) == plain(pair)
    assert restored.model.id == pair.model.id and not restored.automatic
    files, expected = (dict(similarity_files.pair_files(item)) for item in (restored, pair))
    assert files == expected
    assert (record.score, record.note, record.tags) == (pair.score, "the same street", ("street",))
    assert record.headline == results.describe_similarity(pair) and again.find(pair) == record


def test_a_pair_is_exported(history: History, pair: Similarity) -> None:
    files = {name.partition("/")[2]: data for name, data in history.export([history.keep(pair).id])}
    written = {"query.jpg", "other.webp", "similarity.jpg", "maps.npz", "similarity.json"}
    assert set(files) == written | {"record.json"}
    assert Image.open(files["query.jpg"]).sha256 == pair.query.image.sha256
    assert json.loads(files["record.json"])["pair"]["name"] == "part $x$.png"


MARKS = (
    Check("model", "yes", "Random weights draw another map.", 0.030099123829178676, 0.2),
    Check("answer", "no", "Maps of other pictures matter as much.", 1.5, 2.25),
    Check("stable", "cannot be told", "The map is too even.", None, 0.2),
)


@pytest.fixture(scope="module")
def proved(bare: Explanation) -> Explanation:
    result = Explainer("demo-cls-s")(bare.image, top_k=2)
    result.prove(0, steps=4)
    result.prove(1, steps=3, fillings=("linear",))
    return result


@pytest.fixture(scope="module")
def checked(bare: Explanation) -> Explanation:
    """Two maps, of which the second has checks."""
    return bare.with_tests({1: Checks(bare.heatmaps[1].target.label, MARKS)})


def test_proof_is_restored_and_replays(history, proved):
    record = history.get(history.keep(proved).id)
    assert record.recipe == proved.recipe
    for index, expected in proved.proofs.items():
        proof = history.proof(record, index)
        assert proof is not None and plain(proof) == plain(expected)
        assert (proof.sentence, rows(proof), lines(proof)) == (expected.sentence, rows(expected), lines(expected))
    again = replay(record.recipe, history.picture(record))
    saved = history.proof(record, 1)
    assert saved is not None and history.proof(record, 2) is None
    assert plain(again.prove(1, steps=saved.map.steps, fillings=saved.fillings)) == plain(proved.proofs[1])
    history.delete([record.id])
    assert files(history) == []


def test_record_and_files_have_checks(history, bare, checked, tmp_path, capsys):
    record, found = history.get(history.keep(checked, index=1).id), checked.known_checks(1)
    assert found is not None and bare.known_checks(1) is None
    assert record.checks == (None, found)
    assert [record.checks_of(i) for i in range(3)] == [None, found, None]
    # Its own recipe is the explanation's, and that of its files has the checks.
    assert record.recipe == bare.recipe
    recipe = record.checked_recipe
    assert [(saved.index, saved.marks[0].value) for saved in recipe.checks] == [(1, MARKS[0].value)]
    files = {name.rsplit("/", 1)[-1]: data for name, data in history.export([record.id])}
    described = json.loads(files["record.json"])
    assert described["checks"][0] is None
    assert described["checks"][1]["checks"][1]["sentence"] == MARKS[1].sentence
    assert embedded_recipe.read(files["overlay.png"]) == recipe
    (tmp_path / "record.json").write_bytes(files["record.json"])
    assert read(tmp_path / "record.json").recipe == recipe


@pytest.fixture(scope="module")
def unsure() -> Explanation:
    return Explainer("demo-cls-s")(load_bundled("scene 1"), top_k=1)


def test_only_a_lower_score_is_saved_with_its_map_and_once(unsure: Explanation, tmp_path: Path) -> None:
    mine, score = History(tmp_path), unsure.predictions[0].score
    assert save_unsure(unsure, score, mine) is None
    record = save_unsure(unsure, score + 1e-6, mine)
    assert (record.tags, record.recipe) == ((UNSURE,), unsure.recipe)
    assert len(mine.heatmaps(record)) == 1
    assert save_unsure(unsure, 1.0, mine) == record and mine.search().total == 1


def test_save_below_setting_and_logged_failure(unsure, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    assert save_as_set(unsure) is None
    monkeypatch.setenv("SIGHTGLASS_SAVE_BELOW", "1")
    assert [save_as_set(unsure)] == [record.id for record in History().search(tag=UNSURE).records]
    keeping._warn.cache_clear()
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "small"))
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "0.001")
    assert save_as_set(unsure) is save_as_set(unsure) is None
    assert caplog.text.count("The history is full") == 1


def named(explanation: Explanation, name: str) -> Explanation:
    return replace(explanation, image=replace(explanation.image, name=name))


@pytest.fixture(scope="module")
def few(noise: Explanation, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Five records, a to e in the order of time."""
    history = History(tmp_path_factory.mktemp("history"))
    history.keep(named(noise, "a_bus-07.jpg"), note="Looks at the number plate", tags=["street", "Café"])
    history.keep(named(noise, "b.jpg"), index=1, note="100% sure_ly", tags=["street"])
    history.keep(named(noise.with_method("layercam"), "c.jpg"), note="das Straßenschild, Käfer")
    history.keep(named(noise, "d.jpg"), note="巴士在街上 🚗", tags=["🚗"])
    history.keep(named(noise, "e.jpg"), note="plates")
    return history


def names(history: History, **asked: Any) -> str:
    """The first letters of the names of what is found, in its order."""
    matches = history.search(**asked)
    assert matches.total >= len(matches.records)
    return "".join(record.picture_name[0] for record in matches.records)


FOUND = {
    "abcde": ("", "efficientnet-lite0", "%", "\x00 \ud800"),
    "ae": ("plate", "lat"),
    "ab": ("_",),
    "a": ("PLATE numb", "bus-07", "a_bus", "cafe", "café"),
    "b": ("100%", "sure_ly"),
    "c": ("kafer", "strassen", "layerc"),
    "d": ("街", "🚗"),
    "": ("plate nothing", '"', "plate* OR NEAR(", "note:plate", "'; --", "zq " * 5000),
}
"""What is searched for, by the letters of the records that are found."""


def test_words_are_found(few: History) -> None:
    for expected, texts in FOUND.items():
        for text in texts:
            assert names(few, text=text)[::-1] == expected, text


def test_choices_narrow_and_are_counted(few: History, noise: Explanation) -> None:
    first, second = (heatmap.target.label for heatmap in noise.heatmaps)
    assert names(few, model="efficientnet-lite0", tag="street") == "ba"
    assert names(few, tag="STREET") == ""
    # The class of the map that was looked at, and the first answer.
    assert names(few, label=second) == "b" and names(few, label=first, text="plate") == "ea"
    assert names(few, model="nothing") == ""
    choices = few.choices()
    assert choices["model"] == {"efficientnet-lite0": 5}
    assert choices["label"] == {first: 5, second: 1}
    assert choices["tag"] == {"street": 2, "Café": 1, "🚗": 1}


def test_pages_and_days(few: History) -> None:
    assert names(few) == "edcba" and names(few, limit=2, offset=1) == "dc"
    assert few.search(limit=2, offset=4).total == 5 and names(few, offset=99) == ""
    assert names(few, since=few.search().records[2].created) == "edc"
