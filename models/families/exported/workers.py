"""Run received ONNX files in processes of their own, with limits of time and memory.

A process (`session`) has one file open. `WARM` of them work at once, or wait for work; more are started, up to `MOST`,
where all have been busy for `PATIENCE` seconds. Nobody waits for one that does not answer in time: it is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillBusy
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from sightglass.common.errors import ModelProblem
from sightglass.common.work import progress
from sightglass.models.families.exported import session

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)
WARM, MOST, PATIENCE = 2, 4, 2.0
OPENING = 20.0
"""Seconds of all processors in which a file has to open, and to answer for the first time."""
SECONDS, USUAL = 2.0, 20.0
"""A pass may take so many seconds of all processors, and so many times what its pictures took as noise."""
IDLE = 4.0
"""Seconds of a clock by which a pass may take longer."""
MEMORY, TIMES = 2**31, 3
"""Bytes that a process may take beside those of the opened file: these and so many times the file's size, or a quarter
of the machine's memory if that is more."""
MAX_HEAD, MAX_ANSWER = 16 * 2**20, 2**31
"""Bytes of what a file declares, and of the arrays of one answer."""
STARTED, ENDED = "started", "ended"
COUNTS: Counter[str] = Counter()
"""Processes that were started, and that were ended at a limit or crashed."""


FAILURES = 3
"""Pictures in a row without an answer after which a file is set aside."""


class File(NamedTuple):
    """A file as it was when a model was opened from it."""

    path: Path
    size: int
    changed: int

    @classmethod
    def at(cls, path: Path) -> File:
        about = path.stat()
        return cls(path, about.st_size, about.st_mtime_ns)

    @property
    def set_aside(self) -> str:
        """Why the file is not run any more; empty while it is."""
        if _FAILED[self] < FAILURES:
            return ""
        reason = f"it gave no answer for {FAILURES} pictures in a row"
        return f"{self.path.name} is set aside, as {reason}: export it again, or remove it."

    def count(self, *, failed: bool) -> None:
        """Note whether the file gave an answer for a picture."""
        _FAILED[self] = failed * (_FAILED[self] + 1)


_FAILED: Counter[File] = Counter()


class Declared(BaseModel):
    """What an opened file declares: name, shape and type of each input, names of outputs, and notes."""

    inputs: list[tuple[str, list[int | str | None], str]] = Field(min_length=1)
    outputs: list[str]
    metadata: dict[str, str]


class Answered(BaseModel):
    """What comes before the arrays of an answer: shape and type of each, and the processors' seconds."""

    outputs: list[
        tuple[list[Annotated[int, Field(ge=0)]], Literal["<f2", "<f4", "<f8", "|i1", "<i4", "<i8", "|u1", "|b1"]]
    ]
    seconds: float


class Refused(Exception):
    """The runtime refuses a file or an input; the text is its own."""


class Lost(Exception):
    """A process ended without an answer; `late`: at its limit of time."""

    late = False


class Worker:
    """A process with one file open. Raises Refused for one that it cannot open, and as `run` does."""

    def __init__(self, file: File, device: str, threads: int) -> None:
        self.opened = file, device
        COUNTS[STARTED] += 1
        memory = max(MEMORY + TIMES * file.size, _machine_bytes() // 4)
        arguments = (file.path.absolute(), device, threads, memory, OPENING)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        self._process = subprocess.Popen(
            # -P: modules beside the script do not hide those of libraries.
            [sys.executable, "-P", session.__file__, *map(str, arguments)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # As much as Linux allows: each fill of a pipe changes the process.
            pipesize=2**20,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._sink, self._source = self._process.stdin, self._process.stdout
        self._thread = ThreadPoolExecutor(1, "onnx")
        self.declared = self._wait(lambda: self._read(Declared), OPENING)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, array: NDArray[Any], seconds: float) -> tuple[list[NDArray[Any]], float]:
        """Return the answers to an array, and the seconds that all processors took.

        Raises Refused, MemoryError, Lost after `seconds` of all processors or where the process ended by itself, and
        Cancelled where nobody waits for the answer any more.
        """

        def ask() -> tuple[list[NDArray[Any]], float]:
            head = {"shape": array.shape, "dtype": array.dtype.str, "seconds": seconds}
            self._sink.write(json.dumps(head).encode() + b"\n")
            self._sink.write(memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8)))
            self._sink.flush()
            answered = self._read(Answered)
            if sum(prod(shape) * np.dtype(kind).itemsize for shape, kind in answered.outputs) > MAX_ANSWER:
                raise ValueError("an answer that is too large")
            return [self._read_array(*output) for output in answered.outputs], answered.seconds

        return self._wait(ask, seconds)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.shutdown(wait=False)
        for stream in (self._sink, self._source):
            with contextlib.suppress(OSError):
                stream.close()

    def _wait(self, ask: Callable[[], T], seconds: float) -> T:
        """Return what the worker's thread gets from the process; end that where it is late or nobody waits."""
        job, started, lost = self._thread.submit(ask), time.monotonic(), Lost()
        try:
            while True:
                with contextlib.suppress(StillBusy):
                    return job.result(0.1)
                waited = time.monotonic() - started
                lost.late = waited > seconds + IDLE
                if lost.late:
                    raise lost
                if waited > PATIENCE:
                    progress.check()
        except (Refused, MemoryError):
            raise
        except BaseException as error:
            # A process that ended by itself has said by what.
            with contextlib.suppress(subprocess.TimeoutExpired):
                lost.late |= self._process.wait(0.1) == -getattr(signal, "SIGPROF", 0)
            COUNTS[ENDED] += 1
            self.end()
            raise (lost if isinstance(error, OSError | ValueError) else error) from error

    def _read(self, kind: type[Model]) -> Model:
        """Read one line; raise ValueError for another one than the protocol's."""
        line = self._source.readline(MAX_HEAD)
        if line.startswith(b'{"problem"'):
            problem = json.loads(line)
            raise MemoryError(problem["reason"]) if problem["problem"] == session.MEMORY else Refused(problem["reason"])
        return kind.model_validate_json(line)

    def _read_array(self, shape: list[int], kind: str) -> NDArray[Any]:
        array = np.empty(shape, kind)
        rest = memoryview(array.reshape(-1).view(np.uint8))
        while rest:
            # 0 at the end of the stream.
            if not (count := self._source.readinto(rest)):  # type: ignore[attr-defined]
                raise ValueError("an answer that is cut off")
            rest = rest[count:]
        return array


class Pool:
    """The processes of this one: those at work, and those that wait."""

    def __init__(self) -> None:
        self._changed, self._idle, self.busy = threading.Condition(), list[Worker](), 0

    @property
    def full(self) -> bool:
        """Whether no process can take work."""
        return self.busy >= MOST

    @contextlib.contextmanager
    def borrow(self, file: File, device: str, threads: int) -> Iterator[Worker]:
        """Lend a process that has the file open. Raises as Worker, and ModelProblem for a file that has changed."""
        worker, until = None, time.monotonic() + PATIENCE
        with self._changed:
            while self.full or (self.busy >= WARM and time.monotonic() < until):
                self._changed.wait(0.1)
                progress.check()
            self.busy += 1
            idle = [each for each in self._idle if each.alive]
            worker = next((each for each in idle if each.opened == (file, device)), None)
            left = [each for each in idle if each is not worker]
            self._idle = left[-WARM + self.busy :] if self.busy < WARM else []
        try:
            for each in set(left) - set(self._idle):
                each.end()
            if worker is None:
                if File.at(file.path) != file:
                    raise ModelProblem(f"{file.path.name} has changed since it was opened: choose the model again.")
                worker = Worker(file, device, threads)
            yield worker
        finally:
            with self._changed:
                self.busy -= 1
                if stays := worker is not None and worker.alive and len(self._idle) + self.busy < WARM:
                    self._idle.append(worker)
                self._changed.notify_all()
            if worker is not None and not stays:
                worker.end()


POOL = Pool()


def _forget() -> None:
    POOL.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    # The processes answer to the one that started them.
    os.register_at_fork(after_in_child=_forget)


def _machine_bytes() -> int:
    """Return the bytes of memory of this machine; 0 where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
