"""The engine ray on a cluster of two workers: what the plain engine makes, to the last bit, and nothing left behind."""

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from sightglass.batch import BatchJob, journal, run, table
from sightglass.batch.engines import Work, Worker, import_ray, send_code
from sightglass.cli import main
from sightglass.common.errors import ModelProblem
from sightglass.explain.picture.source import Item, find
from tests.unit.batch.conftest import MODEL

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """One of two workers for all tests, which this process has joined; its address."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        # Ray would store a token of its own at home.
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        ray = import_ray()
        ray.init("local", num_cpus=2, include_dashboard=False, runtime_env=send_code(), log_to_driver=False)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def same(results: Path, expected: Path) -> None:
    """The same rows, tables and files, and what the journals say of each picture."""
    pd.testing.assert_frame_equal(table.read(results), table.read(expected), check_exact=True)
    for name in (table.PARQUET, table.CSV, table.PROBLEMS):
        assert (results / name).exists() == (expected / name).exists(), name
        assert not (results / name).exists() or (results / name).read_bytes() == (expected / name).read_bytes(), name
    names = {p.relative_to(expected) for p in expected.glob("maps/**/*") if p.is_file()}
    assert {p.relative_to(results) for p in results.glob("maps/**/*") if p.is_file()} == names
    assert len(names) > len(table.read(expected)["picture"].unique())
    for name in sorted(names):
        assert (results / name).read_bytes() == (expected / name).read_bytes(), name


def lines(folder: Path) -> list[str]:
    return sorted((folder / journal.NAME).read_text().splitlines())


@pytest.mark.slow
def test_a_cluster_makes_what_one_process_makes(cluster, many, finished_run, tmp_path, monkeypatch):
    reports: list[tuple[float, str]] = []
    monkeypatch.chdir(many.parent)
    summary = run(
        many.name,
        MODEL,
        f"file://{tmp_path}/out",
        batch_size=4,
        # One more than there is room for: no batch waits for it.
        workers=3,
        engine="ray",
        progress=lambda share, words: reports.append((share, words)),
    )
    assert (summary.pictures, summary.done, summary.resumed, summary.cancelled) == (22, 21, 0, False)
    assert [name for name, _ in summary.failed] == ["first/broken.jpg"]
    assert summary.folder == tmp_path / "out"
    same(tmp_path / "out", finished_run)
    assert lines(tmp_path / "out") == lines(finished_run)
    assert reports[0] == (0, "Starting") and reports[-1] == (1.0, "Writing the table")
    assert (1.0, "22 of 22 pictures") in reports
    assert not [p for p in (tmp_path / "out").rglob("*") if p.name.startswith(".")]


@pytest.mark.slow
def test_a_stop_ends_in_order_and_either_engine_goes_on(cluster, many, finished_run, tmp_path):
    cancel = threading.Event()
    # So slow that there is a middle to stop in, however busy the machine is.
    wait = ("sh", "-c", 'sleep 0.2; exec cat "$0"')
    slow = [replace(item, read=partial(subprocess.check_output, (*wait, str(item.read())))) for item in find(many)]

    def stop(share: float, words: str) -> None:
        if share > 0:
            cancel.set()

    stopped = run(slow, MODEL, tmp_path, batch_size=4, workers=1, engine="ray", progress=stop, cancel=cancel)
    assert stopped.cancelled and 0 < stopped.done < 21
    assert len(table.read(tmp_path)) == stopped.done
    before = lines(tmp_path)
    cancel.set()
    done = run(many, MODEL, tmp_path, batch_size=4, workers=2)
    assert done.resumed == stopped.done + len(stopped.failed) and not done.cancelled
    assert set(before) <= set(lines(tmp_path))
    same(tmp_path, finished_run)


@pytest.mark.slow
def test_picture_that_kills_workers_is_skipped(cluster: str, many: Path, tmp_path: Path) -> None:
    items = [*find(sorted(many.rglob("[0-9]*.jpg"))[:5]), Item("bomb.jpg", "1", partial(os._exit, 9))]
    summary = run(items, MODEL, tmp_path, batch_size=2, workers=2, engine="ray")
    assert summary.done == 5 and [name for name, _ in summary.failed] == ["bomb.jpg"]
    assert "ended the worker" in summary.failed[0][1]
    assert run(items, MODEL, tmp_path, batch_size=2, workers=2, engine="ray").resumed == 6


def test_without_ray_a_sentence_says_where_it_is(many, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = r"^The engine ray needs ray, which is not installed here: pip install ray\.$"
    with pytest.raises(ModelProblem, match=said):
        run(many, MODEL, tmp_path / "out", engine="ray")
    assert main(["batch", str(many), "--engine", "ray", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip().endswith("pip install ray.")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ModelProblem, match="no engine called dask: use plain or ray"):
        run(many, MODEL, tmp_path / "out", engine="dask")
    assert main(["batch", str(many), "--ray-address", "auto"]) == 2


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    from sightglass.explain import Explainer

    folder = tmp_path_factory.mktemp("results")
    job = BatchJob((), MODEL, folder, device="cpu", side=64)
    return Worker(job, Work(Explainer(MODEL, device="cpu"), job, folder).settings, (), None)


def test_a_worker_that_is_not_as_the_others_does_nothing(worker: Worker, many: Path) -> None:
    assert worker.work.settings["side"] == 64
    other = {**worker.settings, "recipe": {**worker.settings["recipe"], "weights_sha256": "0" * 64}}
    with pytest.raises(ModelProblem, match=r"would make other maps \(weights_sha256\): install the same version"):
        replace(worker, settings=other).process([])
    with pytest.raises(ModelProblem, match=r"does not see .*nowhere: give folders .* that all machines share"):
        replace(worker, shared_files=(many / "nowhere",)).process([])
    with pytest.raises(ModelProblem, match="no model"):
        replace(worker, job=replace(worker.job, model="no-such")).process([])


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nowhere", "127.0.0.1:99999", "::"])
def test_where_nobody_answers_is_said_at_once(address: str, many: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ModelProblem, match=r"^No cluster answers at .*: check the address"):
        run(many, MODEL, tmp_path, engine="ray", address=address)
