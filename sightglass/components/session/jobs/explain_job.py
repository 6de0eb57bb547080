"""Explain a page's choices and prove maps, cached or in a thread."""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import history
from sightglass.common import settings as memory
from sightglass.common.errors import Cancelled, Problem
from sightglass.common.settings import settings
from sightglass.components.session import page, state
from sightglass.components.session.jobs import background
from sightglass.components.session.jobs.background import Job
from sightglass.explain.comparison import models
from sightglass.explain.evidence import resident
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.methods import METHODS
from sightglass.explain.recipe import ProofSettings, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer, Explanation, Image
    from sightglass.explain.comparison.models import Comparison, Timing
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.recipe import Recipe
    from sightglass.explain.trust import Filling
    from sightglass.explain.trust.proof import Proof
    from sightglass.history import Record

MAX_PROOFS = 64
"""Of one session in memory; each is some thousand numbers."""

MAX_FINISHED = 64
"""Pictures of a session, each by a model, whose last explanation is remembered."""


WORTH_SHOWING = 0.1
"""Share of a method that refines its map at which the unfinished one says more than the map before."""
PATIENCE = 0.4
"""Seconds that a slow method may take before a progress bar is worth showing."""
SLOTS = BoundedSemaphore(max(2, os.cpu_count() or 1))
"""Quick explanations that somebody waits for, at the same time: more at once are not done sooner."""
Key = tuple[Any, ...]


@st.cache_resource(show_spinner=False)
def _cache() -> ByteCache[Explanation]:
    """Return the cache of explanations, shared by all sessions."""

    def size(explanation: Explanation) -> int:
        # A map that was once resampled to the picture's own grid stays so.
        grown = [heatmap.__dict__.get("values", heatmap.at_input) for heatmap in explanation.heatmaps]
        maps = sum(array.nbytes for array in grown)
        return explanation.evidence.nbytes + explanation.image.pixels.nbytes + maps

    return ByteCache(memory.evidence_bytes, size)


@dataclass
class Running:
    """The session's slow explanation, if any, and how long models took, measured together."""

    key: Key = ()
    job: Job[Explanation] | None = None
    timings: dict[Key, tuple[Timing, ...]] = field(default_factory=dict)
    finished: dict[tuple[str, str], Key] = field(default_factory=dict)
    """The last finished explanation of a picture by a model."""


def is_slow(method: str) -> bool:
    """Return whether a method is slow and runs in a thread."""
    return not METHODS[method].quick


def explain(
    choices: Choices, explainer: Explainer, *, quiet: bool = False, wait: bool = False, **more: Any
) -> Explanation | None:
    """Return the chosen explanation; while a slow method runs, its partial one.

    `quiet`: no spinner. `wait`: the page waits, however slow the method; the result is then never None.
    """
    options = {"method": choices.method, **choices.options, **more}
    image = choices.image
    # Name and notes too: the same pixels under another file name belong to another session.
    key: Key = (image.sha256, image.name, image.notes, explainer.resident.adapter.weights_sha256, explainer.model.row)
    key += tuple(sorted(options.items()))
    _stop(but=key)
    # A model that was evicted to make room must not live on here.
    residents = resident.RESIDENCY.residents()
    _cache().discard(lambda explanation: explanation.evidence.resident.origin not in residents)
    result = _cache().get(key)
    if result is None:
        if wait or not is_slow(options["method"]):
            with nullcontext() if quiet else spinner(explainer):
                result = _explain_now(explainer, image, options)
        else:
            result, finished = _in_thread(key, choices, explainer, options)
            if result is None or not finished:
                return result
        _cache().put(key, result)
    page.clear_waiting()
    if _finished(image.sha256, choices.model.id, key) and (below := settings().save_below):
        history.save_unsure_later(result, below)
    return result


def _explain_now(explainer: Explainer, image: Image, options: dict[str, Any]) -> Explanation:
    """Explain a picture while the page waits."""
    if is_slow(options["method"]):
        return explainer(image, **options)
    with SLOTS:
        return explainer(image, **options)


def _finished(picture: str, model: str, key: Key) -> bool:
    """Remember a picture's finished explanation; return whether it is new."""
    finished = state.of(Running).finished
    changed = finished.get((picture, model)) != key
    finished[picture, model] = key
    while len(finished) > MAX_FINISHED:
        del finished[next(iter(finished))]
    return changed


def before(choices: Choices) -> Explanation | None:
    """Return the picture's last finished explanation by this model, if cached."""
    key = state.of(Running).finished.get((choices.image.sha256, choices.model.id))
    return None if key is None else _cache().get(key)


def predict(choices: Choices, explainer: Explainer, **more: Any) -> Explanation:
    """Return the model's predictions without a map: one pass."""
    with SLOTS:
        return explainer(choices.image, maps=False, **choices.options | more)


def spinner(explainer: Explainer) -> AbstractContextManager[None]:
    """Return a spinner with the name of the working model."""
    return st.spinner(f"Running {explainer.model.name}…", show_time=False)


def _in_thread(
    key: Key, choices: Choices, explainer: Explainer, options: dict[str, Any]
) -> tuple[Explanation | None, bool]:
    """Return the explanation so far and whether it is finished."""
    running = state.of(Running)
    # Nobody stopped it: its browser was away.
    if running.job is None or running.job.abandoned:
        call: Callable[..., Explanation] = partial(explainer, choices.image, **options)  # type: ignore[assignment]
        running.key, running.job = key, Job(call)
    job = running.job
    # Nobody waits for a cancelled thread: it ends before the model's next module.
    unfinished = job.partial if job.status.share >= WORTH_SHOWING else None
    if job.cancel.is_set():
        if unfinished is None:
            raise Cancelled
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Stopped before it finished: {job.status.words}.", width="content")
            restart_button()
        return unfinished, False
    if not job.finished(PATIENCE):
        # Before polling: it would run the page again.
        job.draw_partial()
        background.progress(job, help="Stop this method and go back to the map before.", estimate=True)
        return unfinished, False
    # A failed job stays, so that a rerun shows the same error instead of starting it again.
    if job.status.failure is not None:
        raise job.status.failure
    running.job = None
    return job.result, True


def _stop(but: Key) -> None:
    """Cancel the slow explanation if something else was chosen since."""
    running = state.of(Running)
    if running.job is not None and running.key != but:
        running.job.cancel.set()
        running.job = None


def restart_button() -> None:
    """Draw the button for restarting a stopped method."""
    st.button("Start again", icon=":material/replay:", on_click=forget, help="Or choose a faster method.")


def forget() -> None:
    """Drop a stopped job: the next run starts it again."""
    state.of(Running).job = None


def class_of(explanation: Explanation, wanted: str | None) -> tuple[Explanation, int]:
    """Return the explanation with a class's map, and its index."""
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    if wanted is None or wanted in labels:
        return explanation, labels.index(wanted) if wanted else 0
    try:
        indices: list[Any] = [heatmap.target.index for heatmap in explanation.heatmaps]
        return explanation.with_targets(*indices, wanted), len(labels)
    except Problem:
        return explanation, 0


def measure_times(comparison: Comparison) -> Comparison:
    """Time the models in turns, and keep the times for this session."""
    times = models.measure_in_turns([explanation.evidence for explanation in comparison.explanations])
    state.of(Running).timings[_models_of(comparison)] = times
    return replace(comparison, timings=times)


def with_times(comparison: Comparison) -> Comparison:
    """Return a comparison with its models' times, if they were measured."""
    return replace(comparison, timings=state.of(Running).timings.get(_models_of(comparison), ()))


def _models_of(comparison: Comparison) -> Key:
    evidences = [explanation.evidence for explanation in comparison.explanations]
    return tuple((e.resident.adapter.spec.id, str(e.resident.device), e.geometry.input) for e in evidences)


FILLING: Filling = "blur"
"""What the panel draws at first."""
_NOT_IN_KEY = {"picture_name", "targets", "top_k", "scale", "within", "versions"}
"""What a recipe holds besides: a map is the same whatever is explained beside it, and however it is shown."""


@dataclass
class Proofs:
    """The session's proofs, and the one that is in the making."""

    made: OrderedDict[Key, Proof] = field(default_factory=OrderedDict)
    key: Key = ()
    job: Job[Proof] | None = None


def key_of(explanation: Explanation, index: int) -> Key:
    """Return all inputs of a map's proof, equal on all pages."""
    return _keys(explanation.recipe, explanation.heatmaps)[index]


def _keys(recipe: Recipe, maps: Iterable[Heatmap]) -> list[Key]:
    """Return the key of each map of an explanation or a record."""
    options = recipe.model_dump_json(exclude=_NOT_IN_KEY)
    return [(item.method, item.layers, target, options) for item, target in zip(maps, recipe.targets, strict=False)]


def bring(record: Record, maps: Sequence[Heatmap], proofs: Mapping[int, Proof]) -> None:
    """Keep a record's proofs for its maps on other pages.

    Only those that a page would make in just the same way, here and now: the others would be taken for these.
    """
    if record.recipe is None or record.recipe.versions != versions():
        return
    for index, key in enumerate(_keys(record.recipe, maps)):
        entry = record.proof_of(index)
        if index in proofs and entry is not None and entry.settings == ProofSettings(index=index):
            _hold(key, proofs[index])


def _hold(key: Key, proof: Proof) -> None:
    proofs = state.of(Proofs).made
    proofs[key] = proof
    while len(proofs) > MAX_PROOFS:
        proofs.popitem(last=False)


def prove(explanation: Explanation, index: int) -> tuple[Proof | None, Job[Proof] | None]:
    """Return the map's proof so far and its unfinished job.

    Starts the job where there is none; the proof of any other map stops. Raises what went wrong in it.
    """
    proofs, key = state.of(Proofs), key_of(explanation, index)
    if key != proofs.key:
        stop()
        proofs.key = key
    if (result := proofs.made.get(key)) is not None:
        proofs.made.move_to_end(key)
        return result, None
    if proofs.job is not None and proofs.job.abandoned:
        proofs.job = None
    if proofs.job is None:
        # Other sessions may hold the same explanation: they have not asked for its proof.
        mine = replace(explanation, proofs={})
        proofs.job = Job(partial(mine.prove, index, fillings=(FILLING, "mean")), redraw_every=math.inf)
    job = proofs.job
    job.polled()
    if not job.finished() or job.cancel.is_set():
        return job.partial, job
    # A failed job stays, so that a rerun shows the same error instead of starting it again.
    if job.status.failure is not None:
        raise job.status.failure
    assert job.result is not None
    proofs.job = None
    _hold(key, job.result)
    return job.result, None


def carrying(explanation: Explanation) -> Explanation:
    """Return an explanation with this session's whole proofs of its maps."""
    session_proofs = state.of(Proofs).made
    keys = _keys(explanation.recipe, explanation.heatmaps) if session_proofs else []
    finished = {i: session_proofs[key] for i, key in enumerate(keys) if key in session_proofs}
    return replace(explanation, proofs=explanation.proofs | finished) if finished else explanation


def stop() -> None:
    """Stop the running proof and discard its progress."""
    proofs = state.of(Proofs)
    if proofs.job is not None:
        proofs.job.cancel.set()
    proofs.job, proofs.key = None, ()
