"""Runs of before: what they were made of is kept, read again, and never trusted."""

import json
from pathlib import Path

import numpy as np
import pytest

from sightglass.batch import run, run_store
from sightglass.batch.run_store import RunFacts, RunPlan
from sightglass.common.errors import Unreadable
from sightglass.explain.picture.image import to_jpeg

MODEL = "demo-cls-s"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(to_jpeg(np.full((40, 40, 3), 50 * number, np.uint8)))
    return folder


def test_run_facts_hold_whole_paths(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("pictures", MODEL, tmp_path / "one")
    facts = run_store.read_facts(tmp_path / "one")
    assert (facts.source, facts.name) == ((str(pictures),), "pictures")


def test_run_of_two_models_is_one(pictures: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "batches" / "first", tmp_path / "batches" / "second"
    plans = RunPlan(MODEL, {}, first), RunPlan("demo-cls-m", {}, second)
    run(pictures, MODEL, first, facts=RunFacts(source=(str(pictures),), name="mine", plans=plans))
    (listed,) = run_store.list_runs(first.parent)
    assert listed.folder == first and not run_store.is_finished(listed), "the second has done nothing"
    run(pictures, "demo-cls-m", second)
    (listed,) = run_store.list_runs(first.parent)
    assert listed.folder == first and run_store.is_finished(listed)


def test_damaged_facts_are_named_and_hide_no_other_run(pictures: Path, tmp_path: Path) -> None:
    out, good = tmp_path / "batches" / "bad", tmp_path / "batches" / "good"
    for folder in (out, good):
        run(pictures, MODEL, folder)
    whole = (out / run_store.FILE).read_bytes()
    told = json.loads(whole)
    for data in (
        b"",
        whole[: len(whole) // 2],
        b"[" * 100_000,
        b"\xff\xfe",
        *(json.dumps(told | changed).encode() for changed in ({"pictures": "many"}, {"pictures": 0}, {"source": []})),
        *(
            json.dumps(told | {"plans": [*told["plans"], {"model": MODEL, "options": {}, "folder": folder}]}).encode()
            for folder in ("../../elsewhere", "..", "/etc", "")
        ),
    ):
        (out / run_store.FILE).write_bytes(data)
        with pytest.raises(Unreadable, match=r"^run\.json in .*bad .*: put a copy of it back, or move it away\.$"):
            run_store.read_facts(out)
        assert [*run_store.list_unreadable(out.parent)] == ["bad"]
        assert [facts.folder for facts in run_store.list_runs(out.parent)] == [good]
