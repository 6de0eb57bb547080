"""MkDocs hook: unlink missing pages, refuse remote resources, list the pages for programs in llms.txt.

Links to files that the site does not have become plain text. `make docs` fails where a built page would fetch a
script, a style, a font or a picture from another host.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_OUTSIDE = re.compile(r"(?<!!)\[([^\]]*)\]\(\.\./[^)]*\)")
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link\b[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>"
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return _OUTSIDE.sub(r"\1", markdown)


def on_post_build(config: Any, **_: Any) -> None:
    for page in Path(config["site_dir"]).rglob("*.html"):
        if found := fetched(page.read_text("utf-8")):
            raise SystemExit(f"{page} would fetch {found[0]} from another host.")
    index = (Path(config["docs_dir"]) / "README.md").read_text("utf-8")
    text = f"# Sightglass\n\n> {config['site_description']}\n\n{pages(index)}\n"
    Path(config["site_dir"], "llms.txt").write_text(text, "utf-8")


def pages(index: str) -> str:
    """Return the rows of the index as llms.txt has them: `- [install.md](install.html): install it`."""
    rows = re.findall(r"^\| (.+?) \| (.*\.md.*) \|$", index, re.MULTILINE)
    links = ((link, what) for what, cell in rows for link in re.findall(r"\[(\S+\.md)\]\(\1", cell))
    return "\n".join(f"- [{link}]({link[:-3]}.html): {what}" for link, what in links)


def fetched(html: str) -> list[str]:
    """Return the tags of a page that make a browser ask another host."""
    return _FETCHED.findall(html)
