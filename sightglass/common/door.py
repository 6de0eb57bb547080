"""Lazy imports from rooms above: the only way up."""

from __future__ import annotations

from importlib import import_module
from typing import Any

ABOVE = {
    "families": "sightglass.models.families",
    "figure": "sightglass.export.figure",
    "html_report": "sightglass.export.report.html",
    "result_folder": "sightglass.export.result_folder",
    "decks": "sightglass.deck.decks",
    "command_line": "sightglass.cli",
}
"""Modules that code below them calls on behalf of its callers: `Explanation.save`, `History.decks`."""


def above(name: str, inside: str = "") -> Any:
    """Import a module of ABOVE, or one inside it, when it is needed."""
    return import_module(f"{ABOVE[name]}{inside}")
