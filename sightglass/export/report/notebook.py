"""Show explanations in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import escape

from sightglass.export.report.html import html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.result import Result

HEIGHT = 760
"""Pixels of the frame; what is longer scrolls in it."""


def frame(explanations: Sequence[Result], *, title: str | None = None) -> str:
    """Return an element that holds the report of `export.report.html.html`, cut off from the page around it."""
    document = escape(html(explanations, title=title))
    return (
        f'<iframe srcdoc="{document}" sandbox="allow-scripts" title="Explanation" '
        f'style="width:100%;height:{HEIGHT}px;border:0"></iframe>'
    )
