"""Work on received files in child processes with limits of time and memory.

On Linux one process forks them, which takes milliseconds; it imports what models need once that is asked for, and ends
with its parent. Other systems start a process each; Windows has no limit of memory, and macOS none that holds.

Parent and child send a line of JSON, then the arrays that its `arrays` lists as [shape, dtype]: little-endian, in C
order. Only the parent's first message, which says what to start, is a pickle.
"""

import contextlib
import faulthandler
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillBusy
from importlib import import_module
from math import prod
from multiprocessing.connection import wait
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sightglass.common import errors
from sightglass.common.errors import ModelProblem, Problem, describe_error, lacks_memory
from sightglass.common.files import Json
from sightglass.common.work import progress

T = TypeVar("T")
Array = NDArray[Any]
Answer = Callable[[Json, list[Array]], tuple[Json, list[Array]]]
"""Answers in the child to one question and its arrays."""
SECONDS = 20.0
"""Time of all processors of one call of `run`."""
PATIENCE = 2.0
"""Seconds for which work goes on although nobody waits."""
SLACK, SHARE, START_SECONDS = 4.0, 1 / 6, 120.0
"""Seconds of a clock that an answer may take beyond its time of all processors, and the first one, with imports.

Beside other work a process gets at least this share of a processor.
"""
OPENING = 20.0
"""Seconds of all processors in which a file has to open, and to answer for the first time."""
PASS_SECONDS, USUAL = 2.0, 20.0
"""A pass may take so many seconds of all processors, and so many times what its pictures took as noise."""
HEARTBEAT = 0.5
"""Least seconds between two signs of life of a question with many passes."""
IDLE_SECONDS = 300.0
"""Seconds without a question after which the forking process ends."""
MEMORY, TIMES = 2**30, 3
"""Bytes that a call may allocate: this many, or so many times the size of its files if that is more."""
MAX_LINE, MAX_ARRAYS = 16 * 2**20, 2**31
"""Bytes of an answer's line, and of its arrays."""
FORKS, INSIDE = sys.platform == "linux", False
"""Whether children are forked, and whether this process is such a child."""
LIMITS_MEMORY = sys.platform == "linux"
"""Whether a limit of a child's memory holds."""
PRELOADED = (
    *("torch", "timm", "onnxruntime", "sightglass.models.own.store"),
    *(f"sightglass.models.families.{name}.loader" for name in ("custom", "exported", "keras", "promptsg", "clip")),
    "sightglass.explain.received.worker",
)
"""Modules that the forking process imports before the first child that needs them."""
SLOW = ("sightglass.models.families.keras.network:keras", "transformers.modeling_utils")
"""Modules, and a function that imports one, which it imports once nobody waits."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""Variables of a child: it asks no hub, and reserves little for threads."""
PROBLEMS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Problem)}
"""What a child may raise here."""
NO_MEMORY, REFUSED = "memory", "refused"
"""Problems of an answer that are no Problem: memory ran out, or a library gave a reason of its own."""
COUNTS: Counter[str] = Counter(started=0, ended=0)
"""Processes that were started, and that were ended at a limit, by a crash, or as nobody waited."""
_LOCK = threading.Lock()
_SERVER: list[tuple[subprocess.Popen[bytes], socket.socket]] = []
"""The forking process, if there is one, and the connection to it."""
_IMPORT, _FORK, _FORK_IMPORTED = b"0", b"1", b"2"
"""Messages to it: import what models need; fork a child; fork one after these imports."""


class Reply(BaseModel):
    """The line of an answer; `model_extra` has the rest of it."""

    model_config = ConfigDict(extra="allow")
    arrays: list[
        tuple[
            list[Annotated[int, Field(ge=0)]],
            Literal["<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "|b1"],
        ]
    ] = Field(max_length=1000)
    problem: str = ""
    """The name of a class of `PROBLEMS`, NO_MEMORY or REFUSED."""
    reason: str = ""
    seconds: float = 0.0
    """The time that all processors took."""
    more: bool = False
    """Whether this is a sign of life before the answer."""
    share: float = -1.0
    """Of a sign of life: how much is done, 0..1; negative where that is not known."""
    text: str = ""
    """Of a sign of life: what is being done."""


class Refused(Exception):
    """A library refused the work; the text is its own."""


class Lost(Exception):
    """A process ended without an answer; `late`: at its limit of time."""

    def __init__(self, *, late: bool = False) -> None:
        super().__init__()
        self.late = late


class Process:
    """A child process in which `start` was called, and whose answering function is asked one question at a time.

    `start`: a picklable function that returns that function, or None, and what it says first. `seconds`: of all
    processors, for the start. `memory`: bytes beside those of the start, 0 for any; where `at_once`, the start has this
    limit, and what models need imported before. `opens`: whether questions may open files and sockets. `gpu`: whether
    CUDA is seen. Raises Refused where it cannot start, and as `ask`.
    """

    def __init__(
        self,
        start: Callable[..., tuple[Answer | None, Json]],
        *arguments: object,
        seconds: float,
        memory: int,
        at_once: bool = False,
        opens: bool = True,
        gpu: bool = False,
    ) -> None:
        COUNTS["started"] += 1
        environment = {**os.environ, **ENVIRONMENT} | ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})
        limits = {"seconds": seconds, "memory": memory, "at_once": at_once, "opens": opens}
        job = pickle.dumps((environment, os.getcwd(), limits, start, arguments))
        self._started = None if FORKS else _start("serve_started", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._sink: Any
        self._source: Any
        self._lifeline: socket.socket | None = None
        if self._started is None:
            channel, self._lifeline = _fork(imported=at_once)
            with channel:
                self._sink, self._source = channel.makefile("wb"), channel.makefile("rb")
        else:
            self._sink, self._source = self._started.stdin, self._started.stdout
        self._thread, self.id = ThreadPoolExecutor(1, "isolated"), 0
        self._heard, self._done = time.monotonic(), (-1.0, "")

        def begin() -> Reply:
            self._sink.write(job)
            self._sink.flush()
            self.id = int((self._read()[0].model_extra or {})["process"])
            return self._read()[0]

        self.about: Mapping[str, Any] = self._wait(begin, seconds + START_SECONDS).model_extra or {}
        """What `start` says."""

    def ask(
        self, head: Json, arrays: Sequence[Array], seconds: float, report: progress.Progress | None = None
    ) -> tuple[Reply, list[Array]]:
        """Return the answer and its arrays.

        `seconds`: of all processors, from the question or the child's last `extend` on. `report` is called with what
        the child reports. Raises its Problem; Refused, MemoryError; Lost where it takes longer, or ended by itself; and
        Cancelled where nobody waits any more.
        """

        def talk() -> tuple[Reply, list[Array]]:
            _write(self._sink, head | {"seconds": seconds}, arrays)
            return self._read()

        return self._wait(talk, seconds, report)

    @property
    def alive(self) -> bool:
        """Whether the process runs and has sent nothing that is unread."""
        if self._started is not None:
            return self._started.poll() is None
        # Without a question there is nothing to read but the end.
        return not self._source.closed and not wait([self._source], 0)

    def end(self) -> None:
        """End the process, whatever it is at or has sent; one that has closed its connection counts as ended."""
        if self._started is not None:
            self._started.kill()
            self._started.wait()
        elif self.id and not self._source.closed:
            poll = select.poll()
            # For nothing but a closed connection: the number may be another process's then.
            poll.register(self._source, 0)
            if not poll.poll(0):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.id, signal.SIGKILL)
        self._thread.shutdown(wait=False)
        for stream in filter(None, (self._sink, self._source, self._lifeline)):
            with contextlib.suppress(OSError):
                stream.close()

    def _wait(self, talk: Callable[[], T], seconds: float, report: progress.Progress | None = None) -> T:
        """Return what the thread gets from the process; end that where it is late or nobody waits."""
        started = self._heard = time.monotonic()
        self._done = reported = (-1.0, "")
        job = self._thread.submit(talk)
        try:
            while True:
                with contextlib.suppress(StillBusy):
                    return job.result(0.1)
                now = time.monotonic()
                if now - self._heard > seconds / SHARE + SLACK:
                    raise Lost(late=True)
                if now - started > PATIENCE:
                    progress.check()
                if report is not None and self._done != reported:
                    reported = self._done
                    report(*reported)
        except (Refused, MemoryError, Problem):
            raise
        except BaseException as error:
            COUNTS["ended"] += 1
            self.end()
            if isinstance(error, OSError | EOFError | ValueError | KeyError):
                raise Lost from error
            raise

    def _read(self) -> tuple[Reply, list[Array]]:
        """Read an answer; raise ValueError for another one than the protocol's, and Lost at the end of the time."""
        while (reply := self._read_line()).more:
            self._heard = time.monotonic()
            if reply.share >= 0:
                self._done = (reply.share, reply.text)
        if reply.problem in PROBLEMS:
            raise PROBLEMS[reply.problem](reply.reason)
        if reply.problem:
            raise MemoryError(reply.reason) if reply.problem == NO_MEMORY else Refused(reply.reason)
        if sum(prod(shape) * np.dtype(kind).itemsize for shape, kind in reply.arrays) > MAX_ARRAYS:
            raise ValueError("an answer that is too large")
        return reply, [_read_array(self._source, shape, kind) for shape, kind in reply.arrays]

    def _read_line(self) -> Reply:
        line = self._source.readline(MAX_LINE)
        if line.startswith(TIMED_OUT):
            raise Lost(late=True)
        return Reply.model_validate_json(line)


def run(name: str, nbytes: int, kind: type[T], function: Callable[..., object], *args: object) -> T:
    """Return what a function returns in a child process, as `kind`.

    `name` and `nbytes` are of the received files. Raises the function's Problem, or ModelProblem, one sentence, where
    the child was ended at a limit or crashed. The answer, of a process that opened a hostile file, is validated here.
    """
    memory = max(MEMORY, TIMES * nbytes)
    try:
        process = Process(_call, function, args, kind, seconds=SECONDS, memory=memory, at_once=True)
        process.end()
        return TypeAdapter(kind).validate_python(process.about["value"])
    except Refused as error:
        raise ModelProblem(
            f"The files cannot be read ({describe_error(error)}): save or export the model again."
        ) from error
    except (MemoryError, Lost, KeyError, ValidationError) as error:
        if isinstance(error, Lost) and error.late:
            raise ModelProblem(f"{name} was not read within {SECONDS:g} s: give a smaller or simpler model.") from error
        failure = "" if isinstance(error, MemoryError) else "crashes its library, or "
        raise ModelProblem(
            f"{name} {failure}asks for more memory than the {memory >> 20:,} MB that it may take here: save or export "
            "it again."
        ) from error


def memory_for(nbytes: int) -> int:
    """Return the bytes that work on files of this size may take: 2 GiB beside them, or a quarter of the machine's."""
    machine = 0
    with contextlib.suppress(AttributeError, OSError, ValueError):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(2 * MEMORY + TIMES * nbytes, machine // 4)


def pass_seconds(usual: float | None, pictures: int) -> float:
    """Return the seconds of all processors that a pass may take.

    `usual`: those of a picture of noise; None: of the first pass.
    """
    return OPENING if usual is None else PASS_SECONDS + USUAL * usual * pictures


def warm_up() -> None:
    """Let the forking process import what models need in advance."""
    if FORKS:
        with _LOCK:
            _tell(_IMPORT)


def _tell(message: bytes, fds: Sequence[int] = ()) -> None:
    """Send the forking process a message, a new one if it has ended.

    It ends when it is idle, or by somebody's signal.
    """
    try:
        socket.send_fds(_server(), [message], fds)
    except OSError:
        _SERVER.clear()
        socket.send_fds(_server(), [message], fds)


def _server() -> socket.socket:
    if not _SERVER or _SERVER[0][0].poll() is not None:
        ours, theirs = socket.socketpair()
        with theirs:
            _SERVER[:] = [(_start("fork_children", stdin=theirs, stdout=subprocess.DEVNULL), ours)]
    return _SERVER[0][1]


def _start(function: str, **streams: Any) -> subprocess.Popen[bytes]:
    path = [*map(os.path.abspath, sys.path)]
    code = f"import sys; sys.path[:] = {path!r}; from {__name__} import {function}; {function}()"
    environment = {**os.environ, **ENVIRONMENT}
    # Ctrl-C in a terminal is for this process, which may still need their answers.
    streams |= {"stderr": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **streams)


def _fork(*, imported: bool) -> tuple[socket.socket, socket.socket]:
    """Return the connection to a new child, and what keeps it alive while it is open.

    `imported`: a child that has imported what models need.
    """
    ours, theirs = socket.socketpair()
    lifeline, end = socket.socketpair()
    with theirs, end, _LOCK:
        _tell(_FORK_IMPORTED if imported else _FORK, [theirs.fileno(), end.fileno()])
    return ours, lifeline


if hasattr(os, "register_at_fork"):
    # A copy of this process has children of its own.
    os.register_at_fork(after_in_child=_SERVER.clear)


# In the child

_SAY: list[Callable[..., None]] = []
"""Sends a sign of life; none outside of a child."""
_said = 0.0
"""When the last one was sent."""
_F_SETSIG = 10
"""Command of `fcntl`, as in fcntl.h of Linux."""
TIMED_OUT = (b"Current thread 0x", b"Thread 0x")
"""Starts of what `faulthandler` writes in place of an answer."""


def fork_children() -> None:
    """Fork a child per socket from standard input, until the parent ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    first, later = [*PRELOADED], list[str]()
    with socket.socket(fileno=os.dup(0)) as control:
        control.settimeout(IDLE_SECONDS)
        while True:
            try:
                message, fds, *_ = socket.recv_fds(control, 1, 2)
            except TimeoutError:
                # Whoever asks from now on gets an error at once, and whoever has just asked still a child.
                control.shutdown(socket.SHUT_RD)
                continue
            if not message:
                return
            if message != _FORK and first:
                for name in first:
                    _import(name)
                first, later = [], [*SLOW]
            if fds:
                _fork_child(control, *fds)
            # They take seconds, and nobody shall wait for them.
            while later and not wait([control], 0):
                _import(later.pop(0))


def _fork_child(control: socket.socket, fd: int, parent: int) -> None:
    """Fork a child that answers on one socket, and ends with the other one."""
    if os.fork() == 0:
        control.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _end_with(parent)
        channel = socket.socket(fileno=fd)
        _serve(channel.makefile("rb"), channel.makefile("wb"))
    os.close(fd)
    os.close(parent)


def _import(name: str) -> None:
    module, _, function = name.partition(":")
    # What is not installed is missed by what needs it.
    with contextlib.suppress(ImportError, Problem):
        imported = import_module(module)
        if function:
            getattr(imported, function)()


def _end_with(lifeline: int) -> None:
    """Let the kernel end this process once the other end of a socket is closed, even while it is in a library."""
    import fcntl

    # A kernel that is imitated may know none of this.
    with contextlib.suppress(OSError):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


def serve_started() -> None:
    """Serve over standard input and output."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _serve(sys.stdin.buffer, sink)


def _serve(source: Any, sink: Any) -> None:
    """Start as the first message says, answer until there are no more questions, and end the process."""
    global INSIDE
    INSIDE = True
    _SAY.append(lambda **more: _write(sink, {"more": True} | more, ()))
    _write(sink, {"process": os.getpid()}, ())
    environment, folder, limits, start, arguments = pickle.load(source)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if hasattr(signal, "SIGPROF"):
        # Written even while the process is in a library; then the signal ends it.
        faulthandler.register(signal.SIGPROF, file=sink.fileno(), all_threads=True, chain=True)
    if limits["at_once"]:
        _limit(limits["memory"], opens=True)
    answer: Answer | None = None
    try:
        _allow(limits["seconds"])
        answer, about = start(*arguments)
        _allow(0)
    except Exception as error:
        about = _describe(error)
    if not limits["at_once"]:
        _limit(limits["memory"], opens=limits["opens"])
    _write(sink, about, ())
    for line in source if answer is not None else ():
        head = json.loads(line)
        arrays = [_read_array(source, shape, kind) for shape, kind in head["arrays"]]
        before = time.process_time()
        try:
            _allow(head["seconds"])
            reply, arrays = answer(head, arrays)  # type: ignore[misc]
            _allow(0)
            _write(sink, reply | {"seconds": time.process_time() - before}, arrays)
        except Exception as error:
            _allow(0)
            _write(sink, _describe(error), ())
    os._exit(0)


def _call(function: Callable[..., object], args: tuple[object, ...], kind: Any) -> tuple[None, Json]:
    return None, {"value": TypeAdapter(kind).dump_python(function(*args), mode="json", fallback=str)}


def _describe(error: Exception) -> Json:
    kind = next((kind.__name__ for kind in type(error).mro() if kind in PROBLEMS.values()), REFUSED)
    if any(reason and lacks_memory(reason) for reason in (error, error.__cause__, error.__context__)):
        kind = NO_MEMORY
    return {"problem": kind, "reason": str(error)[-2000:] or type(error).__name__}


def extend(seconds: float) -> None:
    """Allow a question more seconds of all processors from now on, and say so."""
    if not _SAY:
        return
    _allow(seconds)
    global _said
    if time.monotonic() - _said > HEARTBEAT:
        _said = time.monotonic()
        _SAY[0]()


def report(share: float, text: str) -> None:
    """Report how much of the question is done, 0..1, to whom asks."""
    if _SAY:
        _SAY[0](share=share, text=text)


def _allow(seconds: float) -> None:
    """Let the kernel end the process after so much time of all processors; 0: no longer."""
    # Windows has no such timer: the parent waits no longer there.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(memory: int, *, opens: bool) -> None:
    """Bar more memory than this; where it opens none, also files that grow, and new files and sockets."""
    # Windows has no such module, and macOS no such file.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        if memory:
            used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        if not opens:
            for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE):
                resource.setrlimit(limit, (0, 0))


def _read_array(source: Any, shape: list[int], kind: str) -> Array:
    """Read an array; raise EOFError for one that is cut off."""
    array = np.empty(shape, kind)
    rest = array.reshape(-1).view(np.uint8).data
    while rest:
        if not (count := source.readinto(rest)):
            raise EOFError
        rest = rest[count:]
    return array


def _write(sink: Any, head: Json, arrays: Sequence[Array]) -> None:
    """Write a line and its arrays; raise ValueError for one that is not of numbers."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    if any(array.dtype.hasobject for array in arrays):
        raise ValueError("there are texts where numbers should be")
    sink.write(json.dumps(head | {"arrays": [[array.shape, array.dtype.str] for array in arrays]}).encode() + b"\n")
    for array in arrays:
        sink.write(array.reshape(-1).view(np.uint8).data)
    sink.flush()
