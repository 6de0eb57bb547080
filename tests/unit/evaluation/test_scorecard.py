"""Scorecard: models on labelled drawn scenes, from pictures to the verdict, the files and the command."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sightglass.cli import main
from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth
from sightglass.evaluation.errors import write_table
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.evaluation.scorecard import files, run
from sightglass.explain import Explainer
from sightglass.explain.picture import source
from tests.labelled import draw_scenes

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.evaluation.scorecard.run import LabelledPictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten labelled scenes in `pictures`, and `labels.csv`."""
    made = tmp_path_factory.mktemp("labelled") / "scenes"
    draw_scenes(made, 10)
    return made


def gather(folder: Path, labels: str = "labels.csv") -> LabelledPictures:
    found, left = run.gather(list(source.find(str(folder / "pictures"))), ground_truth.read(folder / labels))
    assert left == []
    return found


@pytest.fixture(scope="module")
def pictures(folder: Path) -> LabelledPictures:
    return gather(folder)


@pytest.fixture(scope="module")
def card(pictures: LabelledPictures) -> Scorecard:
    return scorecards.compare(run.score_models(["demo-s", "demo-l"], Explainer, pictures))


def test_the_larger_model_is_ahead_and_every_number_adds_up(card: Scorecard) -> None:
    small, large = card.rows
    assert card.largest is large
    assert large.score.value > small.score.value + 0.1 and large.found > small.found
    assert card.verdict is not None and card.verdict.headline.startswith("demo-s is ")
    assert "behind demo-l" in card.words
    for row in card.rows:
        assert row.found <= len(row.right) and row.speed is not None and row.speed.p50 <= row.speed.p95
        assert row.facts.parameters and row.facts.file_bytes


def test_only_pictures_that_all_have_are_compared(card: Scorecard) -> None:
    first, second = (row.evaluation for row in card.rows)
    some = replace(second, pictures=second.pictures[2:])
    common, left = run.keep_common([first, some])
    assert left == 2 and [len(one.pictures) for one in common] == [8, 8]
    with pytest.raises(Problem, match="no picture in common"):
        run.keep_common([replace(first, pictures=first.pictures[:2]), some])


def test_a_label_without_a_class_counts_for_no_model(folder: Path, card: Scorecard) -> None:
    lines = (folder / "labels.csv").read_text("utf-8").splitlines()
    (folder / "other.csv").write_text("\n".join(lines).replace(",star", ",Stern"), "utf-8")
    (row,) = run.score_models(["demo-s"], Explainer, gather(folder, "other.csv"))
    assert row.evaluation.left_out == "demo-s has no class for Stern: not counted."
    stars = sum(line.endswith(",star") for line in lines)
    assert stars and len(row.right) == len(card.rows[0].right) - stars
    # A model that has the class is compared on the other labels, too.
    both, _ = run.keep_common([row.evaluation, card.rows[1].evaluation])
    assert both[0].objects == both[1].objects == len(row.right)


def test_files_have_the_numbers_of_the_table(card: Scorecard) -> None:
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    told = json.loads(json.dumps(files.to_json(card), allow_nan=False))
    assert [row["found"] for row in told["models"]] == [row.found for row in card.rows]
    assert told["verdict"] == card.words
    assert told["pairs"][0]["model"] == "demo-s" and told["pairs"][0]["beside"] == "demo-l"
    rows = list(csv.DictReader(io.StringIO(write_table(files.list_objects(card), "csv").decode())))
    assert sum(row["demo-l"] == "True" for row in rows) == card.rows[1].found
    table = parquet.read_table(io.BytesIO(write_table(files.list_objects(card), "parquet"))).to_pylist()
    assert [row["picture"] for row in table] == [row["picture"] for row in rows]
    cells = files.list_rows(card)
    assert set(cells[0]) <= set(files.HELP)
    assert cells[0]["Right"] == f"{card.rows[0].found} of {len(card.rows[0].right)}"


def test_the_command_says_it_as_a_table_and_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["scorecard", str(folder / "pictures"), "--labels", str(folder / "labels.csv"), "-m", "demo-s"]
    assert main([*call, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["models"]
    assert main([*call, "--out", str(folder / "objects.csv")]) == 0
    printed = capsys.readouterr().out
    assert f"{100 * row['ap']['value']:.1f}" in printed
    assert f"{row['found']} of {row['objects']}" in printed
    assert found["verdict"] == ""
    assert row["ap"]["low"] <= row["ap"]["value"] <= row["ap"]["high"]
    assert len((folder / "objects.csv").read_text().splitlines()) == row["objects"] + 1
