"""A process that forks: each fork does one piece of work (`works.py`) and may be killed at any of its steps.

A step is a point behind which the disk is another: a file below the work's folder that is opened for writing, half of
its bytes, a rename, a removal, an fsync, a statement of a database. The forks have torch and
the model already, or most of the time would go into starting them.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class End:
    """How a fork ended."""

    killed: bool
    steps: int
    """That it took; of a killed one 0."""
    said: tuple[str, ...]
    """What it acknowledged, in order."""
    problem: str
    """The one sentence of the Problem that stopped it."""
    broke: str
    """The traceback of anything else."""


class Victims:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.victim"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, work: str, folder: Path, *, step: int = 0) -> End:
        """Fork and do the work in the folder; `step`: die at that step."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"work": work, "folder": str(folder), "step": step}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        body = json.loads(line)
        return End(**body | {"said": tuple(body["said"])})

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Steps:
    """Counts the steps of this process below a folder, and kills it at one of them."""

    def __init__(self, folder: str, last: int) -> None:
        self.count, self._last, self._folder = 0, last, folder

    def __call__(self, *_: object) -> None:
        """Take a step."""
        self.count += 1
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Take a step at each change of the disk from here on."""
        sys.addaudithook(self._event)
        for name in ("fsync", "replace"):
            setattr(os, name, self._followed(getattr(os, name)))
        os.write = self._in_halves(os.write)
        Path.write_bytes = self._write_bytes()  # type: ignore[method-assign]
        connect = sqlite3.connect

        def traced(*given: Any, **named: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*given, **named)
            connection.set_trace_callback(self)
            return connection

        sqlite3.connect = traced  # type: ignore[assignment]

    def _event(self, name: str, given: tuple[Any, ...]) -> None:
        if name not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"):
            return
        reads = name == "open" and not (isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR))
        if not reads and str(given[0]).startswith(self._folder):
            self()

    def _followed(self, call: Any) -> Any:
        def then(*given: Any, **named: Any) -> Any:
            result = call(*given, **named)
            self()
            return result

        return then

    def _in_halves(self, write: Any) -> Any:
        def written(file: int, data: bytes) -> int:
            if file < 3 or len(data) < 2:
                return int(write(file, data))
            first: int = write(file, data[: len(data) // 2])
            self()
            return first + int(write(file, data[first:]))

        return written

    def _write_bytes(self) -> Any:
        def write_bytes(path: Path, data: bytes) -> int:
            with path.open("wb", buffering=0) as file:
                done = file.write(data[: len(data) // 2]) or 0
                self()
                while done < len(data):
                    done += file.write(data[done:]) or 0
                return done

        return write_bytes


def _child(pipe: int, asked: dict[str, Any]) -> None:
    from sightglass.common.errors import Problem, from_machine
    from tests.faults import works

    raw = os.write

    def say(*words: object) -> None:
        # One write: all of it or nothing.
        raw(pipe, (" ".join(map(str, words)) + "\n").encode())

    steps = Steps(asked["folder"], asked["step"])
    end: dict[str, Any] = {"problem": "", "broke": ""}
    try:
        work = getattr(works, asked["work"])
        steps.install()
        work(Path(asked["folder"]), say)
    except Problem as problem:
        end["problem"] = str(problem)
    except BaseException as error:
        # As every door does that a person stands at.
        found = from_machine(error)
        end["problem" if found else "broke"] = str(found) if found else traceback.format_exc()
    raw(pipe, b"\0" + json.dumps(end | {"steps": steps.count}).encode())


def _fork(asked: dict[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(read)
            _child(write, asked)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        output, _, end = pipe.read().partition(b"\0")
    killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    return {
        "killed": killed,
        "said": output.decode().splitlines(),
        **({"steps": 0, "problem": "", "broke": ""} if killed or not end else json.loads(end)),
    }


def _serve() -> None:
    from tests.faults import works

    works.prepare()
    # Forks print nothing into the answers.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    _serve()
