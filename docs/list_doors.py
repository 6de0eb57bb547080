"""Generate the table in docs/options.md: `python docs/list_doors.py`."""

from __future__ import annotations

import string
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.oracle.cases import CASES, NOT_TAKEN  # noqa: E402
from tests.oracle.doors import OPTIONS, Door, open_doors  # noqa: E402

PAGE = ROOT / "docs/options.md"
BEGIN, END = "<!-- doors: python docs/list_doors.py -->\n", "<!-- end of doors -->\n"
REFUSED = frozenset(case.option for case in CASES if case.refused)
REASONS = {
    reason: string.ascii_lowercase[place]
    for place, reason in enumerate(dict.fromkeys(reason for reasons in NOT_TAKEN.values() for reason in reasons))
}
"""The letter of each reason."""


def cell(option: str, door: Door) -> str:
    """Return how a door answers an option, as a sign or the letter of a reason."""
    for reason, options in NOT_TAKEN[door.name].items():
        if option in options.split():
            return REASONS[reason]
    if option in REFUSED:
        return "“"
    return "≈" if door.within else "="


def table() -> str:
    """Return the table, what its columns are, and the reasons."""
    doors = open_doors()
    lines = [f"| option | {' | '.join(door.name for door in doors)} |", f"|---{'|:-:' * len(doors)}|"]
    lines += [f"| `{option}` | {' | '.join(cell(option, door) for door in doors)} |" for option in OPTIONS]
    columns = [f"| {door.name} | {door.about} |" for door in doors]
    reasons = [f"| {letter} | {reason} |" for reason, letter in REASONS.items()]
    about = ["| column | what it is |", "|---|---|", *columns]
    return "\n".join([*lines, "", *about, "", "| letter | why it is not taken there |", "|---|---|", *reasons]) + "\n"


def page() -> str:
    """Return the page with the table between its marks."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
