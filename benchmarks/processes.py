"""Start processes for measurements and read their memory."""

from __future__ import annotations

import multiprocessing
import socket
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


def fresh(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return a function's result from a new process."""
    with spawned() as pool:
        return pool.submit(call, *arguments).result()


def spawned(count: int | None = 1, begin: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Return spawned processes, by default one, each of which calls `begin` first: forks after torch may hang."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), begin)


def megabytes(process: int | str = "self") -> float:
    """Return a process's loaded MB; 0 without /proc."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
