"""Serve one caller from a process of its own: the other side of `apart`.

Both sides send a line of JSON, then the arrays that its `arrays` lists as [shape, dtype]: little-endian, in C order.
The caller's line has `seconds`, the time of all processors after which the kernel ends the process, whatever it is at.
An answer has `problem` where there is one: the class of a Problem of `PROBLEMS`, or `MEMORY`, or `REFUSED` with a
library's own reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sightglass.common.errors import ImageProblem, Problem, TooLarge, lacks_memory

MEMORY, REFUSED = "memory", "refused"
PROBLEMS = {kind.__name__: kind for kind in (ImageProblem, TooLarge)}
Arrays = list[Any]
Answer = Callable[[dict[str, Any], Arrays], tuple[dict[str, Any], Arrays]]


def serve(start: Callable[[], tuple[Answer, dict[str, Any]]], *, seconds: float, memory: int, opens: bool) -> None:
    """Say what `start` returns beside the function that answers, and answer until standard input ends.

    `seconds`: of all processors, for the start; `memory`: bytes that answers may take beside what the start took, 0 for
    any; `opens`: whether they may open files.
    """
    sink, source = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    # Libraries print.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _allow(seconds)
    try:
        answer, about = start()
    except Exception as error:
        _send(sink, _describe(error), [])
        return
    _allow(0)
    _limit(memory, opens=opens)
    _send(sink, about, [])
    for line in source:
        head = json.loads(line)
        arrays = [read(source, shape, kind) for shape, kind in head["arrays"]]
        _allow(head["seconds"])
        before = time.process_time()
        try:
            said, arrays = answer(head, arrays)
        except Exception as error:
            said, arrays = _describe(error), []
        _allow(0)
        _send(sink, said | {"seconds": time.process_time() - before}, arrays)


def read(source: Any, shape: list[int], kind: str) -> Any:
    """Read an array; raise EOFError for one that is cut off."""
    array = np.empty(shape, kind)
    rest = array.reshape(-1).view(np.uint8).data
    while rest:
        if not (count := source.readinto(rest)):
            raise EOFError
        rest = rest[count:]
    return array


def write(sink: Any, head: dict[str, Any], arrays: Arrays) -> None:
    """Write a line and its arrays; raise ValueError for one that is not of numbers."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    if any(array.dtype.hasobject for array in arrays):
        raise ValueError("there are texts where numbers should be")
    lists = {"arrays": [[array.shape, array.dtype.str] for array in arrays]}
    sink.write(json.dumps(head | lists).encode() + b"\n")
    for array in arrays:
        sink.write(array.reshape(-1).view(np.uint8).data)
    sink.flush()


def _send(sink: Any, head: dict[str, Any], arrays: Arrays) -> None:
    try:
        write(sink, head, arrays)
    except ValueError as error:
        write(sink, _describe(error), [])


def _allow(seconds: float) -> None:
    """Let the kernel end the process after so much time of all processors; 0: no longer."""
    # Windows has no such timer: the caller waits no longer there.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(memory: int, *, opens: bool) -> None:
    """Bar more memory than this, files that grow, and new files and sockets."""
    # Windows has no such module, and macOS neither the file nor the limit.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        if memory:
            used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, *[resource.RLIMIT_NOFILE] * (not opens)):
            resource.setrlimit(limit, (0, 0))


def _describe(error: Exception) -> dict[str, Any]:
    kind = type(error).__name__ if isinstance(error, Problem) else MEMORY if lacks_memory(error) else REFUSED
    return {"problem": kind, "reason": str(error)[-2000:] or type(error).__name__}
