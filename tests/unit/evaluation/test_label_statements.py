"""What files of labels state of sizes, turns, numbers, marks, names and masks is used; what is open is asked for."""

import io
import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.common.errors import Problem, UnclearLabels
from sightglass.evaluation import ground_truth, label_sizes, masks
from sightglass.evaluation.kinds import KINDS
from sightglass.evaluation.label_files import options
from sightglass.evaluation.label_files.options import LabelOptions
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.label_files.values import read_size
from sightglass.explain import Image
from sightglass.explain.picture.source import find
from tests.faults.outcome import is_one_sentence
from tests.unit.batch.test_source import packed
from tests.unit.evaluation.test_ground_truth import MASK_SIZE, png
from tests.unit.evaluation.test_label_files import COCO, ENTRY, LINE, VOC, write

# ---- rows of YOLO, each by its own shape

BOX = (10, 20, 60, 100)
"""Of `1 .175 .3 .25 .4` in a picture of 200 by 200."""
POSE = "kpt_shape: [2, 2]\n"
ROWS: dict[str, tuple[str, str, Any]] = {
    "box": ("", LINE, [BOX]),
    "confidence": ("", "1 .175 .3 .25 .4 .87\n", [BOX]),
    "track": ("", "1 .175 .3 .25 .4 12\n", [BOX]),
    "confidence and track": ("", "1 .175 .3 .25 .4 .87 12\n", [BOX]),
    "later track": ("", "1 .05 .1 .3 .1 .3 .5\n1 .175 .3 .25 .4 .87 12\n", [BOX, BOX]),
    "corner at 1": ("", "1 .05 .1 .3 .1 .3 .5\n1 .05 .1 .3 .1 .3 1\n", [BOX, (10, 20, 60, 200)]),
    "first track": ("", "1 .175 .3 .25 .4 .87 1\n1 .175 .3 .25 .4 .8 2\n", [BOX, BOX]),
    "triangle": ("", "1 .05 .1 .3 .1 .3 .5\n", [BOX]),
    "17 keypoints": ("kpt_shape: [17, 3]\n", "1 .175 .3 .25 .4" + " .1 .2 2" * 16 + " 0 0 0\n", [BOX]),
    "17 keypoints, unsaid": ("", "1 .175 .3 .25 .4" + " .1 .2 2" * 16 + " 0 0 0\n", [BOX]),
    "2 keypoints, unsaid": ("", "1 .175 .3 .25 .4 .1 .2 2 .2 .3 1\n", [BOX]),
    "1 keypoint, unsaid": ("", "1 .175 .3 .25 .4 .1 .2 2\n", [BOX]),
    "2 flat keypoints": (POSE, "1 .175 .3 .25 .4 .9 .9 .8 .8\n", [BOX]),
    "4 corners": ("", "1 .05 .1 .3 .1 .3 .5 .05 .5\n", [BOX]),
    "polygon": ("", "1 .05 .1 .3 .1 .3 .5 .2 .5 .05 .5\n", [BOX]),
    "keypoints beside": ("", "1 .175 .3 .25 .4 .05 .05 1 .3 .3 1\n1 .175 .3 .25 .4 .3 .3 2 .3 .3 1\n", [BOX, BOX]),
    "polygon beside": ("", "1 .175 .3 .25 .4 .5 .5 2 .45 .45 1\n1 .05 .1 .3 .1 .3 .5 .2 .5 .05 .5\n", [BOX, BOX]),
    "class 1.000000": ("", "1.000000 .175 .3 .25 .4\n", [BOX]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_yolo_is_read_by_its_own_shape(name: str, tmp_path: Path) -> None:
    more, rows, expected = ROWS[name]
    truth = ground_truth.read(write(tmp_path, "YOLO", {"data.yaml": f"names: [dog, cat]\n{more}", "a.txt": rows}))
    found = [box.in_pixels((200, 200)).box for box in truth.find("a.jpg") or ()]
    assert truth.problems == () and found == [pytest.approx(box) for box in expected]


# ---- numbers

CORNERS = "file;x0;y0;x1;y1;label\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{CORNERS}a.jpg;10;20;1,024;700;cat\n",
        f"{CORNERS}a.jpg;10;20;1.024;700;cat\n",
        'file,x0,y0,x1,y1,label\na.jpg,10,20,"1,024",700,cat\n',
        "file\tx0\ty0\tx1\ty1\tlabel\na.jpg\t10\t20\t1,024\t700\tcat\n",
        "file;label\na.jpg;1,024\nb.jpg;700\n",
    ],
)
def test_a_mark_that_cannot_be_told_is_asked_for(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", text)
    with pytest.raises(Problem, match="say what their mark is") as refused:
        ground_truth.read(path)
    assert is_one_sentence(str(refused.value)) and "--labels-as decimal=comma or decimal=point" in str(refused.value)
    truth = ground_truth.read(path, options.parse(["decimal=point" if "1,024" in text else "decimal=comma"]))
    assert truth.picture_labels.get("a.jpg") == "1024" or truth.find("a.jpg")[0].box == (10, 20, 1024, 700)


def test_a_later_row_of_another_mark_is_left_out(tmp_path: Path) -> None:
    rows = "a.jpg;10;20;60;100;cat\n" * 1001
    truth = ground_truth.read(write(tmp_path, "a.csv", f"{CORNERS}{rows}b.jpg;10;20;1,024;700;cat\n"))
    assert "1,024 may have a mark of decimals or of thousands" in truth.problems[0].words


# ---- boxes in one cell


def test_a_box_of_open_order_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'file,label,bbox\na.jpg,cat,"[10, 20, 60, 100]"\n')
    with pytest.raises(Problem, match="--labels-as box=xyxy or box=xywh") as refused:
        ground_truth.read(path)
    assert is_one_sentence(str(refused.value))
    found = {order: ground_truth.read(path, LabelOptions(box=order)).find("a.jpg") for order in ("xyxy", "xywh")}
    assert {order: boxes[0].box for order, boxes in found.items() if boxes} == {"xyxy": BOX, "xywh": (10, 20, 70, 120)}


# ---- marks

MARKED: dict[str, tuple[Any, tuple[bool, bool]]] = {
    "IsGroupOf.csv": ("ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\na.jpg,cat,.05,.3,.1,.5,1\n", (True, False)),
    "IsGroupOf0.csv": ("ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\na.jpg,cat,.05,.3,.1,.5,0\n", (False, False)),
    "iscrowd.csv": ("file,x0,y0,x1,y1,label,iscrowd\na.jpg,1,2,3,4,cat,True\n", (True, False)),
    "difficult.csv": ("file,x0,y0,x1,y1,label,difficult\na.jpg,1,2,3,4,cat,1\n", (False, True)),
    "truncated.csv": ("file,x0,y0,x1,y1,label,truncated\na.jpg,1,2,3,4,cat,1\n", (False, False)),
    "text.json": (COCO | {"annotations": [ENTRY | {"bbox": [1, 2, 3, 4], "iscrowd": "0"}]}, (False, False)),
    "number.json": (COCO | {"annotations": [ENTRY | {"bbox": [1, 2, 3, 4], "iscrowd": 1.0}]}, (True, False)),
    "cvat.xml": ('<annotations><image name="a.jpg"><box label="cat" xtl="1" ytl="2" xbr="3" ybr="4" occluded="1">'
                 '<attribute name="is_crowd">true</attribute></box></image></annotations>', (True, False)),
    "VOC": ({"a.xml": VOC.format("a.jpg").replace("<bndbox>", "<truncated>1</truncated><bndbox>")}, (False, False)),
    "group.json": (COCO | {"annotations": [ENTRY | {"bbox": [1, 2, 3, 4], "IsGroupOf": 1}]}, (True, False)),
    "difficult.json": (COCO | {"annotations": [ENTRY | {"bbox": [1, 2, 3, 4], "difficult": True}]}, (False, True)),
    "attributes.json": (
        COCO | {"annotations": [ENTRY | {"bbox": [1, 2, 3, 4], "iscrowd": 0, "attributes": {"is_crowd": True}}]},
        (True, False),
    ),
    "createml.json": (
        [{"image": "a.jpg", "annotations": [
            {"label": "cat", "iscrowd": 1, "coordinates": {"x": 3, "y": 4, "width": 2, "height": 2}}]}],
        (True, False),
    ),
    "list.json": (
        COCO | {"annotations": [ENTRY | {"bbox": [1, 2, 3, 4], "attributes": [{"name": "is_crowd", "value": "true"}]}]},
        (True, False),
    ),
    "ticked.json": (
        {"a.jpg1": {"filename": "a.jpg", "regions": [
            {"shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
             "region_attributes": {"type": "cat", "is_crowd": {"1": True}}}]}},
        (True, False),
    ),
    "shape.json": (
        {"imagePath": "a.jpg", "shapes": [
            {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "rectangle", "difficult": True, "flags": {}}]},
        (False, True),
    ),
    "Y.csv": ("file,x0,y0,x1,y1,label,difficult\na.jpg,1,2,3,4,cat,Y\n", (False, True)),
    "is_ignored.csv": ("file,x0,y0,x1,y1,label,is_ignored\na.jpg,1,2,3,4,cat,1\n", (False, True)),
    "VOC, crowd": ({"a.xml": VOC.format("a.jpg").replace("<bndbox>", "<iscrowd>1</iscrowd><bndbox>")}, (True, False)),
    "VOC, attribute": (
        {"a.xml": VOC.format("a.jpg").replace(
            "<bndbox>",
            "<attributes><attribute><name>is_crowd</name><value>1</value></attribute></attributes><bndbox>")},
        (True, False),
    ),
    "VOC, ignore": ({"a.xml": VOC.format("a.jpg").replace("<bndbox>", "<ignore>1</ignore><bndbox>")}, (False, True)),
    "VOC, difficult": ({"a.xml": VOC.format("a.jpg").replace("<bndbox>", "<difficult> 1 </difficult><bndbox>")},
                       (False, True)),
}  # fmt: skip


@pytest.mark.parametrize("name", MARKED)
def test_a_crowd_is_one_by_the_word_of_each_format(name: str, tmp_path: Path) -> None:
    content, expected = MARKED[name]
    (box,) = ground_truth.read(write(tmp_path, name, content)).find("a.jpg") or ()
    assert (box.crowd, box.ignored) == expected


# ---- the file that names classes


@pytest.mark.parametrize("other", ["classes.txt", "labels/classes.txt", "obj.names", "set/classes.txt"])
def test_files_that_disagree_on_names_are_asked_about(other: str, tmp_path: Path) -> None:
    path = tmp_path / "set"
    path.mkdir()
    write(path, "YOLO", {"data.yaml": "names: [dog, cat]\n", "labels/a.txt": LINE})
    if other == "set/classes.txt":
        # Above the folder that is given.
        path = path / "labels"
    write(tmp_path if other.startswith("set") else path, "names", {other: "cat\ndog\n"})
    with pytest.raises(Problem, match="Class 0 is") as refused:
        ground_truth.read(path)
    assert is_one_sentence(str(refused.value)) and "--labels-as names=FILE" in str(refused.value)
    assert ground_truth.read(path, LabelOptions(names="data.yaml")).classes == ("cat",)
    assert ground_truth.read(path, LabelOptions(names=other)).classes == ("dog",)


def test_an_option_that_there_is_not_is_one_sentence() -> None:
    for texts in (["decimals=comma"], ["decimal=dot"], ["decimal"], ["names="], ["exif=stored", "exif=turned"]):
        with pytest.raises(Problem) as refused:
            options.parse(texts)
        assert is_one_sentence(str(refused.value))
    assert "exclude each other: give one of them" in str(refused.value)


# ---- sizes and turns


def draw(folder: Path, box: tuple[int, int, int, int], size: tuple[int, int], orientation: int = 1) -> None:
    """Write a.jpg, black but for a white box, as it is stored."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    Pillow.fromarray(pixels).save(folder / "a.jpg", quality=95, exif=exif)


def state(size: tuple[int, int], box: tuple[float, ...]) -> str:
    x0, y0, x1, y1 = box
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": size[0], "height": size[1]}],
        "categories": COCO["categories"],
        "annotations": [ENTRY | {"bbox": [x0, y0, x1 - x0, y1 - y0]}],
    }
    return json.dumps(content)


def place(folder: Path, text: str, name: str = "labels.json", **given: str) -> ground_truth.GroundTruth:
    truth = ground_truth.read(write(folder, name, text), LabelOptions(**given))
    return label_sizes.place(truth, find(str(folder)))


def whites(folder: Path) -> tuple[int, int, int, int]:
    """Return the box of the white pixels as the picture is decoded here."""
    rows, columns = np.nonzero(Image.open(folder / "a.jpg").pixels[..., 0] > 128)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


SIZES: dict[str, tuple[tuple[int, int], tuple[float, ...], dict[str, str], str]] = {
    "the same": ((162, 216), (40, 64, 80, 128), {}, ""),
    "smaller": ((81, 108), (20, 32, 40, 64), {}, "were scaled from the stated size"),
    "larger": ((324, 432), (80, 128, 160, 256), {}, "were scaled from the stated size"),
    "rounded": ((80, 107), (19.8, 31.7, 39.5, 63.4), {}, "were scaled from the stated size"),
    "stretched": (
        (128, 128),
        (31.605, 37.926, 63.21, 75.852),
        {"sizes": "stretch"},
        "as from a picture that was stretched",
    ),
    "letterbox": ((108, 108), (33.5, 32, 53.5, 64), {"sizes": "letterbox"}, "as from a picture with borders"),
    "wrong size": ((128, 128), (40, 64, 80, 128), {"sizes": "picture"}, "as of the picture itself"),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_stated_size_is_used(name: str, tmp_path: Path) -> None:
    size, box, given, words = SIZES[name]
    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    truth = place(tmp_path, state(size, box), **given)
    (found,) = truth.find("a.jpg") or ()
    assert found.box == pytest.approx(whites(tmp_path), abs=0.6 if name == "rounded" else 0.01)
    said = " ".join(truth.read_as.list_sentences())
    assert words in said and (not words or f"{size[0]} x {size[1]} stated, 162 x 216 in the file" in said)


@pytest.mark.parametrize(
    ("size", "box", "words"),
    [
        ((128, 128), (10, 10, 90, 90), "state 128 x 128 pixels, and it has 162 x 216: say"),
        ((216, 162), (10, 10, 90, 90), "state 216 x 162 pixels, and it has 162 x 216: say"),
        (
            (81, 108),
            (10, 10, 120, 90),
            "and it has 162 x 216, and boxes reach to 120, 90: say",
        ),
    ],
)
def test_a_size_that_does_not_fit_is_said_with_both_values(
    size: tuple[int, int], box: tuple[int, ...], words: str, tmp_path: Path
) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    with pytest.raises(Problem, match=words) as refused:
        place(tmp_path, state(size, box))
    assert is_one_sentence(str(refused.value)) and "--labels-as sizes=picture" in str(refused.value)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        ("400", "200", (400, 200)),
        ("2,000", "1.500", (2000, 1500)),
        ("400,000", "200,000", (400, 200)),
        ("400,000", "20,000", (400, 20)),
        ("400,0", "200,0", (400, 200)),
        ("65,535", "1", (65_535, 1)),
        ("-4,000", "200", None),
    ],
)
def test_a_size_is_whole_and_of_a_picture(width: str, height: str, size: tuple[int, int] | None) -> None:
    assert read_size(width, height) == size


def test_pictures_whose_size_fits_count_beside_others(tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    content = json.loads(state((162, 216), (40, 64, 80, 128)))
    content["images"].append({"id": 8, "file_name": "b.jpg", "width": 640, "height": 640})
    content["annotations"].append(ENTRY | {"image_id": 8, "bbox": [1, 2, 3, 4]})
    truth = place(tmp_path, json.dumps(content))
    assert truth.find("a.jpg") and truth.find("b.jpg") is None
    assert "b.jpg: its labels state 640 x 640 pixels, and it has 162 x 216" in truth.problems[0].words
    assert "Labels of 1 picture were left out: b.jpg" in " ".join(truth.read_as.list_sentences())


@pytest.mark.parametrize("name", ["VOC", "table.csv", "studio.json"])
def test_the_size_is_read_of_each_format_that_states_it(name: str, tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    texts: dict[str, Any] = {
        "VOC": "<annotation><filename>a.jpg</filename><size><width>81</width><height>108</height></size><object>"
        "<name>cat</name><bndbox><xmin>21</xmin><ymin>33</ymin><xmax>40</xmax><ymax>64</ymax></bndbox></object></annotation>",
        "table.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,81,108,cat,20,32,40,64\n",
        "studio.json": json.dumps(
            [{"image": "a.jpg", "label": [{"x": 24.6914, "y": 29.6296, "width": 24.6914, "height": 29.6296,
                                           "rectanglelabels": ["cat"], "original_width": 648, "original_height": 864}]}]
        ),
    }  # fmt: skip
    truth = place(tmp_path, texts[name], "a.xml" if name == "VOC" else name)
    (found,) = truth.find("a.jpg") or ()
    assert found.box == pytest.approx(whites(tmp_path), abs=0.01)


PADDED = {
    "studio.json": json.dumps(
        [{"image": "a.jpg", "label": [{"x": 10, "y": 50, "width": 50, "height": 12.5, "rectanglelabels": ["cat"],
                                       "original_width": 640, "original_height": 640}]}]
    ),
    "table.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,640,640,cat,.1,.5,.6,.625\n",
}  # fmt: skip


@pytest.mark.parametrize("name", PADDED)
def test_parts_of_a_picture_of_another_shape_are_asked_about(name: str, tmp_path: Path) -> None:
    draw(tmp_path, (0, 0, 9, 9), (200, 100))
    with pytest.raises(Problem, match="state 640 x 640 pixels, and it has 200 x 100"):
        place(tmp_path, PADDED[name], name)
    # Of the 640 x 640 the picture is in the rows 160 to 480.
    for sizes, box in {
        "letterbox": (20, 50, 120, 75),
        "stretch": (20, 50, 120, 62.5),
        "picture": (20, 50, 120, 62.5),
    }.items():
        truth = place(tmp_path, PADDED[name], name, sizes=sizes)
        assert (truth.find("a.jpg") or ())[0].box == pytest.approx(box)
        assert not any("no effect" in sentence for sentence in truth.read_as.list_sentences())


@pytest.mark.parametrize("sizes", ["stretch", "picture"])
def test_a_turn_is_said_where_the_stated_size_fits_neither_way(sizes: str, tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216), 6)
    truth = place(tmp_path, state((640, 640), (10, 10, 90, 90)), sizes=sizes)
    assert any("--labels-as exif=stored" in sentence for sentence in truth.read_as.list_sentences())


@pytest.mark.parametrize("orientation", range(2, 9))
def test_boxes_of_the_stored_picture_are_turned_as_it_is(orientation: int, tmp_path: Path) -> None:
    stored = (40, 64, 80, 128)
    draw(tmp_path, stored, (162, 216), orientation)
    shows = orientation >= 5
    given = {} if shows else {"exif": "stored"}
    truth = place(tmp_path, state((81, 108), [side / 2 for side in stored]), **given)
    (found,) = truth.find("a.jpg") or ()
    assert found.box == pytest.approx(whites(tmp_path), abs=1)
    assert "were turned as the EXIF orientation says" in " ".join(truth.read_as.sizes)
    # Of the picture as it is shown boxes stay.
    size = (216, 162) if shows else (162, 216)
    shown = place(tmp_path, state(size, whites(tmp_path)))
    assert shown.find("a.jpg")[0].box == pytest.approx(whites(tmp_path))
    assert ("as its size does not tell" in " ".join(shown.read_as.sizes)) is not shows


def test_parts_of_a_stored_picture_are_turned_where_that_is_stated(tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216), 6)
    text = f"0 {60 / 162} {96 / 216} {40 / 162} {64 / 216}\n"
    write(tmp_path, "classes.txt", {"classes.txt": "cat\n", "a.txt": text})
    truth = label_sizes.place(ground_truth.read(tmp_path, LabelOptions(exif="stored")), find(str(tmp_path)))
    assert truth.find("a.jpg")[0].box == pytest.approx(whites(tmp_path), abs=1)
    # A run that goes on places what it has placed before.
    assert label_sizes.place(truth, find(str(tmp_path))).pictures == truth.pictures


@pytest.mark.parametrize("name", ["YOLO", "table.csv"])
def test_a_turn_is_said_of_boxes_without_a_stated_size(name: str, tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216), 6)
    table = "file,x0,y0,x1,y1,label\na.jpg,40,64,80,128,cat\n"
    parts = f"0 {60 / 162} {96 / 216} {40 / 162} {64 / 216}\n"
    path = write(tmp_path, name, table if name != "YOLO" else {"classes.txt": "cat\n", "a.txt": parts})
    items = find(str(tmp_path))
    read = ground_truth.read(path)
    truth = label_sizes.place(read, items)
    assert truth.pictures == read.pictures
    assert [sentence for sentence in truth.read_as.sizes if "--labels-as exif=stored for the other" in sentence] == [
        f"Boxes of 1 picture {label_sizes.UNSTATED} ({read.files[0]})."
    ]
    # A run that goes on says it once.
    assert label_sizes.place(truth, items).read_as.sizes == truth.read_as.sizes
    assert not label_sizes.place(ground_truth.read(path, LabelOptions(exif="turned")), items).read_as.sizes
    stored = label_sizes.place(ground_truth.read(path, LabelOptions(exif="stored")), items)
    assert stored.find("a.jpg")[0].box == pytest.approx(whites(tmp_path), abs=1)


def test_a_placed_box_is_placed_once(tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216), 6)
    truth = place(tmp_path, state((162, 216), (40, 64, 80, 128)))
    assert truth.find("a.jpg")[0].box == pytest.approx(whites(tmp_path), abs=1)
    again = label_sizes.place(truth, find(str(tmp_path)))
    assert again.pictures == truth.pictures and again.read_as.sizes == truth.read_as.sizes


def test_boxes_outside_of_the_picture_are_said(tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    rows = "a.jpg,40,64,80,128,cat\na.jpg,200,100,300,200,cat\na.jpg,100,100,163,217,cat\na.jpg,0,0,170,100,cat\n"
    truth = place(tmp_path, f"file,x0,y0,x1,y1,label\n{rows}", "a.csv")
    assert [box.box[0] for box in truth.find("a.jpg") or ()] == [40, 100, 0]
    why = "a.jpg: its box 200, 100, 300, 200 lies outside of the picture, which has 162 x 216 pixels"
    assert [problem.words for problem in truth.problems] == [f"{why}."]
    assert list(truth.read_as.sizes) == [
        f"Boxes of 1 picture {label_sizes.BEYOND} (a.jpg: 0, 0, 170, 100 of 162 x 216).",
        f"Left out: 1 box ({why}).",
    ]
    # Also where the stated size is that of the picture.
    with pytest.raises(Problem, match="lies outside of the picture") as refused:
        place(tmp_path, state((162, 216), (200, 100, 300, 200)))
    assert is_one_sentence(str(refused.value))


# ---- turned masks

CORNER = np.arange(12).reshape(3, 4)
"""A mask of 4 by 3 pixels."""


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("square", [False, True])
def test_a_mask_of_the_stored_picture_is_turned_as_it_is(square: bool, orientation: int, tmp_path: Path) -> None:
    values = CORNER[:, :3] if square else CORNER
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored = Pillow.fromarray((values * 20).astype(np.uint8))
    for folder in ("pictures", "masks"):
        (tmp_path / folder).mkdir()
    stored.save(tmp_path / "pictures" / "a.png", exif=exif)
    (tmp_path / "masks" / "a.png").write_bytes(png(values))
    shown = Image.open(tmp_path / "pictures" / "a.png").pixels[..., 0].astype(int) // 20
    items = find(str(tmp_path / "pictures"))

    def see(**given: str) -> tuple[list[Any], str]:
        truth = label_sizes.place(masks.read(tmp_path / "masks", LabelOptions(**given)), items)
        # A run that goes on turns no mask again.
        assert label_sizes.place(truth, items) == truth
        with Pillow.open(io.BytesIO(truth.masks["a"])) as mask:
            return np.asarray(mask).tolist(), " ".join(truth.read_as.list_sentences())

    told = not square and orientation >= 5
    found, words = see()
    assert found == (shown if told else values).tolist()
    assert ("Masks of 1 picture were turned" in words) is told
    assert ("Masks of 1 picture were read as of the picture as it is shown" in words) is not told
    found, words = see(exif="stored")
    assert found == shown.tolist() and "Masks of 1 picture were turned" in words


def test_names_of_masks_may_begin_at_1(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png([[0, 1, 2]]))
    write(tmp_path, "names", {"classes.json": '{"2": "cat", "1": "ground"}'})
    truth = masks.read(tmp_path)
    assert truth.mask_labels == ("", "ground", "cat") and truth.classes == ("cat", "ground")
    assert truth.read_as.classes == 2 and masks.FROM_1.format("classes.json") in truth.read_as.list_sentences()
    found = masks.decode(truth.masks["a"], (1, 3), truth.mask_labels, {"ground": 0, "cat": 5}, 6)
    assert found.tolist() == [[masks.VOID, 0, 5]]


NAMED: dict[str, tuple[str, list[int], list[int]]] = {
    "a gap": ('{"0": "ground", "2": "cat"}', [0, 1, 2, 255], [0, masks.VOID, 5, masks.VOID]),
    "255 named": ('{"0": "ground", "255": "cat"}', [0, 255, 0, 255], [0, 5, 0, 5]),
    "255 named beside others": ('{"0": "ground", "128": "dog", "255": "cat"}', [0, 128, 255, 0], [0, 7, 5, 0]),
    "255 not named": ('{"0": "ground", "128": "cat"}', [0, 128, 255, 0], [0, 5, masks.VOID, 0]),
    "names first": ('{"cat": 200, "ground": 10}', [10, 200, 0, 11], [0, 5, masks.VOID, masks.VOID]),
}


@pytest.mark.parametrize("name", NAMED)
def test_names_of_masks_are_those_of_their_values(name: str, tmp_path: Path) -> None:
    names, values, expected = NAMED[name]
    (tmp_path / "a.png").write_bytes(png([values]))
    write(tmp_path, "names", {"classes.json": names})
    truth = masks.read(tmp_path, LabelOptions(names="classes.json"))
    indices = {"ground": 0, "cat": 5, "dog": 7}
    found = masks.decode(truth.masks["a"], (1, 4), truth.mask_labels, indices, 8, binary=truth.read_as.binary)
    sentences = truth.read_as.list_sentences()
    assert found.tolist() == [expected] and masks.SOME.format("classes.json") in sentences
    assert "classes.json names the classes." in sentences and len(sentences) == 3


MASKS_OF_ONE: dict[str, tuple[list[str], dict[str, int], dict[str, str]]] = {
    "a mask": (["a.png"], {"a": 0}, {}),
    "called one": (["a_mask.png"], {"a": 0}, {}),
    "in capitals": (["a_MASK.png", "b_Mask.PNG"], {"a": 0, "b": 1}, {}),
    "beside another": (["a.png", "a_mask.png"], {"a": 1}, {"a.png": "beside a_mask.png"}),
    "two that are called one": (
        ["a_MASK.png", "a_mask.png", "b.png"],
        {"b": 2},
        dict.fromkeys(["a_MASK.png", "a_mask.png"], "one of several masks of a picture"),
    ),
    "in two folders": (["x/a_mask.png", "y/a.png"], {"x/a": 0, "y/a": 1}, {}),
}


@pytest.mark.parametrize("name", MASKS_OF_ONE)
def test_a_picture_has_one_mask_and_the_others_are_named(name: str, tmp_path: Path) -> None:
    files, expected, left_out = MASKS_OF_ONE[name]
    for value, file in enumerate(files):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(png([[value]]))
    truth = masks.read(tmp_path)
    found = {key: int(np.asarray(Pillow.open(io.BytesIO(data)))[0, 0]) for key, data in truth.masks.items()}
    assert found == expected and truth.left_out == left_out


# ---- masks of 0 and 255


def binary(data: bytes, labels: tuple[str, ...] = (), count: int = 2, **indices: int) -> Any:
    return masks.decode(data, MASK_SIZE, labels, indices, count, binary=True)


def test_a_mask_of_0_and_255_has_two_classes(tmp_path: Path) -> None:
    values = np.zeros(MASK_SIZE, int)
    values[0, :3] = 255
    (tmp_path / "a.png").write_bytes(png(values))
    (tmp_path / "b.png").write_bytes(png(np.zeros(MASK_SIZE)))
    truth = masks.read(tmp_path)
    assert truth.read_as.binary and masks.BINARY in truth.read_as.list_sentences()
    assert binary(png(values))[0].tolist() == [1, 1, 1, 0, 0, 0]
    assert binary(png(np.full(MASK_SIZE, 255))).all() and not binary(png(np.zeros(MASK_SIZE))).any()
    assert binary(png(values * 257, np.uint16))[0].tolist() == [1, 1, 1, 0, 0, 0]
    named = binary(png(values), ("ground", "cat"), 3, ground=2, cat=0)
    assert named[0].tolist() == [0, 0, 0, 2, 2, 2]
    assert binary(png(values), ("cat",), 2, cat=0)[0].tolist() == [0, 0, 0, 1, 1, 1]
    # A network that never finds the object is no longer right everywhere.
    pairs = masks.count_pairs(binary(png(values)), np.zeros(MASK_SIZE, int))
    assert masks.measure([pairs]).scores["mean_iou"].value == pytest.approx((21 / 24 + 0) / 2)


@pytest.mark.parametrize("names", [{}, {"classes.txt": "cat\n"}, {"classes.txt": "ground\ncat\n"}])
def test_a_network_of_two_classes_is_judged_by_both(names: dict[str, str], tmp_path: Path) -> None:
    values = np.zeros(MASK_SIZE, int)
    values[0, :3] = 255
    (tmp_path / "a.png").write_bytes(png(values))
    truth = masks.read(write(tmp_path, "names", names))
    labels = ground_truth.RunLabels(truth, {name: (name,) for name in truth.mask_labels})
    adapter = SimpleNamespace(labels=("ground", "cat"))
    explanation = SimpleNamespace(
        segmentation=np.zeros(MASK_SIZE, int),
        image=SimpleNamespace(width=MASK_SIZE[1], height=MASK_SIZE[0]),
        evidence=SimpleNamespace(loaded=SimpleNamespace(adapter=adapter)),
    )
    picture = KINDS["areas"].judge(labels, "a.jpg", explanation, nullcontext())
    assert picture.pairs == ((0, 0, 21), (1, 0, 3)) and not picture.not_counted


@pytest.mark.parametrize("other", [1, 128])
def test_255_is_left_out_where_other_masks_have_other_values(other: int, tmp_path: Path) -> None:
    values = np.zeros(MASK_SIZE, int)
    values[0, :3] = 255
    (tmp_path / "a.png").write_bytes(png(values))
    (tmp_path / "b.png").write_bytes(png(np.full(MASK_SIZE, other)))
    assert not masks.read(tmp_path).read_as.binary
    assert masks.decode(png(values), MASK_SIZE, (), {}, 2)[0].tolist() == [masks.VOID] * 3 + [0] * 3


@pytest.mark.parametrize(
    ("labels", "count", "why"),
    [
        ((), 21, "the masks have 0 and 255 alone, and there are 21 classes"),
        (("cat",), 21, "the masks have 0 and 255 alone, and one class is named"),
    ],
)
def test_255_of_many_classes_is_asked_for(labels: tuple[str, ...], count: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        binary(png(np.full(MASK_SIZE, 255)), labels, count, cat=3)
    with pytest.raises(ValueError, match="has the value 7"):
        binary(png(np.full(MASK_SIZE, 7)))


def test_the_size_of_a_picture_elsewhere_is_read_of_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    data = (tmp_path / "a.jpg").read_bytes() + bytes(2**20)
    fsspec.filesystem("memory").pipe("/set/a.jpg", data)
    read: list[int] = []
    header = label_sizes.read_header
    monkeypatch.setattr(label_sizes, "read_header", lambda data, name: read.append(len(data)) or header(data, name))
    truth = ground_truth.read(write(tmp_path, "labels.json", state((81, 108), (20, 32, 40, 64))))
    (found,) = label_sizes.place(truth, find("memory://set")).find("a.jpg") or ()
    assert found.box == (40, 64, 80, 128) and read == [2**18]


# ---- columns of a size beside those of a box

SIZED: dict[str, str] = {
    "makesense.csv": (
        "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
        "cat,20,32,20,32,a.jpg,81,108\n"
    ),
    "plain.csv": "file,x,y,width,height,image_width,image_height,label\na.jpg,20,32,20,32,81,108,cat\n",
    "equal.csv": "file,width,height,label,bbox_x,bbox_y,bbox_width,bbox_height\na.jpg,81,108,cat,20,32,20,32\n",
    "after.csv": "file,label,bbox_x,bbox_y,bbox_width,bbox_height,width,height\na.jpg,cat,20,32,20,32,81,108\n",
    "letters.csv": "file,img_w,img_h,x0,y0,x1,y1,label\na.jpg,81,108,20,32,40,64,cat\n",
}


@pytest.mark.parametrize("name", SIZED)
def test_columns_of_a_size_are_told_from_those_of_a_box(name: str, tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    (box,) = place(tmp_path, SIZED[name], name).find("a.jpg") or ()
    assert box.box == (40, 64, 80, 128)


@pytest.mark.parametrize("given", [{}, {"decimal": "point"}])
@pytest.mark.parametrize("side", ["2,048", "2.048", "2048.0"])
def test_thousands_of_a_size_are_read(side: str, given: dict[str, str], tmp_path: Path) -> None:
    row = f'file,width,height,x0,y0,x1,y1,label\na.jpg,"{side}","1,024",10,20,600,700,cat\n'
    (box,) = ground_truth.read(write(tmp_path, "a.csv", row), LabelOptions(**given)).find("a.jpg") or ()
    assert (box.stated, box.box) == ((2048, 1024), (10, 20, 600, 700))


@pytest.mark.parametrize("marks", ["0,1", "1,0", "1,1"])
@pytest.mark.parametrize("titles", ["difficult,ignore", "ignore,difficult", "iscrowd,IsGroupOf"])
def test_each_column_of_marks_counts(titles: str, marks: str, tmp_path: Path) -> None:
    text = f"file,x0,y0,x1,y1,label,{titles}\na.jpg,1,2,3,4,cat,{marks}\n"
    truth = ground_truth.read(write(tmp_path, "a.csv", text))
    (box,) = truth.find("a.jpg") or ()
    assert (box.crowd, box.ignored) == ("iscrowd" in titles, "ignore" in titles)
    word = "crowd" if "iscrowd" in titles else "ignored"
    assert f"{titles.replace(',', ', ')} → {word}" in truth.reading


def test_a_label_of_confidence_0_says_that_its_class_is_not_there(tmp_path: Path) -> None:
    rows = "a,verification,cat,0\nb,verification,cat,1\na,verification,dog,1\n"
    truth = ground_truth.read(write(tmp_path, "a.csv", f"ImageID,Source,LabelName,Confidence\n{rows}"))
    assert dict(truth.picture_labels) == {"b": "cat", "a": "dog"}
    assert truth.problems[0].words == "a.csv, line 2: its confidence is 0, so its class is not there."
    boxes = "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax\na,cat,1,.05,.3,.1,.5\n"
    assert ground_truth.read(write(tmp_path, "b.csv", boxes)).problems == ()


# ---- names of classes beside one file

INDICES: dict[str, str] = {
    "labels.csv": "file,label\na.jpg,1\nb.jpg,2\n",
    "boxes.csv": "file,x0,y0,x1,y1,label\na.jpg,1,2,3,4,1\nb.jpg,1,2,3,4,2\n",
    "labels.json": '{"a.jpg": 1, "b.jpg": "2"}',
}


@pytest.mark.parametrize(
    "naming", [{"classes.json": '{"1": "dog", "2": "cat"}'}, {"data.yaml": "names: {1: dog, 2: cat}\n"}]
)
@pytest.mark.parametrize("name", INDICES)
def test_names_beside_one_file_are_those_of_its_indices(name: str, naming: dict[str, str], tmp_path: Path) -> None:
    (file,) = naming
    path = write(write(tmp_path, "set", naming), name, INDICES[name])
    for given, title in ((path, f"{tmp_path.name}/{file}"), (tmp_path, file)):
        truth = ground_truth.read(given)
        assert truth.classes == ("cat", "dog") and f"{title} names the classes." in truth.read_as.list_sentences()


def test_names_beside_words_are_not_read(tmp_path: Path) -> None:
    content = {"data.yaml": "names: [dog, cat]\n", "classes.txt": "cat\ndog\n", "a.csv": "file,label\na.jpg,bird\n"}
    truth = ground_truth.read(write(tmp_path, "set", content))
    assert truth.classes == ("bird",) and not truth.read_as.names_file


# ---- options without effect


def test_a_stated_order_is_that_of_any_box(tmp_path: Path) -> None:
    texts = ("a.jpg,10,20,50,80,cat\nb.jpg,10,20,50,80,cat\n", "file,x,y,w,h,label\na.jpg,10,20,50,80,cat\n")
    for text in texts:
        path = write(tmp_path, "a.csv", text)
        found = {order: ground_truth.read(path, LabelOptions(box=order)) for order in ("xywh", "cxcywh")}
        boxes = {order: (truth.find("a.jpg") or ())[0].box for order, truth in found.items()}
        assert boxes == {"xywh": (10, 20, 60, 100), "cxcywh": (-15, -20, 35, 60)}
        assert "boxes as cxcywh" in found["cxcywh"].reading


@pytest.mark.parametrize("given", [{"box": "xywh"}, {"decimal": "point"}, {"names": "missing.txt"}])
@pytest.mark.parametrize("name", ["coco.json", "VOC", "a.csv"])
def test_an_option_without_effect_is_said(name: str, given: dict[str, str], tmp_path: Path) -> None:
    contents = {
        "coco.json": COCO | {"annotations": [ENTRY | {"bbox": [1, 2, 3, 4]}]},
        "VOC": {"a.xml": VOC.format("a.jpg")},
        "a.csv": "file,label\na.jpg,cat\n",
    }
    truth = ground_truth.read(write(tmp_path, name, contents[name]), LabelOptions(**given))
    ((option, value),) = given.items()
    assert f"--labels-as {option}={value} has no effect on these labels." in truth.read_as.list_sentences()


@pytest.mark.parametrize(
    ("size", "given", "is_idle"),
    [
        ((162, 216), {"sizes": "stretch"}, True),
        ((81, 108), {"sizes": "stretch"}, False),
        ((162, 216), {"exif": "stored"}, True),
        ((162, 216), {"exif": "turned"}, True),
    ],
)
def test_an_option_of_sizes_without_effect_is_said(
    size: tuple[int, int], given: dict[str, str], is_idle: bool, tmp_path: Path
) -> None:
    draw(tmp_path, (40, 64, 80, 128), (162, 216))
    sentences = place(tmp_path, state(size, (20, 32, 40, 64)), **given).read_as.list_sentences()
    ((option, value),) = given.items()
    assert (f"--labels-as {option}={value} has no effect on these labels." in sentences) == is_idle


@pytest.mark.parametrize("value", ["turned", "stored"])
def test_an_option_on_a_turned_picture_has_an_effect(value: str, tmp_path: Path) -> None:
    draw(tmp_path, (40, 64, 80, 128), (200, 200), orientation=3)
    sentences = place(tmp_path, state((200, 200), (40, 64, 80, 128)), exif=value).read_as.list_sentences()
    assert not any("has no effect" in sentence for sentence in sentences)


def test_options_without_effect_on_masks_are_said(tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / "a.png")
    read = masks.read(tmp_path, LabelOptions(decimal="comma", box="xywh")).read_as
    assert [sentence for sentence in read.list_sentences() if "no effect" in sentence] == [
        "--labels-as decimal=comma has no effect on these labels.",
        "--labels-as box=xywh has no effect on these labels.",
    ]


def test_another_word_in_the_title_of_a_box_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "file,label,bbox_tlbr\na.jpg,cat,10 20 60 100\n")
    with pytest.raises(UnclearLabels, match="does not say what they are"):
        ground_truth.read(path)
    assert (ground_truth.read(path, LabelOptions(box="xyxy")).find("a.jpg") or ())[0].box == BOX
    path = write(tmp_path, "a.csv", "file,label,bbox_id\na.jpg,cat,7\n")
    assert ground_truth.read(path).picture_labels == {"a.jpg": "cat"}


def test_shapes_in_a_table_of_label_studio_are_no_class(tmp_path: Path) -> None:
    shape = json.dumps([{"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cat"]}]).replace('"', '""')
    path = write(tmp_path, "l.csv", f'image,id,label\na.jpg,1,"{shape}"\nb.jpg,2,cat\n')
    truth = ground_truth.read(path)
    assert truth.picture_labels == {"b.jpg": "cat"}
    assert [problem.reason.endswith("export JSON or JSON-MIN in its place") for problem in truth.problems] == [True]


def test_a_file_of_voc_that_names_another_picture_is_said(tmp_path: Path) -> None:
    names = {"a": "b.jpg", "b": "c.jpg", "d": "..\\set\\d.jpg", "e.1": "e.1"}
    path = write(tmp_path, "VOC", {f"{key}.xml": VOC.format(name) for key, name in names.items()})
    truth = ground_truth.read(path)
    assert {*truth.pictures} == {"b.jpg", "c.jpg", "../set/d.jpg", "e.1"}
    words = "2 files have other names than the pictures that they name: these pictures' labels are read."
    assert words in truth.read_as.list_sentences()


def test_a_subset_of_cvat_is_its_part(tmp_path: Path) -> None:
    shape = '<box label="cat" xtl="10" ytl="20" xbr="60" ybr="100"/>'
    images = "".join(f'<image name="1.jpg" subset="{part}">{shape}</image>' for part in ("Train", "Val"))
    truth = ground_truth.read(write(tmp_path, "a.xml", f"<annotations>{images}</annotations>"))
    assert truth.among(["1.jpg"], "/d/val").find("1.jpg") == (TrueBox("cat", BOX),)
    assert truth.among(["1.jpg"], "/d/test").find("1.jpg") is None


def test_a_file_of_voc_is_of_its_own_part(tmp_path: Path) -> None:
    truth = ground_truth.read(write(tmp_path, "set", {"train/Annotations/1.xml": VOC.format("1.jpg")}))
    assert truth.among(["valid/JPEGImages/1.jpg"]).find("valid/JPEGImages/1.jpg") is None
    assert truth.among(["train/JPEGImages/1.jpg"]).find("train/JPEGImages/1.jpg")


def test_two_shapes_of_keypoints_are_asked_about(tmp_path: Path) -> None:
    files = {
        "data.yaml": "names: [cat]\nkpt_shape: [3, 3]\n",
        "dataset.yaml": "names: [cat]\nkpt_shape: [2, 2]\n",
        "labels/a.txt": "0 .3 .3 .2 .2 .3 .3 .3 .3\n",
    }
    with pytest.raises(UnclearLabels, match="two kpt_shape, of 4 and 9 numbers"):
        ground_truth.read(write(tmp_path, "set", files))


def test_rows_of_one_name_are_told_apart_by_their_part(tmp_path: Path) -> None:
    text = "filename,split,label\n1.png,train,cat\n1.png,val,dog\n"
    truth = ground_truth.read(write(tmp_path, "l.csv", text)).among(["1.png"], "/d/val")
    assert truth.find_class("1.png") == "dog"


def test_an_archive_of_a_part_keeps_its_folder(tmp_path: Path) -> None:
    files = {"train/labels/1.txt": LINE, "train/classes.txt": "dog\ncat\n"}
    truth = ground_truth.read(packed(tmp_path / "set.zip", files))
    assert truth.among(["1.png"], "/d/val").find("1.png") is None
    assert truth.among(["1.png"], "/d/train").find("1.png")


def test_an_empty_line_among_names_is_said(tmp_path: Path) -> None:
    files = {"classes.txt": "cat\n\ndog\n", "data.yaml": "names: [cat, star, dog]\n", "labels/a.txt": LINE}
    truth = ground_truth.read(write(tmp_path, "set", files))
    assert truth.classes == ("star",)
    assert any(
        "classes.txt was not used" in each and "line 2 is empty" in each for each in truth.read_as.list_sentences()
    )


TITLES = {
    "bb_left,bb_top,bb_width,bb_height": "10,20,50,80",
    "box_xmin,box_ymin,box_xmax,box_ymax": "10,20,60,100",
    "minx,miny,maxx,maxy": "10,20,60,100",
    "start_x,start_y,end_x,end_y": "10,20,60,100",
    "xtl,ytl,xbr,ybr": "10,20,60,100",
    "rect_x,rect_y,rect_w,rect_h": "10,20,50,80",
    "x1,y1,w,h": "10,20,50,80",
}


@pytest.mark.parametrize("titles", TITLES)
def test_usual_titles_of_a_box_are_known(titles: str, tmp_path: Path) -> None:
    text = f"file,{titles},label,picture_width,picture_height\na.jpg,{TITLES[titles]},cat,400,200\n"
    assert ground_truth.read(write(tmp_path, "l.csv", text)).find("a.jpg") == (TrueBox("cat", BOX, stated=(400, 200)),)


CLASS_READ = "label of l.csv was read as the label, and class was not: the first line in which they differ has"
CORNERS_READ = "file,x0,y0,x1,y1,label,bbox\na.jpg,10,20,60,100,cat"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label,class\na.jpg,cat,animal\n", f"{CLASS_READ} cat and animal."),
        ("file,label,class_id\na.jpg,cat,3\n", ""),
        ("file,label,class\na.jpg,cat,Cat\n", ""),
        (
            "file,class_name,class_id\na.jpg,dog,0\n",
            "class_id was not: the first line in which they differ has dog and",
        ),
        ("file,class_name,class_id\na.jpg,dog,1\n", ""),
        (f"{CORNERS_READ},5 6 7 8\n", "the first line in which they differ has 10, 20, 60, 100 and 5, 6, 7, 8"),
        (f"{CORNERS_READ},10 20 60 100\n", ""),
        (f"{CORNERS_READ},10.0 20.0 60.0 100.00\n", ""),
    ],
)
def test_two_columns_that_differ_are_said(text: str, said: str, tmp_path: Path) -> None:
    truth = ground_truth.read(write(tmp_path, "set", {"classes.txt": "cat\ndog\n", "l.csv": text}))
    sentences = " ".join(truth.read_as.list_sentences())
    assert said in sentences
    assert ("in which they differ" in sentences) == bool(said)


# ---- several files of names


def test_a_stated_name_of_several_files_is_asked_about(tmp_path: Path) -> None:
    content = {"train/classes.txt": "dog\ncat\n", "valid/classes.txt": "cat\ndog\n", "train/a.txt": LINE}
    path = write(tmp_path, "set", content)
    with pytest.raises(Problem, match="Class 0 is dog in train/classes"):
        ground_truth.read(path, LabelOptions(names="classes.txt"))
    for stated in ("train/classes.txt", "./train/classes.txt", str(tmp_path / "train/classes.txt")):
        assert ground_truth.read(path, LabelOptions(names=stated)).classes == ("cat",)


def test_a_file_of_names_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    content = {"data.yaml": "names: [dog, cat\n", "classes.txt": "dog\ncat\n", "a.txt": LINE}
    truth = ground_truth.read(write(tmp_path, "YOLO", content))
    assert truth.classes == ("cat",) and truth.read_as.names_file == "classes.txt"
    assert (
        "data.yaml was not used, as no names of classes can be read of it (it is no YAML (line 2))."
        in truth.read_as.list_sentences()
    )


@pytest.mark.parametrize("names", ["", "classes.txt"])
@pytest.mark.parametrize("naming", ["names: [dog, cat]\n", ""])
@pytest.mark.parametrize("place", ["data.yaml", "set/data.yaml"])
def test_keypoints_are_those_of_any_data_file(place: str, naming: str, names: str, tmp_path: Path) -> None:
    rows = "1 .175 .3 .25 .4 .9 .9 .8 .8\n"
    content = {place: f"{naming}{POSE}", "set/classes.txt": "dog\ncat\n", "set/a.txt": rows}
    path = write(tmp_path, "set", content) / "set"
    (box,) = ground_truth.read(path, LabelOptions(names=names)).find("a.jpg") or ()
    assert box.in_pixels((200, 200)).box == pytest.approx(BOX)


# ---- numbers of YOLO that are no coordinates

NO_COORDINATES: dict[str, tuple[str, int, str]] = {
    "angle": ("1 .175 .3 .25 .4 45.0\n", 0, "may be the angle"),
    "radians": ("1 .175 .3 .25 .4 1.57\n1 .175 .3 .25 .4 .5\n", 0, "may be the angle"),
    "turned left": ("1 .175 .3 .25 .4 -0.3\n", 0, "may be the angle"),
    "polygon": ("1 .05 .1 .3 .1 .3 1.5 .2 .5 .05 .5\n", 0, "not parts of the picture"),
    "keypoint outside": ("1 .175 .3 .25 .4 .9 .9 2 .8 .8 1\n", 1, ""),
    "2 keypoints outside": ("1 .175 .3 .25 .4 .9 .9 2 .8 .8 2\n", 1, ""),
}


@pytest.mark.parametrize("name", NO_COORDINATES)
def test_a_number_above_1_is_no_coordinate(name: str, tmp_path: Path) -> None:
    rows, count, reason = NO_COORDINATES[name]
    content = {"data.yaml": "names: [dog, cat]\n", "a.txt": rows, "b.txt": LINE}
    truth = ground_truth.read(write(tmp_path, "YOLO", content))
    boxes = truth.find("a.jpg") or ()
    assert [box.in_pixels((200, 200)).box for box in boxes] == [pytest.approx(BOX)] * count
    assert all(reason in problem.words for problem in truth.problems)
    assert len(truth.problems) == (0 if count else rows.count("\n"))
