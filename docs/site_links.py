"""MkDocs hook: unlink missing pages, refuse remote resources.

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


def fetched(html: str) -> list[str]:
    """Return the tags of a page that make a browser ask another host."""
    return _FETCHED.findall(html)
