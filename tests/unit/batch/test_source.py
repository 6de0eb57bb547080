"""Where many pictures come from, hostile ones among them: nothing is followed or unpacked that should not be."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sightglass.batch import uploads
from sightglass.batch.table import stem
from sightglass.common.errors import ImageProblem, ModelProblem, Problem
from sightglass.common.left_out import describe_left_out
from sightglass.explain import Explainer
from sightglass.explain.picture import source as picture_source
from sightglass.explain.picture.image import to_jpeg, to_path
from sightglass.explain.picture.source import Item, find, spread
from sightglass.explain.tasks import TASKS
from tests.corpus import zip_of
from tests.servers import settings_of

JPEG = to_jpeg(np.full((8, 8, 3), 90, np.uint8))


def written(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(JPEG)
    return root


def packed(path: Path, files: dict[str, bytes | str], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def keys(items: list[Item]) -> list[str]:
    return [item.key for item in items]


def test_folder_order_and_labels(tmp_path: Path) -> None:
    written(tmp_path, "dog/2.JPG", "cat/1.png", "cat/10.jpg", "loose.webp", ".hidden/x.jpg", "cat/.y.jpg", "out/z.jpg")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    left_out: dict[str, str] = {}
    items = find(tmp_path, skip=tmp_path / "out", left_out=left_out)
    assert left_out == {".hidden/": "hidden", "cat/.y.jpg": "hidden", "cat/notes.txt": "no picture"}
    files = {"a.jpg": JPEG, "b/README.md": b"", "b/c.txt": b"", "__MACOSX/a.jpg": b"", "d.pdf": b"", "e.doc": b""}
    packed_left_out: dict[str, str] = {}
    assert keys(find(packed(tmp_path / "out" / "p.zip", files), left_out=packed_left_out)) == ["a.jpg"]
    words = "5 files were left out: __MACOSX/a.jpg (hidden); b/README.md, b/c.txt, d.pdf and 1 more (no picture)."
    assert describe_left_out(packed_left_out) == words and describe_left_out({}) == ""
    assert [(item.key, item.label) for item in items] == [
        ("loose.webp", None),
        ("cat/1.png", "cat"),
        ("cat/10.jpg", "cat"),
        ("dog/2.JPG", "dog"),
    ]
    assert items[1].open().width == 8


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (pipe,) = find([tmp_path / "pipe.jpg"])
    with pytest.raises(ImageProblem, match="no file"):
        pipe.open()


def test_a_pattern_one_file_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
    assert keys(find(str(tmp_path / "*" / "1.jpg"))) == ["cat/1.jpg", "dog/1.jpg"]
    assert keys(find(str(tmp_path / "**" / "*.jpg"))) == ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    items = find(["cat/2.jpg", "dog/1.jpg", "missing.jpg", "cat/2.jpg", "bad\0name.jpg"])
    assert keys(items) == ["cat/2.jpg", "dog/1.jpg", "missing.jpg", "cat/2.jpg (2)", "bad\\x00name.jpg"]
    assert [item.label for item in items[:3]] == ["cat", "dog", None]
    for item in (items[2], items[4]):
        with pytest.raises(ImageProblem):
            item.open()
    assert keys(find(tmp_path / "cat" / "1.jpg")) == ["1.jpg"]
    assert [(i.key, i.open().name) for i in find([("a/up.jpg", JPEG)])] == [("a/up.jpg", "up.jpg")]


def test_more_than_the_most_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match="more than 2 pictures"):
        find(written(tmp_path, "1.jpg", "2.jpg", "3.jpg"), most=2)


def test_names_in_an_archive_are_never_paths(tmp_path: Path) -> None:
    names = ["../../evil.jpg", "/etc/evil.jpg", "C:\\evil.jpg", "a/../b/x.jpg", "cat/ok.jpg", "cat/\u202egpj.jpg"]
    path = packed(tmp_path / "some.zip", {**dict.fromkeys(names, JPEG), "__MACOSX/._ok.jpg": b"", "readme.md": b"x"})
    items = find(path)
    assert len(items) == len(names)
    base = (tmp_path / "out").resolve()
    stems = set()
    for item in items:
        assert item.open().width == 8
        to = (base / f"{stem(item)}.jpg").resolve()
        assert base in to.parents
        stems.add(to)
    assert len(stems) == len(names) and not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("data", [b"", b"no archive", zip_of({"1.jpg": JPEG, "2.jpg": JPEG})[:-30]])
def test_damaged_archive_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "some.zip").write_bytes(data)
    with pytest.raises(ModelProblem, match=r"some\.zip"):
        find(tmp_path / "some.zip")


def test_bombs_are_refused_before_anything_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = find(packed(tmp_path / "large.zip", {"zeros.jpg": b"\0" * (65 * 2**20)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(ImageProblem, match="at most"):
        item.open()
    many = packed(tmp_path / "many.zip", {f"{n}.jpg": b"\0" * 1000 for n in range(20)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(picture_source, "MAX_UNPACKED_BYTES", 10_000)
    with pytest.raises(ModelProblem, match="unpacks to more"):
        find(many)
    monkeypatch.setattr(picture_source, "MAX_LIST_BYTES", 100)
    more = packed(tmp_path / "more.zip", {f"{n}.jpg": JPEG for n in range(20)})
    with pytest.raises(ModelProblem, match="lists too many"):
        find(more)


def test_zip_directory_size_like_signature(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        # 101 MB, whose bytes are the signature by which another reader would look for the end.
        file.truncate(0x06054B50)
        file.seek(0, os.SEEK_END)
        file.write(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 9, 9, 0x06054B50, 0, 0))
    with pytest.raises(ModelProblem, match="lists too many"):
        find(path)


def test_unreadable_archive_members_are_named(tmp_path: Path) -> None:
    path = packed(tmp_path / "some.zip", {"1.jpg": JPEG, "2.jpg": JPEG, "3.jpg": JPEG})
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    data[first + 8] |= 1
    third = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02", first + 4) + 4)
    data[data.index(JPEG, data.index(JPEG) + 1) + 100] ^= 0xFF
    data[third + 10] = zipfile.ZIP_LZMA
    path.write_bytes(data)
    for item, words in zip(find(path), ("encrypted", "damaged", "ordinary"), strict=True):
        with pytest.raises(ImageProblem, match=words):
            item.open()


def test_some_of_many_are_spread_evenly(tmp_path: Path) -> None:
    items = find(written(tmp_path, *(f"{name}.jpg" for name in ("0_0", "0_1", "1_0", "1_1", "2_0", "2_1"))))
    assert keys(spread(items, 3)) == ["0_1.jpg", "1_1.jpg", "2_1.jpg"]
    assert spread(items, 6) == items == spread(items, 99) and len(spread(items, 1)) == 1


def test_dropped_archives_say_what_is_wrong_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that they hold no labels, where their pictures are too many, or too large."""
    monkeypatch.setattr(uploads, "MAX_PICTURES", 3)
    monkeypatch.setattr(picture_source, "MAX_UNPACKED_BYTES", 4 * len(JPEG))
    archives = {
        "more than 3 pictures": zip_of({f"{i}.jpg": b"" for i in range(4)}),
        "unpacks to more than": zip_of({"a.jpg": bytes(5 * len(JPEG))}),
        "is damaged or no .zip archive": b"no archive",
        "holds no labels": zip_of({"a.exe": b""}),
    }
    with settings_of(batches=tmp_path):
        for sentence, data in archives.items():
            with pytest.raises(Problem, match=sentence):
                uploads.read_uploads([("some.zip", data)], TASKS["classify"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["labels.jpg", "segmentation.png", "top_predictions/gradcam_top1_gear.npy"])
def test_what_was_drawn_without_a_recipe_is_left_out(name: str, tmp_path: Path, bus: Path) -> None:
    results = tmp_path / "results"
    explanation = Explainer("demo-seg")(bus, top_k=1)
    explanation.save(results)
    drawn = results / name
    drawn.parent.mkdir(exist_ok=True)
    if drawn.suffix == ".npy":
        np.save(drawn, explanation.heatmaps[0].values)
    elif not drawn.exists():
        drawn.write_bytes(bus.read_bytes())
    np.save(results / "mine.npy", explanation.image.pixels)
    left_out: dict[str, str] = {}
    assert [item.key for item in find(tmp_path, left_out=left_out)] == ["results/mine.npy"]
    assert left_out[f"results/{name}"] == picture_source.OWN


@pytest.mark.parametrize("name", ["a b.png", "a%20b.png"])
def test_an_address_of_a_file_is_its_path(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert to_path(f"file://{tmp_path}/a%20b.png") == tmp_path / name
    assert to_path(f"file://localhost{tmp_path}/a%20b.png") == tmp_path / name


@pytest.mark.parametrize("door", ["folder", "archive", "storage"])
def test_folders_of_results_are_left_out(door: str, tmp_path: Path, bus: Path) -> None:
    explanation = Explainer("demo-cls-s")(bus, top_k=1)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(bus.read_bytes())
    explanation.save(tmp_path / "photos" / "explained")
    results = tmp_path / "photos" / "explained"
    (results / "bus_original.jpg").write_bytes(bus.read_bytes())
    (results / "mine.jpg").write_bytes(bus.read_bytes())
    (results / "maps").mkdir()
    np.save(results / "maps" / "a.npy", explanation.heatmaps[0].values)
    left_out: dict[str, str] = {}
    files = {file.relative_to(tmp_path).as_posix(): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    source: Path | str = tmp_path
    if door == "archive":
        source = packed(tmp_path / "all.zip", files)
    if door == "storage":
        memory = pytest.importorskip("fsspec").filesystem("memory")
        for name, data in files.items():
            memory.pipe_file(f"/explained/{name}", data)
        source = "memory://explained"
    items = find(source, left_out=left_out)
    assert [item.key for item in items] == ["photos/a.jpg", "photos/explained/mine.jpg"]
    drawn = [name for name, reason in left_out.items() if reason == picture_source.OWN]
    named = ("gradcam_prediction.png", "bus_original.jpg", "maps/a.npy")
    assert {f"photos/explained/{name}" for name in named} <= {*drawn}
    assert any(name.startswith("photos/explained/top_predictions/") for name in drawn)
