"""A pack says of a run with labels what its evaluation says, and every number of it is made again."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from pptx import Presentation

from sightglass.batch import run
from sightglass.cli import main
from sightglass.common.errors import Problem
from sightglass.evaluation import average_precision, known_cause, stored
from sightglass.evaluation.errors.report import ErrorReport
from sightglass.pack import contents, files

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.evaluation.known_cause import Task

MODELS: dict[Task, str] = {"detect": "demo-s", "classify": "demo-cls-s"}


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over scenes with planted errors."""
    task: Task = request.param
    root = tmp_path_factory.mktemp(task)
    known_cause.make(root / "scenes", ("blind", "wrong labels"), task=task, pictures=24)
    run(root / "scenes", MODELS[task], root / "run", labels=root / "scenes" / known_cause.LABELS[task])
    return root / "run"


def test_every_number_is_made_again_by_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = folder.parent / "pack"
    assert main(["evidence", str(folder), "--out", str(pack)]) == 0
    assert main(["evidence", str(folder), "--check", str(pack)]) == 0
    assert "made again, and are the same" in capsys.readouterr().out
    stated = json.loads((pack / files.JSON).read_text())
    ids = [*stated["numbers"]]
    assert len(ids) > 8
    stated["numbers"][ids[0]]["value"] += 1
    (pack / files.JSON).write_text(json.dumps(stated))
    assert main(["evidence", str(folder), "--check", str(pack), "--json"]) == 1
    (difference,) = json.loads(capsys.readouterr().out)["differences"]
    assert difference.startswith(f"{ids[0]} was ")


def test_a_pack_says_what_the_evaluation_says(folder: Path) -> None:
    evaluation = stored.load(folder)
    pack = contents.build(folder)
    numbers = {one.id: one for _, one in pack.numbers()}
    sections = {one.id: one for one in pack.sections}
    assert numbers["data.pictures"].value == 24
    if evaluation.task == "detect":
        scores = average_precision.measure(evaluation.truths, evaluation.found)
        assert numbers["accuracy.ap"].value == scores.ap.value
        types = {row[0]: row[1] for table in sections["errors"].tables for row in table.rows}
        assert sections["slices"].tables[0].rows
        assert types["Wrong class"] == sum(e.type == "class" for m in evaluation.matched for e in m.errors) > 0
    else:
        right = sum(one.found[0].label == one.truth for one in evaluation.pictures)
        assert numbers["accuracy.top1"].value == right / 24
        assert numbers["accuracy.top1"].low < right / 24 < numbers["accuracy.top1"].high
    report = ErrorReport(evaluation)
    assert report.headline.casefold() in pack.headline.casefold()
    wrong = report.errors["picture"].nunique()
    assert len(sections["figures"].figures) == min(wrong, contents.FIGURES) > 0
    assert all(one.recipe["picture_sha256"] for one in sections["figures"].figures)
    words = " ".join(sentence for one in pack.sections for sentence in one.sentences).casefold()
    assert "not tested" in words and words.count("compliant") == words.count("make no system compliant") == 1


def test_slides_of_a_pack_fit(folder: Path, tmp_path: Path) -> None:
    files.write(tmp_path, contents.build(folder))
    deck = Presentation(str(tmp_path / files.PPTX))
    for slide in deck.slides:
        shapes = sorted((one for one in slide.shapes if not one.is_placeholder), key=lambda one: one.top)
        assert all(one.top + one.height <= deck.slide_height for one in shapes)
        tables = [one for one in shapes if one.has_table or one.has_chart]
        for above, below in pairwise(tables):
            assert above.top + above.height <= below.top


def test_a_run_without_labels_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Problem, match="has no evaluation"):
        contents.build(tmp_path)
    assert main(["evidence", str(tmp_path)]) == 2
    assert "--labels" in capsys.readouterr().err
    assert main(["evidence", str(tmp_path), "--out", "a", "--check", "b"]) == 2
