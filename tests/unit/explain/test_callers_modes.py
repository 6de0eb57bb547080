"""What a caller has switched on in PyTorch changes no bit of a map, and is back afterwards."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import sightglass.explain.evidence.determinism
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.determinism import exact, own_random_state
from sightglass.explain.evidence.loaded_model import LoadedModel, ModelCache
from sightglass.explain.explainer import EVIDENCE
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.similarity import VECTORS
from sightglass.models import catalog
from sightglass.models.load import load
from training.demo.scenes import draw, sample

MODES: dict[str, Callable[[], Any]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference": torch.inference_mode,
    "another device": lambda: torch.device("meta"),
}


@pytest.fixture(autouse=True)
def nothing_cached() -> Iterator[None]:
    EVIDENCE.clear()
    VECTORS.clear()
    yield
    # A failed pass must not affect other tests.
    EVIDENCE.clear()
    VECTORS.clear()


def scene() -> Image:
    return Image.open(draw(sample(3, task="classify", held_out=True)).pixels, name="3.png")


def explained(model: str, **options: Any) -> list[np.ndarray]:
    """All numbers of an explanation by a model that was loaded just now."""
    EVIDENCE.clear()
    result = Explainer(model, device="cpu", model_cache=ModelCache(10**9))(scene(), top_k=2, **options)
    maps = [array for heatmap in result.heatmaps for array in (*heatmap.raw, heatmap.values)]
    return [np.array([prediction.score for prediction in result.predictions]), *maps]


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
        result = explained(model, **options)
    assert len(result) > 1
    for array, reference in zip(result, expected, strict=True):
        assert array.dtype == reference.dtype
        np.testing.assert_array_equal(array, reference)


def test_another_default_type_is_one_sentence() -> None:
    explainer = Explainer("demo-cls-s", device="cpu")
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ModelProblem, match=r"float64 here, and maps need float32: call .*\.$"):
            explainer(scene())
    finally:
        torch.set_default_dtype(torch.float32)


cudnn: Any = torch.backends.cudnn
GPU = torch.device("cuda")


def switches() -> tuple[bool, bool, str]:
    """Deterministic, benchmark, and how convolutions round."""
    conv = getattr(cudnn, "conv", None)
    rounds = conv.fp32_precision if hasattr(conv, "fp32_precision") else "tf32" if cudnn.allow_tf32 else "ieee"
    return cudnn.deterministic, cudnn.benchmark, rounds


def strict() -> bool:
    deterministic, benchmark, rounds = switches()
    return deterministic and not benchmark and rounds != "tf32"


@pytest.fixture(autouse=True)
def trained_fast() -> Iterator[None]:
    """As a training script leaves the process, and afterwards as it was."""
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = False, True, True
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before


def test_inside_it_is_exact_and_afterwards_as_before() -> None:
    before = switches()
    with exact(GPU):
        assert strict()
        # What a model's own code may do.
        with cudnn.flags(enabled=False, allow_tf32=False):
            pass
        assert strict()
    assert switches() == before
    with contextlib.suppress(ValueError), exact(GPU):
        raise ValueError
    assert switches() == before


def test_random_state_is_restored() -> None:
    inside = []
    for seed in (7, 7, None):
        with contextlib.suppress(ValueError), own_random_state(seed):
            inside.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
            raise ValueError
    assert inside[0] == inside[1]
    # Without a seed they are the next ones, and are drawn again outside.
    assert inside[2] == (random.random(), float(np.random.rand()), float(torch.rand(())))


def test_seeds_nest() -> None:
    drawn = []
    for inner in (1, None):
        with own_random_state(7), own_random_state(inner):
            drawn.append(random.random())
    with own_random_state(7):
        with own_random_state(1):
            random.random()
        drawn.append(random.random())
    assert drawn[0] == random.Random(1).random()
    assert drawn[1] == drawn[2] == random.Random(7).random()


def test_the_last_of_several_threads_puts_it_back() -> None:
    before, inside, leave, states = switches(), threading.Barrier(2), threading.Event(), []

    def other() -> None:
        with exact(GPU):
            inside.wait()
            leave.wait()
            states.append(strict())

    thread = threading.Thread(target=other)
    with exact(GPU):
        thread.start()
        inside.wait()
    assert strict(), "somebody is still in a pass"
    leave.set()
    thread.join()
    assert states == [True] and switches() == before


def test_exact_passes_on_gpu_only(monkeypatch):
    calls: list[bool] = []
    adapter = load(catalog.spec("demo-cls-s"))
    adapter.module.register_forward_hook(lambda *_: calls.append(strict()))
    model_input = adapter.prepare(np.zeros((64, 64, 3), np.uint8), adapter.preprocessings[0])
    loaded = LoadedModel(adapter, torch.device("cpu"))
    with loaded.lock:
        adapter.run(loaded.move_input(model_input.tensor))
    # Where there is no GPU, as if the module went to one.
    monkeypatch.setattr(adapter.module, "to", lambda *_, **__: adapter.module)
    with LoadedModel(adapter, GPU).lock:
        adapter.run(model_input.tensor)
    assert calls == [False, True] and sightglass.explain.evidence.determinism._inside == 0
