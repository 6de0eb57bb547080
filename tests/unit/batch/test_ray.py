"""The engine ray on a cluster of two workers: what the plain engine makes, to the last bit, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from sightglass.batch import journal, run, table
from sightglass.batch.cluster import Worker, WorkerPlan
from sightglass.batch.output import Local
from sightglass.batch.worker import Work
from sightglass.cli import main
from sightglass.common.errors import ModelProblem
from sightglass.explain.picture.item import Item
from sightglass.explain.picture.source import find
from tests.waits import patience
from training.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "efficientnet-lite0"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One for all; afterwards this process is as it was."""
    pytest.importorskip("ray")
    import psutil

    from sightglass.batch import cluster as ray_cluster

    ray = ray_cluster.library()
    before, ours = signal.getsignal(signal.SIGTERM), set(psutil.Process().children(recursive=True))
    with ray_cluster.join_cluster(None, 2):
        assert os.environ["RAY_AUTH_TOKEN"]
        started = set(psutil.Process().children(recursive=True)) - ours
        yield
    assert signal.getsignal(signal.SIGTERM) == before and not ray.is_initialized()
    assert len(started) > 3 and left(started, 5) == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Path:
    """16 cuts of photographs and 7 drawn scenes in two folders, and one file that is none."""
    folder = tmp_path_factory.mktemp("many")
    generator = np.random.default_rng(0)
    for number in range(23):
        if number % 3 == 2:
            cut = Pillow.fromarray(scenes.draw(scenes.sample(number)).pixels)
        else:
            with Pillow.open(pictures[number % len(pictures)]) as opened:
                x, y = generator.integers(0, 200, 2)
                cut = opened.convert("RGB").crop((x, y, x + 300, y + 240)).resize((100, 80))
        below = folder / ("first" if number % 2 else "second")
        below.mkdir(exist_ok=True)
        cut.save(below / f"{number:02}.png")
    (folder / "first" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


@pytest.fixture(scope="module")
def whole(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the plain engine makes of them."""
    out = tmp_path_factory.mktemp("whole")
    run(many, MODEL, out, batch_size=4, workers=2)
    return out


def same(got: Path, expected: Path) -> None:
    """The same rows, tables and files, and what the journals say of each picture."""
    pd.testing.assert_frame_equal(table.read(got), table.read(expected), check_exact=True)
    for name in (table.PARQUET, table.CSV, table.PROBLEMS):
        assert (got / name).exists() == (expected / name).exists(), name
        assert not (got / name).exists() or (got / name).read_bytes() == (expected / name).read_bytes(), name
    names = {p.relative_to(expected) for p in expected.glob("maps/**/*") if p.is_file()}
    assert {p.relative_to(got) for p in got.glob("maps/**/*") if p.is_file()} == names
    assert len(names) > len(table.read(expected)["picture"].unique())
    for name in sorted(names):
        assert (got / name).read_bytes() == (expected / name).read_bytes(), name


def lines(folder: Path) -> list[str]:
    return sorted((folder / journal.NAME).read_text().splitlines())


@pytest.mark.slow
def test_a_cluster_makes_what_one_process_makes(cluster: None, many: Path, whole: Path, tmp_path: Path) -> None:
    heard: list[tuple[float, str]] = []
    summary = run(
        f"file://{many}",
        MODEL,
        f"file://{tmp_path}/out",
        batch_size=4,
        # One more than there is room for: no batch waits for it.
        workers=3,
        engine="ray",
        progress=lambda share, words: heard.append((share, words)),
    )
    assert (summary.pictures, summary.done, summary.resumed, summary.cancelled) == (24, 23, 0, False)
    assert [name for name, _ in summary.failed] == ["first/broken.jpg"]
    assert summary.folder == tmp_path / "out"
    same(tmp_path / "out", whole)
    assert lines(tmp_path / "out") == lines(whole)
    assert heard[0] == (0, "Starting the cluster…") and heard[-1] == (1.0, "Writing the table")
    assert any("of 24 pictures, " in words and words.endswith(" left") for _, words in heard)
    assert not [p for p in (tmp_path / "out").rglob("*") if p.name.startswith(".")]


@pytest.mark.slow
def test_a_stop_ends_in_order_and_either_engine_goes_on(cluster: None, many: Path, whole: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    # So slow that there is a middle to stop in, however busy the machine is.
    wait = ("sh", "-c", 'sleep 0.2; exec cat "$0"')
    slow = [replace(one, read=partial(subprocess.check_output, (*wait, str(one.read())))) for one in find(many)]

    def stop(share: float, words: str) -> None:
        if share > 0:
            cancel.set()

    stopped = run(slow, MODEL, tmp_path, batch_size=4, workers=1, engine="ray", progress=stop, cancel=cancel)
    assert stopped.cancelled and 0 < stopped.done < 23
    assert len(table.read(tmp_path)) == stopped.done
    before = lines(tmp_path)
    cancel.set()
    done = run(many, MODEL, tmp_path, batch_size=4, workers=2)
    assert done.resumed == stopped.done + len(stopped.failed) and not done.cancelled
    assert set(before) <= set(lines(tmp_path))
    same(tmp_path, whole)


@pytest.mark.slow
def test_a_picture_that_ends_its_workers_is_named_and_passed_over(cluster: None, many: Path, tmp_path: Path) -> None:
    items = [*find(sorted(many.rglob("*.png"))[:5]), Item("bomb.jpg", "1", partial(os._exit, 9))]
    summary = run(items, MODEL, tmp_path, batch_size=2, workers=2, engine="ray")
    assert summary.done == 5
    assert [name for name, _ in summary.failed] == ["bomb.jpg"]
    assert "ended the worker" in summary.failed[0][1]
    assert run(items, MODEL, tmp_path, batch_size=2, workers=2, engine="ray").resumed == 6


def test_without_ray_a_sentence_says_where_it_is(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModelProblem, match=r"^The engine ray is not installed: pip install ray fsspec\.$"):
        run(many, MODEL, tmp_path / "out", engine="ray")
    assert main(["batch", str(many), "--engine", "ray", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip().endswith("pip install ray fsspec.")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ModelProblem, match="no engine called dask: use plain or ray"):
        run(many, MODEL, tmp_path / "out", engine="dask")
    assert main(["batch", str(many), "--ray-address", "auto"]) == 2


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> WorkerPlan:
    from sightglass.explain import Explainer

    store = Local(tmp_path_factory.mktemp("plan"))
    work = Work(Explainer(MODEL, device="cpu"), {}, 1, store.put, side=64)
    settings = json.loads(json.dumps(work.settings))
    return WorkerPlan(MODEL, work.arguments, "cpu", store, settings)


def test_a_worker_that_is_not_as_the_others_does_nothing(plan: WorkerPlan, many: Path) -> None:
    assert plan.work().settings["side"] == 64
    # A seal is a column, and makes no other maps.
    assert replace(plan, arguments=plan.arguments | {"seal": True}).work().seal and not plan.work().seal
    other = {**plan.settings, "recipe": {**plan.settings["recipe"], "weights_sha256": "0" * 64}}
    with pytest.raises(ModelProblem, match=r"would make other maps \(weights_sha256\): install the same version"):
        replace(plan, settings=other).work()
    lacking = replace(plan, seen=(("where results go", many / "nowhere"),))
    with pytest.raises(ModelProblem, match=r"does not see .*nowhere, where results go: give a folder that all"):
        lacking.work()
    with pytest.raises(ModelProblem, match="does not see"):
        Worker(lacking).process([])
    with pytest.raises(ModelProblem, match="no model"):
        Worker(replace(plan, model="no-such")).process([])


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nowhere", "127.0.0.1:99999", "::"])
def test_where_nobody_answers_is_said_at_once(address: str) -> None:
    ray_cluster = pytest.importorskip("sightglass.batch.cluster")
    with pytest.raises(ModelProblem, match=r"^No cluster answers at .*: check the address"):
        ray_cluster._check_address(address)


def start(out: Path, many: Path, *more: str, **options: object) -> subprocess.Popen[str]:
    """The command line, in a folder from which nothing of this project can be imported by chance."""
    call = [sys.executable, "-m", "explain", "batch", str(many), "--engine", "ray", "--out", str(out), *more]
    # One worker, one picture at a time: so that there is a middle to stop in.
    call += ["--workers", "1", "--batch-size", "1"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        call,
        cwd=out.parent,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begun(process: subprocess.Popen[str], out: Path) -> set[object]:
    """Every process it started, once the first pictures are done."""
    import psutil

    held, until = out / journal.NAME, time.monotonic() + 120
    while not (held.exists() and held.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)
    return set(psutil.Process(process.pid).children(recursive=True))


def left(started: set[object], seconds: float) -> list[object]:
    import psutil

    def alive(one: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
        return False

    until = time.monotonic() + seconds
    while (found := [one for one in started if alive(one)]) and time.monotonic() < until:
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_whatever_ends_it_nothing_is_left_and_it_is_gone_on_with(
    how: signal.Signals, code: int, many: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(out, many)
    started = begun(process, out)
    assert len(started) > 3
    if how == signal.SIGINT:
        # As a terminal sends it: to everything that was started there.
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    said, complained = process.communicate(timeout=patience(60))
    assert process.returncode == code, (said, complained)
    # After a kill nobody waits: Ray's own helpers notice by themselves.
    assert left(started, 90 if how == signal.SIGKILL else 1) == []
    done = 0
    if how == signal.SIGINT:
        assert "Stopping after the pictures in progress." in complained and "Traceback" not in complained
        done = len(table.read(out))
        assert 0 < done < 23 and f"{done} of 24 pictures explained" in said
    held = lines(out)
    process = start(out, many, "--json")
    said, complained = process.communicate(timeout=patience(120))
    answer = json.loads(said)
    assert (process.returncode, answer["done"]) == (1, 23), complained
    assert answer["resumed"] >= max(1, len(held) - 2)
    assert complained == f"first/broken.jpg: {answer['failed'][0]['error']}\n"
    found, expected = table.read(out), table.read(whole)
    assert list(found["picture"]) == list(expected["picture"])
