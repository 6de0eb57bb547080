"""Labels and masks of every format are read and counted, and what is wrong with them is said line by line."""

import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth, masks
from sightglass.evaluation.label_files import json_files, opening, tables
from sightglass.evaluation.label_files.values import to_number
from sightglass.models import labels as class_names
from tests.corpus import saved
from tests.faults.outcome import is_one_sentence
from tests.unit.batch.test_source import packed
from tests.unit.evaluation.test_label_files import VOC


def test_labels_that_are_not_to_be_found_are_marked(tmp_path: Path) -> None:
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").write_text(VOC.format("a.jpg").replace("<bndbox>", "<difficult>1</difficult><bndbox>"))
    entry = {"image_id": 0, "category_id": 0, "bbox": [0, 0, 9, 9]}
    table = {"images": [{"id": 0, "file_name": "a.jpg"}], "categories": [{"id": 0, "name": "cat"}]}
    table["annotations"] = [entry | {"iscrowd": 1}, entry | {"ignore": 1}]
    (tmp_path / "coco.json").write_text(json.dumps(table))
    boxes = [box for path in ("voc", "coco.json") for box in ground_truth.read(tmp_path / path).find("a.jpg") or ()]
    assert [(box.crowd, box.ignored) for box in boxes] == [(False, True), (True, False), (False, True)]
    assert not any(box.counted for box in boxes)
    kept = ground_truth.RunLabels(ground_truth.read(tmp_path / "voc"), {"cat": ()}).find("a.jpg") or ()
    assert [box.label for box in kept] == [""]


ROW = "file,label\na.jpg,cat\n"
KEYED = {"file": "a.jpg", "label": "cat"}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", f"{','.join(['file', 'label'] + ['x'] * 20_000)}\n", "has more than 1,000 columns: keep those of"),
        ("a.json", json.dumps([KEYED | {f"k{i}": 1 for i in range(20_000)}]), "has more than 1,000 keys: keep"),
        (
            "a.jsonl",
            "\n".join(json.dumps(KEYED | {f"k{i}": 1}) for i in range(1_000)),
            "has more than 1,000 keys: keep",
        ),
        ("many.json", json.dumps({f"{i}.jpg": "cat" for i in range(101)}), "holds more than 100 keys: split these"),
        ("many.csv", ROW + "b.jpg,cat\n" * 50, "have more than 50 lines: give them in several parts"),
    ],
)
def test_more_columns_keys_or_lines_than_fit_are_refused(
    name: str, data: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("many"):
        monkeypatch.setattr(json_files, "MAX_KEYS", 100)
        monkeypatch.setattr(ground_truth, "MAX_ROWS", 50)
    (tmp_path / name).write_text(data)
    with pytest.raises(Problem, match=words) as refused:
        ground_truth.read(tmp_path / name)
    assert is_one_sentence(str(refused.value))


@pytest.mark.parametrize(
    ("files", "left_out"),
    [
        ({"a.xml": VOC.format("a.jpg"), "b.txt": "0 .5 .5 .2 .2\n"}, {"b.txt": "beside Pascal VOC"}),
        ({"classes.txt": "cat\n", "a.txt": "0 .5 .5 .2 .2\n", "b.csv": ROW}, {"b.csv": "beside YOLO"}),
        ({"a.csv": ROW, "b.txt": "0 .5 .5 .2 .2\n"}, {"b.txt": "beside a table"}),
        ({"a.csv": ROW, "README.txt": "x", "b.xlsx": "x"}, {"README.txt": "documentation", "b.xlsx": "no labels"}),
        ({"a.csv": ROW, ".b.csv": ROW, "a.jpg": "x"}, {".b.csv": "hidden"}),
    ],
)
def test_files_beside_the_labels_are_named(files: dict[str, str], left_out: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    for path in (folder, packed(tmp_path / "set.zip", dict(files))):
        assert ground_truth.read(path).left_out == left_out


def test_files_are_not_compared_with_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "classes.txt").write_text("cat\n")
    for i in range(300):
        (tmp_path / f"{i}.txt").write_text("0 .5 .5 .2 .2\n")
    compared: list[Path] = []
    equal = Path.__eq__
    monkeypatch.setattr(Path, "__eq__", lambda self, other: compared.append(self) or equal(self, other), raising=False)
    assert len(ground_truth.read(tmp_path).pictures) == 300
    assert len(compared) < 1_000


def test_an_object_of_json_is_read_by_its_own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SAMPLE", 10)
    first = KEYED | {f"k{i}": 1 for i in range(900)}
    rows = [first] * 10 + [{"label": "dog", "file": f"{i}.jpg"} for i in range(200)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    asked: list[int] = []
    get = tables._JsonRow.__getitem__
    monkeypatch.setattr(tables._JsonRow, "__getitem__", lambda row, i: asked.append(i) or get(row, i))
    truth = ground_truth.read(tmp_path / "a.json")
    assert truth.find_class("199.jpg") == "dog" and truth.find_class("a.jpg") == "cat" and not truth.problems
    assert len(asked) < 10 * 902 * 10 + 200 * 4


def test_ids_of_one_hash_are_not_compared_with_each_other(tmp_path: Path) -> None:
    ids = [number * sys.hash_info.modulus for number in range(100_000)]
    assert len({*map(hash, ids[:99])}) == 1
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in ids],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 0.0, "category_id": 1.0, "bbox": [1, 2, 3, 4]}],
    }
    content["annotations"] += [content["annotations"][0] | {"image_id": number} for number in ids]
    (tmp_path / "a.json").write_text(json.dumps(content))
    truth = ground_truth.read(tmp_path / "a.json")
    assert len(truth.pictures) == len(ids) and not truth.problems
    assert len(truth.find("0.jpg") or ()) == 2


def test_long_texts_and_many_names_take_no_square_of_their_length() -> None:
    # Where each was compared with each, both would take longer than a test may.
    assert to_number("1" * 200_000 + "x") is None
    classes = [f"kind of thing number {i}" for i in range(40_000)]
    assert len(class_names.suggest([f"number {i}" for i in range(40_000)], classes)) == 40_000
    assert len(class_names.match([name.upper() for name in classes], classes)) == 40_000


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.txt": "0 .5 .5 .2 .2", "a.txt/b.txt": ""}, "has no data.yaml"),
        ({"one.json": "{}", "two.json": "{}"}, "holds 2 files of labels"),
        ({"a.txt": "0 .5 .5 .2 .2"}, "has no data.yaml"),
        ({"a.jpg": b"", "inner.zip": b"PK"}, "holds no labels"),
        ({"labels.csv": "file,label\n"}, "no labels in labels.zip"),
        ({"labels.json": "[" * 100_000}, "is nested too deeply"),
        ({"zeros.csv": b"0" * 40_000}, "unpacks to more than 0 MB"),
        ({f"{n}.txt": b"" for n in range(30)}, "holds more than 20 files"),
    ],
)
def test_hostile_archive_is_refused(files, words, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MAX_UNPACKED", 30_000 if "zeros.csv" in files else 2**20)
    monkeypatch.setattr(opening, "MAX_FILES", 20)
    into = tmp_path / "unpacked"
    into.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(into))
    with pytest.raises(Problem, match=words) as refused:
        ground_truth.read(packed(tmp_path / "labels.zip", files))
    assert is_one_sentence(str(refused.value))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["labels.zip", "unpacked"]


@pytest.mark.parametrize("name", ["../../labels.csv", "/tmp/labels.csv", "a/../labels.csv", "a" * 300 + "/l.csv"])
def test_archive_member_names_are_never_paths(name: str, tmp_path: Path) -> None:
    truth = ground_truth.read(packed(tmp_path / "labels.zip", {name: ROW}))
    assert truth.picture_labels == {"a.jpg": "cat"}
    assert [path.name for path in tmp_path.iterdir()] == ["labels.zip"]


MASK_SIZE = (4, 6)


def png(values: Any, kind: Any = np.uint8) -> bytes:
    return saved(Image.fromarray(np.asarray(values, kind)), "PNG")


def decode(data: bytes, labels: tuple[str, ...] = (), **indices: int) -> Any:
    return masks.decode(data, MASK_SIZE, labels, indices, 3)


def test_iou_is_scikit_learns_and_its_interval_holds_it() -> None:
    from sklearn.metrics import accuracy_score, jaccard_score

    rng = np.random.default_rng(0)
    truths = rng.integers(-1, 5, (10, 20, 30))
    answers = np.where(rng.random(truths.shape) < 0.7, truths, rng.integers(0, 5, truths.shape))
    measures = masks.measure([masks.count_pairs(*pair) for pair in zip(truths, answers, strict=True)])
    counted = (truths >= 0) & (answers >= 0)
    expected = jaccard_score(truths[counted], answers[counted], average=None)
    assert [score.value for score in measures.by_class.values()] == pytest.approx(list(expected))
    assert measures.scores["pixel_accuracy"].value == pytest.approx(accuracy_score(truths[counted], answers[counted]))
    for one in (*measures.scores.values(), *measures.by_class.values()):
        assert one.low < one.value < one.high
    few = masks.measure([masks.count_pairs(*pair) for pair in zip(truths[1:], answers[1:], strict=True)])
    assert not few.scores["mean_iou"].has_interval and few.scores["mean_iou"].pictures == 9


def test_a_png_has_the_models_indices_or_named_ones() -> None:
    values = np.zeros(MASK_SIZE, int)
    values[0, :3] = 1, 2, 255
    assert decode(png(values))[0].tolist() == [1, 2, masks.VOID, 0, 0, 0]
    named = decode(png(values), ("ground", "bird", "plane"), ground=0, plane=1)
    assert named[0].tolist() == [masks.VOID, 1, masks.VOID, 0, 0, 0]
    palette = Image.fromarray(np.asarray(values, np.uint8), "P")
    palette.putpalette([7] * 768)
    assert (decode(saved(palette, "PNG")) == decode(png(values))).all()
    wide = np.asarray(values, np.uint16)
    assert (decode(png(np.where(wide == 255, 65535, wide), kind=np.uint16)) == decode(png(values))).all()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (png(np.zeros((4, 5))), "the mask is 5 by 4 pixels, and the picture 6 by 4"),
        (png(np.full(MASK_SIZE, 7)), "has the class index 7, and the classes go from 0 to 2"),
        (png(np.zeros((*MASK_SIZE, 3))), "in colours"),
        (png(np.zeros((*MASK_SIZE, 4))), "in colours"),
        (png(np.zeros(MASK_SIZE))[:40], "no readable PNG"),
        (b"\x89PNG" + b"x" * 99, "no readable PNG"),
        (b'[["a",[[1,1,4,1,4,3,1,3]]]]', "no readable PNG"),
    ],
)
def test_a_mask_that_cannot_be_used_says_why(data: bytes, why: str) -> None:
    # Its PIL.Image.open is another one.
    import ultralytics  # noqa: F401

    with pytest.raises(ValueError, match=why):
        decode(data, a=1)


def test_a_folder_and_its_archive_are_read_alike(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.png").write_bytes(png(np.zeros(MASK_SIZE)))
    (folder / "two_mask.png").write_bytes(png(np.ones(MASK_SIZE)))
    (folder / "classes.txt").write_text("ground\nbird\n")
    truth = masks.read(folder)
    assert truth.mask_labels == ("ground", "bird")
    assert truth.find_mask("deep/one.jpg") == truth.find_mask("one.bmp") != truth.find_mask("two.jpg")
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    packed = masks.read(tmp_path / "masks.zip")
    assert (packed.masks, packed.mask_labels) == (truth.masks, truth.mask_labels)
