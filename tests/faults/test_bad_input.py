"""Bad input of every kind at every door: a map or one sentence, the server goes on, and nothing stays behind.

What is valid is also damaged at random by hypothesis, which prints how to repeat what it finds.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass import cli
from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.cli.replay import read as read_recipe
from sightglass.common.errors import Problem
from sightglass.deck import archive as decks
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import find
from sightglass.export import embedded_recipe
from sightglass.models import catalog, labels
from sightglass.models.spec import ModelSpec, WeightsTable
from sightglass.video.clips.clip import Clip
from tests import corpus
from tests.clips import clip, scene
from tests.faults.outcome import is_one_sentence
from tests.unit.deck.test_decks import a_scene
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow
MODEL = "demo-cls-s"
COMMON: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
SOME = settings(max_examples=50, derandomize=True, **COMMON)


@pytest.fixture(scope="module")
def given_files() -> corpus.Files:
    """Pictures and arrays; some are seconds of packing."""
    return corpus.pictures() | corpus.arrays()


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(MODEL)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create(ApiRules(model=MODEL))) as made:
        yield made


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which nothing is left behind, and none beside it; temporary files would be there too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    yield folder
    assert list(folder.iterdir()) == []
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    assert not Path("/tmp/slipped.png").exists()


def answered(work: Callable[[], Any], name: str) -> bool:
    """Whether work came to something; otherwise it must have ended in one sentence."""
    try:
        work()
    except Problem as problem:
        assert is_one_sentence(str(problem)), (name, str(problem))
        return False
    return True


def in_time(name: str) -> str:
    """A file's name as a file system takes it."""
    return name.replace("/", "_").replace("\n", "_")[:200]


def _explained(explainer: Explainer, name: str, data: bytes) -> None:
    explainer(Image.open(data, name=name))


def test_pictures_and_arrays_in_the_library(explainer: Explainer, given_files: corpus.Files, clean: Path) -> None:
    made = 0
    for name, data in given_files.items():
        made += answered(partial(_explained, explainer, name, data), name)
    assert 15 < made < len(given_files) - 15


def test_pictures_and_arrays_over_http(client: TestClient, given_files: corpus.Files, clean: Path) -> None:
    made = 0
    for name, data in given_files.items():
        answer = client.post("/api/explain", files={"image": (name, data)})
        assert answer.status_code in (200, 400, 413, 415, 422), (name, answer.text[:300])
        made += answer.status_code == 200
        assert answer.status_code == 200 or is_one_sentence(answer.json()["detail"]), (name, answer.text)
    assert client.get("/api/health").status_code == 200
    assert made > 15


def test_pictures_and_arrays_on_the_command_line(
    given_files: corpus.Files, clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = 0
    (tmp_path / "in").mkdir()
    for name, data in list(given_files.items())[::15]:
        path = tmp_path / "in" / in_time(name)
        path.write_bytes(data)
        code = cli.main(["image", str(path), "--model", MODEL, "--out", str(tmp_path / "out")])
        said = capsys.readouterr().err.strip()
        made += code == 0
        assert code == 0 or is_one_sentence(said.replace(str(path), "it")), (name, said)
        assert "This should not have happened" not in said, (name, said)
    assert not list((tmp_path / "out").rglob("*.part"))


def _given(files: list[tuple[str, bytes]]) -> None:
    """A page that takes files as Explore does, one after another."""
    import streamlit as st

    from sightglass.components.choices import image_picker
    from sightglass.components.session import state
    from sightglass.components.session.pictures import image_source

    said = []
    for one in files:
        image_picker.take([one])
        said.append(state.of(image_source.Pictures).problem)
    st.session_state["said"] = said


def test_pictures_and_arrays_given_to_a_page(given_files: corpus.Files) -> None:
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_function(
        _given, default_timeout=patience(120), kwargs={"files": list(given_files.items())}
    ).run()
    assert not app.exception
    said = app.session_state["said"]
    assert len(said) == len(given_files)
    assert all(words is None or is_one_sentence(words) for words in said)


def test_archives_in_a_batch(clean: Path, tmp_path: Path) -> None:
    for name, data in corpus.archives().items():
        path = tmp_path / name
        path.write_bytes(data)

        def opened(path: Path = path) -> None:
            for item in find(path):
                answered(item.open, path.name)

        answered(opened, name)


def test_clips(clean: Path, tmp_path: Path) -> None:
    found = corpus.clips(tmp_path)
    for name, data in found.items():
        path = tmp_path / f"given-{name}"
        path.write_bytes(data)
        answered(lambda path=path: [*Clip(path).frames()], name)


def test_decks_recipes_labels_and_tables(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in (corpus.texts() | corpus.archives() | corpus.pictures()).items():
        assert not answered(lambda data=data: decks.read(data), name)
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    for name, data in corpus.texts().items():
        path = tmp_path / name
        path.write_bytes(data)
        assert not answered(lambda path=path: read_recipe(path), name)
        answered(lambda data=data: embedded_recipe.contents(data), name)
        for kind in (".json", ".txt"):
            (tmp_path / f"labels{kind}").write_bytes(data)
            spec = ModelSpec(
                "x", "x", "", MODEL, "x", "classify", "none", weights=WeightsTable(labels=f"{tmp_path}/labels{kind}")
            )
            answered(lambda spec=spec: labels.own(spec), name)
        (tmp_path / "models.toml").write_bytes(data)
        answered(catalog.catalog, name)


# Valid files that are damaged at random.


def damaged(whole: bytes) -> some.SearchStrategy[bytes]:
    """Flip bytes of a file, cut it, or repeat a part of it."""

    def flipped(changes: list[tuple[int, int]]) -> bytes:
        data = bytearray(whole)
        for place, value in changes:
            data[place] = value
        return bytes(data)

    place = some.integers(0, len(whole) - 1)
    return some.one_of(
        some.lists(some.tuples(place, some.integers(0, 255)), min_size=1, max_size=12).map(flipped),
        place.map(lambda end: whole[:end]),
        some.tuples(place, place).map(lambda pair: whole[: pair[0]] + whole[pair[1] :]),
    )


WHOLE = {
    "jpeg": lambda: corpus.saved(Pillow.fromarray(corpus.pixels()), "JPEG"),
    "png": lambda: corpus.saved(Pillow.fromarray(corpus.pixels()), "PNG"),
    "gif": lambda: corpus.pictures()["animated.gif"],
    "webp": lambda: corpus.pictures()["animated.webp"],
    "tiff": lambda: corpus.pictures()["lab.tiff"],
    "npy": lambda: corpus.arrays()["planes.npy"],
}


def _picture(kind: str, data: bytes) -> None:
    answered(lambda: Image.open(data, name=f"a.{kind}"), kind)
    answered(lambda: embedded_recipe.contents(data), kind)


@SOME
@given(some.data())
@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_pictures(kind: str, data: Any) -> None:
    _picture(kind, data.draw(damaged(WHOLE[kind]())))


DECK = decks.write("A deck", [a_scene("One"), a_scene("Two", 1)])


@SOME
@given(damaged(DECK))
def test_damaged_decks(data: bytes) -> None:
    answered(lambda: decks.read(data), "deck")


@pytest.fixture(scope="module")
def a_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "a.mp4", scene(4), sound="aac")


def _read_clip(path: Path, data: Any) -> None:
    given = path.with_name("damaged.mp4")
    given.write_bytes(data.draw(damaged(path.read_bytes())))
    answered(lambda: [*Clip(given).frames()], "clip")


@SOME
@given(some.data())
def test_damaged_clips(a_clip: Path, data: Any) -> None:
    _read_clip(a_clip, data)
