"""Prove maps in threads beside the pages, one at a time; what came of it is remembered while the session lives."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from components.session import state
from components.session.background import Status, Watched

if TYPE_CHECKING:
    from explain import Explanation
    from explain.faithfulness import Filling
    from explain.faithfulness.proof import Proof

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
            self._grown(own.prove(index, fillings=fillings, progress=report, cancel=cancel, partial=self._grown))
        finally:
            self._begun.set()

    def _grown(self, made: Proof) -> None:
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
    return _keys(explanation)[index]


def _keys(explanation: Explanation) -> list[Key]:
    options = explanation.recipe.model_dump_json(exclude=_NOT_IN_KEY)
    return [(heatmap.method, heatmap.layers, heatmap.target, options) for heatmap in explanation.heatmaps]


def proved(explanation: Explanation, index: int) -> tuple[Proof | None, ProofJob | None]:
    """Return the proof of a map as far as it has come, and the job that goes on with it, or that was stopped.

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
    proofs.job, proofs.made[key] = None, job.proof
    while len(proofs.made) > MAX_PROOFS:
        proofs.made.popitem(last=False)
    return job.proof, None


def carrying(explanation: Explanation) -> Explanation:
    """Return an explanation with those proofs of its maps that this session has whole, so that its files carry them."""
    made = state.of(Proofs).made
    found = {i: made[key] for i, key in enumerate(_keys(explanation)) if key in made} if made else {}
    return replace(explanation, proofs=explanation.proofs | found) if found else explanation


def stop() -> None:
    """Stop the proof that is in the making, and forget how far it was."""
    proofs = state.of(Proofs)
    if proofs.job is not None:
        proofs.job.cancel.set()
    proofs.job, proofs.key = None, ()
