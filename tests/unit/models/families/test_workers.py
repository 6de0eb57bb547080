"""Received ONNX files run apart: what they do by malice ends in one sentence, and nobody waits for it."""

import contextlib
import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.models import isolated
from sightglass.models.families.exported import workers
from sightglass.models.families.exported.runtimes import OnnxRuntime
from tests.waits import patience

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, FLOAT, INT, BOOL = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


def constant(name: str, kind: int, *values: Any) -> Any:
    return helper.make_tensor(name, kind, [len(values)] if len(values) > 1 else [], values)


def write(path: Path, kind: str) -> Path:
    """Write a model that answers (B, 3, 4, 4) with means, and does `kind` where the first number is above 5."""
    value = helper.make_tensor_value_info
    count = {"loop": 2**62, "allocate": 2**33}.get(kind, 0)
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Add", ["v", "one"], ["v_out"])],
        "body",
        [value("i", INT, []), value("on", BOOL, []), value("v", FLOAT, [])],
        [value("on_out", BOOL, []), value("v_out", FLOAT, [])],
        [constant("one", FLOAT, 1.0)],
    )
    bad = {
        "loop": [helper.make_node("Loop", ["count", "", "largest"], ["extra"], body=body)],
        "allocate": [
            helper.make_node("Reshape", ["count", "row"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceMax", ["zeros"], ["extra"], keepdims=0),
        ],
        "nan": [helper.make_node("Sqrt", ["minus"], ["extra"])],
    }
    then = helper.make_graph(bad.get(kind, bad["nan"]), "then", [], [value("extra", FLOAT, None)])
    other = helper.make_graph(
        [helper.make_node("Identity", ["zero"], ["none"])], "else", [], [value("none", FLOAT, [])]
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "five"], ["bad"]),
        helper.make_node("If", ["bad"], ["more"], then_branch=then, else_branch=other),
        helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["means", "more"], ["y"]),
    ]
    numbers = [constant("five", FLOAT, 5.0), constant("zero", FLOAT, 0.0), constant("minus", FLOAT, -1.0)]
    sizes = [constant("count", INT, count), helper.make_tensor("row", INT, [1], [1])]
    shapes = [value("x", FLOAT, ["b", 3, 4, 4])], [value("y", FLOAT, ["b", 3])]
    graph = helper.make_graph(nodes, kind, *shapes, numbers + sizes)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


CALM = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
BAD = CALM + 7


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(isolated, "PASS_SECONDS", 0.5)
    monkeypatch.setattr(isolated, "SLACK", 1.0)
    monkeypatch.setattr(isolated, "PATIENCE", 0.2)
    monkeypatch.setattr(workers, "PATIENCE", 0.2)
    monkeypatch.setattr(isolated, "memory_for", lambda size: 2**30)
    yield
    assert workers.POOL.busy == 0


def opened(path: Path) -> OnnxRuntime:
    runtime = OnnxRuntime(path)
    (means,) = runtime.answer(CALM)
    torch.testing.assert_close(means, CALM.mean((2, 3)))
    return runtime


def test_file_is_set_aside_after_failures(tmp_path: Path) -> None:
    runtime = opened(write(tmp_path / "loop.onnx", "loop"))
    for place in range(workers.FAILURES + 2):
        with pytest.raises(ModelProblem, match=r"loop\.onnx did not answer in time for this picture"):
            runtime.answer(BAD)
        # An answer between two failures: they are not in a row.
        assert place != 1 or runtime.answer(CALM)
    with pytest.raises(ModelProblem, match=r"loop\.onnx is set aside, as it gave no answer for 3 pictures in a row"):
        runtime.answer(CALM)


def test_memory_is_limited(tmp_path: Path) -> None:
    runtime = opened(write(tmp_path / "allocate.onnx", "allocate"))
    with pytest.raises(torch.OutOfMemoryError):
        runtime.answer(BAD)
    assert runtime.answer(CALM)


def test_nan_is_an_answer(tmp_path: Path) -> None:
    (answer,) = opened(write(tmp_path / "nan.onnx", "nan")).answer(BAD)
    assert answer.isnan().all()


def signalled(path: Path, kind: int) -> None:
    """Send a signal to the waiting process of a file."""
    (worker,) = (each for each in workers.POOL.idle if each.opened[0].path == path)
    os.kill(worker.id, kind)


def test_killed_process_is_replaced(tmp_path: Path) -> None:
    runtime = opened(write(tmp_path / "calm.onnx", "calm"))
    for _ in range(3):
        signalled(runtime.path, signal.SIGKILL)
        torch.testing.assert_close(runtime.answer(CALM)[0], CALM.mean((2, 3)))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no such signal")
def test_sleeping_process_is_ended(tmp_path: Path) -> None:
    runtime = opened(write(tmp_path / "calm.onnx", "calm"))
    signalled(runtime.path, signal.SIGSTOP)
    with pytest.raises(ModelProblem, match="did not answer in time"):
        runtime.answer(CALM)
    assert runtime.answer(CALM)


def test_others_do_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While every usual process is in a loop, another file answers, and the work of a caller who left ends."""
    monkeypatch.setattr(isolated, "PASS_SECONDS", 600.0)
    hostile, calm = opened(write(tmp_path / "loop.onnx", "loop")), write(tmp_path / "calm.onnx", "calm")
    left, ended = threading.Event(), []

    def explain() -> None:
        with stopped_by(left):
            try:
                hostile.answer(BAD)
            except Cancelled:
                ended.append(True)

    threads = [threading.Thread(target=explain) for _ in range(workers.WARM)]
    for thread in threads:
        thread.start()
    while workers.POOL.busy < workers.WARM:
        threads[0].join(0.01)
    opened(calm)
    assert workers.POOL.busy == workers.WARM and not workers.POOL.full
    left.set()
    for thread in threads:
        thread.join()
    assert ended == [True] * workers.WARM


def test_process_opens_no_file_and_no_socket(tmp_path: Path) -> None:
    runtime = opened(write(tmp_path / "calm.onnx", "calm"))
    (worker,) = (each for each in workers.POOL.idle if each.opened[0].path == runtime.path)
    limits = Path(f"/proc/{worker.id}/limits")
    if not limits.exists():
        pytest.skip("no /proc here")
    rows = {line[:26].strip(): line[26:].split() for line in limits.read_text("ascii").splitlines()}
    assert rows["Max open files"][0] == rows["Max file size"][0] == rows["Max core file size"][0] == "0"
    assert int(rows["Max address space"][0]) < 16 * 2**30


def test_changed_file_is_not_run(tmp_path: Path) -> None:
    runtime = opened(write(tmp_path / "calm.onnx", "calm"))
    signalled(runtime.path, signal.SIGKILL)
    other = write(tmp_path / "other.onnx", "nan")
    for change, fault in ((lambda: other.replace(runtime.path), "has changed"), (runtime.path.unlink, "was removed")):
        change()
        with pytest.raises(ModelProblem, match=rf"calm\.onnx {fault} since it was opened: choose the model again"):
            runtime.answer(CALM)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no JSON\n",
        b'{"arrays": [[[9999999999, 9], "<f4"]]}\n',
        b'{"arrays": [[[2], "|O"]]}\n',
        b'{"arrays": [[[2], "<f4"]]}\nabc',
    ],
)
def test_answer_outside_the_protocol(line: bytes) -> None:
    process = isolated.Process.__new__(isolated.Process)
    process._source = io.BytesIO(line)
    with pytest.raises((ValueError, EOFError)):
        process._read()


@pytest.mark.skipif(not isolated.FORKS, reason="no forked process")
def test_process_with_unread_answer_is_ended(tmp_path: Path) -> None:
    worker = workers.Worker(workers.File.at(write(tmp_path / "calm.onnx", "calm")), "cpu", 1)
    isolated._write(worker._sink, {"seconds": 5}, [CALM.numpy()])
    isolated.wait([worker._source], patience(5))
    os.kill(worker.id, signal.SIGSTOP)
    with open(os.pidfd_open(worker.id), "rb", buffering=0) as ended:
        worker.end()
        assert isolated.wait([ended], patience(5))


def test_borrowed_process_is_not_ended() -> None:
    pool, ended = workers.Pool(), []
    pool.idle = first, second, third = [SimpleNamespace(opened=(i, "cpu"), alive=True) for i in range(3)]
    with contextlib.ExitStack() as stack:
        # As another thread does while this one ends those that are too many.
        first.end = lambda: stack.enter_context(pool.borrow(1, "cpu", 1))
        second.end = third.end = lambda: ended.append(True)
        with pool.borrow(2, "cpu", 1) as worker:
            assert worker is third and not ended


def test_arrays_survive(tmp_path: Path) -> None:
    file = workers.File.at(write(tmp_path / "calm.onnx", "calm"))
    with workers.POOL.borrow(file, "cpu", 1) as worker:
        (answer,), seconds = worker.run(np.zeros((0, 3, 4, 4), np.float32), 5)
    assert answer.shape == (0, 3) and seconds >= 0
