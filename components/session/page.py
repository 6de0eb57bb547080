"""What every screen stands in: errors as sentences, the process as threads share it."""

from __future__ import annotations

import logging
import os
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from common.errors import Problem
from components.session import url_state

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = logging.getLogger(__name__)
# Before torch is imported. Its threads wait by spinning: where they share a core with anything else, a browser or a
# second visitor, one pass was measured to take 1,500 ms instead of 17. One core left free costs a few and spares that.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
# A run of a script and the loop that sends what it draws take turns. Python's 5 ms a turn, once for nearly each message
# and for each file that a browser asks for, add up to more than the work itself while torch is being imported.
sys.setswitchinterval(0.0005)
ROOT = Path(__file__).parents[2]
HELP = {
    "explore": "What the model sees in a picture, and where it looked.",
    "topk": "The model's best classes side by side, and what speaks for one and not for another.",
    "detect": "Every box and why it is there, and every missing box and why it is not.",
    "cheat": "A model that is right for the wrong reason, and how its map gives it away.",
    "batch": "A folder of pictures at once: a gallery, each class on average, confusions, and the odd ones out.",
    "watch": "How sure a model is over time, where it looks, whether that has changed, and the worst cases.",
    "history": "What you kept: found again, marked, and held against each other; no model runs.",
    "similarity": "Two pictures, or one against a gallery: how alike they are, and which regions make them so.",
    "compare": "A small, a medium and a large model, or any four, on the same picture.",
}
SOMETHING_BROKE = "Something broke in here, not in your picture: choose another model or method, or reload the page."


def script(name: str) -> str:
    """Return the path, from the project's root, of a page's file."""
    return f"pages/{name}/page.py" if (ROOT / "pages" / name).is_dir() else f"pages/{name}.py"


def screen(draw: Callable[[], None]) -> Callable[[], None]:
    """A page's own function, with every failure shown as one sentence where the result would be."""

    @wraps(draw)
    def drawn() -> None:
        url_state.arrive(draw.__name__)
        try:
            draw()
        except Problem as problem:
            st.error(str(problem), icon=":material/error:")
            # Who sees what went wrong still sees what it was about.
            if (image := st.session_state.get("current")) is not None:
                st.image(image.thumbnail(720), caption=image.name)
        except Exception:
            LOGGER.exception("a screen failed")
            st.error(SOMETHING_BROKE, icon=":material/error:")

    return drawn
