"""Start processes for measurements and read their memory."""

from __future__ import annotations

import multiprocessing
import os
import socket
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]


def fresh(call: Callable[..., Any], *given: Any) -> Any:
    """Return a function's result from a new process."""
    with spawned() as pool:
        return pool.submit(call, *given).result()


def spawned() -> ProcessPoolExecutor:
    """Return a spawned process: forks after torch may hang."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def megabytes(name: str = "VmRSS", process: int | str = "self") -> float:
    """Return a process's resident MB; VmHWM: the peak; 0 without /proc."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def environment(**more: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
