"""What a caller has switched on in PyTorch around Sightglass changes no bit of a map."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import Residency
from sightglass.explain.explainer import EVIDENCE
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.similarity import VECTORS, similarity
from sightglass.explain.whatif.changes import changes
from sightglass.models.demo.scenes import draw, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def half() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


@contextmanager
def without_gradients() -> Iterator[None]:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(before)


MODES: dict[str, Callable[[], Any]] = {
    "autocast": half,
    "inference": torch.inference_mode,
    "no gradients": without_gradients,
    "another device": lambda: torch.device("meta"),
}


@pytest.fixture(autouse=True)
def nothing_cached() -> Iterator[None]:
    EVIDENCE.clear()
    VECTORS.clear()
    yield
    # What a broken pass left is for no other test.
    EVIDENCE.clear()
    VECTORS.clear()


def scene(seed: int = 3) -> Image:
    return Image.open(draw(sample(seed, task="classify", held_out=True)).pixels, name=f"{seed}.png")


def explained(model: str, **options: Any) -> list[np.ndarray]:
    """All numbers of an explanation by a model that was loaded just now."""
    EVIDENCE.clear()
    made = Explainer(model, device="cpu", residency=Residency(10**9))(scene(), top_k=2, **options)
    maps = [array for one in made.heatmaps for array in (*one.raw, one.values)]
    return [np.array([one.score for one in made.predictions]), *maps]


def alike(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected) > 1
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "classifier": ("demo-cls-s", {}),
    "why": ("demo-cls-s", {"question": "why"}),
    "detector": ("demo-s", {"method": "gradcam++"}),
    "attention": ("demo-vit", {"method": "rollout"}),
    "words": ("demo-clip", {"vocabulary": ("a red star", "a blue ring")}),
    "masks": ("demo-cls-s", {"method": "drise", "masks": 8}),
    "library": ("demo-cls-s", {"method": "gradcamelementwise"}),
}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*((kind, "autocast") for kind in KINDS), *(("classifier", mode) for mode in MODES if mode != "autocast")],
)
def test_a_map_is_the_same_in_whatever_the_caller_is(kind: str, mode: str) -> None:
    model, options = KINDS[kind]
    expected = explained(model, **options)
    with MODES[mode]():
        found = explained(model, **options)
    alike(found, expected)


@pytest.mark.parametrize("mode", ["autocast", "inference"])
def test_what_follows_from_a_map_is_the_same_too(mode: str) -> None:
    explainer = Explainer("demo-cls-s", device="cpu")

    def numbers() -> list[np.ndarray]:
        EVIDENCE.clear()
        VECTORS.clear()
        first, other = (explainer(scene(seed), top_k=1) for seed in (3, 4))
        proof = first.prove(steps=2, fillings=("linear",))
        pair = similarity(explainer, scene(3), scene(4))
        more = first.with_method("layercam").with_targets(1).heatmaps[0].values
        return [
            *(trace.value for curve in proof.curves for trace in (curve.deletion, curve.insertion)),
            *(side.signed for side in pair.sides),
            np.array([pair.score]),
            np.array([one.after for one in changes(first, other)]),
            more,
        ]

    expected = numbers()
    with MODES[mode]():
        found = numbers()
    alike(found, expected)


def test_another_default_type_is_one_sentence() -> None:
    explainer = Explainer("demo-cls-s", device="cpu")
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ModelProblem, match=r"float64 here, and maps need float32: call .*\.$"):
            explainer(scene())
    finally:
        torch.set_default_dtype(torch.float32)
