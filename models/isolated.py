"""Work on received files in a child process with limits of time and memory.

On Linux one process imports what models need and forks a child for each call, which takes milliseconds; it ends with
its parent, or when idle. Other systems start a process for each call, and Windows has no limit of memory.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from sightglass.common.errors import (
    ImageProblem,
    MachineProblem,
    ModelProblem,
    Problem,
    WeightsProblem,
    describe_error,
    lacks_memory,
)

R = TypeVar("R")
SECONDS = 20.0
"""Time of one call, without the start of the process."""
START_SECONDS, IDLE_SECONDS = 120.0, 300.0
MEMORY, TIMES = 2**30, 3
"""Bytes that a call may allocate: this many, or so many times the size of its files if that is more."""
TIMED_OUT = b"Timeout ("
"""The start of the traceback that `faulthandler` writes in place of an answer."""
FORKS = sys.platform == "linux"
PRELOADED = (
    *("torch", "timm", "onnxruntime", "sightglass.models.own.store"),
    *(f"sightglass.models.families.{name}.loader" for name in ("custom", "exported", "keras", "promptsg", "clip")),
)
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""Variables of the child: it computes on the CPU, asks no hub, and reserves little for threads."""
MAX_ANSWER = 16 * 2**20
PROBLEMS = {kind.__name__: kind for kind in (Problem, ModelProblem, WeightsProblem, ImageProblem, MachineProblem)}


@dataclass
class _Answer:
    """What a child sends: a value, or the class and the sentence of its problem, or `memory` where that ran out."""

    value: Any = None
    problem: str = ""
    sentence: str = ""


_ANSWER = TypeAdapter(_Answer)
_LOCK = threading.Lock()
_SERVER: list[tuple[subprocess.Popen[bytes], socket.socket]] = []


def run(name: str, nbytes: int, kind: type[R], function: Callable[..., object], *args: object) -> R:
    """Return what a function returns in a child process, as `kind`.

    `name` and `nbytes` are of the received files. Raises the function's Problem, or ModelProblem, one sentence, where
    the child was ended at a limit or crashed. Arguments are pickled; the answer, of a process that opened a hostile
    file, is JSON of a limited length, and validated here.
    """
    memory = max(MEMORY, TIMES * nbytes)
    job = pickle.dumps((function, args, kind, dict(os.environ), os.getcwd(), SECONDS, memory))
    answer = (_run_forked if FORKS else _run_started)(job)
    if answer.startswith(TIMED_OUT):
        raise ModelProblem(f"{name} was not read within {SECONDS:g} s: give a smaller or simpler model.")
    try:
        plain = _ANSWER.validate_json(answer if len(answer) <= MAX_ANSWER else b"")
        if not plain.problem:
            return TypeAdapter(kind).validate_python(plain.value)
    except ValidationError:
        plain = _Answer()
    if plain.problem in PROBLEMS:
        raise PROBLEMS[plain.problem](plain.sentence)
    failure = "" if plain.problem == "memory" else "crashes its library, or "
    raise ModelProblem(
        f"{name} {failure}asks for more memory than the {memory >> 20:,} MB that it may take here: save or export it "
        "again."
    )


def warm_up() -> None:
    """Start the forking process, so that its imports are done in advance."""
    if FORKS:
        with _LOCK:
            _server()


def _server() -> socket.socket:
    if not _SERVER or _SERVER[0][0].poll() is not None:
        ours, theirs = socket.socketpair()
        with theirs:
            _SERVER[:] = [(_start("fork_calls", stdin=theirs, stdout=subprocess.DEVNULL), ours)]
    return _SERVER[0][1]


def _start(function: str, **streams: Any) -> subprocess.Popen[bytes]:
    path = [os.path.abspath(place) for place in sys.path]
    code = f"import sys; sys.path[:] = {path!r}; from {__name__} import {function}; {function}()"
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL, **streams)


def _run_forked(job: bytes) -> bytes:
    ours, theirs = socket.socketpair()
    with theirs, _LOCK:
        socket.send_fds(_server(), [b"1"], [theirs.fileno()])
    ours.settimeout(START_SECONDS + SECONDS)
    # A child that dies closes its end.
    with contextlib.suppress(OSError), ours, ours.makefile("rwb") as stream:
        stream.write(job)
        stream.flush()
        return stream.read(MAX_ANSWER + 1)
    return b""


def _run_started(job: bytes) -> bytes:
    with _start("serve_call", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(job, START_SECONDS + SECONDS)[0]
        process.kill()
    return b""


def fork_calls() -> None:
    """Fork a child per socket from standard input, until the parent ends."""
    _preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(0)) as control, contextlib.suppress(TimeoutError):
        if not select.select([control], [], [], 0)[0]:
            # This import takes a second; a waiting call must not wait for it.
            _preload("transformers.modeling_utils")
        control.settimeout(IDLE_SECONDS)
        while fds := socket.recv_fds(control, 1, 1)[1]:
            if os.fork() == 0:
                control.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                channel = socket.socket(fileno=fds[0])
                _call(channel.makefile("rb"), channel.makefile("wb"))
            os.close(fds[0])


def serve_call() -> None:
    """Answer one call that comes over standard input."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _preload()
    _call(sys.stdin.buffer, answer)


def _preload(*more: str) -> None:
    for name in (*PRELOADED, *more):
        with contextlib.suppress(ImportError):
            import_module(name)


def _call(source: Any, sink: Any) -> None:
    """Do the work of one call within its limits, answer, and end the process."""
    function, args, kind, environment, folder, seconds, memory = pickle.load(source)
    os.environ.clear()
    os.environ.update(environment, **ENVIRONMENT)
    os.chdir(folder)
    # A thread can end the process even if another holds the GIL.
    faulthandler.dump_traceback_later(seconds, exit=True, file=sink.fileno())
    # Windows has no such module, and macOS no such file.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        processor = int(seconds * (os.cpu_count() or 1)) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
        used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    answer = _Answer(problem="memory")
    try:
        answer = _Answer(TypeAdapter(kind).dump_python(function(*args), mode="json", fallback=str))
    except Exception as error:
        if not any(reason and lacks_memory(reason) for reason in (error, error.__cause__, error.__context__)):
            sentence = f"The files cannot be read ({describe_error(error)}): save or export the model again."
            problem = error if isinstance(error, Problem) else ModelProblem(sentence)
            answer = _Answer(None, type(problem).__name__, str(problem))
    sink.write(_ANSWER.dump_json(answer))
    sink.flush()
    os._exit(0)
