"""Time clients of the API while others give the server pictures that harm a received model."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch
from urllib.parse import urlsplit

import numpy as np

from benchmarks.load.crowd import Crowd, Tally
from benchmarks.load.pictures import SIZE, expect
from benchmarks.load.run import PACKAGES, failures, figures, state
from benchmarks.load.session import PATIENCE
from benchmarks.pictures import numbered
from benchmarks.processes import spawned
from benchmarks.report import Row, goal, goals, grid, machine, page
from benchmarks.viewer.browser import DASHBOARD, serving
from sightglass.explain.picture.image import to_jpeg

if TYPE_CHECKING:
    import argparse

WHITE = np.full((240, 320, 3), 255, np.uint8)
"""The harmful picture."""
CLIENTS, SECONDS = 8, 120.0
VISITORS, MODELS = 2, 15
"""Who give harmful pictures, and the models that they give them to: each is set aside after three."""
WARM_UP = 5.0
"""Seconds of the clients before they are measured."""
WAIT, GROWTH = 5.0, 1.05
"""Seconds that a client may wait beyond the longest wait before, and the server's memory as a share of that then."""


def make_growing(folder: Path) -> Path:
    """Save a Keras network that multiplies matrices of 9,000 a side for a white picture, small ones for others."""
    from sightglass.models.families.keras.network import keras

    library = keras()
    layers, ops = library.layers, library.ops
    picture = layers.Input((32, 32, 3))
    largest = ops.power(ops.mean(picture) / 255, 200) * 9000
    counts = ops.bincount(ops.cast(ops.reshape(picture, (-1,)) * 0 + largest, "int32"))
    row = ops.cast(ops.reshape(counts, (1, -1)), "float32")
    square = ops.matmul(ops.transpose(row), row)
    maps = layers.Conv2D(4, 3)(picture)
    pooled = layers.GlobalAveragePooling2D()(maps) + 0 * ops.mean(ops.matmul(square, square))
    library.Model(picture, layers.Dense(3, activation="softmax")(pooled)).save(folder / "growing.keras")
    return folder / "growing.keras"


def add_models(scratch: str) -> list[str]:
    """Add equal networks under names of their own; return their ids."""
    from sightglass.models.own import store

    data = make_growing(Path(scratch)).read_bytes()
    ids = []
    for number in range(MODELS):
        received = store.receive([(f"growing-{number}.keras", data)])
        ids.append(store.register(received, store.draft(received), {}))
    return ids


class Visitors:
    """Who ask for maps of a white picture, again and again, each time of the next model."""

    def __init__(self, address: str, models: list[str]) -> None:
        self._address, self._models = address, itertools.cycle(models)
        self._picture = base64.b64encode(to_jpeg(WHITE)).decode()
        self._lock, self._over = threading.Lock(), threading.Event()
        self.answers: list[tuple[int, float]] = []
        """Status and seconds of each answer; 0 of none."""

    def run(self, seconds: float) -> None:
        """Ask for so many seconds."""
        ends = time.perf_counter() + seconds
        threads = [threading.Thread(target=self._ask_until, args=(ends,)) for _ in range(VISITORS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask_until(self, ends: float) -> None:
        while time.perf_counter() < ends:
            with self._lock:
                model = next(self._models)
            start = time.perf_counter()
            status = self._ask(model)
            self.answers.append((status, time.perf_counter() - start))

    def _ask(self, model: str) -> int:
        parts = urlsplit(self._address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        try:
            question = {"image": self._picture, "model": model, "top_k": 1}
            connection.request("POST", "/api/explain", json.dumps(question), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()
        return answer.status


def run(options: argparse.Namespace) -> Row:
    """Return the clients' answers without and beside harmful pictures."""
    threads = max(1, (os.cpu_count() or 2) - 1)
    with tempfile.TemporaryDirectory() as scratch:
        own = {"OMP_NUM_THREADS": str(threads), "SIGHTGLASS_OWN_MODELS": f"{scratch}/models"}
        with patch.dict(os.environ, own):
            paths = list(islice(numbered(Path(scratch), SIZE), 320))
            with spawned() as pool:
                expected = pool.submit(expect, paths).result()
            with spawned() as pool:
                models = pool.submit(add_models, scratch).result()
            with serving(DASHBOARD) as server:
                crowd = Crowd(server.address, paths, expected, 0, options.clients)
                visitors = Visitors(server.address, models)
                try:
                    # Its first answer waits for the model.
                    crowd.together(WARM_UP)
                    _, before = crowd.together(options.seconds)
                    quiet = state(server.pid)
                    beside = threading.Thread(target=visitors.run, args=(options.seconds,))
                    beside.start()
                    _, during = crowd.together(options.seconds)
                    beside.join()
                    harmed = state(server.pid)
                finally:
                    crowd.leave()
    result: Row = {
        "machine": machine(threads, "cpu", PACKAGES),
        "seconds": options.seconds,
        "clients": options.clients,
        "answers": {"before": figures(before), "beside": figures(during)},
        "states": [quiet, harmed],
        "harmful": _count(visitors.answers),
        "complete": options.seconds >= SECONDS and options.clients >= CLIENTS,
    }
    return result | {"goals": _goals(result, before, during), "failed": failures(result)}


def _count(answers: list[tuple[int, float]]) -> Row:
    statuses = sorted({status for status, _ in answers})
    return {str(status): [seconds for each, seconds in answers if each == status] for status in statuses}


def _goals(result: Row, before: Tally, during: Tally) -> list[Row]:
    beyond = max(during.finished) - max(before.finished)
    quiet, harmed = (each["mb"] for each in result["states"])
    return [
        goal("maps that were not the picture's own", sum(row["wrong"] for row in result["answers"].values()), 0, ""),
        goal("errors and refusals of clients", failures(result), 0, ""),
        goal("longest wait of a client, beyond the longest before", beyond, WAIT, " s"),
        goal("the server's memory after, of that before", harmed / quiet, GROWTH, "x"),
    ]


def markdown(result: Row) -> str:
    """Return the report."""
    names = {"before": "alone", "beside": "beside harmful pictures"}
    rows = [
        (
            names[name],
            str(row["right"]),
            str(row["wrong"]),
            str(row["errors"] + row["refused"]),
            *(f"{row['finished'][key]:.0f}" for key in ("p50", "p95", "longest")),
        )
        for name, row in result["answers"].items()
    ]
    harmful = [(status, str(len(times)), f"{max(times):.1f}") for status, times in result["harmful"].items()]
    how = (
        f"{result['clients']} clients of the API for {result['seconds']:g} s, each with its next picture as soon as it "
        f"has the answer to the last; then as long beside {VISITORS} others, who ask for maps of a white picture. For "
        "that the received Keras network of their choice multiplies matrices of 9,000 a side, which takes more memory "
        "than its process may have."
    )
    head = ("clients", "right", "wrong", "errors and refusals", "median ms", "95 % within", "longest")
    return page(
        "Beside harmful pictures",
        "hostile",
        result["machine"],
        how,
        goals([{"goals": result["goals"]}]),
        "## Answers",
        grid(head, rows),
        "Answers to the harmful pictures:",
        grid(("status", "answers", "longest, s"), harmful),
    )
