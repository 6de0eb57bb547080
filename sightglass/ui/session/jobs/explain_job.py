"""Explain a page's choices and prove maps, cached or in a thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import history
from sightglass.common.errors import Cancelled, Problem
from sightglass.common.settings import evidence_bytes, settings
from sightglass.explain.evidence import loaded_model
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.methods import METHODS
from sightglass.ui.checks import CACHE
from sightglass.ui.session import page, state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Jobs
from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from sightglass.explain import Explainer, Explanation
    from sightglass.ui.session.state import Choices

WORTH_SHOWING = 0.1
"""Share of a method that refines its map at which the unfinished one says more than the map before."""
SLOTS = BoundedSemaphore(max(2, os.cpu_count() or 1))
"""Quick explanations that somebody waits for, at the same time: more at once are not done sooner."""
Key = tuple[Any, ...]
"""Picture, model and options."""


@st.cache_resource(show_spinner=False)
def _cache() -> ByteCache[Explanation]:
    """Return the cache of explanations, shared by all sessions."""

    def size(explanation: Explanation) -> int:
        # A map that was once resampled to the picture's own grid stays so.
        grown = [heatmap.__dict__.get("values", heatmap.at_input) for heatmap in explanation.heatmaps]
        return explanation.evidence.nbytes + explanation.image.pixels.nbytes + sum(array.nbytes for array in grown)

    return ByteCache(evidence_bytes, size)


JOB = "explain"
"""Name of the session's slow explanation among its jobs."""


@dataclass
class Explained:
    """The last finished explanation."""

    last: Key | None = None


def explain(choices: Choices, explainer: Explainer, *, wait: bool = False, **more: Any) -> Explanation | None:
    """Return the chosen explanation; while a slow method runs or a model answers, a partial one, or None without any.

    `wait`: the page waits, however slow it is; the result is then never None. Raises Cancelled after a stop.
    """
    options, image = {"method": choices.method, **choices.options, **more}, choices.image
    # Name and notes too: the same pixels under another file name belong to another session.
    key: Key = (image.sha256, image.name, image.notes)
    key += (explainer.loaded.version, *sorted(options.items()))
    # Something else was chosen since: the slow explanation of that stops.
    running = state.of(Jobs).find(JOB, key)
    # A model that was evicted to make room must not live on here.
    loaded_models = loaded_model.MODEL_CACHE.models()
    _cache().discard(lambda explanation: explanation.evidence.loaded.origin not in loaded_models)
    result = _cache().get(key)
    if result is None:
        generates = explainer.loaded.adapter.takes_prompt and not options.get("answer")
        quick = METHODS[options["method"]].quick
        if wait or (quick and not generates):
            with spinner(explainer), _slot(explainer) if quick else nullcontext():
                result = explainer(image, **options)
        else:
            running = running or state.of(Jobs).start(JOB, key, partial(explainer, image, **options), redraws=True)
            result, finished = _in_thread(running)
            if result is None or not finished:
                return result
    if (tested := with_checks(result)) is not result or _cache().get(key) is None:
        _cache().put(key, result := tested)
    explained = state.of(Explained)
    if explained.last != key and settings().save_below:
        history.save_as_set(result)
    explained.last = key
    return result


def find(key: Key) -> Explanation | None:
    """Return a kept explanation."""
    return _cache().get(key)


def keep(key: Key, explanation: Explanation) -> None:
    """Keep an explanation for all sessions."""
    _cache().put(key, explanation)


def last_finished(choices: Choices) -> Explanation | None:
    """Return the last finished explanation, if it is of this picture and model, and cached."""
    key = state.of(Explained).last
    last = None if key is None else _cache().get(key)
    same = last is not None and (last.image.sha256, last.model.id) == (choices.image.sha256, choices.model.id)
    return last if same else None


def predict(choices: Choices, explainer: Explainer, **more: Any) -> Explanation:
    """Return the model's predictions without a map: one pass."""
    with _slot(explainer):
        return explainer(choices.image, maps=False, **choices.options | more)


def _slot(explainer: Explainer) -> AbstractContextManager[Any]:
    """Return the wait for a place; a model that runs apart has limits of its own, and must not keep others waiting."""
    return nullcontext() if explainer.loaded.adapter.apart else SLOTS


@contextmanager
def spinner(explainer: Explainer) -> Iterator[None]:
    """Show a spinner with the name of the working model."""
    with page.working(), st.spinner(f"Running {explainer.model.name}…", show_time=False):
        yield


def _in_thread(job: background.Job[Explanation]) -> tuple[Explanation | None, bool]:
    """Return the explanation so far and whether it is finished."""
    unfinished = job.partial if job.share >= WORTH_SHOWING else None
    if job.stopped:
        if unfinished is None:
            raise Cancelled
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Stopped before it finished: {escape(job.words)}.", width="content")
            restart_button()
        return unfinished, False
    if not job.finished(background.PROGRESS_AFTER):
        # Before polling: it would run the page again.
        job.drawn = job.partial
        background.progress(job, help="Stop, and go back to the map before.")
        return unfinished, False
    # A failed job stays, so that a rerun shows the same error instead of starting it again.
    if job.failure is not None:
        raise job.failure
    del state.of(Jobs).jobs[JOB]
    return job.result, True


def restart_button() -> None:
    """Draw the button for restarting a stopped method."""
    stop, help = state.of(Jobs).stop, "Or choose a faster method."
    st.button("Start again", icon=":material/replay:", on_click=stop, args=(JOB,), help=help)


def select_class(explanation: Explanation, label: str | None) -> tuple[Explanation, int]:
    """Return the explanation with a class's map, and its index; None, or a class without a map: the first one."""
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    if label is None or label in labels:
        return explanation, labels.index(label) if label else 0
    try:
        indices: list[Any] = [heatmap.target.index for heatmap in explanation.heatmaps]
        return with_checks(explanation.with_targets(*indices, label)), len(labels)
    except Problem:
        return explanation, 0


def with_checks(explanation: Explanation) -> Explanation:
    """Return an explanation with the checks that pages ran of its maps."""
    indices = range(len(explanation.heatmaps) if len(CACHE) else 0)
    unchecked = [(i, explanation.checks_key(i)) for i in indices if explanation.known_checks(i) is None]
    checks = {i: known.checks for i, key in unchecked if (known := CACHE.get(key)) is not None}
    return explanation.with_tests(checks) if checks else explanation


def with_proofs(explanation: Explanation) -> Explanation:
    """Return an explanation with pages' checks and this session's whole proofs of its maps."""
    explanation = with_checks(explanation)
    results = state.of(Jobs).results
    keys = [("answer", explanation.checks_key(index)) for index in range(len(explanation.heatmaps))] if results else []
    finished = {i: results[key] for i, key in enumerate(keys) if key in results}
    return explanation.with_tests({}, finished) if finished else explanation
