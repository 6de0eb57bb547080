"""Make the seal of a map from three short tests.

The randomisation test of Adebayo et al. 2018, https://arxiv.org/abs/1810.03292; hiding and keeping, as in Petsiuk et
al. 2018, https://arxiv.org/abs/1806.07421, against other maps; and small changes of the picture. Each is the shortest
form of a test that `scramble`, `prove` and `stability` make at length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import ModelProblem, Problem
from sightglass.explain.faithfulness import badge, scramble
from sightglass.explain.faithfulness.prove import object_of
from sightglass.explain.faithfulness.stability import stability
from sightglass.explain.faithfulness.support import support
from sightglass.explain.methods import METHODS
from sightglass.explain.proof.checks import QUESTIONS, Check, CheckId, Checks, remember
from sightglass.explain.proof.support import SHOWN

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sightglass.common.work.progress import Progress
    from sightglass.explain.result import Result

LARGE = 256e6
"""Bytes of weights from which a model is not copied, to scramble it, before somebody asks."""


def run_checks(
    explanation: Result,
    index: int | str = 0,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[Checks], None] | None = None,
) -> Checks:
    """Test one map in three ways, each in its shortest form.

    About 60 passes; `partial` is called after each test. A test that this model, method or picture does not allow
    "cannot be told". Cached for the same map. Raises ModelProblem for an empty map; Cancelled within a batch of a stop.

    >>> from sightglass import Explainer
    >>> run_checks(Explainer()("bus.jpg", top_k=1))["model"].state
    'cannot be told'
    """
    heatmap = explanation._map(index).measured
    if heatmap.state != "ok":
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to test.")
    if (known := explanation.known_checks(index)) is not None:
        return known
    tests: dict[CheckId, Callable[[], Check]] = {
        "model": lambda: _model(explanation, index, cancel),
        "answer": lambda: _answer(explanation, index, cancel),
        "still": lambda: _still(explanation, index, cancel),
    }
    known = run_tests(heatmap.target.label, tests, progress, partial)
    remember(explanation.checks_key(index), known)
    return known


def run_tests(
    label: str,
    tests: Mapping[CheckId, Callable[[], Check]],
    progress: Progress | None = None,
    partial: Callable[[Checks], None] | None = None,
) -> Checks:
    """Return the checks of these tests; one that raises a Problem "cannot be told"."""
    result = Checks(label, ())
    for id, test in tests.items():
        if progress is not None:
            progress(len(result.checks) / len(tests), QUESTIONS[id])
        try:
            check = test()
        except Problem as problem:
            check = Check(id, "cannot be told", str(problem))
        result = Checks(label, (*result.checks, check))
        if partial is not None:
            partial(result)
    return result


def check_maps(
    explanation: Result,
    most: int | None = None,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Checks | None, ...]:
    """Check the first `most` maps; None for an empty map; raises Cancelled.

    >>> from sightglass import Explainer
    >>> [one.label for one in check_maps(Explainer()("bus.jpg", top_k=2))]
    ['minibus', 'trolleybus']
    """
    checks: list[Checks | None] = []
    chosen = explanation.heatmaps[:most]
    for index, heatmap in enumerate(chosen):

        def update(share: float, words: str, index: int = index, label: str = heatmap.target.label) -> None:
            if progress is not None:
                progress((index + share) / len(chosen), f"{label}: {words}")

        tested = heatmap.measured.state == "ok"
        checks.append(run_checks(explanation, index, progress=update, cancel=cancel) if tested else None)
    return tuple(checks)


def _model(explanation: Result, index: int | str, cancel: threading.Event | None) -> Check:
    _check_quick(explanation, index)
    if explanation.evidence.resident.nbytes > LARGE:
        raise ModelProblem("The model is large: its weights are scrambled when you ask for it.")
    result = scramble.final(explanation, index, cancel=cancel)
    shows = badge.SHOWN.get(result.verdict, "")
    inside = _share_inside(explanation, explanation.heatmaps.index(explanation._map(index)), result.stages[-1].map)
    return Check("model", result.mark, result.sentence, result.similarity, result.threshold, shows, inside)


def _share_inside(explanation: Result, index: int, values: NDArray[np.float32]) -> float | None:
    """Return a map's share of heat in the target's boxes, or None."""
    if not explanation.own(index) or not values.any():
        return None
    mask = object_of(explanation, index).astype(np.float32)
    part = cv2.resize(mask, values.shape[::-1], interpolation=cv2.INTER_AREA)
    return float((values * part).sum() / values.sum())


def _answer(explanation: Result, index: int | str, cancel: threading.Event | None) -> Check:
    test = support(explanation, index, quick=True, cancel=cancel)
    return Check("answer", test.mark, test.sentence, test.own.size(SHOWN), test.strongest.size(SHOWN))


def _still(explanation: Result, index: int | str, cancel: threading.Event | None) -> Check:
    _check_quick(explanation, index)
    test = stability(explanation, index, cancel=cancel)
    least = None if test.worst is None else test.worst.rank_correlation
    return Check("still", test.verdict, test.sentence, least, test.chance)


def _check_quick(explanation: Result, index: int | str) -> None:
    method = METHODS[explanation._map(index).method]
    if not method.quick:
        raise ModelProblem(f"{method.name} takes hundreds of passes for one map: it is tested when you ask for it.")
