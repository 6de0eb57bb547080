"""What is written is read again as it was: recipes, calls, addresses, label tables, decks, saved views and answers."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from sightglass.common.files import csv_files
from sightglass.common.names import compose
from sightglass.evaluation import ground_truth, label_changes
from sightglass.evaluation.label_changes import LabelChange
from sightglass.explain.options import OFFERED
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.recipe import FUNCTION_TARGET, Recipe, SavedChecks, SavedMark
from sightglass.explain.rendering.style import Field, Style
from sightglass.explain.trust.checks import QUESTIONS
from sightglass.history import decks
from sightglass.history.decks import Deck, Slide
from sightglass.models import wire
from sightglass.models.adapter import Prediction
from sightglass.report import embedded_recipe
from sightglass.report.embedded_recipe import ViewState
from sightglass.report.view import MAX_SENTENCE, MAX_TITLE, Box, Chart, ChartLine, Map, Picture, ScoreBar, View
from sightglass.ui.session import url_state
from tests.oracle.budget import budget

letters = st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Cn", "Co"))
texts = st.text(letters, max_size=20).map(compose)
names = texts.map(str.strip).filter(bool)
titles = texts.map(lambda text: " ".join(text.split())).filter(bool)
shares = st.floats(0, 1)
finite = st.floats(-1e6, 1e6)
corners = st.tuples(st.integers(0, 300), st.integers(0, 200), st.integers(1, 300), st.integers(1, 200))
xyxy = corners.map(lambda c: (float(c[0]), float(c[1]), float(c[0] + c[2]), float(c[1] + c[3])))
few = {"max_size": 3}
_RECIPES: dict[str, Any] = {
    "picture_sha256": st.just("a" * 64),
    "picture_name": names,
    "model": st.sampled_from(("efficientnet-lite0", "demo-s", "my net")),
    "weights_sha256": st.just("b" * 64),
    "method": st.sampled_from(("gradcam", "tested", "drise")),
    "layers": st.lists(names, **few).map(tuple),
    "targets": st.lists(st.integers(FUNCTION_TARGET, 999) | st.tuples(st.integers(-1, 99), st.integers(0, 9)), **few),
    "top_k": st.integers(1, 9),
    "scale": st.sampled_from(("own", "shared")),
    "preprocessing": st.sampled_from(("trained", "crop", "letterbox")),
    "confidence": shares,
    "iou": shares,
    "per": st.sampled_from(("class", "detection", "picture", "region")),
    "part": st.sampled_from(("class", "contrast", "box")),
    "at": st.lists(finite, max_size=4),
    "against": st.none() | st.integers(0, 999) | names,
    "joint": st.none() | names,
    "evidence": st.sampled_from(("for", "both")),
    "smooth": st.sampled_from(("none", "flips")),
    "ratio": shares,
    "classes": st.lists(st.integers(0, 99) | names, **few),
    "within": st.sampled_from(("picture", "inside", "each")),
    "vocabulary": st.lists(names, **few),
    "examples": st.lists(st.tuples(xyxy, names), **few),
    "prompt": texts,
    "answer": texts,
    "masks": st.none() | st.integers(1, 9000),
    "head": st.none() | st.integers(0, 11),
    "checks": st.lists(
        st.builds(
            SavedChecks,
            index=st.integers(0, 5),
            marks=st.lists(
                st.builds(
                    SavedMark,
                    id=st.sampled_from(sorted(QUESTIONS)),
                    state=st.sampled_from(("yes", "no", "cannot be told")),
                    value=st.none() | finite,
                    control=st.none() | finite,
                    inside=st.none() | finite,
                ),
                **few,
            ),
        ),
        **few,
    ),
    "device": names,
    "versions": st.dictionaries(names, names, **few),
}
recipes = st.builds(Recipe, **_RECIPES)
views_of_maps = st.builds(
    ViewState,
    index=st.integers(0, 99),
    label=st.none() | names,
    automatic=st.booleans(),
    settings=st.dictionaries(names, st.booleans() | finite | names, **few),
)
GREY = np.full((6, 8, 3), 128, np.uint8)
PNG, JPEG = to_png(GREY), to_jpeg(GREY)


def test_every_field_of_a_recipe_is_drawn() -> None:
    assert _RECIPES.keys() | {"prepared", "prove"} == Recipe.model_fields.keys()


@budget
@given(recipes, views_of_maps, st.sampled_from((PNG, JPEG)))
def test_recipe_in_a_picture(recipe: Recipe, view: ViewState, picture: bytes) -> None:
    file = embedded_recipe.write(picture, recipe, view, picture=PNG)
    found = embedded_recipe.contents(file)
    assert found is not None
    assert (found.recipe, found.view, found.picture) == (recipe, view, PNG)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    np.testing.assert_array_equal(Pillow.open(BytesIO(file)), Pillow.open(BytesIO(picture)))


@budget
@given(recipes)
def test_call_of_a_recipe(recipe: Recipe) -> None:
    given_options: dict[str, Any] = {}

    class Called:
        def __init__(self, model: str) -> None:
            assert model in (recipe.model, "model")

        def __call__(self, picture: str, **options: Any) -> None:
            assert picture == recipe.picture_name
            given_options.update(options)

    call = embedded_recipe.python_call(recipe)
    eval(call, {"Explainer": Called, "model": "model", "function": (FUNCTION_TARGET,)})
    stated = {name: given_options.get(name, option.default) for name, option in OFFERED.items()}
    left_out = {"targets"} if recipe.per == "picture" else set()
    assert {name for name, value in stated.items() if value != getattr(recipe, name)} <= left_out


@budget
@given(st.lists(texts, min_size=1, max_size=4), st.booleans(), st.integers(-999, 999), finite)
def test_values_of_an_address(listed: list[str], switch: bool, whole: int, number: float) -> None:
    assert url_state.read_list(url_state.to_text(listed)) == listed
    assert url_state.to_text(switch) in ("0", "1")
    assert int(url_state.to_text(whole)) == whole
    assert float(url_state.to_text(number)) == number


anything = st.none() | st.booleans() | st.integers() | finite | texts


@budget
@given(st.lists(st.fixed_dictionaries({"a": anything, "=b": anything}), min_size=1, max_size=4))
def test_table_of_a_run(rows: list[dict[str, Any]]) -> None:
    file = StringIO(newline="")
    csv_files.write(file, ["a", "=b"], rows)
    file.seek(0)
    expected = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    assert [
        {csv_files.unescape(name): value for name, value in row.items()} for row in csv_files.read(file)
    ] == expected


levels = st.integers(0, 255).map(lambda level: level / 255)
fields = st.builds(
    lambda values, kind, cells: Field(
        np.float32(values).reshape(2, 3) * (2 if kind == "signed" else 1) - (kind == "signed"),
        (-0.5, 0, 8.5, 6),
        (0, 0, 8, 6),
        kind,
        cells,
    ),
    st.lists(levels, min_size=6, max_size=6),
    st.sampled_from(("heat", "signed")),
    st.none() | st.just((2, 3)),
)
maps = st.builds(Map, names, fields, st.none() | shares, st.tuples(names, names, names))
boxes = st.builds(Box, st.lists(st.tuples(shares, shares), max_size=4).map(tuple), names, st.booleans())
slide_pictures = st.builds(
    Picture,
    name=names,
    jpeg=st.just(JPEG),
    size=st.just((8, 6)),
    caption=texts,
    map=st.none() | maps,
    answers=st.lists(st.tuples(names, shares), **few).map(tuple),
    boxes=st.lists(boxes, **few).map(tuple),
)
curves = st.builds(
    ChartLine,
    st.sampled_from(("map", "strongest", "random")),
    names,
    st.lists(shares, **few).map(tuple),
    st.lists(shares, **few).map(tuple),
)
views = st.builds(
    View,
    title=st.text(letters, max_size=MAX_TITLE),
    sentence=st.text(letters, max_size=MAX_SENTENCE),
    pictures=st.lists(slide_pictures, max_size=2).map(tuple),
    charts=st.lists(st.builds(Chart, names, texts, st.lists(curves, **few).map(tuple)), max_size=2).map(tuple),
    kind=st.sampled_from(("picture", "words", "text")),
    clip=st.none() | st.binary(max_size=20),
    made=texts,
    date=texts,
    facts=st.lists(names, **few).map(tuple),
    sides=st.lists(names, **few).map(tuple),
    scores=st.lists(st.builds(ScoreBar, names, names, shares, shares, shares), **few).map(tuple),
    axis=texts,
    left_out=texts,
    display=st.builds(
        Style, st.sampled_from(("overlay", "contour")), st.sampled_from(("jet", "viridis")), shares, shares
    ),
)


def plain(value: Any) -> Any:
    """Return nested dataclasses as values that can be compared."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return np.round(value, 5).tolist() if isinstance(value, np.ndarray) else value


@budget
@given(views)
def test_slide(view: View) -> None:
    packed = decks.pack(view)
    assert plain(decks.unpack(packed)) == plain(view)
    assert decks.pack(decks.unpack(packed)) == packed


@budget
@given(st.lists(views, max_size=3), titles)
def test_deck(tmp_path_factory: Any, several: list[View], title: str) -> None:
    folder: Path = tmp_path_factory.mktemp("decks")
    slides = tuple(Slide(f"abc-{place}", decks.pack(view)) for place, view in enumerate(several))
    decks.save(folder, Deck("abc", title, slides, "light"))
    found = decks.read(folder / f"abc{decks.SUFFIX}")
    assert (found.title, found.slides, found.theme) == (title, slides, "light")


frozen = st.none() | st.booleans() | st.integers() | finite | st.text()
sent = st.recursive(
    frozen | st.binary() | st.just(Prediction("cat", 3, 0.5, (1.0, 2.0, 3.0, 4.0))),
    lambda inner: (
        st.lists(inner, **few)
        | st.lists(inner, **few).map(tuple)
        | st.dictionaries(frozen, inner, **few)
        | st.frozensets(frozen, **few)
    ),
    max_leaves=8,
)


@budget
@given(sent)
def test_value_of_another_process(value: Any) -> None:
    writer = wire.Writer()
    written = json.loads(json.dumps(writer.write(value)))
    assert wire.read(written, writer.arrays) == value


@budget
@given(st.lists(st.builds(LabelChange, names, names, st.none() | xyxy, st.booleans()), **few))
def test_corrections_of_labels(tmp_path_factory: Any, changes: list[LabelChange]) -> None:
    folder: Path = tmp_path_factory.mktemp("run")
    label_changes.write(folder, changes)
    assert label_changes.read(folder) == tuple(changes)


Classes = dict[str, str]
Objects = dict[str, list[tuple[str, tuple[float, ...]]]]
# No name of a class is a number: that is the index of one.
labels = names.filter(lambda name: not name[0].isdigit())
files = st.from_regex(r"[A-Za-z]\w{0,8}( \w{1,4})?\.(jpg|png)", fullmatch=True, alphabet=letters).map(compose)


def write_table(rows: list[list[str]], separator: str) -> str:
    """Return rows as a table."""
    file = StringIO(newline="")
    csv.writer(file, delimiter=separator).writerows(rows)
    return file.getvalue()


def write_coco(objects: Objects) -> str:
    """Return boxes as COCO has them."""
    known = sorted({label for boxes in objects.values() for label, _ in boxes})
    images = [{"id": place, "file_name": file, "width": 600, "height": 400} for place, file in enumerate(objects)]
    annotations = [
        {"image_id": place, "category_id": known.index(label), "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for place, boxes in enumerate(objects.values())
        for label, (x0, y0, x1, y1) in boxes
    ]
    numbered = [{**each, "id": place, "iscrowd": 0} for place, each in enumerate(annotations)]
    categories = [{"id": place, "name": label} for place, label in enumerate(known)]
    return json.dumps({"images": images, "annotations": numbered, "categories": categories})


CLASSES: dict[str, Callable[[Classes], str]] = {
    "labels.csv": lambda classes: write_table([["file", "label"], *map(list, classes.items())], ","),
    "labels.tsv": lambda classes: write_table([["filename", "class"], *map(list, classes.items())], "\t"),
    "semicolons.csv": lambda classes: write_table([["image", "label"], *map(list, classes.items())], ";"),
    "labels.json": json.dumps,
    "list.json": lambda classes: json.dumps([{"file": file, "label": label} for file, label in classes.items()]),
}
OBJECTS: dict[str, Callable[[Objects], str]] = {
    "coco.json": write_coco,
    "boxes.csv": lambda objects: write_table(
        [
            ["file", "label", "x0", "y0", "x1", "y1"],
            *([file, label, *map(str, box)] for file, boxes in objects.items() for label, box in boxes),
        ],
        ",",
    ),
    "boxes.json": lambda objects: json.dumps(
        [
            {"file": file, "label": label, **dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))}
            for file, boxes in objects.items()
            for label, box in boxes
        ]
    ),
}


@pytest.mark.parametrize("form", CLASSES)
@budget
@given(classes=st.dictionaries(files, labels, min_size=1, max_size=5))
def test_classes_of_pictures(tmp_path_factory: Any, form: str, classes: Classes) -> None:
    path: Path = tmp_path_factory.mktemp("labels") / form
    path.write_text(CLASSES[form](classes), "utf-8")
    truth = ground_truth.read(path)
    assert {file: truth.find_class(file) for file in classes} == classes
    assert len(truth.files) == len(classes)


@pytest.mark.parametrize("form", OBJECTS)
@budget
@given(
    objects=st.dictionaries(files, st.lists(st.tuples(labels, xyxy), min_size=1, max_size=3), min_size=1, max_size=3)
)
def test_boxes_of_pictures(tmp_path_factory: Any, form: str, objects: Objects) -> None:
    path: Path = tmp_path_factory.mktemp("labels") / form
    path.write_text(OBJECTS[form](objects), "utf-8")
    truth = ground_truth.read(path)
    found = {file: truth.find(file) or () for file in objects}
    assert {file: [(box.label, box.box) for box in boxes] for file, boxes in found.items()} == objects
    assert len(truth.files) == len(objects)
