"""Generate the table of options in docs/api.md: `python docs/list_options.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from sightglass.api import schemas  # noqa: E402
from sightglass.explain.options import OFFERED, QUESTION  # noqa: E402

REQUESTS = (
    schemas.ExplainRequest,
    schemas.DetectRequest,
    schemas.CompareRequest,
    schemas.SimilarityRequest,
    schemas.ProveRequest,
)
VERBS = sorted({verb for option in (QUESTION, *OFFERED.values()) for verb in option.verbs.split()})
ROUTES = [one.__name__.removesuffix("Request").lower() for one in REQUESTS]
PAGE = ROOT / "docs/api.md"
BEGIN, END = "<!-- options: python docs/list_options.py -->\n", "<!-- end of options -->\n"


def table() -> str:
    """Return the table: an option and field, its flag, which verbs and routes have it, and what it does."""
    lines = ["| option | flag | verbs | routes | what it does |", "|---|---|---|---|---|"]
    for name, option in {"question": QUESTION, **OFFERED}.items():
        routes = [one.__name__.removesuffix("Request").lower() for one in REQUESTS if name in one.model_fields]
        text = option.description or option.help
        cells = f"`{name}`", f"`{option.flag}`", names(option.verbs.split(), VERBS), names(routes, ROUTES), text
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def names(having: list[str], every: list[str]) -> str:
    """Return names, or `all but` the few that are missing."""
    others = [name for name in every if name not in having]
    if len(others) * 2 >= len(having):
        return " ".join(having)
    return " ".join(["all", *(["but", *others] if others else [])])


def page() -> str:
    """Return the page with the table between its marks."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
