"""Share out the memory that Sightglass may take: one total, from which every cache has its part."""

from __future__ import annotations

from common.settings import settings

MIB = 2**20
CACHES = {
    "explanations": 256,
    "uploads": 256,
    "records": 192,
    "pairs": 64,
    "similarities": 128,
    "pictures": 64,
    "annotations": 64,
    "embeddings": 64,
    "examples": 28,
    "photos": 8,
    "scrambles": 8,
    "thumbnails": 8,
    "entries": 8,
    "blurs": 4,
}
"""Explanations and uploads of all sessions, records of the history, those of two pictures, comparisons of two pictures,
pictures encoded for the browser, pictures with their annotations, embeddings of galleries, bundled pictures, maps of
scrambled weights, small pictures (saved photos, those in the bar, logged entries of the monitor), and blurred ones; in
MiB of the default total."""
PARTS = {"models": 2048, "evidence": 256, "cache": sum(CACHES.values())}
"""Loaded models, evidence of the latest pictures, and CACHES together; in MiB of the default total. Each has a setting
of its own, SIGHTGLASS_MODELS_MB and so on."""


def total() -> float:
    """Return the MiB of all parts together."""
    return sum(map(part, PARTS))


def part(name: str) -> float:
    """Return the MiB of one of PARTS: its own setting; else its share of what the others' settings leave of the total.

    Without a total each has its default. Raises SettingProblem for a malformed setting.
    """
    if (own := _own(name)) is not None:
        return own
    if (given := settings().memory_mb) is None:
        return PARTS[name]
    stated = {other: _own(other) for other in PARTS}
    left = max(0.0, given - sum(size for size in stated.values() if size is not None))
    return left * PARTS[name] / sum(PARTS[other] for other, size in stated.items() if size is None)


def limit(name: str) -> int:
    """Return the bytes of one of PARTS or of CACHES."""
    if name in PARTS:
        return int(part(name) * MIB)
    return int(part("cache") * MIB * CACHES[name] / PARTS["cache"])


def excess() -> str | None:
    """Return a sentence where the settings of the parts exceed that of the total, or leave nothing for the others."""
    given = settings().memory_mb
    stated = {name: size for name in PARTS if (size := _own(name)) is not None}
    taken = sum(stated.values())
    if given is None or taken < given or (taken == given and len(stated) == len(PARTS)):
        return None
    names = " and ".join(f"SIGHTGLASS_{name.upper()}_MB" for name in stated)
    rest = "" if len(stated) == len(PARTS) else ", which leaves nothing for the rest"
    return (
        f"{names} {'take' if len(stated) > 1 else 'takes'} {taken:,g} MiB of the {given:,g} of "
        f"SIGHTGLASS_MEMORY_MB{rest}: give more to that, or less to {'these' if len(stated) > 1 else 'this'}."
    )


def _own(name: str) -> float | None:
    own: float | None = getattr(settings(), f"{name}_mb")
    return own
