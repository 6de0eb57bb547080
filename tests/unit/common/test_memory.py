"""Memory for models and evidence: one total, or each by itself."""

from __future__ import annotations

import pytest

from sightglass.common import memory


@pytest.mark.parametrize(
    ("variables", "models", "evidence"),
    [
        ({}, 2048, 256),
        ({"MEMORY_MB": "1024"}, 512, 64),
        ({"MODELS_MB": "300"}, 300, 256),
        ({"MEMORY_MB": "1024", "EVIDENCE_MB": "0"}, 512, 0),
    ],
)
def test_parts_derive_from_the_total_unless_they_are_set(
    variables: dict[str, str], models: float, evidence: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MEMORY_MB", "MODELS_MB", "EVIDENCE_MB"):
        monkeypatch.delenv(f"SIGHTGLASS_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"SIGHTGLASS_{name}", value)
    assert (memory.models_mb(), memory.evidence_mb()) == (models, evidence)
    assert memory.models_bytes() == models * 2**20
