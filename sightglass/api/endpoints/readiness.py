"""Readiness check of the server."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import writable
from sightglass.common.settings import MIB, settings
from sightglass.common.work import progress
from sightglass.explain.picture import image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sightglass.api.schemas import ApiRules
    from sightglass.explain.explainer import Explainer

LOGGER = logging.getLogger(__name__)
AGAIN = 30.0
"""Seconds after which a model that could not be used is tried again."""
FREE_MB = 16
"""Free disk space below which nothing can be saved."""


class Readiness:
    """Whether the default model has made a map, and the history can be written.

    The model is loaded when it is asked for the first time: whoever asks waits for this server.
    """

    def __init__(self, load: Callable[[], Explainer]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._warm = False
        self._failure, self._failed_at = "", 0.0

    def warmed(self) -> None:
        """Note that the default model has made a map."""
        self._warm = True

    def problem(self) -> str | None:
        """Return why this server cannot work now, in one sentence, or None; never waits for a model."""
        if progress.stopping():
            return "This server is stopping."
        if (lacking := unusable(settings().history)) is not None:
            return lacking
        if self._warm:
            return None
        with self._lock:
            if self._thread is None or (self._failure and time.monotonic() - self._failed_at > AGAIN):
                self._failure = ""
                self._thread = threading.Thread(target=self._try, name="readiness", daemon=True)
                self._thread.start()
        return self._failure or "This server is starting: its model is not loaded yet."

    def _try(self) -> None:
        try:
            warm(self._load())
        except Problem as problem:
            self._note_failure(str(problem))
        except Exception as error:
            LOGGER.exception("the default model cannot be used")
            self._note_failure(f"The default model cannot be used ({type(error).__name__}): see the server's log.")
        else:
            self.warmed()

    def _note_failure(self, sentence: str) -> None:
        self._failure, self._failed_at = sentence, time.monotonic()


def of(settings: ApiRules) -> Readiness:
    """Return the readiness of an application with these settings; it loads nothing yet."""

    def load() -> Explainer:
        from sightglass.api.service import load_explainer

        return load_explainer(settings.model, settings)

    return Readiness(load)


def warm(explainer: Explainer) -> None:
    """Explain one picture: the first pass finds the layers and takes several times as long as later ones."""
    # Some models find nothing in a grey picture, or need words to look for.
    with contextlib.suppress(Problem):
        explainer(image.Image(np.full((64, 64, 3), 128, np.uint8), "warm"), top_k=1)


def unusable(folder: Path | None) -> str | None:
    """Return why the history cannot be used in this folder, in one sentence, or None; None is no history at all."""
    if folder is None:
        return None
    if (there := writable(folder)) is None:
        return f"The history's folder {folder} cannot be written: give SIGHTGLASS_HISTORY another, or off."
    if shutil.disk_usage(there).free < FREE_MB * MIB:
        return f"The disk of the history's folder {folder} is full: free some space."
    if (file := folder / "history.db").is_file():
        try:
            with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
                database.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error as error:
            return f"The history {file} cannot be read ({error}): restore it, or move it away."
    return None
