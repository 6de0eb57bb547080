"""One total of memory, from which models, evidence and every cache have their parts."""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.processes import HAS_PROC
from sightglass.api.server import metrics, startup
from sightglass.cli import main
from sightglass.common import memory
from sightglass.common.memory import budget
from sightglass.explain.evidence import cache
from sightglass.explain.evidence.cache import ByteCache, count_cached_bytes
from sightglass.explain.evidence.determinism import PassLock
from sightglass.explain.evidence.resident import Residency
from sightglass.models.catalog import spec
from tests.rooms import every_room, sources

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SIGHTGLASS_") and name.endswith("_MB")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(budget, "_measured", [])
    # A tenth of a second each in a process with all of this loaded.
    monkeypatch.setattr("sightglass.explain.evidence.cache.gc.collect", lambda: 0)


def given(monkeypatch: pytest.MonkeyPatch, **megabytes: float) -> dict[str, float]:
    for name, size in megabytes.items():
        monkeypatch.setenv(f"SIGHTGLASS_{name.upper()}_MB", str(size))
    return {name: budget.part(name) for name in budget.PARTS}


def test_without_a_setting_each_part_has_its_default() -> None:
    assert {name: budget.part(name) for name in budget.PARTS} == budget.PARTS
    assert {name: budget.limit(name) for name in budget.CACHES} == {n: s * 2**20 for n, s in budget.CACHES.items()}
    assert budget.total() == budget.PROCESS + sum(budget.PARTS.values()) == 4096


def test_a_total_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, memory=budget.PROCESS + 345.6) == pytest.approx(
        {name: size / 10 for name, size in budget.PARTS.items()}
    )
    assert sum(map(budget.limit, budget.CACHES)) == pytest.approx(115.2 * 2**20, abs=len(budget.CACHES))
    assert ByteCache("uploads", len).limit == int(25.6 * 2**20)
    assert Residency().limit == int(204.8 * 2**20)
    assert Residency(1000).limit == 1000


def test_what_the_process_takes_itself_comes_off_the_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget.measure(300 * 2**20)
    budget.measure(500 * 2**20)
    assert budget.process() == 300
    assert budget.total() == 300 + 3456
    assert given(monkeypatch, memory=300 + 345.6)["models"] == pytest.approx(204.8)
    assert given(monkeypatch, memory=200) == {"models": 0, "evidence": 0, "cache": 0}
    assert budget.total() == 200


def test_a_model_is_loaded_after_the_process_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    Residency(2**30).get(spec("demo-s"), torch.device("cpu"))
    # What it takes afterwards may be less: memory that earlier tests freed is given back.
    assert len(budget._measured) == 1 and budget.process() > 50


def test_a_part_of_its_own_wins_and_the_others_share_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a total nothing is taken from the others.
    assert given(monkeypatch, models=4096) == budget.PARTS | {"models": 4096}
    total = budget.PROCESS + 4096 + 140.8
    assert given(monkeypatch, memory=total) == pytest.approx({"models": 4096, "evidence": 25.6, "cache": 115.2})
    assert budget.total() == total
    assert given(monkeypatch, evidence=0, cache=10) == {"models": 4096, "evidence": 0, "cache": 10}


@pytest.mark.parametrize(
    ("megabytes", "sentence"),
    [
        ({"models": 4096}, None),
        ({"memory": 800}, None),
        ({"memory": 840, "models": 199}, None),
        ({"memory": 840, "models": 160, "evidence": 30, "cache": 10}, None),
        (
            {"memory": 500},
            "SIGHTGLASS_MEMORY_MB is 500, and Python and PyTorch take about 640 MiB of it before the first picture. "
            "Give 800 or more, or every picture needs its model anew.",
        ),
        (
            {"memory": 840, "models": 160, "evidence": 30, "cache": 20},
            "SIGHTGLASS_MODELS_MB and SIGHTGLASS_EVIDENCE_MB and SIGHTGLASS_CACHE_MB take 210 MiB of the 840 of "
            "SIGHTGLASS_MEMORY_MB, beside about 640 for Python and PyTorch. Give more to that, or less to these.",
        ),
        (
            {"memory": 1000, "models": 2048},
            "SIGHTGLASS_MODELS_MB takes 2,048 MiB of the 1,000 of SIGHTGLASS_MEMORY_MB, beside about 640 for Python "
            "and PyTorch, which leaves nothing for the rest. Give more to that, or less to this.",
        ),
    ],
)
def test_parts_that_exceed_the_total_are_one_sentence_at_the_start_and_in_the_list(
    megabytes: dict[str, float],
    sentence: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given(monkeypatch, **megabytes)
    monkeypatch.setattr("sightglass.api.server.uvicorn_internals.install", lambda: None)
    startup.prepare()
    assert [record.getMessage() for record in caplog.records] == ([sentence] if sentence else [])
    assert main(["settings"]) == bool(sentence)
    said = capsys.readouterr()
    assert said.err.splitlines() == ([sentence] if sentence else [])
    assert f"together {budget.total():,.0f}." in said.out


def test_every_part_is_the_limit_of_exactly_one_cache() -> None:
    """Two caches of one name would each hold all of it, and a cache with a number of its own is in no total."""
    texts = [path.read_text("utf-8") for path in sources(*every_room())]
    claimed = Counter(name for text in texts for name in re.findall(r"ByteCache\(\s*\"(\w+)\"", text))
    assert claimed == Counter({*budget.PARTS, *budget.CACHES} - {"cache"})
    made = sum(len(re.findall(r"= ByteCache\(|: ByteCache\(|return (?:cache\.)?ByteCache\(", text)) for text in texts)
    assert made == len(claimed)


def test_no_picture_is_in_a_cache_of_streamlit_s_which_counts_entries() -> None:
    """What is left there is the list of models, numbers of clips, and objects that there is one of."""
    texts = [path.read_text("utf-8") for path in sources("components", "pages")]
    cached = [found for text in texts for found in re.findall(r"@st\.cache_data[^\n]*\n(?:async )?def (\w+)", text)]
    assert sorted(cached) == ["_about", "_curves", "_menu"]
    assert sum(text.count("st.cache_data") for text in texts) == len(cached)


def test_what_caches_hold_is_measured() -> None:
    before = count_cached_bytes().get("photos", 0)
    photos: ByteCache[bytes] = ByteCache("photos", len)
    photos.get_or_make(1, lambda: b"12345")
    assert photos.get_or_make(1, lambda: b"") == b"12345"
    assert count_cached_bytes()["photos"] == before + 5
    lines = metrics.text().decode().splitlines()
    assert f'sightglass_memory_bytes{{part="photos"}} {before + 5:.1f}' in lines
    assert f'sightglass_memory_limit_bytes{{part="models"}} {2048 * 2**20:.1f}' not in lines  # in powers of ten
    assert any(line.startswith('sightglass_memory_limit_bytes{part="models"} 2.147483648e+09') for line in lines)
    del photos
    assert count_cached_bytes().get("photos", 0) == before


class Process:
    """A process that holds what caches hold and `base` beside, and gives what is freed back only when asked to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, base: int, *caches: ByteCache[bytes]) -> None:
        self.base, self.caches = base, caches
        self.asked = 0
        self._most = self._held()
        monkeypatch.setattr(cache, "_EVERY", set(caches))
        monkeypatch.setattr(cache, "_PRESSURE", cache._Pressure())
        monkeypatch.setattr(memory, "resident", self.resident)
        monkeypatch.setattr(memory, "give_back", self.give_back)

    def _held(self) -> int:
        return sum(one.nbytes for one in self.caches)

    def resident(self) -> int:
        self._most = max(self._most, self._held())
        return self.base + self._most

    def give_back(self) -> None:
        self.asked += 1
        self._most = self._held()


MB = 2**20


def test_a_process_that_is_too_large_first_gives_back_what_was_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, memory=100)
    quick: ByteCache[bytes] = ByteCache("pictures", lambda _: 10 * MB)
    process = Process(monkeypatch, 60 * MB, quick)
    quick._values.update(dict.fromkeys(range(3), b""))
    process.resident()
    del quick._values[0]
    process.base += 20 * MB  # 110 of 100 as long as nothing is given back, 100 after
    monkeypatch.setattr(cache, "LOW", 1.0)
    cache.relieve()
    assert (len(quick), process.asked, process.resident()) == (2, 1, 100 * MB)


def test_caches_make_room_in_the_order_of_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = {name: ByteCache[bytes](name, lambda _: 10 * MB) for name in ("evidence", "models", "uploads")}
    given(monkeypatch, memory=1000)
    process = Process(monkeypatch, 0, *caches.values())
    for one in caches.values():
        one._values.update(dict.fromkeys(range(8), b""))

    def left(base: int) -> tuple[int, ...]:
        process.base = base * MB
        cache.relieve()
        return tuple(map(len, caches.values()))

    monkeypatch.setattr(cache, "LOW", 1.0)
    assert left(1000 - 240) == (8, 8, 8)
    assert left(1000 - 230) == (4, 8, 8)
    assert left(1000 - 190) == (2, 8, 8)
    assert left(1000 - 150) == (1, 4, 8)
    assert left(1000 - 90) == (1, 1, 4)
    # What the caches cannot make good is no reason to work at it with every picture.
    assert left(2000) == (1, 1, 1)
    asked = process.asked
    assert left(2000 + cache.STEP_MB) == (1, 1, 1)
    assert process.asked == asked
    left(2000 + cache.STEP_MB + 1)
    assert process.asked > asked


def test_whatever_is_cached_the_process_stays_within_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what nobody counts there comes more and more: no cache may hold what it could hold at first."""
    given(monkeypatch, memory=1000, cache=1152, evidence=256)
    caches = [ByteCache[bytes](name, len) for name in ("evidence", "explanations")]
    process = Process(monkeypatch, 700 * MB, *caches)
    for number in range(200):
        process.base += MB
        caches[number % 2].put(number, bytes(4 * MB))
        assert process.resident() <= 1000 * MB
    assert all(len(one) > 2 for one in caches)


def test_each_pass_of_long_work_has_caches_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, memory=100)
    quick: ByteCache[bytes] = ByteCache("pictures", lambda _: 10 * MB)
    Process(monkeypatch, 80 * MB, quick)
    quick._values.update(dict.fromkeys(range(8), b""))
    with PassLock(torch.device("cpu")):
        assert len(quick) == 1


def test_what_did_not_help_once_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, memory=100)
    quick: ByteCache[bytes] = ByteCache("pictures", lambda _: 10 * MB)
    process = Process(monkeypatch, 200 * MB, quick)
    now = 0.0
    monkeypatch.setattr("sightglass.explain.evidence.cache.time.monotonic", lambda: now)
    cache.relieve()  # at 200 of 100, and nothing to let go of
    process.base = 80 * MB
    quick._values.update(dict.fromkeys(range(8), b""))
    cache.relieve()
    assert len(quick) == 8
    now += cache.AGAIN_S
    cache.relieve()
    assert len(quick) == 1


@pytest.mark.skipif(not HAS_PROC, reason="memory is measured where there is a /proc")
def test_this_very_process_stays_within_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With real memory, in pieces so small that the C library would keep what is freed: 320 MiB are cached in 64."""
    gc.collect()
    memory.give_back()
    most = memory.resident() // MB + 64
    given(monkeypatch, memory=most, cache=8 * 1152)
    monkeypatch.setattr(cache, "_PRESSURE", cache._Pressure())
    values: ByteCache[list[NDArray[np.float64]]] = ByteCache("explanations", lambda one: sum(a.nbytes for a in one))
    monkeypatch.setattr(cache, "_EVERY", {values})
    for number in range(40):
        values.put(number, [np.ones(8192) for _ in range(128)])
        assert memory.resident() <= (most + 32) * MB
    assert len(values) > 1
