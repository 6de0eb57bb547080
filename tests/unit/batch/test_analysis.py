"""What a table of many pictures shows: right and wrong by labels, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from sightglass.batch import analysis, finished, table
from sightglass.batch import labels as run_labels
from sightglass.common.errors import ModelProblem
from sightglass.explain.maps.heatmap import CELLS
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.tasks.task import UNSURE
from sightglass.models.labels import match


def blob(x: float, y: float) -> bytes:
    rows, columns = np.mgrid[:CELLS, :CELLS]
    heat = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    return np.rint(heat * 255).astype(np.uint8).tobytes()


def frame(places: list[tuple[float, float]], **columns: object) -> pd.DataFrame:
    count = len(places)
    made = {
        "picture": [f"{i}.jpg" for i in range(count)],
        "labelled": ["minibus"] * count,
        "predicted": ["minibus"] * count,
        "predicted_score": np.linspace(0.2, 0.9, count),
        "cells": [blob(*place) for place in places],
        **{f"seen_{side}": [0] * count for side in ("left", "top")},
        **{f"seen_{side}": [100] * count for side in ("right", "bottom")},
        "width": [100] * count,
        "height": [100] * count,
    }
    return pd.DataFrame(made | columns)


def saved(folder: Path, made: pd.DataFrame) -> Path:
    folder.mkdir(exist_ok=True)
    made.to_parquet(folder / table.PARQUET)
    return folder


def test_names_are_read_kindly(tmp_path: Path) -> None:
    made = frame(
        [(8, 8)] * 6,
        labelled=["Mini_Bus", "minibus", "minibus", "minibus", None, "trolleybus"],
        predicted=["mini bus", "minibus", "trolleybus", "trolleybus", "minibus", "minibus"],
    )
    found = analysis.load(saved(tmp_path, made))
    assert [None if pd.isna(one) else bool(one) for one in found["wrong"]] == [False, False, True, True, None, True]
    assert analysis.count_right(found) == (2, 5)
    assert len(analysis.filter_rows(found, predicted="trolleybus")) == 2
    # What is unsure here is unsure on Explore.
    unsure = analysis.filter_rows(found.assign(predicted_score=[0, 0.1, UNSURE, 0.3, 0.4, 0.5]), unsure=True)
    assert list(unsure["predicted_score"]) == [0, 0.1]


def labelled(tmp_path: Path, labels: list[str], predicted: list[str], known: list[str]) -> Path:
    """Save a run's table with what its model knows."""
    made = frame([(8, 8)] * len(labels), labelled=labels, predicted=predicted)
    folder = saved(tmp_path, made)
    metadata = {b"sightglass_classes": json.dumps(known).encode()}
    parquet.write_table(pa.Table.from_pandas(made).replace_schema_metadata(metadata), folder / table.PARQUET)
    return folder


def test_a_correction_changes_what_is_counted_and_stays(tmp_path: Path) -> None:
    known = ["school bus", "minibus", "leaf beetle"]
    folder = labelled(tmp_path, ["bus", "bus", "minibus"], ["minibus", "school bus", "minibus"], known)
    run_labels.correct(folder, {"bus": [run_labels.find_class("School buses", known)], "minibus": []})
    found = analysis.load(folder)
    assert list(found["wrong"]) == [True, False, None]
    assert [(one.label, one.classes, one.pictures) for one in run_labels.match_run(folder, found)] == [
        ("minibus", (), 1),
        ("bus", ("school bus",), 2),
    ]
    run_labels.correct(folder, {"bus": ["school bus", "minibus"]})
    assert list(analysis.load(folder)["wrong"]) == [False, False, None]
    with pytest.raises(ModelProblem, match="no class called beetle: did you mean leaf beetle"):
        run_labels.find_class("beetle", known)


@pytest.mark.parametrize(
    ("folder", "meant"),
    [
        ("tomato___Late_blight", {"tomato late blight"}),
        ("EGYPTIAN-cats", {"Egyptian cat"}),
        ("tinca tinca", {"tench, Tinca tinca"}),
        ("tench, Tinca tinca", {"tench, Tinca tinca"}),
        ("guitar", {"guitar"}),
        ("minibuses", {"minibus"}),
        ("Late-Blight", set()),
        ("cats", set()),
        ("fire", set()),
        ("at", set()),
        ("2023", set()),
        ("n02123045", set()),
        ("", set()),
    ],
)
def test_which_classes_a_folder_means(folder: str, meant: set[str]) -> None:
    classes = ["tomato late blight", "Egyptian cat", "tiger cat", "tench, Tinca tinca", "guitar", "guitar pick"]
    found = match([folder], [*classes, "fire engine", "minibus", "cat bear", "class 2023"])
    assert found.get(folder, frozenset()) == meant


def test_the_report_names_the_least_sure_and_the_wrong(tmp_path: Path) -> None:
    made = frame(
        [(8, 8)] * 30,
        model=["m"] * 30,
        picture=[f"cat/{i}.jpg" for i in range(30)],
        file=[f"maps/{i}.jpg" for i in range(30)],
        predicted=["cat"] * 28 + ["<b>dog</b>", "cat"],
        predicted_score=np.linspace(0.9, 0.1, 30),
        labelled=["cat"] * 30,
    )
    folder = saved(tmp_path / "run", made)
    (folder / "maps").mkdir()
    (folder / "maps/28.jpg").write_bytes(to_jpeg(np.zeros((8, 8, 3), np.uint8)))
    page = finished.make_report(folder)
    numbers, wrong, unsure = (part.partition("</section>")[0] for part in page.split("<section>")[1:])
    assert "<td>Right</td><td>97 % of 30</td>" in numbers and "<td>83 to 99 %</td>" in numbers
    assert wrong.count("<figure>") == 1 and "&lt;b&gt;dog&lt;/b&gt;" in wrong and "data:image/jpeg;base64," in wrong
    assert "<b>dog" not in page
    assert unsure.count("<figure>") == 24 and "The first 24 of 30." in unsure
    assert "29.jpg" in unsure.partition("</figure>")[0]
