"""Seal a page's maps in a thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.common.work.progress import PausableStop
from sightglass.components.session import page, state
from sightglass.components.session.jobs.background import Job
from sightglass.explain.faithfulness import seal
from sightglass.explain.findings.randomisation import describe_expected
from sightglass.explain.proof.seal import known, untested

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from sightglass.common.work.progress import Progress
    from sightglass.explain import Explanation
    from sightglass.explain.proof.seal import Seal

Unfinished = dict[Hashable, "Seal"]


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


@dataclass
class Seals:
    """The session's tests that run, or failed, and of which maps."""

    keys: tuple[Hashable, ...] = ()
    job: Job[Unfinished] | None = None


def _seal_each(
    maps: Sequence[Sealable],
    *,
    progress: Progress,
    cancel: threading.Event,
    partial: Callable[[Unfinished], None],
) -> Unfinished:
    """Make the seals of some maps, one after the other; return them as far as they come."""
    seals: Unfinished = {}
    for one in maps:

        def grow(seal: Seal, key: Hashable = one.key) -> None:
            seals[key] = seal
            partial(seals)

        one.make(progress=progress, cancel=cancel, partial=grow)
    return seals


def follow(maps: Sequence[Sealable], *, begin: bool) -> tuple[list[Seal | None], bool]:
    """Return the seals of a page's maps as far as they have come, and whether tests are under way.

    Tests of other maps stop. `begin`: start what is missing.
    """
    held, keys = state.of(Seals), tuple(one.key for one in maps)
    if held.job is not None and (held.keys != keys or held.job.abandoned):
        held.job.cancel.set()
        held.job = None
    missing = [one for one in maps if one.known is None]
    if missing and held.job is None and begin:
        held.keys, stop = keys, PausableStop()
        state.of(page.PageRun).tests = stop
        held.job = Job(partial(_seal_each, missing), cancel=stop)
    if held.job is not None:
        held.job.polled()
    works = held.job is not None and not held.job.finished()
    unfinished = (held.job and held.job.partial) or {}
    found = [one.known or unfinished.get(one.key) for one in maps]
    if held.job is not None and not works and (failure := held.job.status.failure) is not None:
        problem = page.find_problem(failure, "a map could not be sealed") or page.SOMETHING_BROKE
        why = str(problem)
        found = [
            made if made is not None and made.whole else untested(one.label, why)
            for made, one in zip(found, maps, strict=True)
        ]
    return found, works
