"""Prove maps in threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sightglass.components.session import state
from sightglass.components.session.jobs.background import Status, Watched
from sightglass.explain.recipe import ProofSettings, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sightglass.explain import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.proof import Filling
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.recipe import Recipe
    from sightglass.history import Record, SavedMap

ABANDONED = 10.0
"""Seconds after which a proof that no page polls any more is stopped."""
MAX_PROOFS = 64
"""Of one session in memory; each is some thousand numbers."""
FIRST = 0.2
"""Seconds that a page waits for the first curve, which then needs no second look at the job."""
FILLING: Filling = "blur"
"""What the panel draws at first."""
_NOT_IN_KEY = {"picture_name", "targets", "top_k", "scale", "within", "versions"}
"""What a recipe holds besides: a map is the same whatever is explained beside it, and however it is shown."""
Key = tuple[Any, ...]


class ProofJob(Watched[Status]):
    """The proof of one map, in a thread of its own."""

    def __init__(self, explanation: Explanation, index: int) -> None:
        self.proof: Proof | None = None
        """As far as it has come."""
        self._begun = threading.Event()
        super().__init__(self._prove, Status(), explanation, index)

    def _prove(self, status: Status, cancel: threading.Event, explanation: Explanation, index: int) -> None:
        def report(share: float, words: str) -> None:
            self.report(share, words, ABANDONED)

        # Other sessions may hold the same explanation: they have not asked for its proof.
        own, fillings = replace(explanation, proofs={}), (FILLING, "mean")
        try:
            self._grow(own.prove(index, fillings=fillings, progress=report, cancel=cancel, partial=self._grow))
        finally:
            self._begun.set()

    def _grow(self, made: Proof) -> None:
        self.proof = made
        self._begun.set()

    def begun(self) -> Proof | None:
        """Return the proof as far as it has come, after waiting `FIRST` seconds at most for its first curve."""
        self._begun.wait(FIRST)
        return self.proof


@dataclass
class Proofs:
    """The session's proofs, and the one that is in the making."""

    made: OrderedDict[Key, Proof] = field(default_factory=OrderedDict)
    key: Key = ()
    job: ProofJob | None = None


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


def prove(explanation: Explanation, index: int) -> tuple[Proof | None, ProofJob | None]:
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
        proofs.job = ProofJob(explanation, index)
    job = proofs.job
    if not job.polled() or job.cancel.is_set():
        return job.proof, job
    # A failed job stays, so that a rerun shows the same error instead of starting it again.
    if job.status.failure is not None:
        raise job.status.failure
    assert job.proof is not None
    proofs.job = None
    _hold(key, job.proof)
    return job.proof, None


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
