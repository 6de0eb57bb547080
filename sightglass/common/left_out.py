"""Name the files that were not used, with the reasons."""

from collections.abc import Mapping

from sightglass.common.legible import legible

NAMED, MAX_NAME = 3, 60
"""Files that are named for each reason, and characters of a name."""
HIDDEN = "hidden"
SYSTEM = frozenset({"@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information", "lost+found"})
"""Folders that systems keep beside a person's own, in small letters: small copies, and deleted files."""


def is_hidden(name: str) -> bool:
    """Return whether a path is hidden, in a folder of the system, or what macOS packs beside a file."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in (".", "..")]
    return any(part.startswith((".", "__MACOSX")) or part.lower() in SYSTEM for part in parts)


def describe_left_out(left_out: Mapping[str, str]) -> str:
    """Return `3 files were left out: a.md and b.md (no pictures); .c (hidden).`

    `left_out`: the reason of each file. Empty without any.
    """
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    if not names:
        return ""
    parts = [f"{_list_names(listed)} ({reason})" for reason, listed in names.items()]
    count = "1 file was" if len(left_out) == 1 else f"{len(left_out):,} files were"
    return f"{count} left out: {'; '.join(parts)}."


def _list_names(names: list[str]) -> str:
    shown = [legible(name, MAX_NAME) for name in names[:NAMED]]
    if len(names) > NAMED:
        shown.append(f"{len(names) - NAMED:,} more")
    last = shown.pop()
    return f"{', '.join(shown)} and {last}" if shown else last
