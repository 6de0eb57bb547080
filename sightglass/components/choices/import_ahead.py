"""Import the start page while a browser loads Streamlit."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from sightglass.components.choices import model_picker
from sightglass.components.session import address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import streamlit as st

FIRST_SCREEN = ("widgets", "choices.sidebar")
BESIDE_THE_MAP = (
    "choices.class_picker",
    "proof.panel",
    "views.attention_heads",
    "views.exports",
    "views.panels",
    "views.visual_prompts",
)
"""Nothing of either imports torch, which would hold up the first screen."""


@asynccontextmanager
async def serving(app: st.App) -> AsyncIterator[None]:
    """Announce the server, and begin to import: its lifespan."""
    async with address.announce(app):
        if _THREAD.ident is None:
            _THREAD.start()
        yield


def finish() -> None:
    """Wait until torch's libraries are loaded, if they are being loaded: `import torch` would let nobody else run."""
    if _THREAD.is_alive():
        _THREAD.join()


def _import() -> None:
    for name in (*FIRST_SCREEN, *BESIDE_THE_MAP):
        import_module(f"sightglass.components.{name}")
    model_picker.menu()
    spec = find_spec("torch") if sys.platform == "linux" else None
    if spec is not None and spec.origin:
        # A fifth of what `import torch` takes. Python's own loader would keep the interpreter to itself meanwhile, so
        # that a browser waits for Streamlit's files; a foreign function lets others run.
        library = Path(spec.origin).parent / "lib" / "libtorch.so"
        ctypes.CDLL(None).dlopen(os.fsencode(library), os.RTLD_NOW)


_THREAD = Thread(target=_import, name="import ahead", daemon=True)
