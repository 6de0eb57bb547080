"""Ask a process of its own, with limits of time and memory, for work on what a stranger gave."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillBusy
from math import prod
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.common.work import child, progress

T = TypeVar("T")
PATIENCE = 2.0
"""Seconds for which work goes on although nobody waits for it any more."""
IDLE = 4.0
"""Seconds of a clock by which work may take longer than its time of the processors."""
MEMORY = 2**31
"""Bytes that a process may take beside those of its start; or a quarter of the machine's memory if that is more."""
MAX_HEAD, MAX_ARRAYS = 16 * 2**20, 2**31
"""Bytes of an answer's line, and of its arrays."""
STARTED, ENDED = "started", "ended"
COUNTS: Counter[str] = Counter()
"""Processes that were started, and that were ended at a limit or crashed."""
_Dtype = Literal["<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "|b1"]


class Said(BaseModel):
    """The line of an answer; `model_extra` has the rest of it."""

    model_config = ConfigDict(extra="allow")
    arrays: list[tuple[list[Annotated[int, Field(ge=0)]], _Dtype]] = Field(max_length=1000)
    problem: str = ""
    reason: str = ""
    seconds: float = 0.0
    """The time that all processors took."""


class Refused(Exception):
    """A library refused the work; the text is its own."""


class Lost(Exception):
    """A process ended without an answer; `late`: at its limit of time."""

    late = False


class Process:
    """A process that runs a module whose `__main__` calls `child.serve`.

    Raises Refused where it cannot start, and as `ask` does.
    """

    def __init__(self, module: str, *arguments: object, seconds: float) -> None:
        COUNTS[STARTED] += 1
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        self._process = subprocess.Popen(
            # -P: the working folder's modules do not hide those of libraries.
            [sys.executable, "-P", "-m", module, *map(str, arguments)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # As much as Linux allows: each fill of a pipe changes the process.
            pipesize=2**20,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._sink, self._source = self._process.stdin, self._process.stdout
        self._thread = ThreadPoolExecutor(1, "apart")
        self.about: Mapping[str, Any] = self._wait(self._read, seconds)[0].model_extra or {}
        """What it says when it has started."""

    @property
    def id(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, head: Json, arrays: Sequence[NDArray[Any]], seconds: float) -> tuple[Said, list[NDArray[Any]]]:
        """Return the answer and its arrays.

        Raises its Problem; Refused, MemoryError; Lost after `seconds` of all processors, or where the process ended by
        itself; and Cancelled where nobody waits any more.
        """

        def talk() -> tuple[Said, list[NDArray[Any]]]:
            child.write(self._sink, head | {"seconds": seconds}, list(arrays))
            return self._read()

        return self._wait(talk, seconds)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.shutdown(wait=False)
        for stream in (self._sink, self._source):
            with contextlib.suppress(OSError):
                stream.close()

    def _wait(self, talk: Callable[[], T], seconds: float) -> T:
        """Return what the thread gets from the process; end that where it is late or nobody waits."""
        job, started, lost = self._thread.submit(talk), time.monotonic(), Lost()
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
        except (Refused, MemoryError, Problem):
            raise
        except BaseException as error:
            # A process that ended by itself has said by what.
            with contextlib.suppress(subprocess.TimeoutExpired):
                lost.late |= self._process.wait(0.1) == -getattr(signal, "SIGPROF", 0)
            COUNTS[ENDED] += 1
            self.end()
            raise (lost if isinstance(error, OSError | EOFError | ValueError) else error) from error

    def _read(self) -> tuple[Said, list[NDArray[Any]]]:
        """Read an answer; raise ValueError for another one than the protocol's."""
        said = Said.model_validate_json(self._source.readline(MAX_HEAD))
        if said.problem in child.PROBLEMS:
            raise child.PROBLEMS[said.problem](said.reason)
        if said.problem:
            raise MemoryError(said.reason) if said.problem == child.MEMORY else Refused(said.reason)
        if sum(prod(shape) * np.dtype(kind).itemsize for shape, kind in said.arrays) > MAX_ARRAYS:
            raise ValueError("an answer that is too large")
        return said, [child.read(self._source, shape, kind) for shape, kind in said.arrays]


def memory_for(nbytes: int) -> int:
    """Return the bytes that a process may take for files of this size."""
    machine = 0
    with contextlib.suppress(AttributeError, OSError, ValueError):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(MEMORY + 3 * nbytes, machine // 4)
