"""The profile for a gigabyte of memory: other defaults, one model at a time, and a process that is set up for it."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
import torch

from sightglass.common.environment import PROFILES, find_malformed
from sightglass.common.memory import budget, small
from sightglass.common.settings import settings
from sightglass.components.session.pictures import uploads
from sightglass.components.session.pictures.uploads import UPLOADS
from sightglass.explain import Explainer, Explanation
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.resident import Residency
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.picture.item import Item
from sightglass.models.catalog import spec

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SIGHTGLASS_") and name.endswith("_MB")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(budget, "_measured", [])
    monkeypatch.setenv("SIGHTGLASS_PROFILE", "small")


def test_the_profile_has_other_defaults_and_what_is_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: getattr(settings(), name) for name in PROFILES["small"]} == PROFILES["small"]
    assert (budget.total(), budget.part("models"), budget.part("evidence")) == (840, 48, 0)
    assert budget.excess() is None
    assert small.threads() == 1
    monkeypatch.setenv("SIGHTGLASS_MODELS_MB", "60")
    assert (budget.part("models"), settings().api_workers) == (60, 1)
    monkeypatch.setenv("SIGHTGLASS_PROFILE", " Small ")
    assert small.choose()
    monkeypatch.delenv("SIGHTGLASS_PROFILE")
    assert (settings().memory_mb, settings().api_workers, small.choose()) == (None, 2, False)


def test_there_is_no_other_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROFILE", "tiny")
    assert find_malformed() == {"profile": "SIGHTGLASS_PROFILE is 'tiny': give small, or leave it out."}
    assert not small.choose()


def test_the_docs_list_what_it_changes() -> None:
    text = (ROOT / "docs/settings.md").read_text("utf-8")
    for name, value in PROFILES["small"].items():
        assert f"| {value} | `SIGHTGLASS_{name.upper()}` |" in text
    assert f"| {small.SHAPES} | `ONEDNN_PRIMITIVE_CACHE_CAPACITY` |" in text


def test_one_model_at_a_time_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_MODELS_MB", "1000")
    residency, cpu = Residency(), torch.device("cpu")
    at_load: list[int] = []
    monkeypatch.setattr("sightglass.common.memory.resident", lambda: 300 * 2**20)
    monkeypatch.setattr("sightglass.common.memory.give_back", lambda: at_load.append(len(residency.residents())))
    for name in ("demo-s", "demo-cls-s"):
        residency.get(spec(name), cpu)
    assert at_load == [0, 0]
    assert [one.adapter.spec.id for one in residency.residents()] == ["demo-cls-s"]
    monkeypatch.delenv("SIGHTGLASS_PROFILE")
    residency.get(spec("demo-s"), cpu)
    assert len(residency.residents()) == 2


def test_while_a_model_is_loaded_nothing_holds_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence and maps of its pictures would."""
    monkeypatch.setenv("SIGHTGLASS_MODELS_MB", "1000")
    residency = Residency()
    maps: ByteCache[Explanation] = ByteCache("explanations", lambda made: made.evidence.nbytes)
    explainer = Explainer("demo-cls-s", residency=residency)
    before = ref(explainer.resident.adapter)
    maps.put("map", explainer(np.zeros((64, 64, 3), np.uint8)))
    del explainer
    alive: list[bool] = []

    def looked() -> None:
        gc.collect()
        alive.append(before() is not None)

    monkeypatch.setattr("sightglass.common.memory.give_back", looked)
    Explainer("demo-s", residency=residency)
    assert alive == [False]


def test_a_model_that_is_still_in_use_is_not_loaded_again() -> None:
    """A run over many pictures has one, while somebody looks at another."""
    residency, cpu = Residency(), torch.device("cpu")
    first = residency.get(spec("demo-cls-s"), cpu)
    other = residency.get(spec("demo-s"), cpu)
    assert residency.residents() == [other]
    assert residency.get(spec("demo-cls-s"), cpu) is first
    gone = ref(first)
    residency.free()
    del first
    gc.collect()
    assert gone() is None


def test_a_picture_that_a_person_gives_is_opened_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "PIXELS", 10_000)
    pixels = np.full((100, 200, 3), 200, np.uint8)
    file = to_png(pixels)
    image = uploads.open_upload(file, "a.png")
    assert (image.width, image.height) == (100, 50)
    # It is the same picture when it is opened again, and as one of many.
    UPLOADS.put(image, file)
    again, of_batch = UPLOADS.get(uploads.token(image)), Item("a.png", "1", lambda: file).open()
    assert again is not None and again.sha256 == of_batch.sha256 == image.sha256
    # A program's own picture is what it is: its answer is in that picture's pixels.
    assert Image.open(file).width == 200
    UPLOADS.drop(uploads.token(image))
    monkeypatch.delenv("SIGHTGLASS_PROFILE")
    assert uploads.open_upload(file, "a.png").width == 200


def test_a_server_is_set_up_before_pytorch_is_imported() -> None:
    """In a process of its own: what the C library is told holds for all of it."""
    code = (
        "import os, sys; from sightglass.common.memory import small; small.prepare(); "
        "print(os.environ['ONEDNN_PRIMITIVE_CACHE_CAPACITY'], 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("ONEDNN_PRIMITIVE_CACHE_CAPACITY", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [small.SHAPES, "False"]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="the C library is not glibc")
@pytest.mark.parametrize("profile", ["", "small"])
def test_threads_of_a_server_share_a_few_heaps(profile: str) -> None:
    code = (
        "import ctypes, os, threading; from sightglass.common.memory import small; small.prepare(); "
        "libc = ctypes.CDLL(None); "
        "ready = threading.Barrier(12); hold = lambda: (ready.wait(), libc.malloc(1000), ready.wait()); "
        "threads = [threading.Thread(target=hold) for _ in range(12)]; [one.start() for one in threads]; "
        "[one.join() for one in threads]; libc.malloc_stats(); print(max(4, os.cpu_count()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SIGHTGLASS_PROFILE": profile}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    most = small.ARENAS if profile else int(done.stdout)
    assert 1 < done.stderr.count("Arena ") <= most
