"""Seal a page's maps in a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Cancelled
from sightglass.common.work.turns import SEALS, GivingWay
from sightglass.components.session import page, state
from sightglass.components.session.jobs.background import Status, Watched
from sightglass.explain.faithfulness import seal
from sightglass.explain.findings.randomisation import describe_expected
from sightglass.explain.proof.seal import known, untested

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from sightglass.common.work.progress import Progress
    from sightglass.explain import Explanation
    from sightglass.explain.proof.seal import Seal

PAUSE = 0.2
"""Seconds between two looks whether tests that wait for their turn are still wanted."""
LEASE = 0.45
"""Seconds that tests go on after the browser asked for them: while somebody works with the page it does not ask."""
ABANDONED = 20.0
"""Seconds after which tests that no page asks for any more are stopped."""


@dataclass(frozen=True)
class Sealable:
    """A map on a page, and how its seal is made."""

    name: str
    """Among the page's maps."""
    label: str
    """Of what the map explains, for a seal that could not be made."""
    key: Hashable
    """By which the seal is held: `explain.proof.seal.known`."""
    make: Callable[..., Any]
    """Returns the seal and holds it; takes `progress`, `cancel` and `partial`."""
    expected: str = ""
    """What is known of such maps before this one is tested."""

    @property
    def known(self) -> Seal | None:
        """The seal, if it was made in this process."""
        return known(self.key)


def of_explanation(name: str, explanation: Explanation, index: int) -> Sealable:
    """Return one map of an explanation, to be sealed."""
    label = explanation.heatmaps[index].target.label
    make, expected = partial(seal.seal, explanation, index), describe_expected(explanation, index)
    return Sealable(name, label, explanation.seal_key(index), make, expected)


class SealJob(Watched[Status]):
    """The seals of some maps, one after the other, in a thread of its own."""

    stop_event = GivingWay

    def __init__(self, maps: Sequence[Sealable]) -> None:
        self.unfinished: dict[Hashable, Seal] = {}
        super().__init__(self._seal, Status(), tuple(maps))
        self.hold(LEASE)

    def hold(self, after: float) -> None:
        """Hold the tests after so many seconds, unless they are asked for again."""
        self._stop.patience = ABANDONED
        self._stop.wanted_until = time.monotonic() + after

    @property
    def stopped(self) -> bool:
        return self._stop.stopped

    @property
    def _stop(self) -> GivingWay:
        assert isinstance(self.cancel, GivingWay)
        return self.cancel

    def _seal(self, status: Status, cancel: threading.Event, maps: Sequence[Sealable]) -> None:
        def report(share: float, words: str) -> None:
            self.report(share, words, ABANDONED)

        with SEALS.turn() as turn:
            while not turn.wait(PAUSE):
                report(0.0, "Waiting")
                if cancel.is_set():
                    raise Cancelled
            self._seal_each(maps, report, cancel)

    def _seal_each(self, maps: Sequence[Sealable], report: Progress, cancel: threading.Event) -> None:
        for one in maps:

            def grow(made: Seal, key: Hashable = one.key) -> None:
                self.unfinished[key] = made

            one.make(progress=report, cancel=cancel, partial=grow)


@dataclass
class Seals:
    """The session's tests that run, or failed, and of which maps."""

    keys: tuple[Hashable, ...] = ()
    job: SealJob | None = None


def hold() -> None:
    """Hold this session's tests, because somebody did something: they go on once the browser asks again."""
    if (job := state.of(Seals).job) is not None:
        job.hold(0.0)


def follow(maps: Sequence[Sealable], *, begin: bool) -> tuple[list[Seal | None], bool]:
    """Return the seals of a page's maps as far as they have come, and whether tests are under way.

    Tests of other maps stop. `begin`: start what is missing.
    """
    held, keys = state.of(Seals), tuple(one.key for one in maps)
    if held.job is not None and (held.keys != keys or held.job.stopped):
        held.job.cancel.set()
        held.job = None
    missing = [one for one in maps if one.known is None]
    if missing and held.job is None and begin:
        held.keys, held.job = keys, SealJob(missing)
    works = held.job is not None and not held.job.polled()
    if held.job is not None and begin:
        held.job.hold(LEASE)
    unfinished = {} if held.job is None else held.job.unfinished
    found = [one.known or unfinished.get(one.key) for one in maps]
    if held.job is not None and not works and (failure := held.job.status.failure) is not None:
        problem = page.find_problem(failure, "a map could not be sealed") or page.SOMETHING_BROKE
        why = str(problem)
        found = [
            made if made is not None and made.whole else untested(one.label, why)
            for made, one in zip(found, maps, strict=True)
        ]
    return found, works
