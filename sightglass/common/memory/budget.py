"""Divide the memory budget among caches.

The total is that of the whole process, as the system counts it (its resident memory): what Python, PyTorch and all that
they import need comes off first, and the caches share the rest. What nothing here counts (a pass, oneDNN's primitives,
a session's own pictures) is in that figure too: where the process reaches it, caches make room
(`sightglass.explain.evidence.cache.relieve`).
"""

from __future__ import annotations

import math

from sightglass.common.settings import settings

MIB = 2**20
CACHES = {
    "explanations": 256,
    "uploads": 256,
    "records": 115,
    "pairs": 64,
    "similarities": 128,
    "pictures": 64,
    "annotations": 60,
    "embeddings": 64,
    "tables": 32,
    "evaluations": 24,
    "examples": 28,
    "stages": 16,
    "photos": 8,
    "scrambles": 8,
    "thumbnails": 16,
    "errors": 4,
    "blurs": 4,
    "seals": 1,
    "controls": 4,
}
"""Explanations and uploads of all sessions, records of the history, those of two pictures, comparisons of two pictures,
pictures encoded for the browser, pictures with their annotations, embeddings of galleries, tables of batch runs,
evaluations of those with labels, bundled pictures, decks as they are presented, maps of scrambled weights, small
pictures (saved photos, those in the bar, errors), blurred ones, maps of other pictures to compare with, and seals; in
MiB of the default total."""
PARTS = {"models": 2048, "evidence": 256, "cache": sum(CACHES.values())}
"""Loaded models, evidence of the latest pictures, and CACHES together; in MiB of the default total. Each has a setting
of its own, SIGHTGLASS_MODELS_MB and so on."""
PROCESS = 640
"""MiB that the process takes before its first model, until that was measured: Python, PyTorch and the pages."""
LEAST = 160
"""MiB beside that with which a small model explains a picture."""
_measured: list[float] = []


def process() -> float:
    """Return the MiB that the process took before its first model; until that is loaded, `PROCESS`."""
    return _measured[0] if _measured else PROCESS


def measure(nbytes: int) -> None:
    """Note what the process took, in bytes, when it was about to load its first model."""
    if not _measured:
        _measured.append(nbytes / MIB)


def total() -> float:
    """Return the MiB that the process may take: as set, else what its parts and the process itself need."""
    given = settings().memory_mb
    return process() + sum(map(part, PARTS)) if given is None else given


def part(name: str) -> float:
    """Return the MiB of one of PARTS: its own setting; else its share of what the process and the others' settings
    leave of the total.

    Without a total each has its default. Raises SettingProblem for a malformed setting.
    """
    if (own := _own(name)) is not None:
        return own
    if (given := settings().memory_mb) is None:
        return PARTS[name]
    stated = {other: _own(other) for other in PARTS}
    left = max(0.0, given - process() - sum(size for size in stated.values() if size is not None))
    return left * PARTS[name] / sum(PARTS[other] for other, size in stated.items() if size is None)


def limit(name: str) -> int:
    """Return the bytes of one of PARTS or of CACHES."""
    if name in PARTS:
        return int(part(name) * MIB)
    return int(part("cache") * MIB * CACHES[name] / PARTS["cache"])


def excess() -> str | None:
    """Return a sentence where the total is too small to work in, or the parts' settings leave nothing of it."""
    if (given := settings().memory_mb) is None:
        return None
    if given < (least := process() + LEAST):
        return (
            f"SIGHTGLASS_MEMORY_MB is {given:,g}, and Python and PyTorch take about {process():,.0f} MiB of it before "
            f"the first picture. Give {math.ceil(least / 10) * 10:,} or more, or every picture needs its model anew."
        )
    stated = {name: size for name in PARTS if (size := _own(name)) is not None}
    taken = process() + sum(stated.values())
    if taken < given or (taken == given and len(stated) == len(PARTS)):
        return None
    names = " and ".join(f"SIGHTGLASS_{name.upper()}_MB" for name in stated)
    rest = "" if len(stated) == len(PARTS) else ", which leaves nothing for the rest"
    return (
        f"{names} {'take' if len(stated) > 1 else 'takes'} {taken - process():,g} MiB of the {given:,g} of "
        f"SIGHTGLASS_MEMORY_MB, beside about {process():,.0f} for Python and PyTorch{rest}. Give more to that, or less "
        f"to {'these' if len(stated) > 1 else 'this'}."
    )


def _own(name: str) -> float | None:
    own: float | None = getattr(settings(), f"{name}_mb")
    return own
