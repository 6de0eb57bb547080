"""Labels of every format are read, and what is wrong with them is said line by line."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth
from sightglass.explain.picture import source as picture_source
from tests.faults.outcome import is_one_sentence

if TYPE_CHECKING:
    from collections.abc import Callable

BOX = (10.0, 20.0, 60.0, 100.0)
SIZE = (200, 200)


def coco(folder: Path) -> Path:
    table = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [10, 20, 50, 80]}],
    }
    (folder / "labels.json").write_text(json.dumps(table))
    return folder / "labels.json"


def table(folder: Path) -> Path:
    (folder / "labels.csv").write_text("file,x0,y0,x1,y1,label\na.jpg,10,20,60,100,cat\nb.jpg,,,,,\n")
    return folder / "labels.csv"


def yolo(folder: Path) -> Path:
    (folder / "data.yaml").write_text("names:\n  0: dog\n  1: cat\n")
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("1 0.175 0.3 0.25 0.4\n")
    (folder / "labels" / "b.txt").write_text("")
    return folder / "labels"


def polygon(folder: Path) -> Path:
    labels = yolo(folder)
    (labels / "a.txt").write_text("1 0.05 0.1 0.3 0.1 0.3 0.5 0.05 0.5\n")
    return labels


def voc(folder: Path) -> Path:
    for name, corners in {"a": "<xmin>11</xmin><ymin>21</ymin><xmax>60</xmax><ymax>100</ymax>", "b": ""}.items():
        box = f"<object><name>cat</name><bndbox>{corners}</bndbox></object>" if corners else ""
        (folder / f"{name}.xml").write_text(f"<annotation><filename>{name}.jpg</filename>{box}</annotation>")
    return folder


@pytest.mark.parametrize("make", [coco, table, yolo, polygon, voc])
def test_every_format_says_the_same(make: object, tmp_path: Path) -> None:
    found = ground_truth.read(make(tmp_path))  # type: ignore[operator]
    assert found.problems == ()
    (one,) = found.find("pictures/a.jpg") or ()
    assert one.label == "cat"
    assert one.in_pixels(SIZE).box == pytest.approx(BOX)
    assert found.find("b.jpg") == ()
    assert found.find("c.jpg") is None
    assert found.classes == ("cat",)


WRONG = {
    "1 0.5 0.5 0.5": "a box has four numbers after its class, a polygon six or more",
    "7 0.5 0.5 0.5 0.5": "class 7 is not one of the 2 that are named",
    "cat 0.5 0.5 0.5 0.5": "class cat is not one of the 2 that are named",
    "1 nan 0.5 0.5 0.5": "a coordinate is no number",
    "1 100 90 50 50": "its numbers are not parts of the picture from 0 to 1",
    "1 0.5 0.5 0 0.5": "its box has no area",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_cannot_be_used_is_said_and_the_others_count(line: str, tmp_path: Path) -> None:
    labels = yolo(tmp_path)
    (labels / "a.txt").write_text(f"{line}\n1 0.175 0.3 0.25 0.4\n")
    found = ground_truth.read(labels)
    assert [one.words for one in found.problems] == [f"a.txt, line 1: {WRONG[line]}."]
    assert len(found.find("a.jpg") or ()) == 1


HOSTILE = {
    "voc.xml": b"<annotation/>",
    "entity.xml": b'<!DOCTYPE x [<!ENTITY a "aaaa">]><annotation>&a;</annotation>',
    "cut.xml": b"<annotation><object>",
    "text.txt": b"0 .5 .5 .2 .2",
    "no.json": b"\x00\xff",
    "deep.json": b"[" * 100_000,
    "list.json": b"[1, 2]",
    "images.json": b'{"images": 3, "categories": [], "annotations": []}',
    "odd.json": b'{"images": [], "categories": [], "annotations": [3, {}, {"image_id": []}]}',
    "no.csv": b"\xff\xfe\x00",
    "columns.csv": b"name,label\na,b\n",
    "short.csv": b"file,x0,y0,x1,y1,label\na.jpg,1\n",
    "other.pdf": b"%PDF",
    "missing.json": None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_file_of_labels_is_one_sentence(name: str, tmp_path: Path) -> None:
    if (data := HOSTILE[name]) is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(Problem) as told:
        ground_truth.read(tmp_path / name)
    assert is_one_sentence(str(told.value))


def pack(path: Path, files: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("make", [coco, yolo, voc])
@pytest.mark.parametrize("top", ["", "my set/"])
def test_an_archive_says_what_its_files_say(make: Callable[[Path], Path], top: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = make(tmp_path / "plain")
    files = {f"{top}{one.relative_to(tmp_path / 'plain')}": one.read_bytes()
             for one in (tmp_path / "plain").rglob("*") if one.is_file()}  # fmt: skip
    # What is no label is passed over.
    files |= {f"{top}README.txt": b"a data set", f"{top}images/a.jpg": b"", "__MACOSX/._a.txt": b"\0"}
    found = ground_truth.read(pack(tmp_path / "labels.zip", files))
    before = ground_truth.read(plain)
    assert found.problems == () and found.classes == before.classes
    for key in ("pictures/a.jpg", "b.jpg"):
        assert found.find(key) == before.find(key)


ROW = "file,label\na.jpg,cat\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"\N{ELEPHANT}" * 80 + ".csv": ROW}, "unusual name"),
        ({"a.txt": "0 .5 .5 .2 .2", "a.txt/b.txt": ""}, "unusual name"),
        ({"one.json": "{}", "two.json": "{}"}, "holds 2 files of labels"),
        ({"a.txt": "0 .5 .5 .2 .2"}, "has no data.yaml"),
        ({"a.jpg": b"", "inner.zip": b"PK"}, "holds no labels"),
        ({"labels.csv": "file,label\n"}, "no labels in labels.zip"),
        ({"labels.json": "[" * 100_000}, "is no COCO file"),
        ({"zeros.csv": b"0" * 40_000}, "unpacks to more than 0 MB"),
        ({f"{n}.txt": b"" for n in range(30)}, "holds more than 20 files"),
    ],
)
def test_a_hostile_archive_is_one_sentence_and_leaves_nothing(
    files: dict[str, bytes | str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground_truth, "MAX_UNPACKED", 30_000 if "zeros.csv" in files else 2**20)
    monkeypatch.setattr(ground_truth, "MAX_FILES", 20)
    into = tmp_path / "unpacked"
    into.mkdir()
    monkeypatch.setattr(ground_truth, "scratch_folder", lambda kind: tempfile.TemporaryDirectory(dir=into))
    with pytest.raises(Problem, match=words) as refused:
        ground_truth.read(pack(tmp_path / "labels.zip", files))
    assert is_one_sentence(str(refused.value))
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["labels.zip", "unpacked"]


@pytest.mark.parametrize("name", ["../../labels.csv", "/tmp/labels.csv", "a/../labels.csv"])
def test_a_name_that_leads_out_of_an_archive_is_one_inside_it(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    limits = {"most": 9, "most_bytes": 2**20}
    (file,) = picture_source.unpack_files(pack(tmp_path / "labels.zip", {name: ROW}), folder, (".csv",), **limits)
    assert folder in file.resolve().parents and file.read_text() == ROW
