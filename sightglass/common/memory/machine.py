"""Memory and cores available to this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
UNLIMITED = 2**60
"""Version 1 of cgroups writes a number above this where there is no limit."""


@dataclass(frozen=True)
class Machine:
    """What this process may use."""

    memory: int
    """Bytes, at most."""
    free: int
    """Bytes that nobody uses now."""
    cores: float
    """May be a fraction."""
    limited: tuple[str, ...]
    """Which of `memory` and `cores` a container or its kind limits below what the machine has."""


def machine(proc: Path = PROC, groups: Path = CGROUPS) -> Machine:
    """Return what this process may use; `proc` and `groups` are the kernel's files about control groups."""
    import psutil  # type: ignore[import-untyped]

    whole = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = list(_groups(proc, groups))
    memory = min((most for folder in found if (most := _memory(folder)) is not None), default=whole.total)
    share = min((limit for folder in found if (limit := _cores(folder)) is not None), default=float(cores))
    limited = [name for name, below in (("memory", memory < whole.total), ("cores", share < cores)) if below]
    used = max((_count_used(folder) for folder in found if _memory(folder) == memory), default=0)
    free = min(whole.available, memory - used) if "memory" in limited else whole.available
    return Machine(min(memory, whole.total), max(0, free), min(share, float(cores)), tuple(limited))


def writable(folder: Path) -> Path | None:
    """Return the folder, or the nearest above it that exists, if files can be made there; else None."""
    there = folder.absolute()
    # A link that leads nowhere is in the way.
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    return there if os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK) else None


def _groups(proc: Path, groups: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of all above them, in both versions of the interface."""
    try:
        lines = proc.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        roots = (
            [groups / one for one in controllers.split(",") if one in ("memory", "cpu")] if controllers else [groups]
        )
        for root in roots:
            # In a container its own group is the root, whatever the path says.
            inner = root / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder == root or root in folder.parents)


def _memory(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read(folder / name)
        if text.isdigit() and int(text) < UNLIMITED:
            return int(text)
    return None


def _count_used(folder: Path) -> int:
    """Return the bytes that the group uses, without files that the kernel only caches."""
    text = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    cached = next(
        (
            int(line.split()[1])
            for line in _read(folder / "memory.stat").splitlines()
            if line.startswith(("inactive_file ", "total_inactive_file "))
        ),
        0,
    )
    return max(0, int(text) - cached) if text.isdigit() else 0


def _cores(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    # Without a limit it is `max`, or -1.
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""
