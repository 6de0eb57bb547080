"""What is asynchronous, run to its end from a test."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tests.waits import patience

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own: once a browser test has run, Playwright's loop goes on in this one to the very end.

    Raises TimeoutError for work without an end, which nothing else would stop.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, asyncio.wait_for(work, patience(120))).result()
