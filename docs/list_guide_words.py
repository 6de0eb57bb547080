"""Generate the tables of docs/from-your-guide.md: `python docs/list_guide_words.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from sightglass.common.guide_words import guides, names  # noqa: E402

PAGE = ROOT / "docs/from-your-guide.md"
BEGIN, END = "<!-- words: python docs/list_guide_words.py -->\n", "<!-- end of words -->\n"


def table(name: str, guide: Any) -> str:
    """Return a guide's section: what `--like` sets, and each word with ours."""
    options = " ".join(" ".join(filter(None, pair)) for pair in guide["like"].items())
    rows = [
        (words, f"`sightglass {verb}`, with the same options" if verb else "leave it out")
        for words, verb in guide.get("verbs", {}).items()
    ]
    rows += [
        (words, f"taken: `{ours}`" if ours else "taken: the picture or folder itself")
        for words, ours in guide.get("taken", {}).items()
    ]
    rows += guide["here"].items()
    lines = [f"## {guide['title']}", "", f"`--like {name}` sets `{options}`.", "", "| your word | here |", "|---|---|"]
    lines += [f"| {', '.join(map(mark, words.split(', ')))} | {here} |" for words, here in rows]
    return "\n".join(lines) + "\n\n"


def arguments() -> str:
    """Return the section of others' arguments, fields and options."""
    lines = ["## Arguments and fields of other libraries", "", "| their word | here |", "|---|---|"]
    lines += [
        f"| {', '.join(map(mark, words.split(', ')))} | {' or '.join(f'`{name}`' for name in ours.split())} |"
        for words, ours in names().items()
    ]
    return "\n".join(lines) + "\n\n"


def mark(word: str) -> str:
    """Return a word as code, or one of a screen in italics."""
    return f"*{word}*" if " " in word else f"`{word}`"


def page() -> str:
    """Return the page with the tables between its marks."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    tables = "".join(table(name, guide) for name, guide in guides().items())
    return before + BEGIN + tables + arguments() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
