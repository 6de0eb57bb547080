"""The scorecard of two to six models: rows, pairs, verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.evaluation.scorecard import run
from sightglass.evaluation.scorecard.limits import MOST, TOLERANCE
from sightglass.evaluation.scorecard.pairs import ModelPair, check_alike
from sightglass.evaluation.scorecard.rows import ModelScore, pareto, score
from sightglass.evaluation.scorecard.verdict import Verdict
from sightglass.explain.phrases import listing

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from sightglass.common.work.progress import Progress
    from sightglass.evaluation.evaluation import Evaluation
    from sightglass.evaluation.scorecard.labelled import LabelledPicture
    from sightglass.explain import Explainer

    Tell = Callable[[int, int], None]

MAPS_SHARE = 0.8
"""Of a model's time that the labelled pictures take; moved ones take the rest."""


@dataclass(frozen=True, eq=False)
class Scorecard:
    """Models on the same labelled pictures."""

    rows: tuple[ModelScore, ...]
    largest: ModelScore
    """The one that the others are to replace."""
    pairs: tuple[ModelPair, ...] = field(repr=False)
    """Each other model beside the largest, the smallest first; the fastest where parameters are not known."""
    tolerance: float = TOLERANCE
    """Of AP or accuracy that may be lost, 0..1."""

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of the pairs."""
        return tuple(Verdict(pair, self.tolerance) for pair in self.pairs)

    @cached_property
    def verdict(self) -> Verdict | None:
        """That of the first model that can be shipped, or else of the first; None of a single model."""
        for kind in ("ship", "ship where"):
            for one in self.verdicts:
                if one.kind == kind:
                    return one
        return self.verdicts[0] if self.verdicts else None

    def tolerate(self, tolerance: float) -> Scorecard:
        """Return the same scorecard with another tolerance; nothing is compared again."""
        return replace(self, tolerance=tolerance)

    @property
    def words(self) -> str:
        """The verdict in a few short sentences; empty for a single model."""
        return " ".join(self.verdict.sentences) if self.verdict else ""

    def is_efficient(self, row: ModelScore) -> bool:
        """Return whether no other model is both faster and better."""
        return pareto(self.rows)[self.rows.index(row)]


def score_models(
    names: Sequence[str],
    load: Callable[[str], Explainer],
    pictures: Sequence[LabelledPicture],
    *,
    places: bool = True,
    tell: Progress | None = None,
    cancel: threading.Event | None = None,
) -> list[ModelScore]:
    """Run models over labelled pictures, one after the other, and return their rows.

    `places`: also make the maps that say whether models look at the same place. Raises what `run.evaluate` does.
    """
    check_number(names)
    rows = []
    for number, name in enumerate(names):

        def report(part: str, begin: float, end: float, number: int = number, name: str = name) -> Tell:
            def count_pictures(done: int, of: int) -> None:
                share = begin + (end - begin) * done / max(of, 1)
                if tell is not None:
                    tell((number + share) / len(names), f"{name}{part}: {done:,} of {of:,}")

            return count_pictures

        explainer = load(name)
        end = MAPS_SHARE if places else 1.0
        found = run.evaluate(explainer, pictures, maps=places, tell=report("", 0.0, end), cancel=cancel)
        noise: tuple[float, ...] = ()
        if places:
            moved = report(", pictures moved", end, 1.0)
            noise = run.measure_noise(explainer, pictures, found, tell=moved, cancel=cancel)
        rows.append(score(found, run.describe(explainer), noise))
    return rows


def compare(rows: Sequence[ModelScore], *, tolerance: float = TOLERANCE, against: str = "") -> Scorecard:
    """Return the scorecard of models that were judged on the same labels.

    `against`: the model that the others are to replace; empty: the one with the most parameters, or the best where
    these are not known. Raises Problem for more than `MOST` models, two of one name, other labels, detectors beside
    classifiers, or no such model.
    """
    names = [row.model for row in rows]
    check_number(names)
    check_alike(rows)
    if against and against not in names:
        raise Problem(f"{against} is none of the models of this scorecard: {listing(names)}.")
    largest = rows[names.index(against)] if against else _find_largest(rows)
    others = [row for row in rows if row is not largest]
    if all(row.facts.parameters is not None for row in others):
        others.sort(key=lambda row: row.facts.parameters or 0)
    else:
        others.sort(key=lambda row: row.speed.p50 if row.speed is not None else float("inf"))
    return Scorecard(tuple(rows), largest, tuple(ModelPair(row, largest) for row in others), tolerance)


def _find_largest(rows: Sequence[ModelScore]) -> ModelScore:
    if any(row.facts.parameters is None for row in rows):
        return max(rows, key=lambda row: row.score.value)
    return max(rows, key=lambda row: (row.facts.parameters or 0, row.score.value))


def check_number(names: Sequence[str]) -> None:
    """Raise Problem for more models than a scorecard takes, or two of one name."""
    if len(names) > MOST:
        raise Problem(f"A scorecard compares at most {MOST} models: leave some out.")
    if len(set(names)) < len(names):
        raise Problem("Two of these have the same name: a scorecard tells models apart by their names.")


def keep_common(evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], int]:
    """Return evaluations of the pictures that all have, in one order, and how many pictures that leaves out.

    Raises Problem where they have none in common.
    """
    keys = [{one.key for one in each.pictures} for each in evaluations]
    common = set.intersection(*keys)
    if not common:
        raise Problem("These runs have no picture in common: choose runs over the same pictures.")
    left = len(set.union(*keys)) - len(common)
    if not left and len({tuple(one.key for one in each.pictures) for each in evaluations}) == 1:
        return [*evaluations], 0
    return [
        replace(
            each, pictures=tuple(sorted((one for one in each.pictures if one.key in common), key=lambda one: one.key))
        )
        for each in evaluations
    ], left
