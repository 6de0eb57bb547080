"""Keys of names and names of files, of any letters, signs and lengths."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightglass.common.names import (
    SPELLINGS,
    by_key,
    class_key,
    file_stem,
    file_stems,
    fold,
    plain_stem,
    spell,
    split,
)
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.matching import LabelledFiles
from sightglass.models.labels import class_index, match, same_classes
from sightglass.report import result_folder

PIECES = [
    *(
        "cat",
        "Cat",
        "cats",
        "bus",
        "A",
        "1",
        "50 g",
        "Käse",
        "Ka\u0308se",
        "หมู",
        "หมี",
        "की",
        "猫",
        "ネコ",
        "İ",
        "ß",
        "Ǆ",
    ),
    *(" ", "  ", "_", "-", "--", "+", "<", ">", "#", ".", "..", "/", "\\", ",", "'", "(", ")", "²", "\u0301", "\u200d"),
    *("con", "NUL", "com1", "lpt9.", "A-aee8736c", "x" * 90, "🐘", "\n", "\0", "\u202e", "\ud800"),
]
NAMES = st.lists(st.sampled_from(PIECES), max_size=4).map("".join) | st.text(max_size=12)
HYPHENS = {"_", "-", *map(chr, range(0x2010, 0x2016))}
LISTS = st.lists(NAMES, min_size=1, max_size=8)


@given(NAMES)
def test_a_key_is_its_own_key(name: str) -> None:
    for spelling in SPELLINGS:
        assert spelling(spelling(name)) == spelling(name)


@given(NAMES)
def test_a_name_has_one_key_in_every_form_of_unicode(name: str) -> None:
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, name)
        assert [spelling(other) for spelling in SPELLINGS] == [spelling(name) for spelling in SPELLINGS]


@given(NAMES, NAMES)
def test_equal_names_stay_equal_by_looser_spellings(first: str, second: str) -> None:
    equal = [spelling(first) == spelling(second) for spelling in SPELLINGS]
    assert equal == sorted(equal)
    assert not equal[0] or file_stem(first) == file_stem(second)


@given(NAMES)
def test_nothing_but_case_and_what_is_between_words_is_lost(name: str) -> None:
    # No plural ends in x.
    kept, key = (
        [letter for letter in text if not letter.isspace() and letter not in HYPHENS]
        for text in (fold(f"{name}x"), class_key(f"{name}x"))
    )
    assert kept == key


@given(LISTS)
def test_different_names_are_different_files_on_any_disk(names: list[str]) -> None:
    for options in ({}, {"separator": "_", "max_bytes": 60}):
        stems = file_stems(names, **options)
        files = {unicodedata.normalize("NFD", stem.casefold()) for stem in stems}
        assert len(files) == len({*map(spell, names)})


@given(NAMES)
def test_a_stem_is_a_name_of_a_file(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    for stem in (file_stem(name), file_stem(name, separator="_", max_bytes=60)):
        assert 0 < len(stem.encode()) <= 80 and stem == unicodedata.normalize("NFC", stem)
        assert not stem.startswith(".") and not stem.endswith((".", " "))
        assert not set(stem) & set('<>:"/\\|?*\0\n') and stem.split(".")[0].casefold() not in {
            "con",
            "nul",
            "com1",
            "lpt9",
        }
        path = tmp_path_factory.getbasetemp() / stem
        path.touch()
        path.unlink()
    assert len(plain_stem(name, max_bytes=20).encode()) <= 20


@given(LISTS, LISTS)
def test_classes_are_matched_one_to_one(names: list[str], others: list[str]) -> None:
    names, others = ([*by_key(each, spell)] for each in (names, others))
    for found in match(names, others).values():
        assert len(found) == 1
    pairs = same_classes(tuple(names), tuple(others))
    assert len({*pairs.values()}) == len(pairs)
    assert same_classes(tuple(others), tuple(names)) == {there: here for here, there in pairs.items()}
    for index, name in enumerate(names):
        if name and not name.isdecimal():
            assert class_index(name, names) == index


PATHS = st.lists(st.sampled_from(["a", "b", "A", "images", "labels", "é", "e\u0301"]), max_size=3)
FILES = st.tuples(PATHS, st.sampled_from(["1.jpg", "1.png", "1", "2.jpg", "1.JPG"])).map(
    lambda parts: "/".join([*parts[0], parts[1]])
)


@given(st.lists(FILES, unique=True, max_size=8), st.lists(FILES, unique=True, max_size=8))
def test_no_label_is_of_two_pictures_or_of_another_folder(labelled: list[str], pictures: list[str]) -> None:
    matches, unclear = LabelledFiles(labelled).match(pictures)
    found = [file for file in matches.values() if file]
    assert len({*found}) == len(found) and not {*found} & {*unclear}
    for picture, file in matches.items():
        alike = {"images": "labels"}
        for part, other in zip(*(fold(path).split("/")[-2::-1] for path in (picture, file)), strict=False):
            assert not file or other in (part, alike.get(part))
    # The order of neither says anything.
    assert LabelledFiles(labelled[::-1]).match(pictures[::-1])[0] == matches


@pytest.mark.parametrize(
    ("text", "options", "stem"),
    [
        ("rod-cross", {}, "rod-cross"),
        ("Egyptian cat", {}, "Egyptian-cat"),
        ("Egyptian cat", {"separator": "_"}, "Egyptian_cat"),
        ("tomato___Late_blight", {"separator": "_"}, "tomato___Late_blight"),
        ("photos.2024", {}, "photos.2024"),
        ("หมู", {}, "หมู"),
        ("Ka\u0308se", {}, "Käse"),
        ("A+", {}, "A-aee8736c"),
        ("<50 g", {}, "50-g-ce2d2a66"),
        (">50 g", {}, "50-g-cbbc9a58"),
        ("-1", {}, "1-1bad6b8c"),
        ("-1", {"separator": "_"}, "-1"),
        ("con", {}, "con-1143da2b"),
        ("CON.x", {}, "CON-x-047619f5"),
        ("A-aee8736c", {}, "A-aee8736c-11932c38"),
        ("../../etc/passwd", {}, "etc-passwd-3754d6cb"),
        ("../..", {}, "picture-0cfd1c96"),
        ("", {"otherwise": "clip"}, "clip-e3b0c442"),
        ("abcdefghijkl", {"max_bytes": 11}, "ab-d682ed4c"),
    ],
)
def test_stems(text: str, options: dict[str, object], stem: str) -> None:
    assert file_stem(text, **options) == stem  # type: ignore[arg-type]


def test_names_that_are_one_on_some_disk_have_digests() -> None:
    stems = file_stems(["Cat", "cat", "a b", "a_b", "a-b", "dog", "dog"])
    assert stems[5:] == ["dog", "dog"] and stems[3] == "a_b"
    assert [len(stem) - len(stem.rpartition("-")[0]) for stem in stems[:3]] == [9, 9, 9]


def test_pictures_of_nearly_one_name_have_folders_of_their_own() -> None:
    names = ["A+.jpg", "A.jpg", "a.png", "A_2.jpg", "a b.jpg", "a_b.jpg"]
    folders = result_folder.choose_folders(names, Path("out"))
    assert [folder.name for folder in folders] == ["A-aee8736c", "A", "a_2", "A_2_2", "a_b", "a_b_2"]


def test_words_keep_their_signs() -> None:
    assert split("rod-cross, -5_g - C++ A-") == ["rod", "cross,", "-5", "g", "C++", "A-"]


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (["x/a b.jpg"], {"x/a b.jpg": "set/x/a%20b.jpg"}),
        (["x/a%20b.jpg", "x/a b.jpg"], {"x/a%20b.jpg": "", "x/a b.jpg": ""}),
        (["x/a%b.jpg"], {"x/a%b.jpg": ""}),
    ],
)
def test_a_name_as_in_an_address_is_that_of_a_picture(pictures: list[str], expected: dict[str, str]) -> None:
    assert LabelledFiles(["set/x/a%20b.jpg"]).match(pictures)[0] == expected


VAL = "/data/set/val"
WITHIN: dict[str, tuple[str, list[str], list[str], dict[str, str], tuple[str, ...]]] = {
    "another folder": (VAL, ["train/1.png"], ["1.png"], {}, ()),
    "another folder of pictures": (f"{VAL}/images", ["train/images/1.png"], ["1.png"], {}, ()),
    "another folder of labels": (f"{VAL}/images", ["train/labels/1"], ["1.png"], {}, ()),
    "another part with the same class": (f"{VAL}/cats", ["train/cats/1.png"], ["1.png"], {}, ()),
    "another class": ("/pets/cats", ["dogs/1.png"], ["1.png"], {}, ()),
    "its own": (VAL, ["val/1.png"], ["1.png"], {"1.png": "val/1.png"}, ()),
    "its own, in other letters": (VAL, ["Val/1.PNG"], ["1.png"], {"1.png": "Val/1.PNG"}, ()),
    "its own, without an ending": (VAL, ["labels/val/1"], ["1.png"], {"1.png": "labels/val/1"}, ()),
    "its own on another machine": (VAL, ["home/ann/val/1.png"], ["1.png"], {"1.png": "home/ann/val/1.png"}, ()),
    "its own of pictures": (f"{VAL}/images", ["val/images/1.png"], ["1.png"], {"1.png": "val/images/1.png"}, ()),
    "its own and another": (VAL, ["train/1.png", "val/1.png"], ["1.png"], {"1.png": "val/1.png"}, ()),
    "its own and none": (VAL, ["val/1.png", "1.png"], ["1.png"], {"1.png": "1.png"}, ("val/1.png",)),
    "its own twice": (VAL, ["a/val/1.png", "b/val/1.png"], ["1.png"], {}, ("a/val/1.png", "b/val/1.png")),
    "none": (VAL, ["1.png"], ["1.png"], {"1.png": "1.png"}, ()),
    "that of any set": (VAL, ["images/1.png"], ["1.png"], {"1.png": "images/1.png"}, ()),
    "one below it": (VAL, ["cats/1.png"], ["cats/1.png", "1.png"], {"cats/1.png": "cats/1.png"}, ()),
    "a longer one": (VAL, ["val/cats/1.png"], ["cats/1.png"], {"cats/1.png": "val/cats/1.png"}, ()),
    "another longer one": (VAL, ["train/cats/1.png"], ["cats/1.png"], {}, ()),
    "of a drive": ("C:/set/val", ["D:\\val\\1.png", "D:\\x\\2"], ["1.png", "2.png"], {"1.png": "D:\\val\\1.png"}, ()),
    "not known": ("", ["train/1.png"], ["1.png"], {"1.png": "train/1.png"}, ()),
    "a root": ("/", ["train/1.png"], ["1.png"], {"1.png": "train/1.png"}, ()),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHIN)
def test_the_folder_of_the_pictures_is_a_part_of_their_paths(name: str) -> None:
    folder, labelled, pictures, expected, unclear = WITHIN[name]
    found = LabelledFiles(labelled).match(pictures, folder)
    assert found == (dict.fromkeys(pictures, "") | expected, unclear)


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("train_set/cats/1.png", "/d/test_set/cats"),
        ("train2017/cats/1.png", "/d/val2017/cats"),
        ("fold1/cats/1.png", "/d/fold2/cats"),
        ("video1/frames/1.png", "/d/video2/frames"),
        ("train/cats/1.png", "/d/eval/cats"),
    ],
)
def test_parts_of_a_data_set_are_apart(label: str, folder: str) -> None:
    truth = GroundTruth({}, (), {label: "cat"})
    assert truth.among(["1.png"], folder).find_class("1.png") is None
    own = "/".join(folder.split("/")[2:])
    same = GroundTruth({}, (), {f"{own}/1.png": "cat"})
    assert same.among(["1.png"], folder).find_class("1.png") == "cat"
