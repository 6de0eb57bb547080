"""The process of one ONNX file: `workers` starts it, and it has no other module of this package.

It answers on standard output. First comes one line of JSON, what the file declares or its problem; then, for each line
`{"shape", "dtype", "seconds"}` and its array, a line `{"outputs": [[shape, dtype], ...], "seconds"}` and the arrays, or
`{"problem": KIND, "reason": TEXT}` with a kind of `PROBLEMS`. Arrays are little-endian, in C order. A crash, or more
time of the processor than a line allows, ends the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PROBLEMS = REFUSED, MEMORY = "refused", "memory"
NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate mem")
"""Texts of onnxruntime's errors where memory runs out."""


def main() -> None:
    """Open a file as the arguments say, and answer until standard input ends."""
    path, device, threads, memory, opening = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6])
    sink, source = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    # Libraries print.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _allow(opening)
    try:
        session, about = _open(path, device, int(threads))
    except Exception as error:
        _send(sink, _describe(error))
        return
    _allow(0)
    _limit(0 if device == "cuda" else int(memory))
    _send(sink, about)
    for line in source:
        head = json.loads(line)
        array = np.empty(head["shape"], head["dtype"])
        # With a view of bytes: an array's own is not flat.
        rest = memoryview(array.reshape(-1).view(np.uint8))
        while rest and (count := source.readinto(rest)):
            rest = rest[count:]
        _allow(head["seconds"])
        try:
            started = time.process_time()
            outputs = [np.ascontiguousarray(item) for item in session.run(None, {about["inputs"][0][0]: array})]
            answer: dict[str, Any] = {"outputs": [[item.shape, item.dtype.str] for item in outputs]}
            answer["seconds"] = time.process_time() - started
        except Exception as error:
            answer, outputs = _describe(error), []
        _allow(0)
        _send(sink, answer, *outputs)


def _open(path: str, device: str, threads: int) -> tuple[Any, dict[str, Any]]:
    """Return the session of a file, and what the file declares."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Between two passes torch masks the pictures: threads of this runtime that wait by spinning take its cores. On two
    # of them 1000 masks of a network of three layers at 224 px took 63 s with spinning, and 5 s without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
    providers = [name for name in names if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    return session, {
        "inputs": [[item.name, item.shape, item.type] for item in session.get_inputs()],
        "outputs": [item.name for item in session.get_outputs()],
        "metadata": session.get_modelmeta().custom_metadata_map,
    }


def _allow(seconds: float) -> None:
    """End the process after so much time of all its processors; 0: no longer.

    The kernel does it, whatever the process is at. Windows has no such timer: the parent waits no longer there.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(memory: int) -> None:
    """Bar more memory than this beside what is in use (0: any), new files and sockets, and files that grow."""
    # Windows has no such module, and macOS neither the file nor the limit.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        if memory:
            used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
            resource.setrlimit(limit, (0, 0))


def _describe(error: Exception) -> dict[str, Any]:
    lacking = isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY)
    return {"problem": MEMORY if lacking else REFUSED, "reason": str(error)[-2000:] or type(error).__name__}


def _send(sink: Any, head: dict[str, Any], *arrays: Any) -> None:
    sink.write(json.dumps(head).encode() + b"\n")
    for array in arrays:
        sink.write(memoryview(array.reshape(-1).view(np.uint8)))
    sink.flush()


if __name__ == "__main__":
    main()
