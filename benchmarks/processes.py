"""Start processes for measurements, and find them a port."""

from __future__ import annotations

import multiprocessing
import socket
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


def spawned(count: int | None = 1, begin: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Return spawned processes, by default one, each of which calls `begin` first: forks after torch may hang."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), begin)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
