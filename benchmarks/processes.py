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


def single_thread() -> None:
    """Compute on one thread, as every process of several does."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
