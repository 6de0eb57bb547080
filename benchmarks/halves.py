"""One report that two commands write, each its own half."""

from __future__ import annotations

from pathlib import Path

DETECTORS = Path(__file__).with_name("DETECTORS.md")
ORDERS = (("pointing", "detect"), ("viewer", "truth"))
"""The commands that share a file, in the order of their halves."""


def _mark(name: str) -> str:
    return f"<!-- {name} -->\n"


def with_half(path: Path, name: str, text: str) -> str:
    """The file's text with one half replaced and the other as it was."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    order = next(names for names in ORDERS if name in names)
    held = {one: _between(before, one, order) for one in order} | {name: text}
    return "\n".join(f"{_mark(one)}{held[one]}" for one in order if held[one])


def _between(text: str, name: str, order: tuple[str, ...]) -> str:
    _, _, after = text.partition(_mark(name))
    ends = [at for other in order if other != name and (at := after.find(_mark(other))) >= 0]
    return after[: min(ends, default=len(after))].rstrip("\n") + "\n" if after else ""
