"""Run received ONNX files in processes of their own, with limits of time and memory.

A process has one file open; one that does not answer in time is ended.
"""

import contextlib
import importlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json, Stamp, stamp
from sightglass.common.work import progress
from sightglass.models import isolated
from sightglass.models.checkpoints import weights

WARM, MOST = 2, 4
"""Processes that work at once or wait for work, and that there are at most."""
PATIENCE = 0.5
"""Seconds for which all have to be busy before another one is started."""
FAILURES = 3
"""Pictures in a row without an answer after which a file is set aside."""


class File(NamedTuple):
    """A file as it was when a model was opened from it."""

    path: Path
    stamps: tuple[Stamp, ...]
    """Those of its parts."""
    size: int

    @classmethod
    def at(cls, path: Path) -> Self:
        stamps = tuple(map(stamp, weights.parts_of(path)))
        return cls(path, stamps, sum(size for size, *_ in filter(None, stamps)))

    @property
    def set_aside(self) -> str:
        """Why the file is not run any more; empty while it is."""
        if _FAILED[self] < FAILURES:
            return ""
        reason = f"it gave no answer for {FAILURES} pictures in a row"
        return f"{self.path.name} is set aside, as {reason}: export it again, or remove it."

    def note(self, *, failed: bool) -> None:
        """Note whether the file gave an answer for a picture."""
        _FAILED[self] = failed * (_FAILED[self] + 1)


_FAILED: Counter[File] = Counter()


class Declared(BaseModel):
    """What an opened file declares: name, shape and type of each input, names of outputs, and notes."""

    inputs: list[tuple[str, list[int | str | None], str]] = Field(min_length=1)
    outputs: list[str]
    metadata: dict[str, str]


def open_session(path: str, device: str, threads: int) -> tuple[isolated.Answer, Json]:
    """Return what runs a file, and its inputs by name, shape and type, the names of its outputs and its notes."""
    onnxruntime: Any = importlib.import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Between two passes torch masks the pictures: threads of this runtime that wait by spinning take its cores. On two
    # of them 1000 masks of a network of three layers at 224 px took 63 s with spinning, and 5 s without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
    providers = [name for name in names if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    inputs = [[item.name, item.shape, item.type] for item in session.get_inputs()]
    outputs = _choose_outputs({item.name: item.type for item in session.get_outputs()})

    def answer(_: Json, arrays: list[isolated.Array]) -> tuple[Json, list[isolated.Array]]:
        return _to_arrays(session.run(outputs, {inputs[0][0]: arrays[0]}))

    notes = session.get_modelmeta().custom_metadata_map
    return answer, {"inputs": inputs, "outputs": outputs, "metadata": notes}


MAPS = "seq(map("
"""Start of the type of an output with a number for each class by its name, a row for each picture."""


def _choose_outputs(kinds: Mapping[str, str]) -> list[str]:
    """Return the outputs of numbers, or those by class alone."""
    by_class = [name for name, kind in kinds.items() if kind.startswith(MAPS)]
    # Beside them is the likeliest class, by its name or number.
    return by_class or [name for name, kind in kinds.items() if kind != "tensor(string)"]


def _to_arrays(outputs: list[Any]) -> tuple[Json, list[isolated.Array]]:
    """Return outputs as arrays, and the names of those by class."""
    keys: list[Any] = []
    arrays = []
    for output in outputs:
        if isinstance(output, list) and output and isinstance(output[0], dict):
            keys = sorted(output[0])
            output = np.array([[row[key] for key in keys] for row in output], np.float32)
        arrays.append(output)
    return {"keys": [key for key in keys if isinstance(key, str)]}, arrays


class Worker(isolated.Process):
    """A process with one file open on one device. Raises as Process, and Lost for what no file declares."""

    keys: tuple[str, ...] = ()
    """Names of the classes in the last answer, where that is by class."""

    def __init__(self, file: File, device: str, threads: int) -> None:
        self.opened = file, device
        # CUDA reserves more addresses than a machine has memory, and opens files.
        limits: Any = {"memory": 0, "gpu": True} if device == "cuda" else {"memory": isolated.memory_for(file.size)}
        arguments, opens = (str(file.path.absolute()), device, threads), device == "cuda"
        super().__init__(open_session, *arguments, seconds=isolated.OPENING, opens=opens, **limits)
        try:
            self.declared = Declared.model_validate(self.about)
        except ValidationError as error:
            self.end()
            raise isolated.Lost from error

    def run(self, array: isolated.Array, seconds: float) -> tuple[list[isolated.Array], float]:
        """Return the answers to an array, and the seconds that all processors took; raise as `ask`."""
        reply, outputs = self.ask({}, [array], seconds)
        self.keys = tuple(map(str, (reply.model_extra or {}).get("keys", ())))
        return outputs, reply.seconds


class LocalWorker:
    """As Worker, in this process, which is a child with limits itself."""

    keys: tuple[str, ...] = ()

    def __init__(self, file: File, device: str, threads: int) -> None:
        self.opened = file, device
        try:
            self._answer, about = open_session(str(file.path.absolute()), device, threads)
            self.declared = Declared.model_validate(about)
        # The library's errors have no common base.
        except Exception as error:
            raise isolated.Refused(str(error)) from error

    def run(self, array: isolated.Array, seconds: float) -> tuple[list[isolated.Array], float]:
        before = time.process_time()
        reply, outputs = self._answer({}, [array])
        self.keys = tuple(reply["keys"])
        return outputs, time.process_time() - before


class Pool:
    """The processes of this one: those at work, and those that wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.idle: list[Worker] = []
        self.busy = 0
        self._local: LocalWorker | None = None

    @property
    def full(self) -> bool:
        """Whether no process can take work."""
        return self.busy >= MOST

    @contextlib.contextmanager
    def borrow(self, file: File, device: str, threads: int) -> Iterator[Worker | LocalWorker]:
        """Lend a process that has the file open. Raises as Worker, and ModelProblem for a file that has changed."""
        if isolated.INSIDE:
            if self._local is None or self._local.opened != (file, device):
                self._local = LocalWorker(file, device, threads)
            yield self._local
            return
        worker, surplus = self._take(file, device)
        try:
            for other in surplus:
                other.end()
            if worker is None:
                if File.at(file.path) != file:
                    fault = "has changed" if file.path.exists() else "was removed"
                    raise ModelProblem(f"{file.path.name} {fault} since it was opened: choose the model again.")
                worker = Worker(file, device, threads)
            yield worker
        finally:
            self._give_back(worker)

    def _take(self, file: File, device: str) -> tuple[Worker | None, list[Worker]]:
        """Wait for a turn; return a process with the file, and idle ones to end."""
        until = time.monotonic() + PATIENCE
        with self._changed:
            while self.full or (self.busy >= WARM and time.monotonic() < until):
                self._changed.wait(0.1)
                progress.check()
            self.busy += 1
            alive = [other for other in self.idle if other.alive]
            worker = next((other for other in alive if other.opened == (file, device)), None)
            others = [other for other in alive if other is not worker]
            self.idle = others[-WARM + self.busy :] if self.busy < WARM else []
            # Others borrow the idle ones from here on.
            surplus = [other for other in others if other not in self.idle]
        return worker, surplus

    def _give_back(self, worker: Worker | None) -> None:
        """Let a process wait for other work, or end it where enough do."""
        with self._changed:
            self.busy -= 1
            stays = worker is not None and worker.alive and len(self.idle) + self.busy < WARM
            if worker is not None and stays:
                self.idle.append(worker)
            self._changed.notify_all()
        if worker is not None and not stays:
            worker.end()


POOL = Pool()
if hasattr(os, "register_at_fork"):
    # The processes answer to the one that started them.
    os.register_at_fork(after_in_child=POOL.__init__)  # type: ignore[misc]
