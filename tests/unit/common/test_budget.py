"""One total of memory, from which models, evidence and every cache have their parts."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from api import metrics, startup
from cli import main
from common import budget
from explain.evidence.cache import ByteCache, held
from explain.evidence.resident import Residency

ROOT = Path(__file__).parents[3]
ROOMS = ("models", "explain", "api", "cli", "components", "pages")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SIGHTGLASS_") and name.endswith("_MB")]:
        monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, **megabytes: float) -> dict[str, float]:
    for name, size in megabytes.items():
        monkeypatch.setenv(f"SIGHTGLASS_{name.upper()}_MB", str(size))
    return {name: budget.part(name) for name in budget.PARTS}


def test_without_a_setting_each_part_has_its_default() -> None:
    assert {name: budget.part(name) for name in budget.PARTS} == budget.PARTS
    assert {name: budget.limit(name) for name in budget.CACHES} == {n: s * 2**20 for n, s in budget.CACHES.items()}
    assert budget.total() == sum(budget.PARTS.values()) == 3456


def test_a_total_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, memory=345.6) == pytest.approx({name: size / 10 for name, size in budget.PARTS.items()})
    assert sum(map(budget.limit, budget.CACHES)) == pytest.approx(115.2 * 2**20, abs=len(budget.CACHES))
    assert ByteCache("uploads", len).limit == int(25.6 * 2**20)
    assert Residency().limit == int(204.8 * 2**20)
    assert Residency(1000).limit == 1000


def test_a_part_of_its_own_wins_and_the_others_share_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a total nothing is taken from the others.
    assert given(monkeypatch, models=4096) == budget.PARTS | {"models": 4096}
    assert given(monkeypatch, memory=4096 + 140.8) == pytest.approx({"models": 4096, "evidence": 25.6, "cache": 115.2})
    assert budget.total() == pytest.approx(4096 + 140.8)
    assert given(monkeypatch, evidence=0, cache=10) == {"models": 4096, "evidence": 0, "cache": 10}


@pytest.mark.parametrize(
    ("megabytes", "sentence"),
    [
        ({"models": 4096}, None),
        ({"memory": 100}, None),
        ({"memory": 100, "models": 99}, None),
        ({"memory": 100, "models": 60, "evidence": 30, "cache": 10}, None),
        (
            {"memory": 100, "models": 60, "evidence": 30, "cache": 20},
            "SIGHTGLASS_MODELS_MB and SIGHTGLASS_EVIDENCE_MB and SIGHTGLASS_CACHE_MB take 110 MiB of the 100 of "
            "SIGHTGLASS_MEMORY_MB: give more to that, or less to these.",
        ),
        (
            {"memory": 1000, "models": 2048},
            "SIGHTGLASS_MODELS_MB takes 2,048 MiB of the 1,000 of SIGHTGLASS_MEMORY_MB, which leaves nothing for the "
            "rest: give more to that, or less to this.",
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
    monkeypatch.setattr("api.slow_headers.install", lambda: None)
    startup.prepare()
    assert [record.getMessage() for record in caplog.records] == ([sentence] if sentence else [])
    assert main(["settings"]) == bool(sentence)
    said = capsys.readouterr()
    assert said.err.splitlines() == ([sentence] if sentence else [])
    assert f"together {budget.total():,.0f}." in said.out


def test_every_part_is_the_limit_of_exactly_one_cache() -> None:
    """Two caches of one name would each hold all of it, and a cache with a number of its own is in no total."""
    texts = [path.read_text("utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    claimed = Counter(name for text in texts for name in re.findall(r"ByteCache\(\s*\"(\w+)\"", text))
    assert claimed == Counter({*budget.PARTS, *budget.CACHES} - {"cache"})
    made = sum(len(re.findall(r"= ByteCache\(|: ByteCache\(|return ByteCache\(", text)) for text in texts)
    assert made == len(claimed)


def test_no_picture_is_in_a_cache_of_streamlit_s_which_counts_entries() -> None:
    """What is left there is the list of models, tables of runs, numbers of clips, and objects that there is one of."""
    texts = [path.read_text("utf-8") for room in ("components", "pages") for path in (ROOT / room).rglob("*.py")]
    cached = [found for text in texts for found in re.findall(r"@st\.cache_data[^\n]*\n(?:async )?def (\w+)", text)]
    assert sorted(cached) == ["_about", "_curves", "_menu", "_odd", "frame"]
    assert sum(text.count("st.cache_data") for text in texts) == len(cached)


def test_what_caches_hold_is_measured() -> None:
    before = held().get("photos", 0)
    cache: ByteCache[bytes] = ByteCache("photos", len)
    cache.get_or_make(1, lambda: b"12345")
    assert cache.get_or_make(1, lambda: b"") == b"12345"
    assert held()["photos"] == before + 5
    lines = metrics.text().decode().splitlines()
    assert f'sightglass_memory_bytes{{part="photos"}} {before + 5:.1f}' in lines
    assert f'sightglass_memory_limit_bytes{{part="models"}} {2048 * 2**20:.1f}' not in lines  # in powers of ten
    assert any(line.startswith('sightglass_memory_limit_bytes{part="models"} 2.147483648e+09') for line in lines)
    del cache
    assert held().get("photos", 0) == before
