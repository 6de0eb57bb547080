"""Bad input of every kind at every door: a map or one sentence, the server goes on, and nothing stays behind.

What is valid is also damaged at random by hypothesis, which prints how to repeat what it finds.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image as Pillow

from sightglass.cli.proving import read as read_recipe
from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.history import decks
from sightglass.models import catalog, labels
from sightglass.models.spec import ModelSpec, WeightsTable
from sightglass.report import embedded_recipe
from sightglass.report.view import View
from sightglass.video.clip import Clip
from tests import corpus
from tests.clips import clip, scene
from tests.faults.outcome import is_one_sentence
from tests.unit.report.test_decks import whole

pytestmark = pytest.mark.slow
MODEL = "demo-cls-s"
CHECKS = list(HealthCheck)
SOME = settings(max_examples=50, derandomize=True, deadline=None, database=None, suppress_health_check=CHECKS)


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


def answered(name: str, work: Callable[..., Any], *arguments: object) -> bool:
    """Whether work came to something; otherwise it must have ended in one sentence."""
    try:
        work(*arguments)
    except Problem as problem:
        assert is_one_sentence(str(problem)), (name, str(problem))
        return False
    return True


def read_deck(path: Path, data: bytes) -> list[View]:
    path.write_bytes(data)
    return [slide.view for slide in decks.read(path).slides]


def test_pictures_in_the_library(clean: Path) -> None:
    explainer, files = Explainer(MODEL), corpus.pictures()
    answers = [
        answered(name, lambda *file: explainer(Image.open(file[0], name=file[1])), files[name], name) for name in files
    ]
    assert 15 < sum(answers) < len(files) - 15


def test_clips(clean: Path, tmp_path: Path) -> None:
    for name, data in corpus.clips(tmp_path).items():
        path = tmp_path / f"given-{name}"
        path.write_bytes(data)
        answered(name, lambda path: [*Clip(path).frames()], path)


def test_decks_recipes_labels_and_tables(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in (corpus.texts() | corpus.pictures()).items():
        assert not answered(name, partial(read_deck, tmp_path / "deck"), data)
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    for name, data in corpus.texts().items():
        path = tmp_path / name
        path.write_bytes(data)
        assert not answered(name, read_recipe, path)
        answered(name, embedded_recipe.contents, data)
        for kind in (".json", ".txt"):
            (tmp_path / f"labels{kind}").write_bytes(data)
            spec = ModelSpec(
                "x", "x", "", MODEL, "x", "classify", "none", weights=WeightsTable(labels=f"{tmp_path}/labels{kind}")
            )
            answered(name, labels.stated_names, spec)
        (tmp_path / "models.toml").write_bytes(data)
        answered(name, catalog.catalog)


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
    "npy": lambda: corpus.npy(corpus.pixels(40, 100).reshape(40, 60, 5) / 255),
}


@SOME
@given(some.data())
@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_pictures(kind: str, data: Any) -> None:
    content = data.draw(damaged(WHOLE[kind]()))
    answered(kind, lambda: Image.open(content, name=f"a.{kind}"))


@pytest.fixture(scope="module")
def a_deck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deck")
    slides = [decks.Slide(f"deck-{title}", decks.pack(replace(whole(), title=title))) for title in ("One", "Two")]
    decks.save(folder, decks.Deck("deck", "A deck", tuple(slides)))
    return folder / f"deck{decks.SUFFIX}"


@SOME
@given(some.data())
def test_damaged_decks(a_deck: Path, data: Any) -> None:
    answered("deck", partial(read_deck, a_deck.with_suffix(".damaged")), data.draw(damaged(a_deck.read_bytes())))


@pytest.fixture(scope="module")
def a_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "a.mp4", scene(4), sound="aac")


@SOME
@given(some.data())
def test_damaged_clips(a_clip: Path, data: Any) -> None:
    path = a_clip.with_name("damaged.mp4")
    path.write_bytes(data.draw(damaged(a_clip.read_bytes())))
    answered("clip", lambda: [*Clip(path).frames()])
