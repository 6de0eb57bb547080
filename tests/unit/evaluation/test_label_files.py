"""Files of labels as people write them, each with its reading by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from sightglass.batch import labels as run_labels
from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth
from sightglass.evaluation.kinds import KINDS
from sightglass.evaluation.label_files.notes import ReadAs
from sightglass.models.labels import imagenet, match, read_file
from tests.unit.batch.test_source import packed

SET = {"set/cats/a.jpg": "cat", "b.jpg": "dog"}
CAT, DOG = {"a.jpg": "cat"}, {"a.jpg": "cat", "b.jpg": "dog"}
BOX = {"a.jpg": [("cat", (10, 20, 60, 100))]}
"""In pictures of 200 by 200 pixels."""
TF = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,200,200,cat,10,20,60,100\n"
COCO = {"images": [{"id": 7, "file_name": "a.jpg"}], "categories": [{"id": 3, "name": "cat"}]}
ENTRY = {"image_id": 7, "category_id": 3}
POLYGON = [[10, 20, 60, 20, 60, 100], [10, 30, 20, 30, 10, 40]]
VOC = (
    "<annotation><filename>{}</filename><object><name>cat</name><bndbox><xmin>11</xmin><ymin>21</ymin>"
    "<xmax>60</xmax><ymax>100</ymax></bndbox></object></annotation>"
)
YAML, NAMES, LINE = "names: [dog, cat]\n", "dog\ncat\n", "1 .175 .3 .25 .4\n"
A = {"a": BOX["a.jpg"]}
HUGE = str(10**400)


def coco(**fields: Any) -> str:
    return json.dumps(COCO | {"annotations": [ENTRY | fields]})


READ: dict[str, tuple[Any, Any, str]] = {
    "plain": ("file,label\na.jpg,cat\nb.jpg,dog\n", DOG, "file → file, label → label"),
    "semicolons": ("file;label\na.jpg;cat\n", CAT, "separated by semicolons"),
    "tabs": ("file\tlabel\na.jpg\tcat\n", CAT, "separated by tabs"),
    "bars": ("file|label\na.jpg|cat\n", CAT, "separated by bars"),
    "mark": ("\ufefffile,label\na.jpg,cat\n".encode(), CAT, ""),
    "UTF-16": ("file;label\na.jpg;café\n".encode("utf-16"), {"a.jpg": "café"}, "separated by semicolons; UTF-16"),
    "UTF-16 big": ("\ufefffile;label\na.jpg;cat\n".encode("utf-16-be"), CAT, "UTF-16"),
    "Windows": ("file,label\na.jpg,œuf\n".encode("cp1252"), {"a.jpg": "œuf"}, "Windows-1252"),
    "Latin-1": (b"file,label\na.jpg,\xe9\x81\n", {"a.jpg": "é\x81"}, "Latin-1"),
    "old Mac": ("file,label\ra.jpg,cat\r", CAT, ""),
    "no header": ("a.jpg,cat\nb.jpg,dog\n", DOG, "column 1 → file, column 2 → label; no header"),
    "no header, other order": ("cat,a.jpg\ndog,b.jpg\n", DOG, "column 2 → file, column 1 → label; no header"),
    "no header, numbered": ("0,a.jpg,cat\n1,b.jpg,dog\n", DOG, "column 2 → file, column 3 → label"),
    "no header, no ending": ("001,cat\n002,cat\n", {"001": "cat", "002": "cat"}, "column 1 → file"),
    "filename,class": ("filename,class\na.jpg,cat\n", CAT, "filename → file, class → label"),
    "File,Label": ("File,Label\na.jpg,cat\n", CAT, "File → file"),
    "image_id,label": ("image_id,label\n1000015157.jpg,0\n", {"1000015157.jpg": "0"}, "image_id → file"),
    "img,target": ("img,target\na.jpg,3\n", {"a.jpg": "3"}, "target → label"),
    "id,label": ("id,label\n01,cat\n", {"01": "cat"}, "id → file"),
    "id,path,label": ("id,path,label\n7,a.jpg,cat\n", CAT, "path → file"),
    "path,species": ("path,species\na.jpg,cat\n", CAT, "species → label"),
    "name beside": ("name,label\na,cat\n", {"a": "cat"}, "name → file"),
    "index and name": ("file,label,label_name,split\na.jpg,3,cat,train\n", CAT, "label_name → label"),
    "pandas' index": (",file,label\n0,a.jpg,cat\n", CAT, "file → file"),
    "other titles": ("photo no.,it is\na.jpg,cat\nb.jpg,dog\nc.jpg,dog\n", DOG | {"c.jpg": "dog"}, "it is → label"),
    "Windows' paths": ("file,label\nC:\\set\\cats\\a.jpg,cat\n.\\b.jpg,dog\n", SET, ""),
    "absolute paths": ("file,label\n/set/cats/a.jpg,cat\n./b.jpg,dog\n", SET, ""),
    "quotes": ('file,label\n"a,b.jpg","tench, Tinca tinca"\n', {"a,b.jpg": "tench, Tinca tinca"}, ""),
    "commas between tabs": ("a.jpg\ttench, Tinca tinca\n", {"a.jpg": "tench, Tinca tinca"}, "separated by tabs"),
    "blanks.txt": ("val/a.jpg 281\nval/b c.jpg 3\n", {"val/a.jpg": "281", "val/b c.jpg": "3"}, "separated by blanks"),
    "ImageNet.txt": ("ILSVRC_1.JPEG 65\nILSVRC_2.JPEG 970\n", {"ILSVRC_1.JPEG": "65", "ILSVRC_2.JPEG": "970"}, ""),
    "table.tsv": ("file\tlabel\na.jpg\tcat\n", CAT, ""),
    "corners": ("file,x0,y0,x1,y1,label\na.jpg,10,20,60,100,cat\nb.jpg,,,,,\n", BOX | {"b.jpg": []}, "→ box"),
    "TensorFlow": (TF, BOX, "filename → file, class → label; xmin, ymin, xmax, ymax → box"),
    "x1 to x2": ("image,x1,y1,x2,y2,class\na.jpg,10,20,60,100,cat\n", BOX, ""),
    "RetinaNet": ("a.jpg,10,20,60,100,cat\nb.jpg,,,,,\n", BOX | {"b.jpg": []}, "column 4, column 5 → box"),
    "sizes": ("image,x,y,w,h,label\na.jpg,10,20,50,80,cat\n", BOX, ""),
    "sizes named": ("image,bbox_x,bbox_y,bbox_width,bbox_height,label\na.jpg,10,20,50,80,cat\n", BOX, ""),
    "middles": ("image,cx,cy,w,h,label\na.jpg,35,60,50,80,cat\n", BOX, "cx, cy, w, h → box"),
    "middles, parts": ("fname,x_center,Y-Center,width,height,class\na.jpg,.175,.3,.25,.4,cat\n", BOX, "boxes in 0..1"),
    "middles.json": ([{"file": "a.jpg", "xc": 35, "yc": 60, "w": 50, "h": 80, "label": "cat"}], BOX, "xc, yc, w, h"),
    "middles, size": ("file,bbox_cx,bbox_cy,bbox_w,bbox_h,width,label\na.jpg,.175,.3,.25,.4,200,cat\n", BOX, ""),
    "decimal commas": ("file;x0;y0;x1;y1;label\na.jpg;10,0;20,0;60,0;100,0;cat\n", BOX, "separated by semicolons"),
    "Kaggle": ("ImageId,LabelName,XMin,XMax,YMin,YMax\na.jpg,cat,.05,.3,.1,.5\n", BOX, "XMin, YMin, XMax, YMax → box"),
    "objects.json": ([{"file": "a.jpg", "label": "cat"}], CAT, ""),
    "lines.jsonl": ('{"file_name": "a.jpg", "y": "cat"}\n\n{"file_name": "b.jpg", "y": "dog"}\n', DOG, "y → label"),
    "names.json": ({"a.jpg": "cat", "b.jpg": "dog"}, DOG, ""),
    "coco.json": (coco(bbox=[10, 20, 50, 80]), BOX, "COCO"),
    "polygons.json": (coco(segmentation=POLYGON), BOX, "COCO"),
    "VOC": ({"a.xml": VOC.format("a.jpg")}, BOX, "Pascal VOC"),
    "VOC, UTF-16": ({"a.xml": VOC.format("a.jpg").encode("utf-16")}, BOX, "Pascal VOC"),
    "YOLO": ({"data.yaml": YAML, "a.txt": LINE, "b.txt": ""}, A | {"b": []}, "YOLO: 2 classes"),
    "YOLO, UTF-16": ({"classes.txt": NAMES, "a.txt": LINE.encode("utf-16")}, A, "YOLO"),
    "YOLO, polygon": ({"data.yaml": YAML, "a.txt": "1 .05 .1 .3 .1 .3 .5\n", "train.txt": "images/a.jpg\n"}, A, ""),
    "YOLO, from 1": ({"data.yaml": "names:\n  1: cat\n", "a.txt": LINE}, A, ""),
    "indices named": ({"classes.txt": NAMES, "labels.csv": "file,label\na.jpg,1\n"}, CAT, ""),
    "indices from 1": ({"classes.json": '{"1": "cat", "2": "dog"}', "val.txt": "a.jpg 1\nb.jpg 2.0\n"}, DOG, ""),
    **{
        f"numbers {numbers}.csv": (f"file;x0;y0;x1;y1;label\na.jpg;{numbers};cat\n", {"a.jpg": [("cat", box)]}, said)
        for numbers, box, said in (
            ("10,5;20;1.024;1.100,5", (10.5, 20, 1024, 1100.5), ""),
            ("10.5;20;1,024;1,100.5", (10.5, 20, 1024, 1100.5), ""),
            ("10;20;1,024,000;1,100", (10, 20, 1_024_000, 1100), ""),
            ("1,5;2,25;64,125;99,024", (1.5, 2.25, 64.125, 99.024), ""),
            ("1.5;2.25;64.125;128.250", (1.5, 2.25, 64.125, 128.25), ""),
            ("1.024;20;1500;1600", (1.024, 20, 1500, 1600), "decimal points"),
            ("1,024;20;1500;1600", (1.024, 20, 1500, 1600), "decimal commas"),
        )
    },
    "cell, corners": ('file,label,"bbox (x1, y1, x2, y2)"\na.jpg,cat,"[10, 20, 60, 100]"\n', BOX, ""),
    "cell, size": ("file,label,xywh\na.jpg,cat,10 20 50 80\n", BOX, ""),
    "cell, middle": ("file,label,box_cxcywh\na.jpg,cat,35 60 50 80\n", BOX, ""),
    "cell, y first": ("file,label,bbox_yxyx\na.jpg,cat,20 10 100 60\n", BOX, ""),
    "cell that a size refutes": ('file,width,height,label,bbox\na.jpg,70,110,cat,"(10,20,60,100)"\n', BOX, ""),
    "cell that a corner refutes": (
        'file,label,bbox\na.jpg,cat,"[60, 100, 50, 80]"\n', {"a.jpg": [("cat", (60, 100, 110, 180))]}, ""),
    "cell.json": ([{"file": "a.jpg", "label": "cat", "bbox_xyxy": [10, 20, 60, 100]}], BOX, ""),
    "named size.json": (
        [{"file": "a.jpg", "label": "cat", "bbox": {"x": 10, "y": 20, "width": 50, "height": 80}}], BOX, ""),
    "named corners.json": (
        [{"file": "a.jpg", "label": "cat", "bbox": {"xMin": 10, "yMin": 20, "xMax": 60, "yMax": 100}}], BOX, ""),
    "mode 0.json": (coco(bbox=[10, 20, 60, 100], bbox_mode=0), BOX, "COCO"),
    "mode 1.json": (coco(bbox=[10, 20, 50, 80], bbox_mode=1), BOX, "COCO"),
    "other columns": ("file,label,bbox_0,bbox_1\na.jpg,cat,1,2\n", CAT, "not read: bbox_0, bbox_1"),
    "earlier picture": ("previous,filename,label\nz.jpg,a.jpg,cat\na.jpg,b.jpg,dog\n", DOG, ""),
    "later picture": ("image_id,previous,label\n0001,0002.png,cat\n", {"0001": "cat"}, ""),
    "picture's file": ("id,picture_file,label\n7,a.jpg,cat\n8,b.jpg,dog\n", DOG, ""),
    "addresses": ("image_id,url,label\n7,https://x.org/1.png,cat\n", {"https://x.org/1.png": "cat"}, ""),
    **{
        f"part {title}": (f"filename,cat,dog,{title}\na.jpg,1,0,0\nb.jpg,0,1,1\n", DOG, "")
        for title in ("is_train", "split", "test", "fold")
    },
    **{
        f"head {head}": ({"classes.txt": f"{head}\n{NAMES}", "a.txt": LINE}, A, "classes.txt names the classes.")
        for head in ("# classes", "class", "Names")
    },
    **{
        f"numbers before names, {text!r}": ({"l.csv": "file,label\na.jpg,1\nb.jpg,2\n", "classes.txt": text}, DOG, "")
        for text in ("1 cat\n2 dog\n", "1: cat\n2: dog\n", "1. cat\n2. dog\n", "1,cat\n2,dog\n")
    },
    **{
        f"numbers as names, {text!r}": (
            {"l.csv": "file,label\na.jpg,5\n", "classes.txt": text},
            {"a.jpg": "5"},
            "classes.txt has numbers as names, so that labels that are numbers were kept.",
        )
        for text in ("1\n2\n3\n4\n5\n6\n", "0\n30\n300\n5\n6\n")
    },
    "indices of VOC": (
        {"a.xml": VOC.format("a.jpg").replace("cat", "2"), "classes.json": '{"1": "dog", "2": "cat"}'},
        BOX,
        "classes.json names the classes.",
    ),
    "indices of Create ML": (
        {
            "a.json": '[{"image": "a.jpg", "annotations": [{"label": "2", "coordinates": '
            '{"x": 35, "y": 60, "width": 50, "height": 80}}]}]',
            "classes.json": '{"1": "dog", "2": "cat"}',
        },
        BOX,
        "classes.json names the classes.",
    ),
    "first names of several": (
        {"data.yaml": YAML, "classes.txt": NAMES, "a.txt": LINE}, A, "data.yaml names the classes."),
    "more names": (
        {"classes.txt": NAMES, "obj.names": f"{NAMES}bird\n", "a.txt": LINE}, A, "classes.txt names the classes."),
    "darknet": ({"coco.names": NAMES, "a.txt": LINE}, A, "coco.names names the classes."),
    "names in a folder": (
        {"labels/classes.txt": NAMES, "labels/a.txt": LINE}, {"images/a": BOX["a.jpg"]},
        "labels/classes.txt names the classes."),
}  # fmt: skip


def write(folder: Path, name: str, content: Any) -> Path:
    """Write a file of labels, or several."""
    if isinstance(content, dict) and not name.endswith(".json"):
        for file, part in content.items():
            write(folder, file, part)
        return folder
    path = folder / (name if "." in name else "labels.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes | str) else json.dumps(content)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("name", READ)
def test_labels_are_read(name: str, tmp_path: Path) -> None:
    content, expected, reading = READ[name]
    truth = ground_truth.read(write(tmp_path, name, content))
    assert truth.problems == ()
    assert reading in " ".join([truth.reading, *truth.read_as.list_sentences()])
    boxes = {
        key: [(box.label, pytest.approx(box.in_pixels((200, 200)).box if box.relative else box.box)) for box in boxes]
        for key, boxes in truth.pictures.items()
    }
    assert dict(truth.picture_labels) | boxes == expected


@pytest.mark.parametrize("name", ["plain", "coco.json", "VOC", "YOLO", "indices named"])
@pytest.mark.parametrize("top", ["", "my set/"])
def test_an_archive_says_what_its_files_say(name: str, top: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = write(tmp_path / "plain", name, READ[name][0])
    files = {f"{top}{file.name}": file.read_bytes() for file in (tmp_path / "plain").iterdir()}
    # What is no label is passed over.
    files |= {f"{top}README.txt": b"a data set", f"{top}images/a.jpg": b"", "__MACOSX/._a.txt": b"\0"}
    truth, before = ground_truth.read(packed(tmp_path / "labels.zip", files)), ground_truth.read(plain)
    assert truth.problems == () and truth.classes == before.classes
    for key in ("pictures/a.jpg", "b.jpg"):
        assert (truth.find(key), truth.find_class(key)) == (before.find(key), before.find_class(key))


CORNERS = "file,x0,y0,x1,y1,label\n"
GOOD = ENTRY | {"bbox": [10, 20, 50, 80]}
BROKEN: dict[str, tuple[Any, str]] = {
    "three numbers.json": (ENTRY | {"bbox": [1, 2, 3]}, "line 2: a box has 4 numbers, and this one 3"),
    "no numbers.json": (ENTRY | {"bbox": [1, 2, "x", 4]}, "line 2: a coordinate is no number"),
    "not finite.json": (ENTRY | {"bbox": [1, 2, float("nan"), 4]}, "line 2: a coordinate is no number"),
    "flat.json": (ENTRY | {"bbox": [1, 2, 0, 4]}, "line 2: its box has no area"),
    "no box.json": (ENTRY, "line 2: it is not as this format has it"),
    "no picture.json": (GOOD | {"image_id": 1}, "line 2: its picture is not among the images"),
    "no class.json": (GOOD | {"category_id": 1}, "line 2: its class is not among the categories"),
    "no object.json": (3, "line 2: it is not as this format has it"),
    "YOLO, two things": (f"{LINE}1 .175 .3 .25 .4 .87 1\n", "line 2: it may be a triangle, or a box with its"),
    "mode.json": (GOOD | {"bbox_mode": 4}, "line 2: its bbox_mode is 4, and 0 and 1 are read"),
    "two classes": ("file,cat,dog\na.jpg,1,0\nb.jpg,1,1\n", "line 3: it has 2 classes, and one is needed."),
    "empty label": ("file,label\na.jpg,cat\n\nb.jpg,\n", "line 4: it needs a file and a label"),
    "two labels": ("file,label\na.jpg,cat\nb.jpg,cat\nb.jpg,dog\n", "line 4: b.jpg has two labels, cat and dog"),
    "two labels.json": ('{"a.jpg": "cat", "b.jpg": "cat", "b.jpg": "dog"}', "line 3: b.jpg has two labels"),
    "two keys.json": (
        '[{"file": "a.jpg", "label": "cat"}, {"file": "b.jpg", "label": "dog", "label": "cat"}]',
        "line 2: it has the key label twice, with dog and cat",
    ),
    "two keys.jsonl": (
        '{"file": "a.jpg", "label": "cat"}\n{"file": "b.jpg", "label": "dog", "label": "cat"}\n',
        "line 2: it has the key label twice, with dog and cat",
    ),
    "comma in a name": ("file,label\na.jpg,cat\nb,c.jpg,cat\n", "line 3: it has 3 values, and the first line 2"),
    "no number": (f"{CORNERS}a.jpg,1,2,3,4,cat\nb.jpg,1,2,3,,cat\n", "line 3: a coordinate is no number"),
    "turned": (f"{CORNERS}a.jpg,1,2,3,4,cat\nb.jpg,3,2,1,4,cat\n", "line 3: its box has no area"),
    "box, no label": (f"{CORNERS}a.jpg,1,2,3,4,cat\nb.jpg,1,2,3,4,\n", "line 3: it needs a file and a label"),
    "cut.jsonl": ('{"file": "a.jpg", "label": "cat"}\n{"file": "b.j', "line 2: it is no JSON object"),
    "list.json": ({"a.jpg": "cat", "b.jpg": ["dog"]}, "line 2: it needs a file and a label"),
    "VOC": ({"a.xml": VOC.format("a.jpg").replace("<xmax>60</xmax>", "")}, "line 1: a coordinate is no number"),
    "YOLO, short": (f"1 0.5 0.5 0.5\n{LINE}", "line 1: a box has four numbers after its class, a polygon six or more"),
    "indices named": ({"classes.txt": NAMES, "labels.csv": f"file,label\na.jpg,1\nb.jpg,{10**400}\n"}, "line 3: "),
    "YOLO, index": (f"7 0.5 0.5 0.5 0.5\n{LINE}", "line 1: class 7 is not one of the 2 that are named"),
    "YOLO, name": (f"cat 0.5 0.5 0.5 0.5\n{LINE}", "line 1: class cat is not one of the 2 that are named"),
    "YOLO, nan": (f"1 nan 0.5 0.5 0.5\n{LINE}", "line 1: a coordinate is no number"),
    "YOLO, pixels": (f"1 100 90 50 50\n{LINE}", "line 1: its numbers are not parts of the picture from 0 to 1"),
    "YOLO, flat": (f"1 0.5 0.5 0 0.5\n{LINE}", "line 1: its box has no area"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_unusable_label_line_is_named(name: str, tmp_path: Path) -> None:
    content, words = BROKEN[name]
    if name.startswith("YOLO"):
        content = {"data.yaml": YAML, "a.txt": content}
    elif name.endswith(".json") and isinstance(content, dict | int) and name != "list.json":
        content = json.dumps(COCO | {"annotations": [GOOD, content]})
    elif name == "VOC":
        content |= {"b.xml": VOC.format("b.jpg")}
    truth = ground_truth.read(write(tmp_path, name, content))
    (problem,) = truth.problems
    assert f", {words}" in problem.words and truth.classes == ("cat",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "file,label\na.jpg,cat\nb.jpg,cat\na.jpg,dog\na.jpg,cat\n"),
        ("labels.json", '{"a.jpg": "cat", "b.jpg": "cat", "a.jpg": "dog", "a.jpg": "cat"}'),
    ],
)
def test_a_picture_of_two_labels_counts_for_none(name: str, text: str, tmp_path: Path) -> None:
    truth = ground_truth.read(write(tmp_path, name, text))
    assert truth.picture_labels == {"b.jpg": "cat"} and truth.find_class("a.jpg") is None
    again = ground_truth.read(write(tmp_path, name, text.replace("dog", "cat")))
    assert again.find_class("a.jpg") == "cat" and not again.problems


def test_a_tools_file_with_a_key_of_two_values_is_refused(tmp_path: Path) -> None:
    text = coco(bbox=[10, 20, 50, 80]).replace('"category_id": 3', '"category_id": 3, "category_id": 4')
    with pytest.raises(Problem, match=r"it has the key category_id twice, with 3 and 4\): write each key once"):
        ground_truth.read(write(tmp_path, "coco.json", text))


THIRD = {
    "project": {"pid": "__VIA_PROJECT_ID__", "pname": "set", "vid_list": ["1"]},
    "config": {"file": {"loc_prefix": {"1": ""}}},
    "attribute": {"1": {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": {"0": "cat"}}},
    "file": {"1": {"fid": "1", "fname": "a.jpg", "type": 2, "loc": 1, "src": ""}},
    "view": {"1": {"fid_list": ["1"]}},
    "metadata": {"1_x": {"vid": "1", "flg": 0, "z": [], "xy": [2, 10, 20, 50, 80], "av": {"1": "0"}}},
}
"""A project of VIA 3 with a rectangle."""
THIRD_TABLE = (
    "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
    "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
    '"1_x","[""a.jpg""]",0,"[]","[2,10,20,50,80]","{""1"":""0""}"\n'
)


@pytest.mark.parametrize(("name", "content"), [("via.json", THIRD), ("via.csv", THIRD_TABLE)])
def test_files_of_via_3_are_sent_back_for_coco(name: str, content: Any, tmp_path: Path) -> None:
    words = f"{name} is of the VGG Image Annotator 3, whose own files are not read: export COCO from it."
    with pytest.raises(Problem) as refused:
        ground_truth.read(write(tmp_path, name, content))
    assert str(refused.value) == words


def test_a_name_of_two_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it has the key 0 twice, with dog and cat"):
        read_file(write(tmp_path, "classes.json", '{"0": "dog", "0": "cat"}'))


def test_pictures_are_found_by_as_much_of_their_path_as_is_needed() -> None:
    labels = {
        "home/set/cat/1.jpg": "cat",
        "home/set/dog/1.jpg": "dog",
        "IMG_2.JPG": "cat",
        "3": "dog",
        "old/4.jpg": "cat",
    }
    truth = ground_truth.GroundTruth({}, (), labels)
    pictures = ["cat/1.jpg", "dog/1.jpg", "new/img_2.jpg", "3.png", "1.jpg"]
    assert [truth.find_class(key) for key in pictures] == ["cat", "dog", "cat", "dog", None]
    assert truth.find_missing(pictures) == ["old/4.jpg"]


def test_indices_and_synsets_mean_classes_of_imagenet() -> None:
    truth = ground_truth.GroundTruth({}, (), {"a": "281", "b": "1000", "c": "3.0", "d": HUGE}, reading="a table")
    rows = {row.label: row.classes for row in run_labels.list_names(truth, imagenet(), {})}
    assert rows == {"281": ("tabby",), "1000": (), "3.0": ("tiger shark",), HUGE: ()}
    digits = {row.label: row.classes for row in run_labels.list_names(truth, [*map(str, range(281, 0, -1))], {})}
    assert digits["281"] == ("281",), "a class that is called so"
    folders = {
        "n02123045": "tabby",
        "n03126707": "crane",
        "n02012849": "crane bird",
        "n02085620-Chihuahua": "Chihuahua",
    }
    assert match([*folders, "n99999999"], imagenet()) == {folder: {name} for folder, name in folders.items()}


def test_coverage_counts_pictures_and_names_what_is_missing() -> None:
    labels = {f"{number}.jpg": "1" for number in range(60)}
    read_as = ReadAs("a table (labels.csv)", pictures=60, classes=1, table="labels.csv: img → file, y → label")
    truth = ground_truth.GroundTruth({}, (), labels, reading="labels.csv", read_as=read_as)
    pictures = [f"{number}.jpg" for number in range(2, 62)]
    coverage = run_labels.describe_coverage(truth, KINDS["classes"], pictures)
    assert coverage.words == "58 of 60 labelled, 2 files missing" and not coverage.problem
    read = "Read as a table (labels.csv): 60 pictures, 1 class. labels.csv: img → file, y → label."
    assert coverage.details.startswith(f"{read} Numbers are indices of classes, from 0. Not")
    assert coverage.details.endswith("Not among the pictures: 0.jpg and 1.jpg.")
    words = "None of the pictures has labels: those are of 0.jpg, and the first picture is x.jpg."
    assert run_labels.describe_coverage(truth, KINDS["classes"], ["x.jpg"]).problem == words
    with pytest.raises(Problem, match="needs boxes"):
        KINDS["boxes"].check(truth, pictures)
