"""A result has the same fields in the library, in files and in the API's answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain import Explainer
from sightglass.explain.maps.statistics import Agreement
from sightglass.report import result_folder, results

if TYPE_CHECKING:
    from pathlib import Path


def test_an_explanation_is_the_same_in_the_library_and_in_its_file(scene: Path, tmp_path: Path) -> None:
    made = Explainer("demo-s")(scene, per="detection", top_k=1)
    made.save(tmp_path / "out")
    written = json.loads((tmp_path / "out" / result_folder.SUMMARY).read_text("utf-8"))
    del written["files"]
    assert written == made.to_dict()
    assert written["version"] == results.VERSION
    read = results.Explained.model_validate_json(json.dumps(written))
    assert (read.statistics, read.recipe) == (made.statistics, made.recipe)
    assert read.to_dict() == written


def test_numbers_that_are_not_finite_are_null() -> None:
    unlike = Agreement(np.nan, 0.5)
    compared = results.ComparisonResult(
        picture="a.png", verdict="", fastest=None, common=(0, 0, 9, 9), models=[], agreement=[[unlike]]
    )
    expected = [[{"rank_correlation": None, "iou_top20": 0.5}]]
    assert compared.to_dict()["agreement"] == json.loads(compared.model_dump_json())["agreement"] == expected
