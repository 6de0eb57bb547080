"""Models are timed in turns, and the fastest is named where the times can tell."""

import threading

import pytest

from sightglass.common.errors import Cancelled
from sightglass.common.work.progress import stopped_by
from sightglass.explain import Explainer
from sightglass.explain.comparison import models
from sightglass.explain.comparison.times import NOT_MEASURABLE, Timing, describe_times, find_fastest, measure_in_turns
from sightglass.explain.picture.image import load_bundled

SIZES = ("demo-cls-s", "demo-cls-m", "demo-cls-l")
SLOW, QUICK = Timing(30.0, 29.0, 31.0), Timing(20.0, 19.0, 22.0)
BUSY = Timing(20.0, 10.0, 22.0)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The adapters of all passes, in their order, which take no time."""
    adapters: list[object] = []
    kind = type(Explainer(SIZES[0]).loaded.adapter)
    run = kind.run

    def noted(self, tensor):
        adapters.append(self)
        return run(self, tensor)

    monkeypatch.setattr(kind, "run", noted)
    return adapters


def test_every_door_times_models_in_turns_after_a_warm_up(passes) -> None:
    image = load_bundled("scene 3")
    adapters = [Explainer(name).loaded.adapter for name in SIZES]
    results = {name: Explainer(name)(image) for name in SIZES}
    passes.clear()
    compared = models.compare(SIZES, ("s", "m", "l"), results.__getitem__, aligned=False)
    assert passes == adapters * (1 + 10)
    assert all(0 < timing.fastest <= timing.median <= timing.slowest for timing in compared.timings)


def test_timing_stops_between_two_passes(passes) -> None:
    evidence = Explainer(SIZES[0])(load_bundled("scene 3")).evidence
    cancel = threading.Event()
    passes.clear()
    with stopped_by(cancel), pytest.raises(Cancelled):
        measure_in_turns([evidence], progress=lambda share, words: cancel.set())
    assert len(passes) == 1


@pytest.mark.parametrize(
    ("timings", "fastest"),
    [
        ((SLOW, QUICK), 1),
        # Ranges that overlap, a busy machine, one model alone, none.
        ((Timing(21.0, 20.0, 24.0), QUICK), None),
        ((SLOW, BUSY), None),
        ((QUICK,), None),
        ((), None),
    ],
)
def test_fastest_only_of_times_that_are_apart_and_steady(timings, fastest) -> None:
    assert find_fastest(timings) == fastest


def test_times_of_a_busy_machine_say_so() -> None:
    assert describe_times((QUICK, SLOW))[0].replace("\u00a0", " ") == "20 ms (19–22 ms)"
    assert describe_times((SLOW, BUSY)) == [NOT_MEASURABLE] * 2
