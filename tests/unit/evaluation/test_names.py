"""Names that are nearly the same: of classes, of pictures and of their labels, each with its value by hand."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightglass.batch import labels as run_labels
from sightglass.common.errors import ModelProblem, Problem
from sightglass.evaluation import ground_truth, label_changes, masks
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.kinds import KINDS
from sightglass.explain.picture.source import describe_encodings, find, folder_of
from sightglass.explain.tasks.detect import parse_joint
from sightglass.models.labels import class_index, match, same_classes, tell_apart, vocabulary
from tests.unit.batch.test_source import JPEG, keys, packed, written

NFC = "Käse"
NFD = unicodedata.normalize("NFD", NFC)
VOC = (
    "<annotation><filename>{}</filename><object><name>{}</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    "<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
)

DIFFERENT = [
    ("หมู", "หมี"),
    ("की", "का"),
    (">50 g", "<50 g"),
    ("C++", "C"),
    ("A+", "A"),
    ("A-", "A"),
    ("+1", "-1"),
    ("-1", "1"),
    ("1500s", "1500"),
    ("m²", "m"),
    ("Über", "Uber"),
    ("1.5", "1 5"),
    ("café", "cafe"),
    ("temperature -5", "temperature 5"),
    ("red, round", "red, square"),
]
"""Names of two classes, of which neither is the other."""
SAME = [
    (NFD, NFC),
    (NFD.upper(), NFC),
    ("Egyptian_cat", "Egyptian cat"),
    ("traffic-light", "Traffic  Light"),
    ("School_Buses", "school bus"),
    ("rock - paper", "rock_paper"),
    ("tomato___Late_blight", "tomato late blight"),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_names_that_differ_by_signs_and_marks_are_two_classes(first: str, second: str) -> None:
    for name, other in ((first, second), (second, first)):
        assert match([name], [other]) == {}
        assert same_classes((name, "x"), ("y", other)) == {}
        with pytest.raises(ModelProblem, match=r"no class called|does not exist"):
            class_index(name, (other,))


@pytest.mark.parametrize(("first", "second"), SAME)
def test_a_class_is_found_by_another_spelling(first: str, second: str) -> None:
    for name, other in ((first, second), (second, first)):
        assert match([name], [other]) == {name: {other}}
        assert same_classes((name, "x"), ("y", other)) == {0: 1}
        assert class_index(name, ("x", other)) == 1


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (["glass", "glasses"], ["glasses"], {"glasses": {"glasses"}}),
        (["glass", "glasses"], ["Glass"], {"glass": {"Glass"}}),
        (["cars"], ["car", "Car"], {}),
        (["a", "A"], ["A", "a"], {"a": {"a"}, "A": {"A"}}),
        (["A"], ["a", "b"], {"A": {"a"}}),
        (["1"], ["1,5 kg", "2,5 kg"], {}),
        (["5 kg"], ["1,5 kg"], {}),
    ],
)
def test_a_looser_spelling_counts_where_only_one_name_has_it(names, classes, expected) -> None:
    assert match(names, classes) == expected


def test_two_spellings_of_a_name_are_one() -> None:
    assert tell_apart((NFC, NFD)) == (NFC, f"{NFC} (class 1)")
    with pytest.raises(ModelProblem, match="is given twice"):
        vocabulary((NFC, NFD))
    assert parse_joint(f"{NFD} x", ["nose", NFC]) == (1, "x")
    with pytest.raises(ModelProblem, match=f"did you mean {NFC}"):
        class_index(NFD.replace("s", ""), ("x", NFC))


def coverage(labels: dict[str, str], pictures: list[str]) -> tuple[str, str]:
    truth = GroundTruth({}, (), labels, reading="a table")
    found = run_labels.describe_coverage(truth, KINDS["classes"], pictures)
    return found.words, found.details


PAIR = ["dogs/1.jpg", "not_dogs/1.jpg"]
VAL = {"labels/val/1": "x", "labels/val/2": "x"}
COVERED = {
    "a folder": ({"dogs/1.jpg": "dog"}, PAIR, "1 of 2 labelled", ""),
    "another folder": ({"dogs/1.jpg": "dog", "a": "x"}, [PAIR[1], "a.jpg"], "1 of 2 labelled, 1 file missing", "dogs"),
    "no folder": ({"1.jpg": "dog", "a.jpg": "x"}, [*PAIR, "a.jpg"], "1 of 3 labelled, 1 file unclear", "1.jpg"),
    "two endings": ({"a": "x", "b": "y"}, ["a.jpg", "a.png", "b.jpg"], "1 of 3 labelled, 1 file unclear", "a."),
    "two labels": ({"x/1": "a", "y/1": "b", "c": "c"}, ["1.jpg", "c.jpg"], "1 of 2 labelled, 2 files unclear", "y/1"),
    "a folder and none": ({"dogs/1.jpg": "dog"}, ["dogs/1.jpg", "1.jpg"], "1 of 2 labelled", ""),
    "two cases": ({"A.jpg": "x", "b": "y"}, ["a.jpg", "a.JPG", "b.jpg"], "1 of 3 labelled, 1 file unclear", "A.jpg"),
    "NFD": ({f"{NFC}.jpg": "x"}, [f"set/{NFD}.jpg"], "1 of 1 labelled", ""),
    "a label for each": ({"a/1.jpg": "x", "b/1.jpg": "y"}, ["a/1.jpg", "b/1.jpg"], "2 of 2 labelled", ""),
    "beside images": ({"labels/val/1": "x"}, ["images/val/1.jpg"], "1 of 1 labelled", ""),
    "beside others": (VAL, ["images/a/1.jpg", "images/val/2.jpg"], "1 of 2 labelled, 1 file missing", "val/1"),
    "a root and a folder": ({"1": "x", "a/1": "y"}, ["1.jpg", "a/1.jpg"], "2 of 2 labelled", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", COVERED)
def test_a_label_is_of_one_picture_or_of_none(name: str) -> None:
    labels, pictures, words, named = COVERED[name]
    said, details = coverage(labels, pictures)
    assert said == words and named in details


def test_annotations_of_equal_names_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder, label in (("train", "cat"), ("val", "dog")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.xml").write_text(VOC.format("1.jpg", label))
    truth = ground_truth.read(tmp_path)
    assert [truth.find_class(f"{folder}/1.jpg") for folder in ("train", "val")] == ["cat", "dog"]
    assert truth.find("1.jpg") is None and truth.find("other/1.jpg") is None


def test_a_folder_in_a_name_and_a_folder_of_annotations_are_not_merged(tmp_path: Path) -> None:
    names = {"1.xml": "train/1.jpg", "train/1.xml": "1.jpg", "val/1.xml": "1.jpg"}
    for file, picture in names.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(VOC.format(picture, "cat"))
    truth = ground_truth.read(tmp_path)
    assert truth.files == ("val/1.jpg",)
    assert [problem.words for problem in truth.problems] == ["train/1.jpg: it is the name of several pictures."]


def test_annotations_of_one_name_in_one_folder_count_for_none(tmp_path: Path) -> None:
    for name, label in (("a", "cat"), ("b", "dog"), ("c", "cow")):
        (tmp_path / f"{name}.xml").write_text(VOC.format("c.jpg" if name == "c" else "1.jpg", label))
    truth = ground_truth.read(tmp_path)
    assert truth.find("1.jpg") is None and truth.find_class("c.jpg") == "cow"
    assert ["1.jpg" in problem.words for problem in truth.problems] == [True]


@pytest.mark.parametrize("folders", [("", ""), ("a/", "b/")])
def test_images_of_one_name_are_not_merged(folders: tuple[str, str], tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{folder}1.jpg"} for i, folder in enumerate(folders)]
    boxes = [{"image_id": i, "category_id": i, "bbox": [1, 2, 3, 4]} for i in (0, 1, 2)]
    images.append({"id": 2, "file_name": "2.jpg"})
    classes = [{"id": i, "name": name} for i, name in enumerate(("cat", "dog", "cow"))]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "categories": classes, "annotations": boxes}))
    truth = ground_truth.read(tmp_path / "a.json")
    expected = ["cat", "dog"] if folders[0] else [None, None]
    assert [truth.find_class(f"{folder}1.jpg") for folder in folders] == expected
    assert truth.find("1.jpg") is None and truth.find_class("2.jpg") == "cow"
    assert len(truth.problems) == (not folders[0])


CORNERS = "file,x0,y0,x1,y1,label\na.jpg,1,2,3,4,cat\n"


@pytest.mark.parametrize(
    ("row", "boxes"),
    [
        ("b.jpg,,,,,No finding", 0),
        ("b.jpg,0,0,1,1,No finding", 0),
        ("b.jpg,,,,,cat", 0),
        ("b.jpg,nan,nan,nan,nan,14", 0),
        ("b.jpg,0,0,0,0,", 0),
        ("b.jpg,1,2,3,4,cat", 1),
        ("b.jpg,1,2,3,,cat", None),
        ("b.jpg,0,0,0,0,cat", None),
    ],
)
def test_a_row_without_an_object_labels_its_picture(row: str, boxes: int | None, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{CORNERS}{row}\n")
    truth = ground_truth.read(tmp_path / "a.csv")
    found = truth.find("b.jpg")
    assert (None if found is None else len(found)) == boxes
    assert len(truth.problems) == (boxes is None) and len(truth.find("a.jpg") or ()) == 1


def pack_as(path: Path, names: list[bytes]) -> Path:
    """Pack pictures under names in an encoding that the archive does not state."""
    data = bytearray(packed(path, {f"{i:0{len(name)}}": JPEG for i, name in enumerate(names)}).read_bytes())
    for i, name in enumerate(names):
        plain = f"{i:0{len(name)}}".encode()
        # The name is in the file's own header and in the archive's list.
        for header in (b"PK\3\4", b"PK\1\2"):
            place = data.index(plain, data.index(header) + len(header))
            data[place : place + len(name)] = name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("encoding", "names", "title"),
    [
        ("gbk", ["猫/照片1.jpg", "狗/照片2.jpg"], "GBK"),
        ("cp932", ["表/ネコ.jpg", "犬/いぬ2.jpg"], "Shift-JIS"),
        ("utf-8", ["猫/ネコ.jpg", "café.jpg"], ""),
        ("cp437", ["café/Käse.jpg", "b.jpg"], "code page 437"),
        ("ascii", ["a.jpg", "b.jpg"], ""),
    ],
)
def test_names_in_an_archive_of_another_country(encoding: str, names: list[str], title: str, tmp_path: Path) -> None:
    items = find(pack_as(tmp_path / "some.zip", [name.encode(encoding) for name in names]))
    assert sorted(keys(items)) == sorted(names)
    assert all(item.open().width == 8 for item in items)
    assert describe_encodings(items) == (f"Names in the archive were read as {title}." if title else "")


SYSTEM = [
    *("@eaDir/a.jpg/thumb.jpg", "$RECYCLE.BIN/b.jpg", "System Volume Information/c.jpg", ".git/d.jpg"),
    *("x/@eaDir/e.jpg", "__MACOSX/f.jpg", "#recycle/g.jpg"),
]


def test_folders_of_the_system_hold_no_pictures(tmp_path: Path) -> None:
    folder = written(tmp_path / "set", "a.jpg", "recycle.bin/b.jpg", *SYSTEM)
    left_out: dict[str, str] = {}
    assert keys(find(folder, left_out=left_out)) == ["a.jpg", "recycle.bin/b.jpg"]
    assert "@eaDir/" in left_out and "x/@eaDir/" in left_out
    archive = packed(tmp_path / "a.zip", dict.fromkeys(["a.jpg", *SYSTEM], JPEG))
    assert keys(find(archive)) == ["a.jpg"]
    assert keys(find(str(folder / "**" / "*.jpg"))) == ["a.jpg", "recycle.bin/b.jpg"]
    assert keys(find(str(folder / "@eaDir" / "*" / "*.jpg"))) == ["a.jpg/thumb.jpg"]


def test_a_change_by_one_model_is_found_by_another(tmp_path: Path) -> None:
    from sightglass.evaluation.stored import EvaluatedPicture

    pictures = [EvaluatedPicture(f"{i}.jpg", (9, 9), truth="x") for i in range(2)]
    changes = [label_changes.LabelChange("0.jpg", "BUS"), label_changes.LabelChange("1.jpg", "Bus")]
    label_changes.write(tmp_path, changes)
    changed, count = label_changes.apply(tmp_path, pictures, ["bus", "x"])
    assert [each.truth for each in changed] == ["bus", "bus"] and count == 2


def test_labels_of_another_folder_are_refused_with_both_paths(tmp_path: Path) -> None:
    written(tmp_path / "set/val", "0001.png", "0002.png")
    items = find(tmp_path / "set/val")
    truth = GroundTruth({}, (), {"train/0001.png": "cat", "val/0002.png": "dog"}, reading="a table")
    among = truth.among([item.key for item in items], folder_of(items))
    assert among.matches == {"0001.png": "", "0002.png": "val/0002.png"}
    assert run_labels.describe_files(among, [*among.matches]) == ["Not among the pictures in set/val: train/0001.png."]
    of_train = GroundTruth({}, (), {"train/0001.png": "cat"}, reading="a table").among(["0001.png"], folder_of(items))
    with pytest.raises(Problem, match=r"those are of train/0001\.png, and the first picture is set/val/0001\.png"):
        KINDS["classes"].check(of_train, ["0001.png"])


LAYOUTS: dict[str, tuple[str, str, str]] = {
    "another part": ("train/labels", "valid/images", "in train/labels, and the pictures in valid/images: give"),
    "below labels": ("labels/train", "images/val", "in labels/train, and the pictures in images/val: give"),
    "a file of each": ("train", "test", "in train, and the pictures in test: give"),
    "another fold": ("fold1/train/labels", "fold2/train/images", "in fold1/train/labels, and the pictures in fold2/"),
    "the same part": ("train/labels", "train/images", ""),
    "the same, below labels": ("labels/train2017", "images/train", ""),
    "the same, spelled out": ("labels/val", "images/validation", ""),
    "without parts": ("labels", "images", ""),
    "labels of all parts": ("labels", "valid/images", ""),
    "pictures of all parts": ("train/labels", "images", ""),
    "in one folder": ("valid", "valid", ""),
    "other names": ("annotations_2", "photos", ""),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_in_the_folder_of_another_part_are_said(name: str, tmp_path: Path) -> None:
    labels, pictures, said = LAYOUTS[name]
    # The folder above says nothing of either.
    home = tmp_path / "test"
    written(home / pictures, "1.jpg")
    (home / labels).mkdir(parents=True, exist_ok=True)
    (home / labels / "labels.csv").write_text("file,label\n1.jpg,dog\n")
    items = find(home / pictures)
    truth = ground_truth.read(home / labels / "labels.csv").among(["1.jpg"], folder_of(items))
    assert truth.find_class("1.jpg") == "dog"
    sentences = run_labels.describe_files(truth, ["1.jpg"])
    assert said in " ".join(sentences) and len(sentences) == bool(said)


def test_a_picture_in_the_folder_of_another_part_is_said(tmp_path: Path) -> None:
    written(tmp_path / "set", "train/images/1.jpg", "valid/images/2.jpg")
    (tmp_path / "set/train/labels").mkdir()
    (tmp_path / "set/train/labels/1.xml").write_text(VOC.format("1.jpg", "cat"))
    items = find(tmp_path / "set")
    names = [item.key for item in items]
    truth = ground_truth.read(tmp_path / "set/train/labels").among(names, folder_of(items))
    assert run_labels.describe_files(truth, names) == []
    (tmp_path / "set/train/labels/2.xml").write_text(VOC.format("2.jpg", "cat"))
    truth = ground_truth.read(tmp_path / "set/train/labels").among(names, folder_of(items))
    assert run_labels.describe_files(truth, names) == [
        "The labels are in train/labels, and the pictures in valid/images: give labels of the same part."
    ]
    whole = ground_truth.read(tmp_path / "set").among(names, folder_of(items))
    assert "give labels" not in " ".join(run_labels.describe_files(whole, names))


def test_masks_in_the_folder_of_another_part_are_said(tmp_path: Path) -> None:
    written(tmp_path / "valid/images", "1.jpg")
    (tmp_path / "train/masks").mkdir(parents=True)
    Image.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "train/masks/1.png")
    truth = masks.read(tmp_path / "train/masks").among(["1.jpg"], str(tmp_path / "valid/images"))
    assert run_labels.describe_files(truth, ["1.jpg"])[0].startswith("The labels are in train/masks, and the pictures")


def in_folder(folder: str, label: str) -> str:
    return VOC.format("1.jpg", label).replace("<filename>", f"<folder>{folder}</folder><filename>")


TWO = ["dogs/1.jpg", "cats/1.jpg"]
STATED: dict[str, tuple[list[str], list[str], list[str | None], str]] = {
    "both": (["dogs", "cats"], TWO, ["dogs", "cats"], ""),
    "one": (["dogs"], TWO, ["dogs", None], ""),
    "another": (["dogs"], ["cats/1.jpg", "dogs/2.jpg"], [None, None], "Not among the pictures: 1.jpg."),
    "of the machine": (["C:\\set\\dogs"], TWO, ["C:\\set\\dogs", None], ""),
    "of no picture": (["OXIIIT"], ["images/1.jpg"], ["OXIIIT"], "a folder that none of the pictures is in: OXIIIT."),
    "of Pascal": (["VOC2007"], ["images/1.jpg"], ["VOC2007"], ""),
    "of any set": (["images"], ["train/1.jpg"], ["images"], ""),
    "of any set, above": (["images"], ["images/train/1.jpg"], ["images"], ""),
    "none": ([""], ["dogs/1.jpg"], [""], ""),
    "not known": (["VOC2007"], ["1.jpg"], ["VOC2007"], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", STATED)
def test_a_folder_that_is_stated_beside_a_name_counts_where_a_picture_is_in_one(name: str, tmp_path: Path) -> None:
    folders, pictures, expected, said = STATED[name]
    for number, folder in enumerate(folders):
        (tmp_path / f"{number}.xml").write_text(in_folder(folder, f"of {folder}"))
    truth = ground_truth.read(tmp_path).among(pictures)
    assert [truth.find_class(picture) for picture in pictures] == [
        each if each is None else f"of {each}".strip() for each in expected
    ]
    assert said in " ".join(run_labels.describe_files(truth, pictures)) and truth.problems == ()
    assert bool(said) == bool(run_labels.describe_files(truth, pictures))


DOGS, CATS = {"dogs/1.jpg": "dog", "cats/1.jpg": "cat"}, {"dogs/1.jpg": "dog", "cats/1.jpg": None}
MOST_SPECIFIC: dict[str, tuple[str, dict[str, str | None]]] = {
    "a path": ("filename,filepath,label\n1.jpg,dogs/1.jpg,dog\n1.jpg,cats/1.jpg,cat\n", DOGS),
    "a path of one": ("filename,filepath,label\n1.jpg,dogs/1.jpg,dog\n", CATS),
    "a path before": ("path,label,image_name\nset\\dogs\\1.jpg,dog,1.jpg\nset\\cats\\1.jpg,cat,1.jpg\n", DOGS),
    "a path without names": ("id,path,label\n7,dogs/1.jpg,dog\n8,cats/1.jpg,cat\n", DOGS),
    "no path of a picture": ("filename,mask_path,label\n1.jpg,m/1.jpg,dog\n2.jpg,m/2.jpg,dog\n", dict.fromkeys(DOGS)),
    "another path": ("filename,path,label\n2.jpg,dogs/1.jpg,dog\n1.jpg,dogs/2.jpg,dog\n", dict.fromkeys(DOGS)),
    "a folder": ("folder,filename,label\ndogs,1.jpg,dog\ncats,1.jpg,cat\n", DOGS),
    "a folder of one": ("folder,filename,label\ndogs,1.jpg,dog\n", CATS),
    "a folder behind": ("filename,label,sub_dir\n1.jpg,dog,pets/dogs/\n1.jpg,cat,pets/cats/\n", DOGS),
    "a folder as class": ("filename,folder\n1.jpg,dogs\n2.jpg,dogs\n", {"dogs/1.jpg": "dogs", "cats/1.jpg": None}),
    "a folder and a path": ("folder,filename,label\ndogs,dogs/1.jpg,dog\ncats,cats/1.jpg,cat\n", DOGS),
    **{
        title: (f"filename,{title},label\n1.jpg,dogs/1.jpg,dog\n1.jpg,cats/1.jpg,cat\n", DOGS)
        for title in ("full_path", "relative_path", "img_full_path")
    },
    "objects": ('[{"dir": "dogs", "file": "1.jpg", "label": "dog"}]', CATS),
}  # fmt: skip


@pytest.mark.parametrize("name", MOST_SPECIFIC)
def test_the_most_specific_path_that_a_table_states_is_used(name: str, tmp_path: Path) -> None:
    content, expected = MOST_SPECIFIC[name]
    file = tmp_path / ("l.json" if content.startswith("[") else "l.csv")
    file.write_text(content)
    truth = ground_truth.read(file).among(list(expected))
    assert {picture: truth.find_class(picture) for picture in expected} == expected
