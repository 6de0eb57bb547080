"""Files of class names, in the forms that other programs write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_320_FPN_Weights

from sightglass.common.errors import ModelProblem
from sightglass.models import catalog, labels
from sightglass.models.load import TableDraft, inspect_model, load

PETS = ("cat", "dog", "Polar bear")
COCO = FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.DEFAULT.meta["categories"]
CATEGORIES = [
    {"supercategory": "any", "id": number, "name": name}
    for number, name in enumerate(COCO)
    if name not in ("__background__", "N/A")
]
"""COCO's own list: 80 classes with numbers from 1 to 90."""
FILES = {
    "Keras": ("imagenet_class_index.json", json.dumps({str(i): [f"n0{i}", name] for i, name in enumerate(PETS)})),
    "Keras, not in order": (
        "class_index.json",
        '{"2": ["n02", "Polar bear"], "0": ["n00", "cat"], "1": ["n01", "dog"]}',
    ),
    "pairs": ("classes.json", '{"0": ["cat"], "1": ["dog"], "2": ["Polar bear"]}'),
    "objects": ("categories.json", json.dumps([{"id": i, "name": name} for i, name in enumerate(PETS)])),
    "objects from 1, not in order": (
        "categories.json",
        '{"categories": [{"id": 3, "name": "Polar bear"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}',
    ),
    "objects of YAML": ("data.yaml", "names:\n- {id: 0, name: cat}\n- {id: 1, name: dog}\n- {id: 2, name: Polar bear}"),
    "objects without numbers": ("classes.json", json.dumps([{"name": name, "color": "#fff"} for name in PETS])),
    "index,name": ("classes.csv", "index,name\n0,cat\n1,dog\n2,Polar bear\n"),
    "id,label": ("labels.csv", "id,label\n2,Polar bear\n0,cat\n1,dog\n"),
    "label,id": ("labels.csv", 'label,id\n"cat",1\n"dog",2\n"Polar bear",3\n'),
    "heads of another language": ("classes.csv", "Nummer;Tier\n0;cat\n1;dog\n2;Polar bear\n"),
    "Class ID": ("classes.tsv", "Class ID\tDisplay name\tCount\n0\tcat\t9\n1\tdog\t9\n2\tPolar bear\t9\n"),
    "with a spreadsheet's mark": ("classes.csv", "\ufeffindex,name\r\n0,cat\r\n1,dog\r\n2,Polar bear\r\n"),
    "no head": ("classes.csv", "0,cat\n1,dog\n2,Polar bear\n"),
    "a column": ("labels.csv", "label\ncat\ndog\nPolar bear\n"),
    "a list": ("labels.csv", "cat\ndog\nPolar bear\n"),
    "0 cat": ("labels.txt", "0 cat\n1 dog\n2 Polar bear\n"),
    "0: cat": ("labels.txt", "0: cat\n1: dog\n2: Polar bear\n"),
    "0,cat": ("labels.txt", "0,cat\n1,dog\n2,Polar bear"),
    "0: cat, not in order": ("labels.txt", "2: Polar bear\n0: cat\n1: dog\n"),
    "cat: 0": ("names.txt", "cat: 0\ndog: 1\nPolar bear: 2\n"),
    "cat: 1, not in order": ("names.txt", "Polar bear: 3\ncat: 1\ndog: 2\n"),
    "cat, a tab, 0": ("names.txt", "cat\t0\ndog\t1\nPolar bear\t2\n"),
    "1. cat": ("labels.txt", "1. cat\n2. dog\n3. Polar bear\n"),
    "a dict of Python": ("imagenet1000_clsidx_to_labels.txt", "{0: 'cat',\n 1: 'dog',\n 2: \"Polar bear\"}\n"),
    "a dict of Python, not in order": ("labels.txt", "names = {'Polar bear': 2, 'cat': 0, 'dog': 1}"),
    "a list of Python": ("classes.txt", "class_names = [\n    'cat',\n\n    'dog',\n    'Polar bear',\n]"),
    "synset_words": ("synset_words.txt", "n02121808 cat\nn02084071 dog\nn02131653 Polar bear\n"),
    "synsets, a tab": ("labels.csv", "n02121808\tcat\nn02084071\tdog\nn02131653\tPolar bear\n"),
    "TensorFlow": (
        "label_map.pbtxt",
        "# pets\nitem {\n  id: 2\n  name: 'dog'\n}\nitem { id: 1 name: \"cat\" }\n"
        "item {\n  name: '/m/01x_v'\n  id: 3\n  display_name: 'Polar bear'\n  keypoints { id: 9 label: 'nose' }\n}\n",
    ),
    "00 cat": ("labels.txt", "00\tcat\n01\tdog\n02\tPolar bear\n"),
}


@pytest.mark.parametrize("kind", FILES)
def test_names_of_other_programs_are_read(kind: str, tmp_path: Path) -> None:
    name, text = FILES[kind]
    file = tmp_path / name
    file.write_text(text, "utf-8")
    assert labels.parse_names(file, "pets") == PETS
    draft = TableDraft("custom", "", {"weights": {"path": str(tmp_path / "pets.pth")}})
    assert draft.with_labels(3).table["weights"]["labels"] == str(file)


@pytest.mark.parametrize(
    "text",
    ["/a/airfield 0\n/b/bar/indoor 1\n", "/b/bar/indoor 1\n/a/airfield 0\n", "/a/airfield\n/b/bar/indoor\n"],
)
def test_folders_and_numbers_are_no_part_of_the_names_of_places(text: str, tmp_path: Path) -> None:
    (tmp_path / "categories_places365.txt").write_text(text, "utf-8")
    assert labels.parse_names(tmp_path / "categories_places365.txt", "net") == ("airfield", "bar/indoor")


KEPT = {
    "coins": ["1 euro", "2 euro"],
    "the same number": ["4 door", "4 seats"],
    "not counting up": ["5 cent", "10 cent", "20 cent"],
    "from 2": ["2 axles", "3 tracks"],
    "decimals": ["1.5 mm wire", "2.5 mm rod"],
    "decimal commas": ["0,5 l bottle", "1,5 l can"],
    "numbers alone": ["0", "1", "2"],
    "one without a number": ["0 cat", "1 dog", "none"],
    "one without a synset": ["n01440764 tench", "goldfish"],
    "paths": ["/home/cat 0", "/home/dog 1"],
    "another letter": ["/a/cat 0", "/b/dog 1"],
    "numbers behind, no mark": ["zone 0", "area 1"],
    "numbers behind, one twice": ["cat: 0", "dog: 0"],
    "numbers behind, a gap": ["cat: 0", "dog: 2"],
    "one with a number behind": ["cat: 0", "dog"],
    "synonyms": ["tench, Tinca tinca", "goldfish, Carassius auratus"],
}


@pytest.mark.parametrize("suffix", ["txt", "csv"])
@pytest.mark.parametrize("kind", KEPT)
def test_names_that_begin_with_numbers_are_left_as_they_are(kind: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"labels.{suffix}"
    text = "\n".join(KEPT[kind])
    if suffix == "csv":
        text = f'name\n"{text.replace(chr(10), chr(34) + chr(10) + chr(34))}"'
    file.write_text(text, "utf-8")
    assert labels.parse_names(file, "net") == tuple(KEPT[kind])


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (80, [row["name"] for row in CATEGORIES]),
        (91, [name if i and name != "N/A" else f"class {i}" for i, name in enumerate(COCO)]),
    ],
)
def test_gaps_of_coco_are_left_out_or_numbered(count: int, expected: list[str]) -> None:
    assert labels.order(CATEGORIES, count) == tuple(expected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "filename,label\na.jpg,cat\nb.jpg,dog\n"),
        ("labels.csv", "id,image,label\n0,a.PNG,cat\n1,b.PNG,dog\n"),
        ("labels.csv", "patient,label\n17a,cat\n17b,cat\n"),
        ("labels.json", '[{"id": 0, "box": [1, 2]}, {"id": 1, "box": [3, 4]}]'),
        ("labels.json", '[{"id": 0, "name": "cat"}, 7]'),
        ("labels.json", '{"0": [], "1": []}'),
    ],
)
def test_other_tables_name_no_classes(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ModelProblem, match=r"names no classes: it should be"):
        labels.parse_names(tmp_path / name, "net")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("labels.txt", "{0: 'cat', 1: open('x')}", "it is no list of names that Python can read"),
        ("labels.txt", "{0: 'cat', 1: " + "(" * 9000 + "}", "it is no list of names that Python can read"),
        ("labels.txt", "{0: 'cat', 0: 'dog'}", "one of its keys is there twice: write each once"),
        ("labels.txt", "{0: 'cat', 2: 'dog'}", "the indices of 2 classes are not 0 to 1"),
        ("labels.txt", "{0: '" + "a" * 2**20 + "'}", "it has more than 1 MB"),
        ("labels.pbtxt", "item { id: 1 }", "item 1 has no id or no name: write id: 1 and name: 'cat' in each"),
        ("labels.pbtxt", "item { id: 1 name: 'cat' } item {", "it is no map of labels: write item"),
        ("labels.pbtxt", "item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "two classes have the same id"),
        ("labels.txt", "/c/cat 0\n/d/dog 5\n", "the indices of 2 classes are not 0 to 1"),
    ],
)
def test_a_broken_list_of_another_program_is_refused(name: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ModelProblem) as refused:
        labels.parse_names(tmp_path / name, "net")
    assert reason in str(refused.value) and "\n" not in str(refused.value)


def test_a_number_of_two_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("index,name\n0,cat\n0,dog\n", "utf-8")
    with pytest.raises(ModelProblem, match=r"cannot be read from .*classes\.csv: two classes have the same index\.$"):
        labels.parse_names(tmp_path / "classes.csv", "net")


UNFIT = {
    "too many": (b"cat\ndog\ncow\nfox\n", "labels.txt beside it has 4"),
    "too few": (b"cat\ndog\n", "labels.txt beside it has 2"),
    "Latin-1": ("cat\ndog\nB\xe4r\n".encode("latin-1"), "labels.txt beside it cannot be read: it is no text in UTF-8"),
    "UTF-16": ("cat\ndog\ncow\n".encode("utf-16"), "labels.txt beside it cannot be read: it is no text in UTF-8"),
    "an empty line": (b"cat\n\ndog\ncow\n", "labels.txt beside it cannot be read: line 2 is empty"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_names_beside_a_model_that_do_not_fit_are_named_with_the_reason(kind: str, tmp_path: Path) -> None:
    data, reason = UNFIT[kind]
    model = tmp_path / "net.pth"
    torch.save(torchvision.models.squeezenet1_0(num_classes=3).state_dict(), model)
    (tmp_path / "labels.txt").write_bytes(data)
    (tmp_path / "args.yaml").write_text("lr: 0.1", "utf-8")
    draft = inspect_model(model)
    assert any(note.startswith(f"Its 3 classes have no names yet ({reason}") for note in draft.notes)
    for given in (model, tmp_path):
        adapter = load(catalog.of_file(given))
        assert adapter.labels == ("class 0", "class 1", "class 2")
        assert any(note.startswith(f"Its 3 classes have no names here ({reason}") for note in adapter.notes)


def test_other_files_beside_a_model_are_no_names_that_do_not_fit(tmp_path: Path) -> None:
    torch.save(torchvision.models.squeezenet1_0(num_classes=3).state_dict(), tmp_path / "net.pth")
    (tmp_path / "net.json").write_text('{"lr": "fast"}', "utf-8")
    (tmp_path / "broken.yaml").write_text("a: [", "utf-8")
    (tmp_path / "notes.txt").write_text("a\n\nb", "utf-8")
    notes = load(catalog.of_file(tmp_path / "net.pth")).notes
    assert any(note.startswith("Its 3 classes have no names here: say weights.labels") for note in notes)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"id2label": {"0": "cat", "1": "dog", "2": "cow"}, "num_classes": 3, "mean": [0.5]}, ("cat", "dog", "cow")),
        ({"num_classes": 3, "label2id": {"cow": 2, "dog": 1, "cat": 0}}, ("cat", "dog", "cow")),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, ("class 0", "class 1", "class 2")),
        ({"classes": ["a", "b", "c"], "num_classes": 3}, ("class 0", "class 1", "class 2")),
        ({"id2label": {"0": "cat", "5": "dog"}}, ("class 0", "class 1", "class 2")),
    ],
)
def test_names_in_a_configuration_beside_a_model_are_read(
    content: dict[str, Any], expected: tuple[str, ...], tmp_path: Path
) -> None:
    state = torchvision.models.squeezenet1_0(num_classes=3).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(content), "utf-8")
    for given in (tmp_path, tmp_path / "model.safetensors"):
        assert load(catalog.of_file(given)).labels == expected
