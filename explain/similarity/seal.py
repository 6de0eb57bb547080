"""Seal of two compared pictures: three tests of the query's map.

The questions and levels are those of `faithfulness.seal`. The first is asked of both maps, as one cosine makes both.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.faithfulness import badge
from sightglass.explain.faithfulness.chance import chance_of
from sightglass.explain.faithfulness.changes import CHANGES
from sightglass.explain.faithfulness.randomised import copy_resident, moments_of, redrawn, stages
from sightglass.explain.faithfulness.scramble import SAME, draw_until_clear, interval_of
from sightglass.explain.faithfulness.seal import LARGE, run_tests
from sightglass.explain.faithfulness.stability import (
    change_evidence,
    check_changeable,
    describe_stillness,
    judge_stillness,
)
from sightglass.explain.faithfulness.support import Measure
from sightglass.explain.maps.statistics import coarse, rank_correlation, rescale
from sightglass.explain.options import Options
from sightglass.explain.phrases import percent, signed
from sightglass.explain.proof import controls
from sightglass.explain.proof.curves import Perturber
from sightglass.explain.proof.scores import cosine_scorer
from sightglass.explain.proof.seal import Question, Seal, SealMark, remember
from sightglass.explain.proof.support import OTHERS, SHOWN, Support
from sightglass.explain.similarity.similarity import draw_maps
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sightglass.common.work.progress import Progress
    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.similarity.similarity import ComparedImage, Similarity


def seal_pair(
    explainer: Explainer,
    found: Similarity,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[Seal], None] | None = None,
) -> Seal:
    """Test the map of the query in three ways, each in its shortest form.

    About 70 passes; `partial` is called after each test. A test that this model or picture does not allow "cannot be
    told". Held for the same pair. Raises ModelProblem for a pair without maps or compared by another model; Cancelled
    within a batch of a stop.

        found = similarity(explainer, "bus.jpg", "zidane.jpg")
        seal_pair(explainer, found)["still"].answer  # yes
    """
    if found.state != "ok":
        raise ModelProblem("This pair has no maps: there is nothing to test.")
    if (known := found.known_seal) is not None:
        return known

    def work(resident: Resident, _more: tuple[str, ...]) -> Seal:
        if resident.adapter.weights_sha256 != found.weights_sha256:
            raise ModelProblem(f"The pair was compared by {found.model.id}, and this is {explainer.model.id}.")
        tests = _Tests(explainer, resident, found, cancel)
        each: dict[Question, Callable[[], SealMark]] = {
            "model": tests.model,
            "answer": tests.answer,
            "still": tests.still,
        }
        return run_tests(found.query.image.name, each, progress, partial)

    made = explainer.with_oom_fallback(work)
    remember(found.seal_key, made)
    return made


class _Tests:
    """The three tests of one pair."""

    def __init__(
        self, explainer: Explainer, resident: Resident, found: Similarity, cancel: threading.Event | None
    ) -> None:
        self._resident, self._found, self._cancel = resident, found, cancel
        self._check()
        options = Options(layers=found.layers, preprocessing=found.preprocessing)
        # Passes of their own: the maps made from them tell whether the model gives the same map twice.
        self._query, self._gallery = (
            explainer.fresh_evidence(resident, side.image, options)[0] for side in found.sides
        )

    def model(self) -> SealMark:
        """Make both maps again with random weights, as `scramble.final` does with one."""
        if self._resident.nbytes > LARGE:
            raise ModelProblem("The model is too large to scramble a copy of its weights here.")
        sides, other = self._found.sides, copy_resident(self._resident)
        groups = stages(other, self._query.tensor)
        redraw = partial(redrawn, groups, moments=moments_of(groups))
        threshold = float(np.mean([_chance(side) for side in sides]))
        weights = self._found.weights_sha256
        draws, place = draw_until_clear(redraw, weights, threshold, lambda: self._likeness(self._copies(other)))
        low, high = interval_of(draws)
        mean = float(np.mean(draws))
        words = (
            f"With random weights both maps' rank correlation with these is {signed(mean)} ± {(high - low) / 2:.2f}; "
            f"unrelated maps reach {signed(threshold)}."
        )
        if place == "above":
            shows = badge.SHOWN["survives"]
            return SealMark("model", "no", f"{words} They survive scrambling.", mean, threshold, shows=shows)
        if place == "within":
            words += f" After {len(draws)} draws it cannot be told whether they depend on the model."
            return SealMark("model", "cannot be told", words, mean, threshold)
        if (again := self._likeness((self._query, self._gallery))) < SAME:
            words = f"Made again with the same weights, the maps have a rank correlation of only {signed(again)}."
            return SealMark("model", "cannot be told", words, mean, threshold)
        return SealMark("model", "yes", f"{words} They depend on the model.", mean, threshold)

    def answer(self) -> SealMark:
        """Hide, and alone keep, what makes the two alike, as `support` does with what a class is seen by."""
        side, name = self._found.query, self._found.query.image.name
        alike = np.clip(side.signed, 0, None)
        if not alike.any():
            raise ModelProblem(f"Nothing in {name} raises the score: there is nothing to hide.")
        perturber = Perturber(self._query, cosine_scorer(self._gallery), self._cancel)
        measure = Measure(perturber, alike, cosine=True)
        own = measure.effect("this map", alike, (SHOWN,))
        grid, sha256 = controls.grid_of(side), side.image.sha256
        named = (
            (
                f"random places {number + 1}",
                controls.random_map(alike.shape, grid, controls.seed_of(sha256, number)),
            )
            for number in range(OTHERS)
        )
        tested = Support(name, False, measure.start, own, *measure.compare(own, named))
        sizes = (tested.own.size(SHOWN), tested.strongest.size(SHOWN))
        return SealMark("answer", tested.mark, _describe_support(tested), *sizes)

    def still(self) -> SealMark:
        """Make the query's map again after small changes of the query, as `stability` does."""
        image, found = self._found.query.image, self._found
        check_changeable(image, found.preprocessing)
        scores, alike = [], {}
        for kind in CHANGES:
            self._check()
            made, changed = change_evidence(image, self._query, found.preprocessing, kind)
            score, (values, _) = draw_maps((changed, self._gallery), found.method, found.of)
            scores.append(score)
            alike[kind] = _compare(found.query, made.undone(values))
        worst, chance = min(alike, key=lambda kind: alike[kind]), _chance(found.query)
        mark = judge_stillness(alike[worst], chance)
        words = (
            f"Under {len(scores)} small changes of {image.name} the score stays {signed(min(scores))} to "
            f"{signed(max(scores))}. The map keeps a rank correlation of {signed(alike[worst])} at least (after "
            f"{CHANGES[worst]}). {describe_stillness(mark, chance)}"
        )
        return SealMark("still", mark, words, alike[worst], chance)

    def _copies(self, other: Resident) -> tuple[Evidence, Evidence]:
        """Return the evidence of another model's passes over both pictures."""
        self._check()
        one, two = (
            Evidence(other, ModelInput(before.tensor, before.geometry), before.layers)
            for before in (self._query, self._gallery)
        )
        return one, two

    def _likeness(self, pair: Sequence[Evidence]) -> float:
        """Return the rank correlation of the maps from these passes with the true ones, the mean of both pictures."""
        _, maps = draw_maps(pair, self._found.method, self._found.of)
        return float(np.mean([_compare(*one) for one in zip(self._found.sides, maps, strict=True)]))

    def _check(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled


def _compare(side: ComparedImage, values: NDArray[np.float32]) -> float:
    """Return the rank correlation of another signed map (h, w) with a picture's."""
    return rank_correlation(rescale(coarse(side.signed)), rescale(coarse(values)))


def _chance(side: ComparedImage) -> float:
    return chance_of(rescale(coarse(side.signed)), controls.grid_of(side), side.image.sha256)


def _describe_support(found: Support) -> str:
    """Return the verdict with its count, and what hiding and keeping do beside the strongest control."""
    count = f"it beats {sum(map(found.own.beats, found.others))} of {len(found.others)} random maps"
    said = {
        "supported": f"This map matters to the score: {count}, the middle, and its own copies moved or mirrored.",
        "not supported": f"This map shows no more than random maps do: {count}. Do not trust it.",
        "cannot be told": f"Whether this map matters cannot be told on these pictures: {count}.",
    }[found.verdict]

    def cosines(*scores: float) -> str:
        return " and ".join(signed(2 * score - 1) for score in scores)

    return (
        f"{said} Hiding the {percent(SHOWN)} of {found.label} that raise the score most, and showing them alone, "
        f"turns {cosines(found.start)} into {cosines(*found.own.at(SHOWN))}. By the strongest control, "
        f"{found.strongest.name}, it becomes {cosines(*found.strongest.at(SHOWN))}."
    )
