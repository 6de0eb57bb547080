"""Prove maps in threads."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.components.session import state
from sightglass.components.session.jobs.background import Job
from sightglass.explain.recipe import ProofSettings, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sightglass.explain import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.proof import Filling
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.recipe import Recipe
    from sightglass.history import Record, SavedMap

MAX_PROOFS = 64
"""Of one session in memory; each is some thousand numbers."""
FIRST = 0.2
"""Seconds that a page waits for the first curve, which then needs no second look at the job."""
FILLING: Filling = "blur"
"""What the panel draws at first."""
_NOT_IN_KEY = {"picture_name", "targets", "top_k", "scale", "within", "versions"}
"""What a recipe holds besides: a map is the same whatever is explained beside it, and however it is shown."""
Key = tuple[Any, ...]


@dataclass
class Proofs:
    """The session's proofs, and the one that is in the making."""

    made: OrderedDict[Key, Proof] = field(default_factory=OrderedDict)
    key: Key = ()
    job: Job[Proof] | None = None


def key_of(explanation: Explanation, index: int) -> Key:
    """Return everything that the proof of a map depends on: the same class on another page is the same map."""
    return _keys(explanation.recipe, explanation.heatmaps)[index]


def _keys(recipe: Recipe, maps: Iterable[Heatmap | SavedMap]) -> list[Key]:
    """Return the key of each map of an explanation or a record."""
    options = recipe.model_dump_json(exclude=_NOT_IN_KEY)
    return [(one.method, one.layers, target, options) for one, target in zip(maps, recipe.targets, strict=False)]


def bring(record: Record, maps: Sequence[SavedMap], proofs: Mapping[int, Proof]) -> None:
    """Hold the proofs of a record, so that its maps need none when they are opened elsewhere.

    Only those that a page would make in just the same way, here and now: the others would be taken for these.
    """
    if record.recipe is None or record.recipe.versions != versions():
        return
    for index, key in enumerate(_keys(record.recipe, maps)):
        said = record.proof_of(index)
        if index in proofs and said is not None and said.settings == ProofSettings(index=index):
            _hold(key, proofs[index])


def _hold(key: Key, proof: Proof) -> None:
    made = state.of(Proofs).made
    made[key] = proof
    while len(made) > MAX_PROOFS:
        made.popitem(last=False)


def prove(explanation: Explanation, index: int) -> tuple[Proof | None, Job[Proof] | None]:
    """Return the proof so far of a map, and its job, running or stopped.

    Starts the job where there is none; the proof of any other map stops. Raises what went wrong in it.
    """
    proofs, key = state.of(Proofs), key_of(explanation, index)
    if key != proofs.key:
        stop()
        proofs.key = key
    if (made := proofs.made.get(key)) is not None:
        proofs.made.move_to_end(key)
        return made, None
    if proofs.job is not None and proofs.job.abandoned:
        proofs.job = None
    if proofs.job is None:
        # Other sessions may hold the same explanation: they have not asked for its proof.
        mine = replace(explanation, proofs={})
        proofs.job = Job(partial(mine.prove, index, fillings=(FILLING, "mean")))
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
    """Return an explanation with those proofs of its maps that this session has whole, so that its files carry them."""
    made = state.of(Proofs).made
    keys = _keys(explanation.recipe, explanation.heatmaps) if made else []
    found = {i: made[key] for i, key in enumerate(keys) if key in made}
    return replace(explanation, proofs=explanation.proofs | found) if found else explanation


def stop() -> None:
    """Stop the proof that is in the making, and forget how far it was."""
    proofs = state.of(Proofs)
    if proofs.job is not None:
        proofs.job.cancel.set()
    proofs.job, proofs.key = None, ()
