"""Memory for loaded models and for evidence; all other caches are small and have fixed limits."""

from __future__ import annotations

from sightglass.common.settings import MIB, settings

TOTAL_MB = 4096
"""MiB from which the two limits derive, where SIGHTGLASS_MEMORY_MB is not set."""
MODELS, EVIDENCE = 1 / 2, 1 / 16
"""Shares of the total."""


def models_mb() -> float:
    """Return the MiB that loaded models may take."""
    limit = settings().models_mb
    return _total() * MODELS if limit is None else limit


def evidence_mb() -> float:
    """Return the MiB that the evidence and maps of the latest pictures may take."""
    limit = settings().evidence_mb
    return _total() * EVIDENCE if limit is None else limit


def models_bytes() -> int:
    return int(models_mb() * MIB)


def evidence_bytes() -> int:
    return int(evidence_mb() * MIB)


def _total() -> float:
    total = settings().memory_mb
    return TOTAL_MB if total is None else total
