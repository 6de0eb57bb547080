"""The same truth in the formats of many tools gives the same boxes, as their exporters write it."""

import json
from pathlib import Path
from typing import Any

import pytest

from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth
from sightglass.evaluation.kinds import place_boxes
from sightglass.evaluation.label_files import cvat, parts, xml_files
from sightglass.evaluation.label_files.options import LabelOptions
from tests.faults.outcome import is_one_sentence
from tests.unit.batch.test_source import packed
from tests.unit.evaluation.test_label_files import write

WIDE, HIGH = 200, 100
TRUTH = {"a": [("cat", (10, 20, 60, 100)), ("dog", (100, 0, 200, 50))], "b": [("cat", (0, 10, 40, 30))], "c": []}
"""By picture, without its ending: boxes in pictures of 200 by 100 pixels."""


def list_objects() -> list[tuple[str, str, tuple[int, int, int, int]]]:
    """Return the picture, the class and x, y, width, height of each object."""
    return [
        (f"{picture}.jpg", label, (x0, y0, x1 - x0, y1 - y0))
        for picture, objects in TRUTH.items()
        for label, (x0, y0, x1, y1) in objects
    ]


def coco() -> str:
    names = ["cat", "dog"]
    images = [{"id": i, "file_name": f"{key}.jpg", "width": WIDE, "height": HIGH} for i, key in enumerate(TRUTH)]
    annotations = [
        {"id": i, "image_id": "abc".index(file[0]), "category_id": names.index(label), "bbox": box, "iscrowd": 0}
        for i, (file, label, box) in enumerate(list_objects())
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def cvat_images() -> str:
    rows = [
        f'<image id="{i}" name="{key}.jpg" width="{WIDE}" height="{HIGH}">'
        + "".join(
            f'<box label="{label}" source="manual" occluded="0" xtl="{x0}.00" ytl="{y0}.00" xbr="{x1}.00" '
            f'ybr="{y1}.00" z_order="0"><attribute name="colour">red</attribute></box>'
            for label, (x0, y0, x1, y1) in objects
        )
        + "</image>"
        for i, (key, objects) in enumerate(TRUTH.items())
    ]
    labels = "<labels><label><name>cat</name></label></labels>"
    meta = f"<meta><task><size>3</size><mode>annotation</mode>{labels}</task></meta>"
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return f"{head}<annotations><version>1.1</version>{meta}{''.join(rows)}</annotations>"


def cvat_video() -> str:
    frames = {"a": 0, "b": 1, "c": 2}
    tracks = [
        f'<track id="{i}" label="{label}" source="manual">'
        f'<box frame="{frames[key]}" keyframe="1" outside="0" occluded="0" xtl="{x0}" ytl="{y0}" xbr="{x1}" '
        f'ybr="{y1}"/><box frame="{frames[key] + 1}" outside="1" xtl="0" ytl="0" xbr="9" ybr="9"/></track>'
        for i, (key, label, (x0, y0, x1, y1)) in enumerate(
            (key, label, box) for key, objects in TRUTH.items() for label, box in objects
        )
    ]
    meta = (
        "<meta><task><size>3</size><mode>interpolation</mode><start_frame>0</start_frame><stop_frame>2</stop_frame>"
        f"<frame_filter></frame_filter><original_size><width>{WIDE}</width><height>{HIGH}</height></original_size>"
        "<source>clip.mp4</source></task></meta>"
    )
    return f"<annotations><version>1.1</version>{meta}{''.join(tracks)}</annotations>"


def percent(key: str) -> list[dict[str, Any]]:
    """Return a picture's objects as Label Studio has them."""
    return [
        {"x": 100 * x / WIDE, "y": 100 * y / HIGH, "width": 100 * w / WIDE, "height": 100 * h / HIGH, "rotation": 0}
        | {"rectanglelabels": [label]}
        for file, label, (x, y, w, h) in list_objects()
        if file[0] == key
    ]


ORIGINAL = {"original_width": WIDE, "original_height": HIGH}


def label_studio() -> str:
    shape = {**ORIGINAL, "image_rotation": 0, "from_name": "label", "to_name": "image", "type": "rectanglelabels"}
    tasks: list[Any] = [{"id": 9, "data": {"image": "/data/upload/1/0a1b2c3d-z.jpg"}, "annotations": []}]
    for key in TRUTH:
        result = [{**shape, "value": value} for value in percent(key)]
        annotations = [{"id": 1, "was_cancelled": True, "result": []}, {"id": 2, "result": result}]
        data = {"image": f"/data/upload/1/0a1b2c3d-{key}.jpg"}
        tasks.append({"id": 1, "data": data, "annotations": annotations, "predictions": []})
    return json.dumps(tasks)


def label_studio_min() -> str:
    return json.dumps(
        [
            {"image": f"s3://bucket/set/{key}.jpg", "id": 1, "label": [ORIGINAL | each for each in percent(key)]}
            for key in TRUTH
        ]
    )


def create_ml() -> str:
    entries = []
    for key, objects in TRUTH.items():
        annotations = [
            {"label": label, "coordinates": {"x": (a + c) / 2, "y": (b + d) / 2, "width": c - a, "height": d - b}}
            for label, (a, b, c, d) in objects
        ]
        entries.append({"image": f"{key}.jpg", "annotations": annotations})
    return json.dumps(entries)


def via_shapes(key: str) -> list[dict[str, Any]]:
    return [
        {
            "shape_attributes": dict(zip(("name", "x", "y", "width", "height"), ("rect", *box), strict=True)),
            "region_attributes": {"type": label},
        }
        for file, label, box in list_objects()
        if file[0] == key
    ]


def via() -> dict[str, Any]:
    return {
        f"{key}.jpg1234": {"filename": f"{key}.jpg", "size": 1234, "regions": via_shapes(key), "file_attributes": {}}
        for key in TRUTH
    }


def via_csv() -> str:
    title = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    rows = [title]
    for key in TRUTH:
        shapes = via_shapes(key)
        for i, shape in enumerate(shapes):
            parts = (json.dumps(part).replace('"', '""') for part in shape.values())
            quoted = ",".join(f'"{part}"' for part in parts)
            rows.append(f'{key}.jpg,1234,"{{}}",{len(shapes)},{i},{quoted}')
        if not shapes:
            rows.append(f'{key}.jpg,1234,"{{}}",0,0,"{{}}","{{}}"')
    return "\n".join(rows)


def labelme(key: str) -> str:
    shapes = [
        {"label": label, "points": [[x1, y1], [x0, y0]], "group_id": None, "shape_type": "rectangle", "flags": {}}
        for label, (x0, y0, x1, y1) in TRUTH[key]
    ]
    picture = {"imagePath": f"{key}.jpg", "imageData": "iVBORw0KGgo=", "imageHeight": HIGH, "imageWidth": WIDE}
    return json.dumps({"version": "5.4.1", "flags": {}, "shapes": shapes, **picture})


def yolo(key: str) -> str:
    return "".join(
        f"{['cat', 'dog'].index(label)} {(x + w / 2) / WIDE:g} {(y + h / 2) / HIGH:g} {w / WIDE:g} {h / HIGH:g}\n"
        for file, label, (x, y, w, h) in list_objects()
        if file[0] == key
    )


def voc(key: str) -> str:
    objects = "".join(
        f"<object><name>{label}</name><truncated>1</truncated><difficult>0</difficult><bndbox><xmin>{x0 + 1}</xmin>"
        f"<ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, (x0, y0, x1, y1) in TRUTH[key]
    )
    size = f"<size><width>{WIDE}</width><height>{HIGH}</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>{key}.jpg</filename>{size}{objects}</annotation>"


def table(title: str, form: str) -> str:
    rows = [
        form.format(file=file, label=label, x=x, y=y, w=w, h=h, x1=x + w, y1=y + h)
        for file, label, (x, y, w, h) in list_objects()
    ]
    return "\n".join([title, *rows, "c.jpg,,"])


YOLO_11 = {
    "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
    "obj.names": "cat\ndog\n",
    "train.txt": "data/obj_train_data/a.jpg\ndata/obj_train_data/b.jpg\ndata/obj_train_data/c.jpg\n",
}
FORMATS: dict[str, tuple[Any, str]] = {
    "coco.json": (coco(), "COCO"),
    "annotations.xml": (cvat_images(), "CVAT"),
    "video.xml": (cvat_video(), "CVAT"),
    "tasks.json": (label_studio(), "Label Studio"),
    "tasks-min.json": (label_studio_min(), "Label Studio (JSON-MIN)"),
    "createml.json": (create_ml(), "Create ML"),
    "via.json": (json.dumps(via()), "VGG Image Annotator"),
    "project.json": (json.dumps({"_via_settings": {}, "_via_img_metadata": via()}), "VGG Image Annotator"),
    "via.csv": (via_csv(), "a table of the VGG Image Annotator"),
    "LabelMe": ({f"{key}.json": labelme(key) for key in TRUTH}, "LabelMe"),
    "YOLO": ({"data.yaml": "names: [cat, dog]\n", **{f"{key}.txt": yolo(key) for key in TRUTH}}, "YOLO"),
    "YOLO 1.1": ({**YOLO_11, **{f"obj_train_data/{key}.txt": yolo(key) for key in TRUTH}}, "YOLO"),
    "VOC": ({f"Annotations/{key}.xml": voc(key) for key in TRUTH}, "Pascal VOC"),
    "sizes.csv": (
        table('file,label,"bbox [x, y, w, h]"', '{file},{label},"[{x}, {y}, {w}, {h}]"'),
        "a table (sizes.csv)",
    ),
    "cell.csv": (table("file,label,x1 y1 x2 y2", "{file},{label},{x} {y} {x1} {y1}"), "a table (cell.csv)"),
    "open.csv": (table("file,label,bbox", '{file},{label},"[{x}, {y}, {w}, {h}]"'), "a table (open.csv)"),
}


def find_key(name: str, key: str) -> str:
    """Return what the picture is called beside labels of a format."""
    if name == "video.xml":
        return f"frame_{'abc'.index(key):06d}.png"
    return f"{'set' if name == 'tasks-min.json' else 'pictures'}/{key}.jpg"


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_the_same_boxes(name: str, tmp_path: Path) -> None:
    content, title = FORMATS[name]
    folder = tmp_path / "set"
    folder.mkdir()
    path = write(folder, name, content)
    truth = ground_truth.read(path)
    found = [place_boxes(truth.find(find_key(name, key)) or (), (WIDE, HIGH)) for key in TRUTH]
    expected = [[(label, pytest.approx(box)) for label, box in objects] for objects in TRUTH.values()]
    assert [[(box.label, box.box) for box in each] for each in found] == expected
    assert truth.find(find_key(name, "c")) == () and truth.problems == ()
    assert f"Read as {title}: 3 pictures with 3 boxes, 2 classes." in truth.read_as.list_sentences()
    if isinstance(content, dict):
        again = ground_truth.read(packed(tmp_path / "set.zip", content))
        assert again.pictures == truth.pictures and again.read_as == truth.read_as


SHAPES: dict[str, tuple[Any, list[tuple[float, float, float, float]]]] = {
    "CVAT turned": (
        {"a.xml": '<annotations><image name="a.jpg"><box label="cat" xtl="10" ytl="20" xbr="50" ybr="40" '
         'rotation="90"/></image></annotations>'},
        [(20, 10, 40, 50)],
    ),
    "CVAT polygon, ellipse, mask": (
        {"a.xml": '<annotations><image name="a.jpg"><polygon label="cat" points="10.0,20.0;60.0,20.0;60.0,100.0"/>'
         '<ellipse label="cat" cx="30" cy="40" rx="10" ry="5"/>'
         '<mask label="cat" rle="1, 2" left="5" top="6" width="7" height="8"/></image></annotations>'},
        [(10, 20, 60, 100), (20, 35, 40, 45), (5, 6, 12, 14)],
    ),
    "Label Studio turned": (
        {"a.json": json.dumps([{"data": {"image": "/data/local-files/?d=set/a.jpg"}, "annotations": [{"result": [
            {"original_width": 200, "original_height": 100, "type": "rectanglelabels",
             "value": {"x": 50, "y": 20, "width": 20, "height": 20, "rotation": 90, "rectanglelabels": ["cat"]}}]}]}])},
        [(80, 20, 100, 60)],
    ),
    "Label Studio polygon, ellipse": (
        {"a.json": json.dumps([{"data": {"image": "https://x.org/a.jpg?x=1"}, "annotations": [{"result": [
            {"type": "polygonlabels", "value": {"points": [[10, 20], [30, 20], [30, 80]], "polygonlabels": ["cat"]}},
            {"type": "ellipselabels", "value": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20,
             "ellipselabels": ["cat"]}}]}]}])},
        [(20, 20, 60, 80), (80, 30, 120, 70)],
    ),
    "VIA 1, polygon, circle": (
        {"a.json": json.dumps({"a.jpg1": {"filename": "a.jpg", "regions": {
            "0": {"shape_attributes": {"name": "polygon", "all_points_x": [10, 60, 60], "all_points_y": [20, 20, 90]},
                  "region_attributes": {"name": "cat"}},
            "1": {"shape_attributes": {"name": "circle", "cx": 50, "cy": 40, "r": 10},
                  "region_attributes": {"name": {"cat": True, "dog": False}}}}}})},
        [(10, 20, 60, 90), (40, 30, 60, 50)],
    ),
    "LabelMe polygon, circle": (
        {"a.json": json.dumps({"imagePath": "..\\pictures\\a.jpg", "shapes": [
            {"label": "cat", "points": [[10, 20], [60, 20], [60, 90]], "shape_type": "polygon"},
            {"label": "cat", "points": [[50, 40], [53, 44]], "shape_type": "circle"}]})},
        [(10, 20, 60, 90), (45, 35, 55, 45)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_that_is_no_upright_box_is_read_as_the_box_around_it(name: str, tmp_path: Path) -> None:
    content, expected = SHAPES[name]
    truth = ground_truth.read(write(tmp_path, name, content))
    found = [box.in_pixels((WIDE, HIGH)).box for box in truth.find("a.jpg") or ()]
    assert found == [pytest.approx(box) for box in expected] and truth.problems == ()


WHOLE: dict[str, tuple[Any, dict[str, str]]] = {
    "one-hot.csv": ("filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n", {"a.jpg": "cat", "b.jpg": "dog"}),
    "object.csv": ("filename,cat,object,bird\na.jpg,1,0,0\nb.jpg,0,1,0\n", {"a.jpg": "cat", "b.jpg": "object"}),
    "ISIC.csv": ("image,MEL,NV\nISIC_1,1.0,0.0\nISIC_2,0.0,1.0\n", {"ISIC_1": "MEL", "ISIC_2": "NV"}),
    "places.csv": ('file,label,coordinates\na.jpg,cat,"52.5, 13.4"\n', {"a.jpg": "cat"}),
    "sep.csv": ("sep=;\nfile;label\na.jpg;cat\n", {"a.jpg": "cat"}),
    "index.json": ({"a.jpg": 3, "b.jpg": 0}, {"a.jpg": "3", "b.jpg": "0"}),
    "named.json": ({"a.jpg": "cat"}, {"a.jpg": "cat"}),
    "index named": ({"classes.txt": "dog\ncat\n", "l.json": '{"a.jpg": 1}'}, {"a.jpg": "cat"}),
    "tags.xml": (
        '<annotations><image name="a.jpg"><tag label="cat" source="manual"></tag></image></annotations>',
        {"a.jpg": "cat"},
    ),
    "choices.json": (
        [
            {
                "data": {"image": "a.jpg"},
                "annotations": [{"result": [{"type": "choices", "value": {"choices": ["cat"]}}]}],
            }
        ],
        {"a.jpg": "cat"},
    ),
    "flags": (
        {"a.json": '{"imagePath": "a.jpg", "shapes": [], "flags": {"cat": true, "dog": false}}'},
        {"a.jpg": "cat"},
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_classes_of_whole_pictures_are_read(name: str, tmp_path: Path) -> None:
    content, expected = WHOLE[name]
    truth = ground_truth.read(write(tmp_path, name, content))
    assert truth.picture_labels == expected and truth.problems == ()


def test_the_attribute_of_regions_that_names_the_class_is_told(tmp_path: Path) -> None:
    content = json.dumps(via())
    path = write(tmp_path, "via.json", content.replace('{"type": ', '{"colour": "red", "type": '))
    truth = ground_truth.read(path)
    assert truth.classes == ("cat", "dog")
    assert "1 of 2 attributes of regions was read as their class, type." in truth.read_as.list_sentences()
    path = write(tmp_path, "via.json", content.replace('{"type": ', '{"colour": "red", "kind": '))
    with pytest.raises(Problem, match="have 2 attributes") as refused:
        ground_truth.read(path)
    assert is_one_sentence(str(refused.value))


@pytest.mark.parametrize("name", ["yolo", "createml"])
def test_folders_of_equal_names_are_told_apart(name: str, tmp_path: Path) -> None:
    for part, label in (("train", "cat"), ("valid", "dog")):
        line = f"{['cat', 'dog'].index(label)} .5 .5 .2 .2\n"
        files = {"data.yaml": "names: [cat, dog]\n", f"{part}/labels/b.txt": line}
        if name == "createml":
            files = {f"{part}/images/_annotations.createml.json": create_ml().replace("cat", label)}
        write(tmp_path, name, files)
    truth = ground_truth.read(tmp_path)
    found = [truth.find(f"{part}/images/b.jpg") or () for part in ("train", "valid")]
    assert [[box.label for box in each] for each in found] == [["cat"], ["dog"]]


def in_parts(box: tuple[float, float, float, float]) -> dict[str, str]:
    """Return a file of labels in the forms that have boxes in pixels, with these numbers in it."""
    x0, y0, x1, y1 = box
    middle = {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "width": x1 - x0, "height": y1 - y0}
    corner = {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
    corners = f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    annotation = {"image_id": 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    image = {"id": 1, "file_name": "a.jpg", "width": WIDE, "height": HIGH}
    region = {"shape_attributes": corner, "region_attributes": {"type": "cat"}}
    shape = {"label": "cat", "points": [[x0, y0], [x1, y1]], "shape_type": "rectangle"}
    return {
        "coco.json": json.dumps(
            {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "cat"}]}
        ),
        "voc.xml": f"<annotation><filename>a.jpg</filename><object><name>cat</name><bndbox>{corners}</bndbox></object>"
        "</annotation>",
        "createml.json": json.dumps([{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": middle}]}]),
        "via.json": json.dumps({"a.jpg1": {"filename": "a.jpg", "regions": [region]}}),
        "labelme.json": json.dumps({"imagePath": "a.jpg", "shapes": [shape]}),
        "cvat.xml": f'<annotations><image name="a.jpg"><box label="cat" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"/>'
        "</image></annotations>",
    }


@pytest.mark.parametrize("name", in_parts((0, 0, 1, 1)))
@pytest.mark.parametrize("box", [(0.25, 0.5, 0.75, 1), (0, 0, 1, 1), (0.125, 0, 0.5, 0.25)])
def test_boxes_in_parts_of_the_picture_are_read_as_such(
    name: str, box: tuple[float, float, float, float], tmp_path: Path
) -> None:
    path = write(tmp_path, name, in_parts(box)[name])
    truth = ground_truth.read(path.parent if path.suffix == ".xml" else path)
    found = [each.in_pixels((WIDE, HIGH)).box for each in truth.find("a.jpg") or ()]
    x0, y0, x1, y1 = box
    assert found == [pytest.approx((x0 * WIDE, y0 * HIGH, x1 * WIDE, y1 * HIGH))]
    assert parts.READ in truth.read_as.list_sentences()


@pytest.mark.parametrize("name", in_parts((0, 0, 1, 1)))
def test_boxes_that_are_neither_pixels_nor_parts_are_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, in_parts((0.5, 0.5, 1.5, 1.75))[name])
    with pytest.raises(Problem, match="may be in pixels or in parts"):
        ground_truth.read(path.parent if path.suffix == ".xml" else path)


def test_a_box_within_a_pixel_beside_larger_ones_is_left_out(tmp_path: Path) -> None:
    content = json.loads(in_parts((10, 20, 60, 90))["coco.json"])
    content["annotations"].append({"image_id": 1, "category_id": 1, "bbox": [0.25, 0.25, 0.5, 0.5]})
    truth = ground_truth.read(write(tmp_path, "l.json", json.dumps(content)))
    assert [box.box for box in truth.find("a.jpg") or ()] == [(10, 20, 60, 90)]
    assert ["its box 0.25, 0.25, 0.75, 0.75 is within the first pixel" in each.reason for each in truth.problems] == [
        True
    ]


AGAIN = {"id": 0, "file_name": "z.jpg", "width": WIDE, "height": HIGH}
REPEATED: dict[str, tuple[str, Any, dict[str, list[str]], set[str]]] = {
    "images": (
        "images",
        AGAIN,
        {"b.jpg": ["cat"], "c.jpg": []},
        {"the images a.jpg and z.jpg have one id, 0"},
    ),
    "categories": (
        "categories",
        {"id": 1, "name": "bird"},
        {"a.jpg": ["cat"], "b.jpg": ["cat"], "c.jpg": []},
        {"the categories dog and bird have one id, 1"},
    ),
    "one image twice": (
        "images",
        AGAIN | {"id": 0.0, "file_name": "a.jpg"},
        {"a.jpg": ["cat", "dog"], "b.jpg": ["cat"], "c.jpg": []},
        set(),
    ),
}


@pytest.mark.parametrize("name", REPEATED)
def test_an_id_of_two_names_counts_for_neither(name: str, tmp_path: Path) -> None:
    table, row, expected, reasons = REPEATED[name]
    content = json.loads(coco())
    content[table].append(row)
    truth = ground_truth.read(write(tmp_path, "l.json", json.dumps(content)))
    assert {key: [box.label for box in boxes] for key, boxes in truth.pictures.items()} == expected
    assert {problem.reason for problem in truth.problems} == reasons


def studio_task(address: str, label: str, kind: str = "rectanglelabels") -> dict[str, Any]:
    value = {"x": 5, "y": 10, "width": 20, "height": 40, kind: [label]}
    result = {"type": kind, "value": value if kind == "rectanglelabels" else {kind: [label]}}
    return {"data": {"image": address}, "annotations": [{"result": [result]}]}


def via_entry(label: str) -> dict[str, Any]:
    shape = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
    return {"filename": "1.jpg", "regions": [{"shape_attributes": shape, "region_attributes": {"class": label}}]}


def cvat_twice(*contents: str) -> str:
    images = "".join(f'<image name="1.jpg">{content}</image>' for content in contents)
    return f"<annotations>{images}</annotations>"


CVAT_BOX = '<box label="cat" xtl="1" ytl="2" xbr="30" ybr="40"/>'
UPLOADED = ("/data/upload/1/0a1b2c3d-1.jpg", "/data/upload/1/9a9b9c9d-1.jpg")
VIA_TITLE = "filename,file_size,region_shape_attributes,region_attributes\n"
VIA_ROW = (
    '1.jpg,{},"{{""name"": ""rect"", ""x"": 1, ""y"": 2, ""width"": 3, ""height"": 4}}","{{""class"": ""cat""}}"\n'
)
ONE_NAME: dict[str, Any] = {
    "studio.json": [studio_task(UPLOADED[0], "cat"), studio_task(UPLOADED[1], "dog")],
    "choices.json": [studio_task(UPLOADED[0], "cat", "choices"), studio_task(UPLOADED[1], "dog", "choices")],
    "min.json": [{"image": address, "label": percent("b")} for address in UPLOADED],
    "cvat.xml": cvat_twice(CVAT_BOX, CVAT_BOX),
    "tags.xml": cvat_twice('<tag label="cat"/>', '<tag label="dog"/>'),
    "via.json": {"1.jpg100": via_entry("cat"), "1.jpg200": via_entry("dog")},
    "via.csv": VIA_TITLE + VIA_ROW.format(100) + VIA_ROW.format(200),
    "createml.json": json.loads(create_ml().replace("a.jpg", "1.jpg").replace("b.jpg", "1.jpg")),
    "flags": {
        f"{label}.json": f'{{"imagePath": "1.jpg", "shapes": [], "flags": {{"{label}": true}}}}'
        for label in ("cat", "dog")
    },
}


@pytest.mark.parametrize("name", ONE_NAME)
def test_a_name_of_several_pictures_counts_for_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"There are no labels .* 1\.jpg is the name of several pictures"):
        ground_truth.read(write(tmp_path, name, ONE_NAME[name]))


def test_frames_of_a_clip_that_is_written_as_pictures_are_these(tmp_path: Path) -> None:
    meta = "<meta><mode>interpolation</mode><start_frame>0</start_frame><stop_frame>1</stop_frame></meta>"
    content = (
        cvat_twice(CVAT_BOX, "").replace("1.jpg", "frame_000000", 1).replace("<annotations>", f"<annotations>{meta}")
    )
    truth = ground_truth.read(write(tmp_path, "clip.xml", content))
    assert {key: len(boxes) for key, boxes in truth.pictures.items()} == {"frame_000000": 1, "1.jpg": 0}


def shape_of(label: str, **more: Any) -> dict[str, Any]:
    value = {"x": 5, "y": 10, "width": 20, "height": 40, "rectanglelabels": [label]}
    return {"id": "r", "type": "rectanglelabels", "to_name": "image", "value": value, **more}


def choice_of(name: str, **more: Any) -> dict[str, Any]:
    return {"id": "c", "type": "choices", "from_name": "kind", "to_name": "image", "value": {"choices": [name]}, **more}


TWO_PICTURES = {"reference": "b.jpg", "image": "a.jpg"}
ON_REGION = {"id": "r", "value": {"x": 5, "y": 10, "width": 20, "height": 40, "choices": ["hidden"]}}
LABELS = {"x": 5, "y": 10, "width": 20, "height": 40}
STUDIO: dict[str, tuple[dict[str, str], list[Any], dict[str, list[str]], str]] = {
    "the usual key": (TWO_PICTURES, [shape_of("cat")], {"a.jpg": ["cat"]}, ""),
    "the named key": (TWO_PICTURES, [shape_of("cat", to_name="reference")], {"b.jpg": ["cat"]}, ""),
    "both keys": (
        TWO_PICTURES,
        [shape_of("cat"), shape_of("dog", to_name="reference")],
        {"a.jpg": ["cat"], "b.jpg": ["dog"]},
        "",
    ),
    "another key": ({"mask": "b.jpg", "img": "a.jpg"}, [shape_of("cat")], {"a.jpg": ["cat"]}, ""),
    "one picture": ({"x": "b.jpg", "text": "image"}, [shape_of("cat")], {"b.jpg": ["cat"]}, ""),
    "one picture twice": ({"x": "b.jpg", "y": "b.jpg"}, [shape_of("cat")], {"b.jpg": ["cat"]}, ""),
    "open": ({"x": "b.jpg", "y": "a.jpg"}, [shape_of("cat")], {}, "its pictures x and y are several"),
    "no shapes": (TWO_PICTURES, [], {"a.jpg": []}, ""),
    "a choice on a region": (
        {"image": "a.jpg"},
        [shape_of("cat"), choice_of("hidden", **ON_REGION)],
        {"a.jpg": ["cat"]},
        "1 choice on a region was left out",
    ),
    "a choice below a region": (
        {"image": "a.jpg"},
        [shape_of("cat"), choice_of("hidden", parentID="r")],
        {"a.jpg": ["cat"]},
        "1 choice on a region was left out",
    ),
    "a choice of the picture beside shapes": (
        {"image": "a.jpg"},
        [shape_of("cat"), choice_of("street")],
        {"a.jpg": ["cat", "street"]},
        "",
    ),
    "two questions": (
        {"image": "a.jpg"},
        [choice_of("street"), choice_of("day", id="d", from_name="light")],
        {"a.jpg": []},
        "one of 2 questions",
    ),
    "labels apart": (
        {"image": "a.jpg"},
        [
            {"id": "r", "type": "rectangle", "value": LABELS},
            {"id": "r", "type": "labels", "value": {**LABELS, "labels": ["cat"]}},
        ],
        {"a.jpg": ["cat"]},
        "",
    ),
}


@pytest.mark.parametrize("name", STUDIO)
def test_label_studio_says_which_picture_and_what_a_result_is_about(name: str, tmp_path: Path) -> None:
    data, results, expected, said = STUDIO[name]
    other = {"data": {"image": "z.jpg"}, "annotations": [{"result": [shape_of("cow")]}]}
    tasks = [{"data": data, "annotations": [{"result": results}]}, other]
    truth = ground_truth.read(write(tmp_path, "l.json", json.dumps(tasks)))
    classes = {key: [box.label for box in boxes] for key, boxes in truth.pictures.items() if key != "z.jpg"}
    whole = {key: [*classes.get(key, []), label] for key, label in truth.picture_labels.items()}
    assert classes | whole == expected and said in " ".join(truth.read_as.list_sentences())


HOSTILE: dict[str, Any] = {
    "entity.xml": '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotations><image name="&a;"/></annotations>',
    "cut.xml": "<annotations><image name='a.jpg'><box",
    "wide.xml": f"<annotations>{'<image/>' * 30}</annotations>",
    "deep.xml": f"<annotations>{'<image>' * 30}{'</image>' * 30}</annotations>",
    "frames.xml": "<annotations><meta><mode>interpolation</mode><start_frame>0</start_frame><stop_frame>1e300"
    "</stop_frame></meta></annotations>",
    "studio.json": [{"data": {"image": 3}, "annotations": [{"result": [{"type": "choices", "value": 3}]}]}],
    "studio2.json": [{"data": {"image": "a.jpg"}, "annotations": [3, {"result": {"a": 3}}]}, 3],
    "studio3.json": [{"data": {"image": "http://[a.jpg"}, "annotations": [{"result": [{"value": 3}]}]}],
    "via.csv": "region_shape_attributes,region_attributes,filename\na,b\nx,y,z\n",
    "track.xml": '<annotations><track label="a"><box frame="1e300"/><box frame="-1"/><box/></track></annotations>',
    "createml.json": [{"image": [], "annotations": [{"coordinates": 3, "label": {}}]}, 3],
    "via.json": {"a": {"filename": 3, "regions": [3, {"shape_attributes": 3, "region_attributes": 3}]}, "b": 3},
    "labelme.json": {"imagePath": "", "shapes": [3, {"points": 3}, {"points": [[1]], "shape_type": {}}], "flags": 3},
    "classes.json.json": {"images": [3], "annotations": {}, "categories": "x"},
    "voc.xml": "<annotation/>",
    "part.xml": "<annotation><object>",
    "text.txt": "0 .5 .5 .2 .2",
    "no.json": b"\x00\xff",
    "deep.json": "[" * 100_000,
    "list.json": "[1, 2]",
    "lists.json": '[{"foo": [1], "bar": "x"}]',
    "images.json": {"images": 3, "categories": [], "annotations": []},
    "odd.json": {"images": [], "categories": [], "annotations": [3, {}, {"image_id": []}]},
    "no.csv": b"\xff\xfe\x00",
    "columns.csv": "what,ever\na,b\n",
    "short.csv": "file,x0,y0,x1,y1,label\na.jpg,1\n",
    "points.csv": "file,cx,cy,label\na.jpg,35,60,cat\n",
    "mixed.csv": "file,cx,cy,w,h,label\na.jpg,35,60,50,80,cat\nb.jpg,.5,.5,.2,.2,cat\n",
    "unclear.csv": "file,x0,y0,x1,y1,label\na.jpg,.1,.2,1.5,1.8,cat\n",
    "other.pdf": "%PDF",
    "missing": {},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_files, "MAX_ELEMENTS", 20)
    monkeypatch.setattr(cvat, "MAX_FRAMES", 20)
    with pytest.raises(Problem) as refused:
        ground_truth.read(write(tmp_path, name, HOSTILE[name]))
    assert is_one_sentence(str(refused.value))


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = cvat_images()
    for module, name, value in (
        (cvat, "MAX_BYTES", 99),
        (xml_files, "MAX_TAG", 99),
        (xml_files, "MAX_ELEMENTS", 2),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, value)
            with pytest.raises(Problem, match="more than"):
                ground_truth.read(write(tmp_path, "a.xml", text))


def test_what_was_read_is_said(tmp_path: Path) -> None:
    content = {
        "data.yaml": "names: [cat, dog]\n",
        "a.txt": "0 .5 .5 .2 .2 .9\n1 .1 .1 .3 .1 .3 .3\n0 .1 .1 .1\n",
        "notes.csv": "file,label\n",
    }
    truth = ground_truth.read(write(tmp_path, "YOLO", content), LabelOptions(names="data.yaml"))
    assert truth.read_as.list_sentences() == [
        "Read as YOLO: 1 picture with 2 boxes, 2 classes.",
        "data.yaml names the classes.",
        "1 row was read without confidence and track.",
        "1 polygon was read as the upright box around it.",
        "Left out: 1 line (1: a box has four numbers after its class, a polygon six or more).",
        "1 file was left out: notes.csv (beside YOLO).",
    ]
    assert ground_truth.GroundTruth({}).read_as.list_sentences() == []
