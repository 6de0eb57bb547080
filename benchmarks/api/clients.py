"""Send pictures over HTTP from concurrent clients.

None of them pauses.

Every map is compared with the library's, value for value.
"""

from __future__ import annotations

import http.client
import io
import itertools
import threading
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = "efficientnet-lite0"
BOUNDARY = "sightglass-benchmark"
LIMIT = 120.0
"""Timeout of an answer in seconds."""
PATIENCE = 2.0
"""Maximum seconds that a client waits after a 429: else it would not ask again within the measurement."""


@dataclass
class Answers:
    """What the clients of one server received."""

    seconds: list[float] = field(default_factory=list)
    """Of each correct answer."""
    wrong: list[str] = field(default_factory=list)
    """Failures, and maps that differ from the library's."""
    refused: int = 0
    """Number of 429 answers."""
    lasted: float = 0.0

    def with_more(self, other: Answers) -> Answers:
        return Answers(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def form(path: Path) -> bytes:
    """Return one picture as a browser's form sends it."""
    return multipart("image", path.name, path.read_bytes())


def multipart(field: str, name: str, data: bytes) -> bytes:
    """Return a form of one field, a JPEG file of this name, whose parts are set apart by `BOUNDARY`."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    return head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(address: str, accept: str, paths: Sequence[Path], clients: int, seconds: float) -> Answers:
    """Send requests for `seconds`; a picture may have its map beside it as .npy, to compare with."""
    bodies = [form(path) for path in paths]
    maps = [path.with_suffix(".npy") for path in paths]
    wanted = [np.load(path) if path.is_file() and accept == "application/x-npy" else None for path in maps]
    found, lock, numbers = Answers(), threading.Lock(), itertools.count()
    start = time.perf_counter()

    def client() -> None:
        parts = urlsplit(address)
        line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=LIMIT)
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Accept": accept}
        while time.perf_counter() - start < seconds:
            with lock:
                number = next(numbers) % len(bodies)
            began = time.perf_counter()
            try:
                line.request("POST", parts.path, bodies[number], headers)
                answer = line.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                with lock:
                    found.wrong.append(f"{type(error).__name__}: {error}")
                line.close()
                continue
            took = time.perf_counter() - began
            if answer.status == 429:
                with lock:
                    found.refused += 1
                time.sleep(min(float(answer.headers.get("Retry-After") or PATIENCE), PATIENCE))
                continue
            problem = differs(answer.status, body, wanted[number])
            with lock:
                found.wrong.extend([f"{paths[number].name}: {problem}"] if problem else ())
                found.seconds.extend(() if problem else (took,))
        line.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.lasted = time.perf_counter() - start
    return found


def differs(status: int, body: bytes, wanted: np.ndarray | None) -> str:
    """Return what is wrong with an answer; empty if it equals the library's map."""
    if status != 200:
        return f"{status} {body[:200]!r}"
    if wanted is None:
        return ""
    try:
        values = np.load(io.BytesIO(body), allow_pickle=False)
    except ValueError as error:
        return f"no map: {error}"
    if values.shape != wanted.shape or values.dtype != wanted.dtype:
        return f"a map {values.dtype} {values.shape} and not {wanted.dtype} {wanted.shape}"
    if not np.array_equal(values, wanted):
        return f"a map that differs by {np.abs(values - wanted).max():.2g}"
    return ""
