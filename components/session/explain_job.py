"""From choices to explanations: kept while asked for, and the slow ones made aside, with progress and a stop."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Cancelled, Problem
from common.settings import cache_bytes
from explain.evidence.cache import ByteCache
from explain.methods import METHODS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from components.choices.sidebar import Choices
    from explain import Explainer, Explanation
    from explain.evidence.timing import Timing

ABANDONED = 15.0
"""Seconds after which a slow method that no screen asks after is stopped."""
PATIENCE = 0.4
"""Seconds that a slow method may take before a progress bar is worth showing."""


@st.cache_resource(show_spinner=False)
def _kept() -> ByteCache[Explanation]:
    """Explanations by everything they depend on, so that two sessions can share what is equal and nothing else."""

    def size(explanation: Explanation) -> int:
        # A map that was once grown to the picture's own grid stays grown.
        grown = [heatmap.__dict__.get("values", heatmap.at_input) for heatmap in explanation.heatmaps]
        maps = sum(array.nbytes for array in grown)
        return explanation.evidence.nbytes + explanation.image.pixels.nbytes + maps

    return ByteCache(lambda: cache_bytes("explanations"), size)


class Job:
    """One slow explanation in a thread of its own."""

    def __init__(self, explainer: Explainer, choices: Choices, options: dict[str, Any]) -> None:
        self.share, self.words = 0.0, "Starting"
        self.cancel = threading.Event()
        self.watched = time.monotonic()
        self.result: Explanation | None = None
        self.partial: Explanation | None = None
        """What a map that comes bit by bit is so far."""
        self.news = False
        """Whether that has not been on the screen yet."""
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(explainer, choices, options), daemon=True)
        self._thread.start()

    def _run(self, explainer: Explainer, choices: Choices, options: dict[str, Any]) -> None:
        if sys.platform == "linux":
            # Pages come first, and with them the hand that stops this. Threads that torch starts from here inherit it.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            about: dict[str, Any] = {"progress": self._progress, "cancel": self.cancel, "partial": self._so_far}
            self.result = explainer(choices.image, **about, **options)
        except (Exception, Cancelled) as failure:
            self.failure = failure

    def _progress(self, share: float, words: str) -> None:
        self.share, self.words = share, words
        # The page was left or its tab closed: nobody is waiting.
        if time.monotonic() - self.watched > ABANDONED:
            self.cancel.set()

    def _so_far(self, made: Explanation) -> None:
        self.partial, self.news = made, True

    def finished(self, wait: float = 0.0) -> bool:
        self._thread.join(wait)
        return not self._thread.is_alive()


def is_slow(method: str) -> bool:
    """Whether a method is made aside: it runs the model again, or belongs to a library that does."""
    return not METHODS[method].quick


def explained(
    choices: Choices, explainer: Explainer, *, quiet: bool = False, aside: bool = True, **more: Any
) -> Explanation | None:
    """The explanation of what was chosen; while a slow one is in the making, which is then on the screen, what it is so
    far, or None.

    `quiet`: the screen itself says who is at work. `aside` False: the page waits, whatever the method; the result is
    never None.
    """
    options = {"method": choices.method, **choices.options, **more}
    image = choices.image
    # Name and notes too: the same pixels under another session's file name are another session's.
    key = (image.sha256, image.name, image.notes, explainer.resident.adapter.weights_sha256, choices.model.id)
    key += tuple(sorted(options.items()))
    _stop(but=key)
    from explain.evidence.resident import RESIDENCY

    # What was let go to make room must not live on here.
    residents = RESIDENCY.residents()
    _kept().discard(lambda explanation: explanation.evidence.resident.origin not in residents)
    if (found := _kept().get(key)) is not None:
        return _watched(key, found)
    made: Explanation | None
    if not aside or not is_slow(options["method"]):
        with nullcontext() if quiet else at_work(explainer):
            made = explainer(choices.image, **options)
    else:
        made, whole = _aside(key, choices, explainer, options)
        if not whole:
            return made
    if made is not None:
        _kept().put(key, made)
        _watched(key, made)
    return made


def _watched(key: tuple[Any, ...], explanation: Explanation) -> Explanation:
    """The same; noted for the monitor, where this session asked for that on Watch."""
    if st.session_state.get("memory", {}).get("watch-session"):
        from components.session import monitoring

        monitoring.note(key, explanation)
    return explanation


def at_work(explainer: Explainer) -> AbstractContextManager[None]:
    """Who is at work, said once that has taken a while."""
    return st.spinner(f"{explainer.model.id} is looking", show_time=False)


def _aside(
    key: tuple[Any, ...], choices: Choices, explainer: Explainer, options: dict[str, Any]
) -> tuple[Explanation | None, bool]:
    """What there is so far, and whether that is all."""
    if "job" not in st.session_state:
        st.session_state.job = (key, Job(explainer, choices, options))
    job: Job = st.session_state.job[1]
    # Nobody waits for a stopped thread: it ends by itself before the model's next module.
    if job.cancel.is_set():
        if job.partial is None:
            raise Cancelled
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Stopped, and unfinished: {job.words}.", width="content")
            again()
        return job.partial, False
    if not job.finished(PATIENCE):
        # Before the watch looks: it would start this run again.
        job.news = False
        with st.container(horizontal=True, vertical_alignment="center"):
            _watch()
            # Outside of what is drawn anew twice a second: one run is then between the click and the end.
            st.button(
                "Stop",
                icon=":material/stop_circle:",
                on_click=job.cancel.set,
                help="Stop this method; everything else goes on.",
            )
        return job.partial, False
    # Kept as it is after a failure, so that a rerun says the same and does not start it all again.
    if job.failure is not None:
        raise job.failure
    del st.session_state.job
    return job.result, True


@st.fragment(run_every=0.5)
def _watch() -> None:
    if "job" not in st.session_state:
        return
    job: Job = st.session_state.job[1]
    job.watched = time.monotonic()
    if job.finished() or job.news:
        st.rerun()
    st.progress(job.share, job.words)


def _stop(but: tuple[Any, ...]) -> None:
    """Whoever chooses something else no longer waits for the slow one."""
    key, job = st.session_state.get("job", (but, None))
    if key != but and job is not None:
        job.cancel.set()
        del st.session_state.job


def again() -> None:
    """The way back from a stop."""
    st.button("Start again", icon=":material/replay:", on_click=forget, help="Or choose a quicker method.")


def forget() -> None:
    """Clear a stopped job, so that the next run starts it again."""
    st.session_state.pop("job", None)


def class_of(explanation: Explanation, wanted: str | None) -> tuple[Explanation, int]:
    """The explanation with the wanted class among its maps, and its place there; the first where none is wanted."""
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    if wanted is None or wanted in labels:
        return explanation, labels.index(wanted) if wanted else 0
    try:
        indices: list[Any] = [heatmap.target.index for heatmap in explanation.heatmaps]
        return explanation.with_targets(*indices, wanted), len(labels)
    except Problem:
        return explanation, 0


def timed(explanation: Explanation) -> Timing:
    """A model's time on this picture, measured once a session."""
    held: dict[str, Timing] = st.session_state.setdefault("timings", {})
    key = f"{explanation.model.id}-{explanation.evidence.resident.device}-{explanation.evidence.geometry.input}"
    if key not in held:
        from explain.evidence.timing import measure

        held[key] = measure(explanation.evidence)
    return held[key]
