"""Runs of before: what they were made of is kept, read again, and never trusted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sightglass.batch import earlier, journal, run
from sightglass.batch.earlier import RunOrigin, SecondRun
from sightglass.common.errors import ModelProblem
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.picture.source import find

MODEL = "demo-cls-s"
OPTIONS = {"method": "layercam", "layers": ("layer4",), "targets": (1, 2)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(to_jpeg(np.full((40, 40, 3), 50 * number, np.uint8)))
    return folder


def read(folder: Path) -> earlier.RunFacts:
    found = earlier.read_facts(folder)
    assert found is not None
    return found


def cut(folder: Path, lines: int) -> None:
    """Leave the run as a kill does after its settings and `lines - 1` batches."""
    kept = (folder / journal.NAME).read_bytes().splitlines(keepends=True)[:lines]
    (folder / journal.NAME).write_bytes(b"".join(kept))
    (folder / "results.parquet").unlink()
    told = json.loads((folder / earlier.FILE).read_text("utf-8"))
    (folder / earlier.FILE).write_text(json.dumps(told | {"done": None}), "utf-8")


def test_what_a_run_is_made_of_is_written_and_read(pictures: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "batches" / "one"
    run("pictures", MODEL, out, options=OPTIONS, side=200, batch_size=2, workers=1)
    found = read(out)
    assert (found.name, found.model, found.pictures, found.done) == ("pictures", MODEL, 4, 4)
    assert found.arguments.options == OPTIONS, "with tuples, as choices have them"
    assert (found.arguments.side, found.arguments.batch_size) == (200, 2)
    assert find(found.origin.source[0], base=Path(found.origin.base))[0].key == "0.jpg"
    (listed,) = earlier.list_runs(tmp_path / "batches")
    assert (listed.folder, listed.left, listed.problem) == (out, 0, "")


def test_a_killed_run_says_how_many_are_left_and_goes_on_from_its_facts(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "batches" / "one"
    run(pictures, MODEL, out, options=OPTIONS, batch_size=1, workers=1)
    cut(out, 3)
    (listed,) = earlier.list_runs(out.parent)
    assert listed.left == 2
    how = read(out)
    again = run(
        how.origin.source[0], how.model, out, options=how.arguments.options, batch_size=how.arguments.batch_size
    )
    assert (again.resumed, again.done) == (2, 4)
    assert earlier.list_runs(out.parent)[0].left == 0


def test_a_run_that_another_model_follows_is_one_with_it_and_not_done_before(pictures: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "batches" / "first", tmp_path / "batches" / "second"
    after = SecondRun(model="demo-cls-m", options={}, folder="second")
    origin = RunOrigin(source=(str(pictures),), name="mine", second=after)
    run(pictures, MODEL, first, origin=origin)
    (listed,) = earlier.list_runs(first.parent)
    assert (listed.folder, listed.left) == (first, 4), "the second has done nothing"
    run(pictures, "demo-cls-m", second, origin=RunOrigin(source=(str(pictures),), name="mine"))
    (listed,) = earlier.list_runs(first.parent)
    assert (listed.folder, listed.left) == (first, 0)


def hostile(told: dict, **changed: object) -> bytes:
    return json.dumps(told | changed).encode()


def test_damaged_facts_are_one_sentence_and_hide_no_other_run(pictures: Path, tmp_path: Path) -> None:
    out, good = tmp_path / "batches" / "bad", tmp_path / "batches" / "good"
    for folder in (out, good):
        run(pictures, MODEL, folder)
    whole = (out / earlier.FILE).read_bytes()
    told = json.loads(whole)
    second = {"model": MODEL, "options": {}, "folder": "../../elsewhere"}
    for data in (
        b"",
        whole[: len(whole) // 2],
        b"[" * 100_000,
        b"\xff\xfe",
        hostile(told, pictures="many"),
        hostile(told, pictures=0),
        hostile(told, arguments={"maps": []}),
        hostile(told, origin=told["origin"] | {"source": []}),
        hostile(told, origin=told["origin"] | {"second": second}),
    ):
        (out / earlier.FILE).write_bytes(data)
        with pytest.raises(ModelProblem, match=r"^The notes of the run bad cannot be read: choose .* to go on\.$"):
            read(out)
        problems = {one.folder.name: one.problem for one in earlier.list_runs(out.parent)}
        assert problems.pop("good") == "" and "cannot be read" in problems.pop("bad")
    (out / earlier.FILE).unlink()
    (out / earlier.FILE).mkdir()
    assert "cannot be read" in {one.folder.name: one.problem for one in earlier.list_runs(out.parent)}["bad"]
