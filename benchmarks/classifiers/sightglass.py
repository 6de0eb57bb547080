"""Sightglass as a contender, driven as `explain.explanation` drives it.

There are no caches unless a line says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.case import FAST
from benchmarks.timing import Contender
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.explanation import Explanation, explain
from sightglass.explain.methods import METHODS
from sightglass.explain.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.classifiers.case import Case

GRADCAM = METHODS["gradcam"]
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def explanation(case: Case) -> Explanation:
    """Return everything that is made of one pass, from a prepared picture."""
    return explain(case.image, case.evidence(), Options(method=GRADCAM.id, targets=case.indices), milliseconds={})


def sightglass(case: Case) -> Iterator[Contender]:
    count, (height, width) = len(case.targets), case.image.pixels.shape[:2]
    explainer = Explainer(case.resident.adapter.spec.id, device=str(case.device), residency=case.residency)
    chosen: dict[str, Any] = {"method": GRADCAM.id, "targets": case.indices, "layers": (case.layer.path,)}

    def made() -> Explanation:
        return explanation(case)

    yield Contender("maps", f"Sightglass, {count} maps at input size", lambda _: case.maps([GRADCAM])[0])
    yield Contender("methods", f"Sightglass, {NUMBERS[len(FAST)]} methods x {count} classes", lambda _: case.maps(FAST))
    yield Contender("explanation", "Sightglass, predictions and heatmaps on the host", lambda _: explanation(case))
    yield Contender("method", "same evidence: another method", lambda e: e.with_method("layercam"), made)
    yield Contender("class", "same evidence: a new class", lambda e: e.with_targets(case.other.index), made)
    yield Contender("scale", "same evidence: own scale to shared", lambda e: e.with_scale("shared"), made)
    yield Contender(
        "grow",
        f"same heatmap: enlarged to the picture's own {width}x{height}",
        lambda heatmap: heatmap.values,
        lambda: replace(made().heatmaps[0]),
    )
    yield Contender(
        "file", "Explainer(...)(path), from the JPEG file", lambda _: explainer(case.path, **chosen), EVIDENCE.clear
    )


def on_new_pictures(case: Case) -> Callable[[int], Explanation]:
    """Return the public API on a picture never seen before each time; measured for memory only, with its caches."""
    explainer = Explainer(case.resident.adapter.spec.id, device=str(case.device), residency=case.residency)

    def explained(number: int) -> Explanation:
        pixels = case.image.pixels.copy()
        pixels[0, 0] = number % 256, number // 256 % 256, 0
        return explainer(pixels, method=GRADCAM.id, targets=case.indices, layers=(case.layer.path,))

    return explained
