"""Sightglass's own lines: the engine as `explain.explanation` drives it, with no cache asked unless a line says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.timing import Contender
from explain.evidence.evidence import Evidence
from explain.explainer import EVIDENCE, Explainer
from explain.explanation import Explanation, explain
from explain.maps.heatmap import scaled
from explain.methods import METHODS
from explain.methods.from_evidence import raw_maps
from explain.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from benchmarks.classifiers.case import Case
    from explain.methods.method import Method

FAST = tuple(method for method in METHODS.values() if method.quick)
"""The methods that are functions of Evidence."""
GRADCAM = METHODS["gradcam"]
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def maps(case: Case, methods: Sequence[Method] = (GRADCAM,)) -> list[Tensor]:
    """One pass, and for each method (k, h, w) in 0..1 at the model's input size, on the device."""
    evidence = Evidence(case.resident, case.given, (case.layer,))
    return [scaled(raw_maps(evidence, method, case.targets), evidence.geometry, "own") for method in methods]


def explanation(case: Case) -> Explanation:
    """One pass and everything that is made of it, from a prepared picture."""
    evidence = Evidence(case.resident, case.given, (case.layer,))
    return explain(case.image, evidence, Options(method=GRADCAM.id, targets=case.indices), milliseconds={})


def sightglass(case: Case) -> Iterator[Contender]:
    count, (height, width) = len(case.targets), case.image.pixels.shape[:2]
    seven = _WORDS[len(FAST)] if len(FAST) < len(_WORDS) else str(len(FAST))
    explainer = Explainer(case.resident.adapter.spec.id, device=str(case.device), residency=case.residency)
    chosen: dict[str, Any] = {"method": GRADCAM.id, "targets": case.indices, "layers": (case.layer.path,)}

    def held() -> Explanation:
        return explanation(case)

    yield Contender("maps", f"Sightglass, {count} maps at input size", lambda _: maps(case)[0])
    yield Contender("methods", f"Sightglass, {seven} methods x {count} classes", lambda _: maps(case, FAST))
    yield Contender("explanation", "Sightglass, predictions and heatmaps on the host", lambda _: explanation(case))
    yield Contender("method", "held evidence: another method", lambda e: e.with_method("layercam"), held)
    yield Contender("class", "held evidence: a new class", lambda e: e.with_targets(case.other.index), held)
    yield Contender("scale", "held evidence: own scale to shared", lambda e: e.with_scale("shared"), held)
    yield Contender(
        "grow",
        f"held heatmap: grown to the picture's own {width}x{height}",
        lambda heatmap: heatmap.values,
        lambda: replace(held().heatmaps[0]),
    )
    yield Contender(
        "file", "Explainer(...)(path), from the JPEG file", lambda _: explainer(case.path, **chosen), EVIDENCE.clear
    )


def on_new_pictures(case: Case) -> Callable[[int], Explanation]:
    """The public door, a picture never seen before each time; not timed, only weighed: it keeps what it may keep."""
    explainer = Explainer(case.resident.adapter.spec.id, device=str(case.device), residency=case.residency)

    def explained(number: int) -> Explanation:
        pixels = case.image.pixels.copy()
        pixels[0, 0] = number % 256, number // 256 % 256, 0
        return explainer(pixels, method=GRADCAM.id, targets=case.indices, layers=(case.layer.path,))

    return explained
