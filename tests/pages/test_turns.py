"""Whatever runs a model for a page has a turn at the models, and ends at its next pass once its browser has gone."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.testing.v1 import AppTest

from sightglass.common.work.turns import QUICK, SLOW
from sightglass.components.session.jobs import presence
from sightglass.explain.evidence.determinism import PassLock
from sightglass.explain.explainer import EVIDENCE
from sightglass.explain.similarity.embedding import VECTORS
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Callable

ONCE = (" in _survey\n", " in _twin\n", " in _aside\n")
"""What is found out once for a model, as a part of loading it, is no picture's work."""


@pytest.fixture
def out_of_turn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where pages ran a model without a turn."""
    EVIDENCE.clear()
    VECTORS.clear()
    found: list[str] = []
    acquire = PassLock.acquire

    def watched(lock: PassLock, blocking: bool = True, timeout: float = -1) -> bool:
        inside = any(getattr(turns._held, "inside", False) for turns in (QUICK, SLOW))
        if get_script_run_ctx(suppress_warning=True) is not None and not inside:
            stack = "".join(traceback.format_stack(limit=12))
            found.extend([stack] if not any(name in stack for name in ONCE) else [])
        return acquire(lock, blocking, timeout)

    monkeypatch.setattr(PassLock, "acquire", watched)
    return found


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (None, {"class": "rod-ring"}),
        (None, {"method": "scorecam"}),
        (None, {"model": "demo-vit", "method": "attention"}),
        ("pages/topk.py", {}),
        ("pages/detect.py", {"lens": "layers"}),
        ("pages/detect.py", {"lens": "sizes"}),
        ("pages/whatif.py", {}),
        ("pages/similarity.py", {}),
        ("pages/compare.py", {"models": "demo-cls-s,demo-cls-m"}),
        ("pages/cheat.py", {"step": "look"}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_no_page_runs_a_model_out_of_turn(
    page: Callable[..., AppTest], out_of_turn: list[str], path: str | None, query: dict[str, str]
) -> None:
    app = page(path, **{"model": "demo-cls-s", "example": "scene"} | query)
    assert not app.exception
    assert not app.error
    assert not out_of_turn, out_of_turn[0]


def _leaves() -> None:
    import streamlit as st

    from sightglass.components.session.jobs import queue_line
    from sightglass.explain import Explainer
    from sightglass.models.demo.scenes import draw, sample

    explainer = Explainer("demo-cls-s")
    with queue_line.turn():
        explainer(draw(sample(1, task="classify", held_out=True)).pixels)
    st.write("the rest of the page")


@pytest.mark.parametrize("gone", [False, True])
def test_a_page_ends_at_its_next_pass_once_its_browser_has_gone(monkeypatch: pytest.MonkeyPatch, gone: bool) -> None:
    EVIDENCE.clear()
    if gone:
        monkeypatch.setattr(presence, "watch", lambda work: work.leave())
    app = AppTest.from_function(_leaves, default_timeout=patience(60)).run()
    assert not app.exception
    assert bool(app.markdown) is not gone
    assert not QUICK.waiting
    assert not QUICK.working
